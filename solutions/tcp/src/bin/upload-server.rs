//! Receives an upload to its end, and only then answers with a receipt: how many bytes came, and their sum.
//!
//! The client ends its direction of the connection by `shutdown`; our `recv` then yields 0, end of file, and the
//! other direction still carries the receipt. With `--dual 1` the server speaks two protocols on one port: it looks
//! at the first bytes before it takes them.

// solution:
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;
// :solution
use std::process::ExitCode;

// solution:
use byteorder::{BigEndian, ByteOrder};
// :solution
use labkit::Arguments;
// solution:
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, recv, send};
use socket2::{Domain, Socket, Type};
// :solution

const USAGE: &str = "usage: upload-server [--host ADDR] [--port PORT] [--count N] [--dual 0|1]";
// solution:

/// An upload begins with these bytes where the server is dual. They do not count.
const MAGIC: &[u8; 4] = b"UPL1";
// :solution

fn main() -> ExitCode {
    let mut arguments = Arguments::new(USAGE);
    let host = arguments.text("--host", "0.0.0.0");
    let port = arguments.number("--port", 0..=u16::MAX, 5000);
    let count = arguments.number("--count", 1..=u32::MAX, 1);
    let dual = arguments.number("--dual", 0..=1u8, 0);
    arguments.finish();

    match run(&host, port, count, dual == 1) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Serves `count` connections, one after another. The error says what failed, with which address, and why.
fn run(host: &str, port: u16, count: u32, dual: bool) -> Result<(), String> {
    // solution: todo!("listen on {host}:{port}, receive {count} uploads, one after another; dual: {dual}")
    let listener = listen(host, port)?;
    if port == 0 {
        announce(&listener)?;
    }
    for _ in 0..count {
        let connection = accept(&listener)?;
        let outcome = if dual { serve_either(&connection) } else { serve_upload(&connection) };
        if let Err(reason) = outcome {
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

/// Receives to the end of file, then answers with the receipt: eight bytes of count and four of sum, both in network
/// byte order.
fn serve_upload(connection: &Socket) -> nix::Result<()> {
    let mut count: u64 = 0;
    let mut sum: u32 = 0;
    // One block in memory, however long the upload is.
    let mut block = vec![0; 64 * 1024];
    loop {
        match recv(connection.as_raw_fd(), &mut block, MsgFlags::empty()) {
            Ok(0) => break, // End of file: the client has sent everything.
            Ok(length) => {
                count += length as u64;
                for &byte in &block[..length] {
                    sum = sum.wrapping_add(byte.into());
                }
            }
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    let mut receipt = [0; 12];
    BigEndian::write_u64(&mut receipt[..8], count);
    BigEndian::write_u32(&mut receipt[8..], sum);
    send_all(connection, &receipt)
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

/// Serves an upload if the connection begins with the magic bytes, and says `Hi!` to anything else.
fn serve_either(connection: &Socket) -> nix::Result<()> {
    if !begins_with_magic(connection)? {
        return serve_greetings(connection);
    }
    // We have only looked at the magic bytes. Now we take them.
    let mut magic = [0; MAGIC.len()];
    let mut taken = 0;
    while taken < magic.len() {
        match recv(connection.as_raw_fd(), &mut magic[taken..], MsgFlags::empty()) {
            Ok(0) => return Err(Errno::ECONNRESET),
            Ok(length) => taken += length,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    serve_upload(connection)
}

/// Looks at the first bytes and leaves them where they are.
fn begins_with_magic(connection: &Socket) -> nix::Result<bool> {
    // While only a part of the magic bytes has come, looking again at once would yield the same part, over and over.
    // The edge-triggered epoll wakes us only when something new has happened: more bytes, or the end.
    let news = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let wanted = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
    news.add(connection, EpollEvent::new(wanted, 0))?;
    loop {
        let mut events = [EpollEvent::empty()];
        match news.wait(&mut events, EpollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
        let mut start = [0; MAGIC.len()];
        let look = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        let seen = match recv(connection.as_raw_fd(), &mut start, look) {
            Ok(seen) => seen,
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(error) => return Err(error),
        };
        let ended = events[0].events().intersects(EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP);
        if seen == MAGIC.len() || ended || !MAGIC.starts_with(&start[..seen]) {
            return Ok(&start[..seen] == MAGIC);
        }
    }
}

/// Answers everything that comes in on `connection`, until end of file.
fn serve_greetings(connection: &Socket) -> nix::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match recv(connection.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(0) => return Ok(()),
            Ok(_) => send_all(connection, b"Hi!")?,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}
// :solution
