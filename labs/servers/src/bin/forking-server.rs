//! The forking server: a process for each client.
//!
//! The parent only accepts. For each connection it forks, and the child serves that client and ends. The kernel
//! keeps the clients apart and shares the processors between them, and a client that stays silent holds nobody up.
//! A child has a *copy* of its parent's memory, so every connection counts from 0: a total for all clients would
//! need memory that is shared on purpose.
//!
//! After fork both processes hold both sockets. Each closes the one that is not its own: a connection ends only
//! with the last descriptor that refers to it, and so does the listening socket.
//!
//! Protocol: see `protocol.rs` and the handout.

// When protocol.rs is written:  mod protocol;

use std::io::{self, Write};
use std::process::ExitCode;

use socket2::Socket;

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: forking-server [--host ADDR] [--port PORT]");
    let host = arguments.text("--host", "0.0.0.0");
    let port = arguments.number("--port", 0..=u16::MAX, 5000);
    arguments.finish();

    match open_listener(&host, port) {
        Ok(listener) => serve_forever(listener),
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

/// Accepts clients and forks a child for each. Returns in the children only: their work is done then.
fn serve_forever(listener: Socket) -> ExitCode {
    todo!("accept on {listener:?}, fork, serve in the child, close in the parent, reap")
}
