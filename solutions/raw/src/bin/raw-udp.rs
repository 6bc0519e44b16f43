//! Sends a UDP datagram of which it makes every byte itself, the IP header included.
//!
//! `IP_HDRINCL` tells the system that what is sent begins with an IPv4 header. The datagram that comes out is
//! like any other: a `udp-server` cannot tell that nobody ever opened a UDP socket to ask it.

use std::process::ExitCode;

use labkit::Arguments;
// solution:
use byteorder::{BigEndian, ByteOrder};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs, UdpSocket};
// :solution

const USAGE: &str = "usage: raw-udp HOST [--port PORT] [--value V] [--source-port PORT]";

// solution:
/// An IPv4 header without options, and a UDP header, in bytes.
const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
/// UDP's number in the protocol field of an IP header.
const PROTOCOL_UDP: u8 = 17;
/// How many routers may forward the datagram.
const TTL: u8 = 64;

// :solution
fn main() -> ExitCode {
    let mut arguments = Arguments::new(USAGE);
    let port: u16 = arguments.number("--port", 1..=u16::MAX, 5000);
    let value: i16 = arguments.number("--value", i16::MIN..=i16::MAX, 1);
    // 0: not given, the system picks one.
    let source_port: u16 = match arguments.text("--source-port", "").as_str() {
        "" => 0,
        port => arguments.parse("--source-port", port, 1..=u16::MAX),
    };
    let words = arguments.words();
    let host = match words.as_slice() {
        [host] if !host.starts_with('-') => host,
        _ => arguments.refuse("want exactly one host"),
    };

    match send(host, port, value, source_port) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Sends `value` to `port` of `host`, as one datagram.
fn send(host: &str, port: u16, value: i16, source_port: u16) -> Result<(), String> {
    // solution: todo!("send {value} to {host} port {port} from port {source_port}")
    let target = resolve(host, port)?;
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).map_err(|error| {
        format!(
            "cannot send to {target}: cannot open a raw socket: {error} (it takes the privilege CAP_NET_RAW)"
        )
    })?;
    let problem = |error: io::Error| format!("cannot send to {target}: {error}");
    socket.set_header_included_v4(true).map_err(problem)?;

    // The checksum covers the source address, so we have to know it. The routing table does, and it is asked
    // by connecting a UDP socket, which sends nothing. The same socket reserves a port for us.
    let asked = UdpSocket::bind("0.0.0.0:0").map_err(problem)?;
    asked.connect(target).map_err(problem)?;
    let mut source = match asked.local_addr().map_err(problem)? {
        SocketAddr::V4(source) => source,
        SocketAddr::V6(source) => {
            return Err(format!("cannot send to {target}: {source} is no IPv4 address"));
        }
    };
    if source_port != 0 {
        source.set_port(source_port);
    }

    let datagram = udp_datagram(source, target, &value.to_be_bytes());
    let packet = ip_packet(*source.ip(), *target.ip(), &datagram);
    socket.send_to(&packet, &target.into()).map_err(problem)?;
    Ok(())
    // :solution
}
// solution:

/// The host's first IPv4 address, with the port.
fn resolve(host: &str, port: u16) -> Result<SocketAddrV4, String> {
    let addresses =
        (host, port).to_socket_addrs().map_err(|error| format!("cannot resolve {host}: {error}"))?;
    for address in addresses {
        if let SocketAddr::V4(address) = address {
            return Ok(address);
        }
    }
    Err(format!("cannot send to {host} port {port}: it has no IPv4 address"))
}

/// The UDP header (RFC 768) and the payload.
fn udp_datagram(source: SocketAddrV4, target: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(UDP_HEADER + payload.len()).expect("a payload of two bytes");
    let mut datagram = vec![0; UDP_HEADER];
    BigEndian::write_u16(&mut datagram[0..2], source.port());
    BigEndian::write_u16(&mut datagram[2..4], target.port());
    BigEndian::write_u16(&mut datagram[4..6], length);
    // The checksum (6..8) is 0 until it is known.
    datagram.extend_from_slice(payload);

    // UDP's checksum begins with a pseudo header, which is not sent: a datagram that reached the wrong host
    // is noticed.
    let mut summed = Vec::new();
    summed.extend_from_slice(&source.ip().octets());
    summed.extend_from_slice(&target.ip().octets());
    summed.extend_from_slice(&[0, PROTOCOL_UDP]);
    summed.extend_from_slice(&length.to_be_bytes());
    summed.extend_from_slice(&datagram);
    let sum = match checksum(&summed) {
        // On the wire, 0 says "no checksum". In one's complement ffff is zero, too.
        0 => 0xffff,
        sum => sum,
    };
    BigEndian::write_u16(&mut datagram[6..8], sum);
    datagram
}

/// The IPv4 header (RFC 791) and what follows it.
fn ip_packet(source: Ipv4Addr, target: Ipv4Addr, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(IP_HEADER + content.len()).expect("a small packet");
    let mut packet = vec![0; IP_HEADER];
    // Version 4, and a header of five 32-bit words.
    packet[0] = 4 << 4 | 5;
    BigEndian::write_u16(&mut packet[2..4], length);
    // Type of service (1), identification (4..6), flags and fragment offset (6..8) stay 0.
    packet[8] = TTL;
    packet[9] = PROTOCOL_UDP;
    packet[12..16].copy_from_slice(&source.octets());
    packet[16..20].copy_from_slice(&target.octets());
    // Linux computes this one again, in any case. Other systems, and the next reader, expect it to be right.
    let sum = checksum(&packet);
    BigEndian::write_u16(&mut packet[10..12], sum);
    packet.extend_from_slice(content);
    packet
}

/// The Internet checksum (RFC 1071): the one's complement of the one's complement sum of all 16-bit words.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for word in bytes.chunks(2) {
        // A last odd byte is the high half of a word whose low half is 0.
        let low = word.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([word[0], low]));
    }
    // One's complement: what was carried out of 16 bits comes in again at the bottom, and may carry once
    // more.
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
// :solution
