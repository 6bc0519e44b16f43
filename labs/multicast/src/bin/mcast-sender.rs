//! Sends a message to a multicast group.
//!
//! `socket`, `IP_MULTICAST_IF`, `IP_MULTICAST_TTL`, `sendto`, `close`: the sender neither joins the group nor
//! binds. It sends one datagram, and it is the network that makes as many copies as there are links with
//! members.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use labkit::Arguments;

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
    todo!("make an address of {group:?}, refuse what is no group, and look at {interface:?}")
}

/// Sends `message` to the group `count` times, each time as one datagram.
fn send(target: SocketAddr, interface: &str, ttl: u8, message: &str, count: u32) -> Result<(), String> {
    todo!("send {message:?} to {target} by {interface:?}, {count} times, with a TTL of {ttl}")
}
