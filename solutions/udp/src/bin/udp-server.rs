//! Answers a number sent over UDP with the next one: the smallest server there is.
//!
//! UDP knows no connection. Each datagram stands alone and carries its sender's address, and whoever answers
//! says for each datagram where it shall go.

// solution:
use std::io;
// :solution
use std::io::Write;
// solution:
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;
// :solution
use std::process::ExitCode;
// solution:

use byteorder::{BigEndian, ByteOrder};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrStorage, recvfrom, sendto};
use socket2::{Domain, Socket, Type};
// :solution

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: udp-server [--host ADDR] [--port PORT] [--count N]");
    let host = arguments.text("--host", "0.0.0.0");
    let port: u16 = arguments.number("--port", 0..=u16::MAX, 5000);
    let count: u32 = arguments.number("--count", 1..=u32::MAX, 1);
    arguments.finish();

    match serve(&host, port, count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Binds `host` and `port` and ends after `count` answers.
fn serve(host: &str, port: u16, count: u32) -> Result<(), String> {
    // solution: todo!("bind a UDP socket to {host}:{port} and answer {count} requests")
    let socket = bind(host, port)?;
    if port == 0 {
        let address =
            socket.local_addr().map_err(|error| format!("cannot read the bound address: {error}"))?;
        let address = address.as_socket().ok_or("the bound address is not an IP address")?;
        writeln!(io::stdout(), "Listening on {address}")
            .map_err(|error| format!("cannot write to stdout: {error}"))?;
    }

    let mut answered = 0;
    while answered < count {
        let (request, client) = receive(&socket).map_err(|error| format!("cannot receive: {error}"))?;
        // Anybody may send us anything: what is not a request is passed over and not counted.
        let Some(value) = request else { continue };

        let mut answer = [0; 2];
        BigEndian::write_i16(&mut answer, value.wrapping_add(1));
        match sendto(socket.as_raw_fd(), &answer, &client, MsgFlags::empty()) {
            Ok(_) => answered += 1,
            // A client that cannot be reached is its own misfortune, not the end of the server.
            Err(error) => {
                let _ = writeln!(io::stderr(), "cannot answer {client}: {error}");
            }
        }
    }
    // The socket is closed here, where it goes out of scope, and the port is free again.
    Ok(())
    // :solution
}
// solution:

/// A UDP socket bound to the first address of `host` that can be had.
fn bind(host: &str, port: u16) -> Result<Socket, String> {
    let addresses =
        (host, port).to_socket_addrs().map_err(|error| format!("cannot resolve {host}:{port}: {error}"))?;
    let mut problem = format!("{host}:{port} has no address");
    for address in addresses {
        match bind_address(address) {
            Ok(socket) => return Ok(socket),
            Err(error) => problem = format!("cannot bind {address}: {error}"),
        }
    }
    Err(problem)
}

/// socket, then bind. There is no SO_REUSEADDR: a UDP port leaves no TIME_WAIT behind, and with the option a
/// second copy of the server could take the port of a living one.
fn bind_address(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Waits for one datagram: the number in it, if it is a request, and the address it came from.
fn receive(socket: &Socket) -> nix::Result<(Option<i16>, SockaddrStorage)> {
    // What does not fit into the buffer is cut off and lost. One byte more than a request has room for shows
    // a datagram that is too long; two bytes would make it look right.
    let mut buffer = [0; 3];
    loop {
        match recvfrom::<SockaddrStorage>(socket.as_raw_fd(), &mut buffer) {
            Ok((2, Some(client))) => return Ok((Some(BigEndian::read_i16(&buffer)), client)),
            Ok((_, Some(client))) => return Ok((None, client)),
            Ok((_, None)) | Err(Errno::EINTR) => continue,
            Err(error) => return Err(error),
        }
    }
}
// :solution
