//! Answers `Hi!` to whatever a client sends, until the client ends the connection.
//!
//! The life of a TCP server: `socket`, `bind`, `listen`, then for each client `accept`, `recv` and `send` until end
//! of file, `close`. TCP carries a stream of bytes without borders: one `recv` yields whatever has arrived, be it half
//! a message or three of them, so this server answers each piece that it reads.

// solution:
use std::io::{self, Write};
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
    // solution: todo!("listen on {host}:{port}, then answer `Hi!` on {count} connections, one after another")
    let listener = listen(host, port)?;
    if port == 0 {
        announce(&listener)?;
    }
    for _ in 0..count {
        let connection = accept(&listener)?;
        if let Err(reason) = serve(&connection) {
            // A connection that breaks is that client's loss, and no reason to let down the next one.
            eprintln!("lost a client: {reason}");
        }
        // `connection` goes out of scope here, and that closes it: the client sees end of file.
    }
    Ok(())
    // :solution
}
// solution:

/// A socket that listens on the first address of `host` that can be bound.
fn listen(host: &str, port: u16) -> Result<Socket, String> {
    let addresses =
        (host, port).to_socket_addrs().map_err(|error| format!("cannot resolve {host}:{port}: {error}"))?;
    let mut problem = format!("cannot resolve {host}:{port}: it has no address");
    for address in addresses {
        match listen_on(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => problem = format!("cannot bind {address}: {error}"),
        }
    }
    Err(problem)
}

/// `socket`, `bind` and `listen` on one address.
fn listen_on(address: SocketAddr) -> io::Result<Socket> {
    let listener = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // The connections of a server that was here before us may still linger in TIME_WAIT. This option lets us bind
    // all the same. It must come before `bind`, and unlike SO_REUSEPORT it does not let two servers share the port.
    listener.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `::` shall mean any address of IPv4 too, whatever the system's default is.
        listener.set_only_v6(false)?;
    }
    listener.bind(&address.into())?;
    // The backlog: how many connections may be complete before we accept them. It does not limit how many we serve.
    listener.listen(16)?;
    Ok(listener)
}

/// Says which port the system chose.
fn announce(listener: &Socket) -> Result<(), String> {
    let name =
        listener.local_addr().map_err(|error| format!("cannot read the listener's address: {error}"))?;
    let Some(address) = name.as_socket() else {
        return Err("the listener is bound to no Internet address".to_string());
    };
    // Unlike `println!`, this can fail without a panic. The newline sends the line on its way at once.
    writeln!(io::stdout(), "Listening on {address}")
        .map_err(|error| format!("cannot write to stdout: {error}"))
}

/// The next client's connection: a new socket, while the listener goes on listening.
fn accept(listener: &Socket) -> Result<Socket, String> {
    loop {
        match listener.accept() {
            Ok((connection, _client)) => return Ok(connection),
            // The client gave up while it waited in the backlog, or a signal came between: wait for the next one.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(format!("cannot accept a connection: {error}")),
        }
    }
}

/// Answers everything that comes in on `connection`, until end of file.
fn serve(connection: &Socket) -> nix::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match recv(connection.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(0) => return Ok(()), // End of file: the client will send nothing more.
            Ok(_) => send_all(connection, b"Hi!")?,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Sends all of `bytes`: one `send` may take only a part, and says how much that was.
fn send_all(connection: &Socket, mut bytes: &[u8]) -> nix::Result<()> {
    while !bytes.is_empty() {
        // MSG_NOSIGNAL: if the client is gone, we want the error EPIPE and not the deadly signal SIGPIPE.
        match send(connection.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
            Ok(taken) => bytes = &bytes[taken..],
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
// :solution
