//! Sends a message to a multicast group.
//!
//! `socket`, `IP_MULTICAST_IF`, `IP_MULTICAST_TTL`, `sendto`, `close`: the sender neither joins the group nor
//! binds. It sends one datagram, and it is the network that makes as many copies as there are links with
//! members.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use labkit::Arguments;
// solution:
use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, Socket, Type};
use std::{io, net::Ipv4Addr};
// :solution

const USAGE: &str = "usage: mcast-sender [--group ADDR] [--port PORT] [--interface ADDR] [--ttl TTL] \
                     [--message TEXT] [--count N]";

fn main() -> ExitCode {
    let mut arguments = Arguments::new(USAGE);
    let group = arguments.text("--group", "226.1.1.1");
    let port: u16 = arguments.number("--port", 1..=u16::MAX, 5000);
    let interface = arguments.text("--interface", "");
    let ttl: u8 = arguments.number("--ttl", 0..=u8::MAX, 1);
    let message = arguments.text("--message", "Hello!");
    let count: u32 = arguments.number("--count", 1..=u32::MAX, 1);
    arguments.finish();

    let group = match parse_group(&group, &interface) {
        Ok(group) => group,
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match send(SocketAddr::new(group, port), &interface, ttl, &message, count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// The group's address. Anything else is the user's mistake: an `Err` ends the program with status 2, before
/// it has made a socket. IPv4 names an interface by one of its addresses, IPv6 by its name; an empty one is
/// not given.
fn parse_group(group: &str, interface: &str) -> Result<IpAddr, String> {
    // solution: todo!("make an address of {group:?}, refuse what is no group, and look at {interface:?}")
    match group.parse() {
        Ok(address @ IpAddr::V4(group)) if group.is_multicast() => {
            if !interface.is_empty() && interface.parse::<Ipv4Addr>().is_err() {
                return Err(format!("--interface {interface}: want an IPv4 address of this host"));
            }
            Ok(address)
        }
        Ok(address @ IpAddr::V6(group)) if group.is_multicast() => Ok(address),
        _ => Err(format!("--group {group}: groups lie between 224.0.0.0 and 239.255.255.255")),
    }
    // :solution
}

/// Sends `message` to the group `count` times, each time as one datagram.
fn send(target: SocketAddr, interface: &str, ttl: u8, message: &str, count: u32) -> Result<(), String> {
    // solution: todo!("send {message:?} to {target} by {interface:?}, {count} times, with a TTL of {ttl}")
    let socket = open(target.ip(), interface, ttl)
        .map_err(|error| format!("cannot send to {target} by the interface {interface:?}: {error}"))?;
    for _ in 0..count {
        // A datagram goes out whole or not at all: there is nothing to check about the number of bytes.
        socket
            .send_to(message.as_bytes(), &target.into())
            .map_err(|error| format!("cannot send to {target} by the interface {interface:?}: {error}"))?;
    }
    Ok(())
    // :solution
}
// solution:

/// A socket whose multicast datagrams leave by `interface` and live for `ttl` hops.
///
/// `IP_MULTICAST_LOOP` stays as it is, on: receivers on this very host get the datagram, too.
fn open(group: IpAddr, interface: &str, ttl: u8) -> io::Result<Socket> {
    if group.is_ipv4() {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        // Without this option the routing table chooses.
        if let Ok(address) = interface.parse() {
            socket.set_multicast_if_v4(&address)?;
        }
        // Not IP_TTL: that one is for unicast, a group has a TTL of its own.
        socket.set_multicast_ttl_v4(u32::from(ttl))?;
        Ok(socket)
    } else {
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
        if !interface.is_empty() {
            socket.set_multicast_if_v6(if_nametoindex(interface)?)?;
        }
        socket.set_multicast_hops_v6(u32::from(ttl))?;
        Ok(socket)
    }
}
// :solution
