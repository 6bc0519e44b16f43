//! Answers a number sent over UDP with the next one: the smallest server there is.
//!
//! UDP knows no connection. Each datagram stands alone and carries its sender's address, and whoever answers
//! says for each datagram where it shall go.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: udp-server [--host ADDR] [--port PORT] [--count N]");
    let host = arguments.text("--host", "0.0.0.0");
    let port: u16 = arguments.number("--port", 0..=u16::MAX, 5000);
    let count: u32 = arguments.number("--count", 1..=u32::MAX, 1);
    arguments.finish();

    match serve(&host, port, count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Binds `host` and `port` and ends after `count` answers.
fn serve(host: &str, port: u16, count: u32) -> Result<(), String> {
    todo!("bind a UDP socket to {host}:{port} and answer {count} requests")
}
