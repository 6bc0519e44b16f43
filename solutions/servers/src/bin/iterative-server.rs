//! The iterative server: one process, one thread, one client after another.
//!
//! The simplest server there is. While it serves one client it does nothing else, so a client that only stays
//! connected keeps all the others waiting: the kernel completes their connections and queues them in the backlog,
//! and nobody answers them before their turn. One variable holds the total for all clients.
//!
//! Protocol: see `protocol.rs` and the handout.

// solution: // When protocol.rs is written:  mod protocol;
mod protocol;
// :solution

use std::io::{self, Write};
use std::process::ExitCode;

use socket2::Socket;

// solution:
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, ToSocketAddrs};
use std::thread;
use std::time::Duration;

use protocol::{Request, Requests};
use socket2::{Domain, Protocol, SockAddr, Type};
// :solution

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
    // solution: todo!("socket, SO_REUSEADDR, bind and listen on {host} port {port}")
    let addresses = (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("cannot resolve {host} port {port}: {error}"))?;
    let mut refusal = format!("cannot resolve {host} port {port}: it has no address");
    for address in addresses {
        match listen_on(address) {
            Ok(listener) => {
                if port == 0 {
                    announce(&listener).map_err(|error| format!("cannot write to stdout: {error}"))?;
                }
                return Ok(listener);
            }
            Err(error) => refusal = format!("cannot bind {address}: {error}"),
        }
    }
    Err(refusal)
    // :solution
}

// solution:
/// A socket that listens on `address`: socket, setsockopt, bind, listen.
fn listen_on(address: SocketAddr) -> io::Result<Socket> {
    let listener = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Before bind: connections of an earlier run that linger in TIME_WAIT do not keep the port from us then.
    listener.set_reuse_address(true)?;
    listener.bind(&address.into())?;
    // The backlog: so many connections may wait, complete, until accept fetches them.
    listener.listen(128)?;
    Ok(listener)
}

/// Prints the address that the system has given to `listener`.
fn announce(listener: &Socket) -> io::Result<()> {
    let address = listener.local_addr()?;
    match address.as_socket() {
        Some(address) => writeln!(io::stdout(), "Listening on {address}"),
        None => Ok(()),
    }
}
// :solution

/// Accepts one client after the other. Nothing that a client does ends this loop.
fn serve_forever(listener: &Socket) -> ! {
    // solution: todo!("accept a client from {listener:?}, serve it until it is gone, accept the next")
    let mut total = 0;
    loop {
        match listener.accept() {
            Ok((connection, peer)) => {
                if let Err(error) = serve(connection, &mut total) {
                    report(&peer, &error);
                }
                // `serve` owned the connection: it is closed by now, and the next client's turn has come.
            }
            Err(error) => pause_after(&error),
        }
    }
    // :solution
}

// solution:
/// Answers the requests of one client until it quits or closes its direction of the connection.
fn serve(mut connection: Socket, total: &mut i64) -> io::Result<()> {
    let mut requests = Requests::default();
    let mut chunk = [0; 2048];
    loop {
        let received = match connection.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(received) => received,
            // A signal has arrived and nothing was read: ask again.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        requests.push(&chunk[..received]);

        // Answers to requests that came together also leave together, in one segment if they fit.
        let mut answers = String::new();
        let mut last = false;
        while let Some(request) = requests.take() {
            match request {
                Request::Add(number) => {
                    *total = total.wrapping_add(number);
                    answers.push_str(&format!("total {total}\n"));
                }
                Request::Unknown => answers.push_str(protocol::UNKNOWN),
                Request::TooLong => {
                    answers.push_str(protocol::TOO_LONG);
                    last = true;
                }
                Request::Quit => last = true,
            }
            if last {
                break;
            }
        }
        connection.write_all(answers.as_bytes())?;
        if last {
            return Ok(());
        }
    }
}

/// Says why a client's connection has ended early. That costs this client its connection and nobody else anything.
fn report(peer: &SockAddr, error: &io::Error) {
    match peer.as_socket() {
        Some(peer) => drop(writeln!(io::stderr(), "connection with {peer}: {error}")),
        None => drop(writeln!(io::stderr(), "connection: {error}")),
    }
}

/// After a failed accept: the server goes on in any case.
fn pause_after(error: &io::Error) {
    match error.kind() {
        // A signal came first, or the client gave up while it waited in the backlog: on to the next one.
        ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
        // Out of descriptors or memory. The client still waits in the backlog, so accept would fail again at once:
        // without a pause this loop would burn a processor until somebody else frees something.
        _ => {
            let _ = writeln!(io::stderr(), "cannot accept: {error}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}
// :solution
