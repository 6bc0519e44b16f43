//! The whole contract with std's own socket: bound to the interface's address, which chooses the link as well.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

fn main() {
    let mut arguments = labkit::Arguments::new("usage: mcast-sender [options]");
    let group = arguments.text("--group", "226.1.1.1");
    let port: u16 = arguments.number("--port", 1..=u16::MAX, 5000);
    let interface = arguments.text("--interface", "");
    let ttl: u8 = arguments.number("--ttl", 0..=u8::MAX, 1);
    let message = arguments.text("--message", "Hello!");
    let count: u32 = arguments.number("--count", 1..=u32::MAX, 1);
    let group: IpAddr = match group.parse() {
        Ok(IpAddr::V4(group)) if (224..240).contains(&group.octets()[0]) => IpAddr::V4(group),
        Ok(IpAddr::V6(group)) if group.octets()[0] == 255 => IpAddr::V6(group),
        _ => arguments.refuse("not a multicast group"),
    };
    arguments.finish();
    if let Err(error) = send(group, port, &interface, ttl, message.as_bytes(), count) {
        eprintln!("cannot send to {group} port {port} by {interface}: {error}");
        std::process::exit(1);
    }
}

fn send(group: IpAddr, port: u16, interface: &str, ttl: u8, message: &[u8], count: u32) -> std::io::Result<()> {
    let socket;
    let target: SocketAddr;
    match group {
        IpAddr::V4(group) => {
            let source = if interface.is_empty() { Ok(Ipv4Addr::UNSPECIFIED) } else { interface.parse() };
            let source = source.map_err(std::io::Error::other)?;
            socket = UdpSocket::bind((source, 0))?;
            socket.set_multicast_ttl_v4(ttl.into())?;
            target = (group, port).into();
        }
        IpAddr::V6(group) => {
            socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
            socket2::SockRef::from(&socket).set_multicast_hops_v6(ttl.into())?;
            if !interface.is_empty() {
                let index = nix::net::if_::if_nametoindex(interface)?;
                socket2::SockRef::from(&socket).set_multicast_if_v6(index)?;
            }
            target = (group, port).into();
        }
    }
    for _ in 0..count {
        socket.send_to(message, target)?;
    }
    Ok(())
}
