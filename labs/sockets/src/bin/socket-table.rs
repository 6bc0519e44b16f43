//! Which kinds of sockets does this system give us?
//!
//! A socket is asked for by family, type and protocol. This program asks for each combination that the course names
//! and prints the answer, a line each: `AF_INET SOCK_STREAM ok`, or the name of the error that came instead.

use std::io::{self, Write};
use std::process::ExitCode;

use nix::libc;
use socket2::{Domain, Protocol, Type};

/// The families: what an address looks like, and by which way the data goes.
fn families() -> [(&'static str, Domain); 4] {
    [
        ("AF_INET", Domain::IPV4),
        ("AF_INET6", Domain::IPV6),
        ("AF_UNIX", Domain::UNIX),
        // socket2 has no name for this one, but takes the number of any family.
        ("AF_BLUETOOTH", Domain::from(libc::AF_BLUETOOTH)),
    ]
}

/// The types: a stream of bytes, datagrams, or packets with their headers in our own hands.
const TYPES: [(&str, Type); 3] =
    [("SOCK_STREAM", Type::STREAM), ("SOCK_DGRAM", Type::DGRAM), ("SOCK_RAW", Type::RAW)];

/// The Bluetooth protocol that raw sockets speak; `libc` has no name for it.
const BTPROTO_HCI: i32 = 1;

fn main() -> ExitCode {
    labkit::Arguments::new("usage: socket-table").finish();

    match print_table() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not `eprintln!`: it panics where stderr cannot be written to.
            let _ = writeln!(io::stderr(), "cannot write to stdout: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a line for each family with each type.
fn print_table() -> io::Result<()> {
    for (family, domain) in families() {
        for (kind, ty) in TYPES {
            let answer = try_socket(domain, ty, protocol(domain, ty));
            // Not `println!`: it panics where stdout cannot be written to, on a full disk for example.
            writeln!(io::stdout(), "{family} {kind} {answer}")?;
        }
    }
    Ok(())
}

/// The protocol to ask for. `None` is 0: the family's usual one for this type. There is no usual one for raw
/// sockets of most families, so they have to say which packets they want to see.
fn protocol(domain: Domain, ty: Type) -> Option<Protocol> {
    if ty != Type::RAW {
        return None;
    }
    match domain {
        Domain::IPV4 => Some(Protocol::ICMPV4),
        Domain::IPV6 => Some(Protocol::ICMPV6),
        Domain::UNIX => None,
        _ => Some(Protocol::from(BTPROTO_HCI)),
    }
}

/// Asks the system for a socket and says what came of it: `ok`, or the name of the error.
fn try_socket(domain: Domain, ty: Type, protocol: Option<Protocol>) -> String {
    todo!("create a socket of {domain:?}, {ty:?} and {protocol:?}, and say what came of it")
}
