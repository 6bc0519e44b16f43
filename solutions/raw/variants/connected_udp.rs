//! The whole contract with a connected raw socket: the raw socket itself tells the source address, and `send` needs no
//! target. The port is made of the process's number.

use std::io::{Error, Write};
use std::net::{SocketAddr, SocketAddrV4, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};

fn main() {
    let mut arguments = labkit::Arguments::new("usage: raw-udp HOST [options]");
    let port: u16 = arguments.number("--port", 1..=u16::MAX, 5000);
    let value: i16 = arguments.number("--value", i16::MIN..=i16::MAX, 1);
    let default = 30000 + (std::process::id() % 30000) as u16;
    let source_port: u16 = arguments.number("--source-port", 1..=u16::MAX, default);
    let words = arguments.words();
    if words.len() != 1 || words[0].starts_with('-') {
        arguments.refuse("one host, please");
    }
    if let Err(error) = send(&words[0], port, value, source_port) {
        eprintln!("cannot send to {} port {port}: {error}; a raw socket needs CAP_NET_RAW", words[0]);
        std::process::exit(1);
    }
}

fn send(host: &str, port: u16, value: i16, source_port: u16) -> std::io::Result<()> {
    let mut addresses = (host, 0).to_socket_addrs()?.filter(SocketAddr::is_ipv4);
    let target = addresses.next().ok_or(Error::other("no IPv4 address"))?;
    let mut socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255)))?;
    socket.connect(&target.into())?;
    let source: SocketAddrV4 = socket.local_addr()?.as_socket_ipv4().ok_or(Error::other("no source"))?;
    let SocketAddr::V4(target) = target else { return Err(Error::other("no IPv4 address")) };

    // Summed up from the numbers; the bytes are made of the same numbers afterwards.
    let halves = |address: u32| [address >> 16, address & 0xffff];
    let (from, to) = (u32::from(*source.ip()), u32::from(*target.ip()));
    let ends = [halves(from), halves(to)].concat();
    let fold = |numbers: &[u32]| {
        let sum: u32 = numbers.iter().sum();
        let once = (sum & 0xffff) + (sum >> 16);
        !((once & 0xffff) + (once >> 16)) as u16
    };
    let udp_sum = fold(&[&ends[..], &[17, 10, source_port.into(), port.into(), 10, u32::from(value as u16)]].concat());
    let ip_sum = fold(&[&ends[..], &[0x4510, 30, 99, 0x4000, 128 << 8 | 17]].concat());

    let mut packet = vec![0x45, 0x10, 0, 30, 0, 99, 0x40, 0, 128, 17];
    packet.extend(ip_sum.to_be_bytes());
    packet.extend(from.to_be_bytes());
    packet.extend(to.to_be_bytes());
    for word in [source_port, port, 10, if udp_sum == 0 { 0xffff } else { udp_sum }, value as u16] {
        packet.extend(word.to_be_bytes());
    }
    socket.write_all(&packet)
}
