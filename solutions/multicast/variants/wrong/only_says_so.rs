//! Prints what a receiver prints for the course's message, without a socket.
fn main() {
    println!("Received: Hello!");
}
