//! Prints the right words for the one number that everybody knows, whatever it is asked.
fn main() {
    println!("Var has 01020304");
    for group in [[4, 3, 2, 1], [1, 2, 3, 4], [1, 2, 3, 4]] {
        if group[0] == 1 {
            println!();
        }
        for (index, byte) in group.iter().enumerate() {
            println!("Byte {index} has {byte:02x}");
        }
    }
}
