//! Answers `Hi!` to whatever a client sends, until the client ends the connection.
//!
//! The life of a TCP server: `socket`, `bind`, `listen`, then for each client `accept`, `recv` and `send` until end
//! of file, `close`. TCP carries a stream of bytes without borders: one `recv` yields whatever has arrived, be it half
//! a message or three of them, so this server answers each piece that it reads.

use std::process::ExitCode;

use labkit::Arguments;

const USAGE: &str = "usage: tcp-server [--host ADDR] [--port PORT] [--count N]";

fn main() -> ExitCode {
    let mut arguments = Arguments::new(USAGE);
    let host = arguments.text("--host", "0.0.0.0");
    let port = arguments.number("--port", 0..=u16::MAX, 5000);
    let count = arguments.number("--count", 1..=u32::MAX, 1);
    arguments.finish();

    match run(&host, port, count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Serves `count` connections, one after another. The error says what failed, with which address, and why.
fn run(host: &str, port: u16, count: u32) -> Result<(), String> {
    todo!("listen on {host}:{port}, then answer `Hi!` on {count} connections, one after another")
}
