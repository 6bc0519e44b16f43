//! The four calls that every C program on the network makes: htons, ntohs, htonl and ntohl.
//!
//! `h` is this host's byte order, `n` is the network's, `s` is a short of two bytes, `l` is a long of four. On a
//! little-endian machine each call reverses the bytes; on a big-endian one it does nothing.

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: byte-swap htons|ntohs|htonl|ntohl N");
    let words = arguments.words();
    let [call, number] = words.as_slice() else { arguments.refuse("want a call and a number") };

    let result = match call.as_str() {
        "htons" => htons(arguments.parse("N", number, 0..=u16::MAX)).to_string(),
        "ntohs" => ntohs(arguments.parse("N", number, 0..=u16::MAX)).to_string(),
        "htonl" => htonl(arguments.parse("N", number, 0..=u32::MAX)).to_string(),
        "ntohl" => ntohl(arguments.parse("N", number, 0..=u32::MAX)).to_string(),
        _ => arguments.refuse(&format!("unknown call {call}")),
    };

    match writeln!(io::stdout(), "{result}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "cannot write to stdout: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Host to network, two bytes.
fn htons(number: u16) -> u16 {
    todo!("put {number} into network byte order")
}

/// Network to host, two bytes.
fn ntohs(number: u16) -> u16 {
    todo!("put {number} into this machine's byte order")
}

/// Host to network, four bytes.
fn htonl(number: u32) -> u32 {
    todo!("put {number} into network byte order")
}

/// Network to host, four bytes.
fn ntohl(number: u32) -> u32 {
    todo!("put {number} into this machine's byte order")
}
