//! Gives a socket a name and asks the system which one it got.
//!
//! `bind-name [HOST] [PORT]` resolves HOST (none, or an empty one, is any interface), binds a TCP socket to the
//! address and the port (5000 if none is given, 0 lets the system choose) and prints what getsockname says.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

// solution:
use std::net::{Ipv4Addr, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};
// :solution

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: bind-name [HOST] [PORT]");
    let words = arguments.words();
    let host = words.first().map_or("", String::as_str);
    let port = words.get(1).map_or(5000, |port| arguments.parse("PORT", port, 0..=u16::MAX));
    if words.len() > 2 || host.starts_with('-') {
        arguments.refuse("want a host and a port at most, and no options");
    }

    let printed = bind_name(host, port).and_then(|name| {
        // Not `println!`: it panics where stdout cannot be written to, on a full disk for example.
        writeln!(io::stdout(), "{name}").map_err(|error| format!("cannot write to stdout: {error}"))
    });
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            let _ = writeln!(io::stderr(), "{reason}");
            ExitCode::FAILURE
        }
    }
}

/// Binds a TCP socket to the first address of `host` that can be bound and returns the name that it got.
fn bind_name(host: &str, port: u16) -> Result<SocketAddr, String> {
    // solution: todo!("resolve {host:?}, bind a TCP socket to it and port {port}, and ask for its name")
    let addresses =
        resolve(host, port).map_err(|error| format!("cannot resolve {host} port {port}: {error}"))?;
    let mut refusal = format!("cannot resolve {host} port {port}: it has no address");
    for address in addresses {
        match bind(address) {
            Ok(name) => return Ok(name),
            Err(error) => refusal = format!("cannot bind {address}: {error}"),
        }
    }
    Err(refusal)
    // :solution
}

// solution:
/// All addresses of `host`, each with `port`: one for an address in digits, several perhaps for a name.
fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if host.is_empty() {
        // No address in particular, INADDR_ANY: any interface, also one that comes up later.
        return Ok(vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))]);
    }
    Ok((host, port).to_socket_addrs()?.collect())
}

/// Binds a socket to `address` and returns the name that getsockname tells.
fn bind(address: SocketAddr) -> io::Result<SocketAddr> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&address.into())?;
    let name = socket.local_addr()?;
    // Of another family than the one bound it cannot be, but socket2 has one type for the addresses of all.
    name.as_socket().ok_or_else(|| io::Error::other("the socket's name is no internet address"))
}
// :solution
