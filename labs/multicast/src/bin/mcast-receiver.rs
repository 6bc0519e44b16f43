//! Receives the datagrams of a multicast group and prints them.
//!
//! `socket`, `SO_REUSEADDR`, `bind`, `IP_ADD_MEMBERSHIP`, `recv` as often as wanted, `IP_DROP_MEMBERSHIP`,
//! `close`. Binding chooses what this *socket* gets; joining tells the *network* that this host wants the
//! group at all.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use labkit::Arguments;

const USAGE: &str = "usage: mcast-receiver [--group ADDR] [--port PORT] [--interface ADDR] [--count N]";

fn main() -> ExitCode {
    let mut arguments = Arguments::new(USAGE);
    let group = arguments.text("--group", "226.1.1.1");
    let port: u16 = arguments.number("--port", 1..=u16::MAX, 5000);
    let interface = arguments.text("--interface", "");
    let count: u32 = arguments.number("--count", 1..=u32::MAX, 1);
    arguments.finish();

    let group = match parse_group(&group, &interface) {
        Ok(group) => group,
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match receive(SocketAddr::new(group, port), &interface, count) {
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

/// Joins the group, prints `count` datagrams of it, and leaves. SIGTERM and SIGINT end it early, but orderly.
fn receive(target: SocketAddr, interface: &str, count: u32) -> Result<(), String> {
    todo!("join {target} on {interface:?} and receive {count} datagrams")
}
