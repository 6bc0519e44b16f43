//! Streams its input to the server and prints the receipt that comes back.
//!
//! The server answers only once it has seen the end of the data. `shutdown` tells it: it ends our direction of the
//! connection, and the other direction stays open for the receipt. `close` would end both.

use std::io::{self, Write};
use std::process::ExitCode;

use labkit::Arguments;

const USAGE: &str = "usage: upload-client [--host ADDR] [--port PORT] [--magic 0|1]";

/// With `--magic 1` these bytes go ahead of the data. They do not count.
const MAGIC: &[u8; 4] = b"UPL1";

/// How many bytes were sent or received, and their sum modulo 2^32.
#[derive(PartialEq, Eq)]
struct Receipt {
    count: u64,
    sum: u32,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::new(USAGE);
    let host = arguments.text("--host", "127.0.0.1");
    let port = arguments.number("--port", 1..=u16::MAX, 5000);
    let magic = arguments.number("--magic", 0..=1u8, 0);
    arguments.finish();

    let preamble: &[u8] = if magic == 1 { MAGIC } else { b"" };
    match upload(&host, port, preamble).and_then(|(sent, counted)| report(&sent, &counted)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Sends `preamble` and then all of stdin. Gives our own figures and the server's. The error says what failed, with
/// which address, and why.
fn upload(host: &str, port: u16, preamble: &[u8]) -> Result<(Receipt, Receipt), String> {
    todo!("connect to {host}:{port}, send {preamble:?} and stdin, shut down, take the receipt")
}

/// Prints the receipt. It is an error if the server's figures are not our own.
fn report(sent: &Receipt, counted: &Receipt) -> Result<(), String> {
    let line = format!(
        "Sent {} bytes, server counted {}, checksum 0x{:08x}\n",
        sent.count, counted.count, counted.sum
    );
    // Unlike `println!`, this can fail without a panic.
    io::stdout().write_all(line.as_bytes()).map_err(|error| format!("cannot write to stdout: {error}"))?;
    if sent == counted {
        Ok(())
    } else {
        Err(format!(
            "the server's figures differ: {} bytes with sum 0x{:08x} were sent",
            sent.count, sent.sum
        ))
    }
}
