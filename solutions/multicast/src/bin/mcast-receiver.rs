//! Receives the datagrams of a multicast group and prints them.
//!
//! `socket`, `SO_REUSEADDR`, `bind`, `IP_ADD_MEMBERSHIP`, `recv` as often as wanted, `IP_DROP_MEMBERSHIP`,
//! `close`. Binding chooses what this *socket* gets; joining tells the *network* that this host wants the
//! group at all.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use labkit::Arguments;
// solution:
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV6};
use std::os::fd::AsFd;
// :solution

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

/// Joins the group, prints `count` datagrams of it, and leaves. SIGTERM and SIGINT end it early, but orderly.
fn receive(target: SocketAddr, interface: &str, count: u32) -> Result<(), String> {
    // solution: todo!("join {target} on {interface:?} and receive {count} datagrams")
    // Blocked signals end nothing: they wait until they are read from this descriptor. A handler could only
    // leave a note, and the program might miss it just before it waits in recv; a descriptor is waited for
    // like a socket.
    let mut ending = SigSet::empty();
    ending.add(Signal::SIGTERM);
    ending.add(Signal::SIGINT);
    ending.thread_block().map_err(|error| format!("cannot block SIGTERM: {error}"))?;
    let signals = SignalFd::with_flags(&ending, SfdFlags::SFD_CLOEXEC)
        .map_err(|error| format!("cannot make a signal descriptor: {error}"))?;

    let group = target.ip();
    let socket = bind(target, interface).map_err(|error| format!("cannot bind {target}: {error}"))?;
    join(&socket, group, interface)
        .map_err(|error| format!("cannot join {target} on the interface {interface:?}: {error}"))?;
    let received = print_datagrams(&socket, &signals, count)
        .map_err(|error| format!("cannot receive from {target} and print: {error}"));
    // The program leaves, whatever became of the receiving. (The system would do it when the socket is
    // closed.)
    let left = leave(&socket, group, interface)
        .map_err(|error| format!("cannot leave {target} on the interface {interface:?}: {error}"));
    received.and(left)
    // :solution
}
// solution:

/// A UDP socket bound to the group's own address and port.
fn bind(target: SocketAddr, interface: &str) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(target), Type::DGRAM, Some(Protocol::UDP))?;
    // Before bind: bind is what fails when another receiver on this host has the port already.
    socket.set_reuse_address(true)?;
    // On Linux a socket gets the datagrams of a group that *any* program of the host joined, on any
    // interface. With this option off it gets only what it joined itself.
    if target.is_ipv4() {
        socket.set_multicast_all_v4(false)?;
    } else {
        socket.set_multicast_all_v6(false)?;
    }
    // Bound to the group, not to any address: other groups and unicast to this port are not for this socket.
    let address = match target {
        SocketAddr::V4(_) => target,
        // The address of a link-local group (ff02::) says nothing without the link.
        SocketAddr::V6(v6) => SocketAddrV6::new(*v6.ip(), v6.port(), 0, interface_index(interface)?).into(),
    };
    socket.bind(&address.into())?;
    // When poll says "readable" recv does not wait, unless the system drops the datagram for a wrong checksum
    // after all. The program must not be stuck in recv when SIGTERM comes.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Tells the system, and by IGMP or MLD the routers on the link, that this socket wants the group.
fn join(socket: &Socket, group: IpAddr, interface: &str) -> io::Result<()> {
    match group {
        IpAddr::V4(group) => socket.join_multicast_v4(&group, &interface_address(interface)),
        IpAddr::V6(group) => socket.join_multicast_v6(&group, interface_index(interface)?),
    }
}

/// Takes the membership back, with the same group and interface that it was made with.
fn leave(socket: &Socket, group: IpAddr, interface: &str) -> io::Result<()> {
    match group {
        IpAddr::V4(group) => socket.leave_multicast_v4(&group, &interface_address(interface)),
        IpAddr::V6(group) => socket.leave_multicast_v6(&group, interface_index(interface)?),
    }
}

/// The interface as IPv4 names it; `0.0.0.0` lets the routing table choose.
fn interface_address(interface: &str) -> Ipv4Addr {
    interface.parse().unwrap_or(Ipv4Addr::UNSPECIFIED)
}

/// The interface as IPv6 numbers it; 0 lets the routing table choose.
fn interface_index(interface: &str) -> io::Result<u32> {
    if interface.is_empty() { Ok(0) } else { Ok(if_nametoindex(interface)?) }
}

/// Prints `count` datagrams, or as many as come before SIGTERM or SIGINT.
fn print_datagrams(socket: &Socket, signals: &SignalFd, count: u32) -> io::Result<()> {
    // Larger than any datagram: what does not fit would be cut off without a word.
    let mut buffer = vec![0; 65536];
    let mut received = 0;
    while received < count {
        let mut ready =
            [PollFd::new(socket.as_fd(), PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if ready[1].any() == Some(true) {
            return Ok(());
        }
        // `Read` is implemented for `&Socket`: reading from a UDP socket takes exactly one datagram.
        let mut reader = socket;
        match reader.read(&mut buffer) {
            Ok(length) => {
                print(&buffer[..length])?;
                received += 1;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Prints one datagram, at once. `println!` would panic where nobody can take the line, so this says so
/// instead.
fn print(message: &[u8]) -> io::Result<()> {
    let line = format!("Received: {}\n", String::from_utf8_lossy(message));
    let mut stdout = io::stdout();
    stdout.write_all(line.as_bytes())?;
    stdout.flush()
}
// :solution
