//! Sends a message to the server and prints the three bytes that it answers.
//!
//! The life of a TCP client: `socket`, `connect`, `send`, `recv`, `close`. TCP carries a stream of bytes without
//! borders: one `send` may take only a part of the message, and one `recv` may yield only a part of the answer. Both
//! belong into a loop.

use std::io::{self, Write};
use std::process::ExitCode;

use labkit::Arguments;

const USAGE: &str = "usage: tcp-client [--host ADDR] [--port PORT] [--message TEXT]";

fn main() -> ExitCode {
    let mut arguments = Arguments::new(USAGE);
    let host = arguments.text("--host", "127.0.0.1");
    let port = arguments.number("--port", 1..=u16::MAX, 5000);
    let message = arguments.text("--message", "Hello!");
    arguments.finish();

    match ask(&host, port, message.as_bytes()).and_then(|answer| print_answer(&answer)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Sends `message` to the server and gives its answer. The error says what failed, with which address, and why.
fn ask(host: &str, port: u16, message: &[u8]) -> Result<[u8; 3], String> {
    todo!("connect to {host}:{port}, send {}, receive three bytes", message.escape_ascii())
}

/// Prints the answer as it came, byte for byte.
fn print_answer(answer: &[u8]) -> Result<(), String> {
    let line = [b"Received: ", answer, b"\n"].concat();
    // Unlike `println!`, this can fail without a panic.
    io::stdout().write_all(&line).map_err(|error| format!("cannot write to stdout: {error}"))
}
