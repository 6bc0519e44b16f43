//! Asks a UDP server for the next number.
//!
//! UDP promises nothing: the question may be lost, the answer may be lost, and nobody says so. A client that
//! does not want to wait for ever needs a clock, and one that wants an answer all the same asks again.

use std::io::Write;
// solution:
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd};
// :solution
use std::process::ExitCode;
use std::time::Duration;
// solution:
use std::time::Instant;
// :solution
// solution:

use byteorder::{BigEndian, ByteOrder};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{MsgFlags, recv, send};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Socket, Type};
// :solution

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new(
        "usage: udp-client [--host HOST] [--port PORT] [--value V] [--timeout-ms T] [--tries N]",
    );
    let host = arguments.text("--host", "127.0.0.1");
    let port: u16 = arguments.number("--port", 1..=u16::MAX, 5000);
    let value: i16 = arguments.number("--value", i16::MIN..=i16::MAX, 1);
    let timeout_ms: u32 = arguments.number("--timeout-ms", 1..=u32::MAX, 1000);
    let tries: u32 = arguments.number("--tries", 1..=u32::MAX, 3);
    arguments.finish();

    let timeout = Duration::from_millis(timeout_ms.into());
    let printed = ask(&host, port, value, timeout, tries).and_then(|answer| {
        writeln!(std::io::stdout(), "Received {answer}")
            .map_err(|error| format!("cannot write to stdout: {error}"))
    });
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "{problem}");
            ExitCode::FAILURE
        }
    }
}

/// The answer of the first address of `host` that gives one.
fn ask(host: &str, port: u16, value: i16, timeout: Duration, tries: u32) -> Result<i16, String> {
    // solution: todo!("send {value} to {host}:{port}, wait {timeout:?} for the answer, {tries} times")
    let addresses =
        (host, port).to_socket_addrs().map_err(|error| format!("cannot resolve {host}:{port}: {error}"))?;
    let mut problem = format!("{host}:{port} has no address");
    for address in addresses {
        match ask_address(address, value, timeout, tries) {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => problem = format!("no answer from {address} to {tries} requests"),
            Err(error) => problem = format!("cannot ask {address}: {error}"),
        }
    }
    Err(problem)
    // :solution
}
// solution:

/// Asks one address up to `tries` times; `None` if no answer came.
fn ask_address(address: SocketAddr, value: i16, timeout: Duration, tries: u32) -> io::Result<Option<i16>> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    // connect sends nothing. It notes the peer: the kernel now drops what comes from any other address or port,
    // and it hands us the "port unreachable" of a host where nobody listens, as ECONNREFUSED.
    socket.connect(&address.into())?;

    let mut request = [0; 2];
    BigEndian::write_i16(&mut request, value);
    for _ in 0..tries {
        send(socket.as_raw_fd(), &request, MsgFlags::empty())?;
        if let Some(answer) = wait_for_answer(&socket, Instant::now() + timeout)? {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

/// Waits for a datagram of two bytes until `deadline`. What has another size is no answer, and the clock goes on.
fn wait_for_answer(socket: &Socket, deadline: Instant) -> nix::Result<Option<i16>> {
    // One byte more than an answer: a longer datagram, cut off by the buffer, must not look like one.
    let mut buffer = [0; 3];
    while wait_until_readable(socket, deadline)? {
        match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(2) => return Ok(Some(BigEndian::read_i16(&buffer))),
            // Another size; a signal; or a datagram with a wrong checksum, which was there and is not any more.
            Ok(_) | Err(Errno::EINTR | Errno::EAGAIN) => continue,
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Whether there is something to receive before `deadline`. A signal ends the system call but not the wait:
/// what is left of the time is counted anew, so that it is neither cut short nor begun again.
fn wait_until_readable(socket: &Socket, deadline: Instant) -> nix::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let mut sockets = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut sockets, Some(TimeSpec::from_duration(left)), None) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error),
        }
    }
}
// :solution
