//! Streams its input to the server and prints the receipt that comes back.
//!
//! The server answers only once it has seen the end of the data. `shutdown` tells it: it ends our direction of the
//! connection, and the other direction stays open for the receipt. `close` would end both.

use std::io::{self, Write};
// solution:
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
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};
use nix::unistd::read;
use socket2::{Domain, Socket, Type};
// :solution

const USAGE: &str = "usage: upload-client [--host ADDR] [--port PORT] [--magic 0|1]";

/// With `--magic 1` these bytes go ahead of the data. They do not count.
const MAGIC: &[u8; 4] = b"UPL1";

/// How many bytes were sent or received, and their sum modulo 2^32.
#[derive(PartialEq, Eq)]
struct Receipt {
    count: u64,
    sum: u32,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::new(USAGE);
    let host = arguments.text("--host", "127.0.0.1");
    let port = arguments.number("--port", 1..=u16::MAX, 5000);
    let magic = arguments.number("--magic", 0..=1u8, 0);
    arguments.finish();

    let preamble: &[u8] = if magic == 1 { MAGIC } else { b"" };
    match upload(&host, port, preamble).and_then(|(sent, counted)| report(&sent, &counted)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Sends `preamble` and then all of stdin. Gives our own figures and the server's. The error says what failed, with
/// which address, and why.
fn upload(host: &str, port: u16, preamble: &[u8]) -> Result<(Receipt, Receipt), String> {
    // solution: todo!("connect to {host}:{port}, send {preamble:?} and stdin, shut down, take the receipt")
    let connection = connect(host, port)?;
    send_all(&connection, preamble).map_err(|error| format!("cannot send to {host}:{port}: {error}"))?;

    let mut sent = Receipt { count: 0, sum: 0 };
    // One block in memory, however long the input is.
    let mut block = vec![0; 64 * 1024];
    loop {
        match read(io::stdin(), &mut block) {
            Ok(0) => break, // End of file: there is nothing more to send.
            Ok(length) => {
                let bytes = &block[..length];
                send_all(&connection, bytes)
                    .map_err(|error| format!("cannot send to {host}:{port}: {error}"))?;
                sent.add(bytes);
            }
            Err(Errno::EINTR) => {}
            Err(error) => return Err(format!("cannot read stdin: {error}")),
        }
    }

    // The server's `recv` now yields 0, end of file. We can still receive.
    shutdown(connection.as_raw_fd(), Shutdown::Write)
        .map_err(|error| format!("cannot end the data for {host}:{port}: {error}"))?;

    // Eight bytes of count and four of sum, both in network byte order.
    let mut bytes = [0; 12];
    receive_all(&connection, &mut bytes)
        .map_err(|error| format!("cannot receive the receipt from {host}:{port}: {error}"))?;
    let counted = Receipt { count: BigEndian::read_u64(&bytes[..8]), sum: BigEndian::read_u32(&bytes[8..]) };
    Ok((sent, counted))
    // :solution
}

/// Prints the receipt. It is an error if the server's figures are not our own.
fn report(sent: &Receipt, counted: &Receipt) -> Result<(), String> {
    let line = format!(
        "Sent {} bytes, server counted {}, checksum 0x{:08x}\n",
        sent.count, counted.count, counted.sum
    );
    // Unlike `println!`, this can fail without a panic.
    io::stdout().write_all(line.as_bytes()).map_err(|error| format!("cannot write to stdout: {error}"))?;
    if sent == counted {
        Ok(())
    } else {
        Err(format!(
            "the server's figures differ: {} bytes with sum 0x{:08x} were sent",
            sent.count, sent.sum
        ))
    }
}
// solution:

impl Receipt {
    /// Takes `bytes` into account. The sum wraps: 2^32 is 0 again.
    fn add(&mut self, bytes: &[u8]) {
        self.count += bytes.len() as u64;
        for &byte in bytes {
            self.sum = self.sum.wrapping_add(byte.into());
        }
    }
}

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

/// Sends all of `bytes`: one `send` may take only a part, and says how much that was. While the server is slow, it
/// waits: that is how TCP slows a fast sender down.
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
