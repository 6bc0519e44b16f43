//! Sends a UDP datagram of which it makes every byte itself, the IP header included.
//!
//! `IP_HDRINCL` tells the system that what is sent begins with an IPv4 header. The datagram that comes out is
//! like any other: a `udp-server` cannot tell that nobody ever opened a UDP socket to ask it.

use std::process::ExitCode;

use labkit::Arguments;

const USAGE: &str = "usage: raw-udp HOST [--port PORT] [--value V] [--source-port PORT]";

fn main() -> ExitCode {
    let mut arguments = Arguments::new(USAGE);
    let port: u16 = arguments.number("--port", 1..=u16::MAX, 5000);
    let value: i16 = arguments.number("--value", i16::MIN..=i16::MAX, 1);
    // 0: not given, the system picks one.
    let source_port: u16 = match arguments.text("--source-port", "").as_str() {
        "" => 0,
        port => arguments.parse("--source-port", port, 1..=u16::MAX),
    };
    let words = arguments.words();
    let host = match words.as_slice() {
        [host] if !host.starts_with('-') => host,
        _ => arguments.refuse("want exactly one host"),
    };

    match send(host, port, value, source_port) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Sends `value` to `port` of `host`, as one datagram.
fn send(host: &str, port: u16, value: i16, source_port: u16) -> Result<(), String> {
    todo!("send {value} to {host} port {port} from port {source_port}")
}
