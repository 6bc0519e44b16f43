//! The threaded server: a thread for each client, in one process.
//!
//! The main thread only accepts. Threads share the memory of their process, so one total for all clients is just a
//! variable; but two threads that add to it at the same moment must not come between each other's reading and
//! writing. A mutex sees to that: who holds it is alone.
//!
//! Protocol: see `protocol.rs` and the handout.

// When protocol.rs is written:  mod protocol;

use std::io::{self, Write};
use std::process::ExitCode;

use socket2::Socket;

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: threaded-server [--host ADDR] [--port PORT]");
    let host = arguments.text("--host", "0.0.0.0");
    let port = arguments.number("--port", 0..=u16::MAX, 5000);
    arguments.finish();

    match open_listener(&host, port) {
        Ok(listener) => serve_forever(&listener),
        Err(reason) => {
            // Not `eprintln!`: it panics where stderr cannot be written to.
            let _ = writeln!(io::stderr(), "{reason}");
            ExitCode::FAILURE
        }
    }
}

/// Opens the listening socket on the first address of `host` that can be bound. Port 0 lets the system choose a
/// port; which one is then printed.
fn open_listener(host: &str, port: u16) -> Result<Socket, String> {
    todo!("socket, SO_REUSEADDR, bind and listen on {host} port {port}")
}

/// Accepts clients and starts a thread for each. Nothing that a client does ends this loop.
fn serve_forever(listener: &Socket) -> ! {
    todo!("accept on {listener:?}, start a thread that serves, accept the next")
}
