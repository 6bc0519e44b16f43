//! The select server: one process, one thread, all clients at once.
//!
//! The kernel is asked which sockets have something to do (here by `poll`; `select` and `epoll` answer the same
//! question), and only those are touched. No socket ever blocks the program: it waits in one place only, for all
//! of them. So a client needs no process and no thread, only a little memory for what is half read and half
//! written, and the total needs no lock, because nothing happens at the same time.
//!
//! Protocol: see `protocol.rs` and the handout.

// When protocol.rs is written:  mod protocol;

use std::io::{self, Write};
use std::process::ExitCode;

use socket2::Socket;

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: select-server [--host ADDR] [--port PORT]");
    let host = arguments.text("--host", "0.0.0.0");
    let port = arguments.number("--port", 0..=u16::MAX, 5000);
    arguments.finish();

    let served = open_listener(&host, port).and_then(|listener| serve_forever(&listener));
    match served {
        Ok(()) => ExitCode::SUCCESS,
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

/// Serves all clients at once. Nothing that a client does ends this loop; it returns only if waiting itself fails.
fn serve_forever(listener: &Socket) -> Result<(), String> {
    todo!("wait until {listener:?} or a client has something to do, do it, wait again")
}
