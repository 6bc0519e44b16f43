//! Asks a host for an echo, and makes every byte of the question itself.
//!
//! `socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)` gives the ICMP message to the program: type, code, checksum,
//! identifier, sequence. The system still puts the IP header in front of what is sent, but leaves it in front
//! of what is received, and it gives every raw socket a copy of *all* ICMP that reaches the host. So most of
//! the work is to tell the one answer from the rest.

use std::net::Ipv4Addr;
use std::process::ExitCode;

use labkit::Arguments;

const USAGE: &str = "usage: raw-ping HOST [--count N] [--timeout-ms T] [--size BYTES] [--fill HH]";

fn main() -> ExitCode {
    let mut arguments = Arguments::new(USAGE);
    let count: u32 = arguments.number("--count", 1..=u32::MAX, 1);
    let timeout_ms: u32 = arguments.number("--timeout-ms", 1..=u32::MAX, 1000);
    let size: u16 = arguments.number("--size", 0..=1472, 56);
    let fill = match arguments.text("--fill", "").as_str() {
        "" => None,
        hex if hex.len() == 2 && hex.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            Some(u8::from_str_radix(hex, 16).expect("two hexadecimal digits"))
        }
        hex => arguments.refuse(&format!("--fill {hex}: want two hexadecimal digits")),
    };
    let words = arguments.words();
    let host = match words.as_slice() {
        [host] if !host.starts_with('-') => host,
        _ => arguments.refuse("want exactly one host"),
    };

    // What to ask back: a pattern by default, in which no two neighbours are alike.
    let payload: Vec<u8> = (0..size).map(|at| fill.unwrap_or(at.to_be_bytes()[1])).collect();
    let pinged = resolve(host).and_then(|address| ping(address, count, timeout_ms, &payload));
    match pinged {
        Ok(answered) if answered == count => ExitCode::SUCCESS,
        Ok(answered) => {
            eprintln!("{host} answered {answered} of {count} requests");
            ExitCode::FAILURE
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// The host's first IPv4 address.
fn resolve(host: &str) -> Result<Ipv4Addr, String> {
    todo!("find the IPv4 address of {host}")
}

/// Sends `count` requests, each after the answer to the one before or its timeout, and prints a line for each
/// answer. Returns how many were answered.
fn ping(host: Ipv4Addr, count: u32, timeout_ms: u32, payload: &[u8]) -> Result<u32, String> {
    todo!("ask {host} {count} times, wait {timeout_ms} ms for each answer to {payload:?}")
}
