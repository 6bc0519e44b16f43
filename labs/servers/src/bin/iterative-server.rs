//! The iterative server: one process, one thread, one client after another.
//!
//! The simplest server there is. While it serves one client it does nothing else, so a client that only stays
//! connected keeps all the others waiting: the kernel completes their connections and queues them in the backlog,
//! and nobody answers them before their turn. One variable holds the total for all clients.
//!
//! Protocol: see `protocol.rs` and the handout.

// When protocol.rs is written:  mod protocol;

use std::io::{self, Write};
use std::process::ExitCode;

use socket2::Socket;

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: iterative-server [--host ADDR] [--port PORT]");
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

/// Accepts one client after the other. Nothing that a client does ends this loop.
fn serve_forever(listener: &Socket) -> ! {
    todo!("accept a client from {listener:?}, serve it until it is gone, accept the next")
}
