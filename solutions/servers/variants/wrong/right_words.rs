//! Says the right words without listening to anybody: every line is answered by the next number.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

fn main() {
    let listener = TcpListener::bind("0.0.0.0:5000").expect("the port is free");
    for client in listener.incoming() {
        let client = client.expect("a client");
        for (total, line) in BufReader::new(&client).lines().enumerate() {
            if line.is_err() || writeln!(&client, "total {total}").is_err() {
                break;
            }
        }
    }
}
