//! Sends a message to the server and prints the three bytes that it answers.
//!
//! The life of a TCP client: `socket`, `connect`, `send`, `recv`, `close`. TCP carries a stream of bytes without
//! borders: one `send` may take only a part of the message, and one `recv` may yield only a part of the answer. Both
//! belong into a loop.

use std::io::{self, Write};
// solution:
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;
// :solution
use std::process::ExitCode;

use labkit::Arguments;
// solution:
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use socket2::{Domain, Socket, Type};
// :solution

const USAGE: &str = "usage: tcp-client [--host ADDR] [--port PORT] [--message TEXT]";

fn main() -> ExitCode {
    let mut arguments = Arguments::new(USAGE);
    let host = arguments.text("--host", "127.0.0.1");
    let port = arguments.number("--port", 1..=u16::MAX, 5000);
    let message = arguments.text("--message", "Hello!");
    arguments.finish();

    match ask(&host, port, message.as_bytes()).and_then(|answer| print_answer(&answer)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Sends `message` to the server and gives its answer. The error says what failed, with which address, and why.
fn ask(host: &str, port: u16, message: &[u8]) -> Result<[u8; 3], String> {
    // solution: todo!("connect to {host}:{port}, send {}, receive three bytes", message.escape_ascii())
    let connection = connect(host, port)?;
    send_all(&connection, message).map_err(|error| format!("cannot send to {host}:{port}: {error}"))?;
    let mut answer = [0; 3];
    receive_all(&connection, &mut answer)
        .map_err(|error| format!("cannot receive the answer from {host}:{port}: {error}"))?;
    Ok(answer)
    // `connection` goes out of scope here, and that closes it: the server sees end of file.
    // :solution
}

/// Prints the answer as it came, byte for byte.
fn print_answer(answer: &[u8]) -> Result<(), String> {
    let line = [b"Received: ", answer, b"\n"].concat();
    // Unlike `println!`, this can fail without a panic.
    io::stdout().write_all(&line).map_err(|error| format!("cannot write to stdout: {error}"))
}
// solution:

/// A connection to the first address of `host` that accepts one.
fn connect(host: &str, port: u16) -> Result<Socket, String> {
    let addresses =
        (host, port).to_socket_addrs().map_err(|error| format!("cannot resolve {host}:{port}: {error}"))?;
    let mut problems = Vec::new();
    for address in addresses {
        match connect_to(address) {
            Ok(connection) => return Ok(connection),
            Err(error) => problems.push(format!("cannot connect to {address}: {error}")),
        }
    }
    Err(problems.join("\n"))
}

/// `socket` and `connect`. Each address gets a socket of its own: its family depends on the address, and a socket
/// whose `connect` has failed is of no further use.
fn connect_to(address: SocketAddr) -> io::Result<Socket> {
    let connection = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    connection.connect(&address.into())?;
    Ok(connection)
}

/// Sends all of `bytes`: one `send` may take only a part, and says how much that was.
fn send_all(connection: &Socket, mut bytes: &[u8]) -> nix::Result<()> {
    while !bytes.is_empty() {
        // MSG_NOSIGNAL: if the server is gone, we want the error EPIPE and not the deadly signal SIGPIPE.
        match send(connection.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
            Ok(taken) => bytes = &bytes[taken..],
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Fills the whole of `bytes`: one `recv` may yield only a part, and says how much that was.
fn receive_all(connection: &Socket, bytes: &mut [u8]) -> Result<(), String> {
    let mut filled = 0;
    while filled < bytes.len() {
        match recv(connection.as_raw_fd(), &mut bytes[filled..], MsgFlags::empty()) {
            Ok(0) => return Err(format!("it ended after {filled} of {} bytes", bytes.len())),
            Ok(received) => filled += received,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}
// :solution
