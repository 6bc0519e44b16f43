//! Talks to nobody, and prints what a client would print.

fn main() {
    println!("Received: Hi!");
}
