//! The whole contract with a thread that waits for the signals; whoever is done first leaves the group and ends the
//! program. The main thread stays in a blocking recv for ever.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{SigSet, Signal};
use socket2::{Domain, Socket, Type};

struct Membership {
    group: IpAddr,
    address: Ipv4Addr,
    index: u32,
}

impl Membership {
    fn join(&self, socket: &UdpSocket) -> std::io::Result<()> {
        match &self.group {
            IpAddr::V4(group) => socket.join_multicast_v4(group, &self.address),
            IpAddr::V6(group) => socket.join_multicast_v6(group, self.index),
        }
    }

    fn leave(&self, socket: &UdpSocket) -> std::io::Result<()> {
        match &self.group {
            IpAddr::V4(group) => socket.leave_multicast_v4(group, &self.address),
            IpAddr::V6(group) => socket.leave_multicast_v6(group, self.index),
        }
    }
}

fn main() {
    let mut arguments = labkit::Arguments::new("usage: mcast-receiver [options]");
    let group = arguments.text("--group", "226.1.1.1");
    let port: u16 = arguments.number("--port", 1..=u16::MAX, 5000);
    let interface = arguments.text("--interface", "");
    let count: u32 = arguments.number("--count", 1..=u32::MAX, 1);
    let group: IpAddr = match group.parse() {
        Ok(IpAddr::V4(group)) if group.is_multicast() => IpAddr::V4(group),
        Ok(IpAddr::V6(group)) if group.is_multicast() => IpAddr::V6(group),
        _ => arguments.refuse("not a multicast group"),
    };
    arguments.finish();
    if let Err(error) = run(group, port, &interface, count) {
        eprintln!("cannot receive from {group} port {port} on {interface}: {error}");
        std::process::exit(1);
    }
}

fn run(group: IpAddr, port: u16, interface: &str, count: u32) -> std::io::Result<()> {
    let mut ending = SigSet::empty();
    ending.add(Signal::SIGTERM);
    ending.add(Signal::SIGINT);
    ending.thread_block()?;

    let membership = match group {
        IpAddr::V4(_) if interface.is_empty() => Membership { group, address: Ipv4Addr::UNSPECIFIED, index: 0 },
        IpAddr::V4(_) => {
            let address = interface.parse().map_err(std::io::Error::other)?;
            Membership { group, address, index: 0 }
        }
        IpAddr::V6(_) if interface.is_empty() => Membership { group, address: Ipv4Addr::UNSPECIFIED, index: 0 },
        IpAddr::V6(_) => {
            let index = nix::net::if_::if_nametoindex(interface)?;
            Membership { group, address: Ipv4Addr::UNSPECIFIED, index }
        }
    };
    let address = match group {
        IpAddr::V4(group) => SocketAddr::from((group, port)),
        IpAddr::V6(group) => SocketAddr::from(SocketAddrV6::new(group, port, 0, membership.index)),
    };
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    let socket: Arc<UdpSocket> = Arc::new(socket.into());
    membership.join(&socket)?;

    // Whoever holds the membership may leave; the other thread stays at the lock until the program has ended.
    let membership = Arc::new(Mutex::new(membership));
    let waiting = (Arc::clone(&socket), Arc::clone(&membership));
    std::thread::spawn(move || {
        while ending.wait().is_err() {}
        let held = waiting.1.lock().unwrap();
        let status = if held.leave(&waiting.0).is_ok() { 0 } else { 1 };
        std::process::exit(status);
    });

    let mut buffer = vec![0; 1 << 16];
    let mut result = Ok(());
    for _ in 0..count {
        let length = socket.recv(&mut buffer)?;
        let line = [b"Received: ", &buffer[..length], b"\n"].concat();
        let mut stdout = std::io::stdout();
        result = stdout.write_all(&line).and_then(|()| stdout.flush());
        if result.is_err() {
            break;
        }
    }
    let held = membership.lock().unwrap();
    held.leave(&socket)?;
    std::process::exit(if result.is_ok() { 0 } else { 1 });
}
