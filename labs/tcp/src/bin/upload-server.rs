//! Receives an upload to its end, and only then answers with a receipt: how many bytes came, and their sum.
//!
//! The client ends its direction of the connection by `shutdown`; our `recv` then yields 0, end of file, and the
//! other direction still carries the receipt. With `--dual 1` the server speaks two protocols on one port: it looks
//! at the first bytes before it takes them.

use std::process::ExitCode;

use labkit::Arguments;

const USAGE: &str = "usage: upload-server [--host ADDR] [--port PORT] [--count N] [--dual 0|1]";

fn main() -> ExitCode {
    let mut arguments = Arguments::new(USAGE);
    let host = arguments.text("--host", "0.0.0.0");
    let port = arguments.number("--port", 0..=u16::MAX, 5000);
    let count = arguments.number("--count", 1..=u32::MAX, 1);
    let dual = arguments.number("--dual", 0..=1u8, 0);
    arguments.finish();

    match run(&host, port, count, dual == 1) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Serves `count` connections, one after another. The error says what failed, with which address, and why.
fn run(host: &str, port: u16, count: u32, dual: bool) -> Result<(), String> {
    todo!("listen on {host}:{port}, receive {count} uploads, one after another; dual: {dual}")
}
