//! Asks a UDP server for the next number.
//!
//! UDP promises nothing: the question may be lost, the answer may be lost, and nobody says so. A client that
//! does not want to wait for ever needs a clock, and one that wants an answer all the same asks again.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new(
        "usage: udp-client [--host HOST] [--port PORT] [--value V] [--timeout-ms T] [--tries N]",
    );
    let host = arguments.text("--host", "127.0.0.1");
    let port: u16 = arguments.number("--port", 1..=u16::MAX, 5000);
    let value: i16 = arguments.number("--value", i16::MIN..=i16::MAX, 1);
    let timeout_ms: u32 = arguments.number("--timeout-ms", 1..=u32::MAX, 1000);
    let tries: u32 = arguments.number("--tries", 1..=u32::MAX, 3);
    arguments.finish();

    let timeout = Duration::from_millis(timeout_ms.into());
    let printed = ask(&host, port, value, timeout, tries).and_then(|answer| {
        writeln!(std::io::stdout(), "Received {answer}")
            .map_err(|error| format!("cannot write to stdout: {error}"))
    });
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "{problem}");
            ExitCode::FAILURE
        }
    }
}

/// The answer of the first address of `host` that gives one.
fn ask(host: &str, port: u16, value: i16, timeout: Duration, tries: u32) -> Result<i16, String> {
    todo!("send {value} to {host}:{port}, wait {timeout:?} for the answer, {tries} times")
}
