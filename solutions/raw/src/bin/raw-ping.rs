//! Asks a host for an echo, and makes every byte of the question itself.
//!
//! `socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)` gives the ICMP message to the program: type, code, checksum,
//! identifier, sequence. The system still puts the IP header in front of what is sent, but leaves it in front
//! of what is received, and it gives every raw socket a copy of *all* ICMP that reaches the host. So most of
//! the work is to tell the one answer from the rest.

use std::net::Ipv4Addr;
use std::process::ExitCode;

use labkit::Arguments;
// solution:
use byteorder::{BigEndian, ByteOrder};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, ToSocketAddrs};
use std::time::{Duration, Instant};
// :solution

const USAGE: &str = "usage: raw-ping HOST [--count N] [--timeout-ms T] [--size BYTES] [--fill HH]";

// solution:
/// ICMP's two echo messages, by their type.
const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
/// Type, code, checksum (2), identifier (2), sequence (2).
const ICMP_HEADER: usize = 8;

// :solution
fn main() -> ExitCode {
    let mut arguments = Arguments::new(USAGE);
    let count: u32 = arguments.number("--count", 1..=u32::MAX, 1);
    let timeout_ms: u32 = arguments.number("--timeout-ms", 1..=u32::MAX, 1000);
    let size: u16 = arguments.number("--size", 0..=1472, 56);
    let fill = match arguments.text("--fill", "").as_str() {
        "" => None,
        hex if hex.len() == 2 && hex.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            Some(u8::from_str_radix(hex, 16).expect("two hexadecimal digits"))
        }
        hex => arguments.refuse(&format!("--fill {hex}: want two hexadecimal digits")),
    };
    let words = arguments.words();
    let host = match words.as_slice() {
        [host] if !host.starts_with('-') => host,
        _ => arguments.refuse("want exactly one host"),
    };

    // What to ask back: a pattern by default, in which no two neighbours are alike.
    let payload: Vec<u8> = (0..size).map(|at| fill.unwrap_or(at.to_be_bytes()[1])).collect();
    let pinged = resolve(host).and_then(|address| ping(address, count, timeout_ms, &payload));
    match pinged {
        Ok(answered) if answered == count => ExitCode::SUCCESS,
        Ok(answered) => {
            eprintln!("{host} answered {answered} of {count} requests");
            ExitCode::FAILURE
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// The host's first IPv4 address.
fn resolve(host: &str) -> Result<Ipv4Addr, String> {
    // solution: todo!("find the IPv4 address of {host}")
    let addresses = (host, 0).to_socket_addrs().map_err(|error| format!("cannot resolve {host}: {error}"))?;
    for address in addresses {
        if let SocketAddr::V4(v4) = address {
            return Ok(*v4.ip());
        }
    }
    Err(format!("cannot ping {host}: it has no IPv4 address"))
    // :solution
}

/// Sends `count` requests, each after the answer to the one before or its timeout, and prints a line for each
/// answer. Returns how many were answered.
fn ping(host: Ipv4Addr, count: u32, timeout_ms: u32, payload: &[u8]) -> Result<u32, String> {
    // solution: todo!("ask {host} {count} times, wait {timeout_ms} ms for each answer to {payload:?}")
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).map_err(|error| {
        format!("cannot ping {host}: cannot open a raw socket: {error} (it takes the privilege CAP_NET_RAW)")
    })?;
    // Tells our answers from those to another ping on this host. Two programs must not have the same, so it
    // is this process's number, of which the lower half has to do.
    let identifier = (std::process::id() & 0xffff) as u16;
    let timeout = Duration::from_millis(u64::from(timeout_ms));

    let mut answered = 0;
    for number in 1..=count {
        let sequence = (number & 0xffff) as u16;
        let request = echo_request(identifier, sequence, payload);
        // A raw socket has no ports: the port of the address is not used.
        socket
            .send_to(&request, &SocketAddrV4::new(host, 0).into())
            .map_err(|error| format!("cannot send to {host}: {error}"))?;
        let reply = wait_for_reply(&socket, host, identifier, sequence, timeout)
            .map_err(|error| format!("cannot receive from {host}: {error}"))?;
        if reply {
            answered += 1;
            let mut stdout = io::stdout();
            writeln!(stdout, "Reply from {host}: seq={sequence}")
                .and_then(|()| stdout.flush())
                .map_err(|error| format!("cannot print the reply of {host}: {error}"))?;
        }
    }
    Ok(answered)
    // :solution
}
// solution:

/// The ICMP message, ready to be sent.
fn echo_request(identifier: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut message = vec![0; ICMP_HEADER];
    message[0] = ECHO_REQUEST;
    // Code (1) and checksum (2..4) are 0, the checksum until it is known.
    BigEndian::write_u16(&mut message[4..6], identifier);
    BigEndian::write_u16(&mut message[6..8], sequence);
    message.extend_from_slice(payload);
    let sum = checksum(&message);
    BigEndian::write_u16(&mut message[2..4], sum);
    message
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

/// Waits until `host` answers this very request, or until `timeout` has passed; whatever else comes meanwhile
/// does not make the wait longer. Returns whether the answer came.
fn wait_for_reply(
    socket: &Socket,
    host: Ipv4Addr,
    identifier: u16,
    sequence: u16,
    timeout: Duration,
) -> io::Result<bool> {
    let mut buffer = vec![0; 65536];
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        // The system counts in microseconds, and takes 0 for "wait for ever".
        socket.set_read_timeout(Some(left.max(Duration::from_micros(1))))?;
        // `Read` is implemented for `&Socket`: reading from a raw socket takes exactly one packet.
        let mut reader = socket;
        match reader.read(&mut buffer) {
            Ok(length) if is_reply(&buffer[..length], host, identifier, sequence) => return Ok(true),
            Ok(_) => {}
            // Timed out, or interrupted because the program was stopped and continued: the deadline decides.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether this IP packet holds the host's answer to our request, and not our own request, which loopback
/// shows us as well, or the answer to somebody else.
fn is_reply(packet: &[u8], host: Ipv4Addr, identifier: u16, sequence: u16) -> bool {
    // The header's length is in the lower half of its first byte, in words of four bytes: with options it is
    // longer than 20. The system has seen to it that the header is there and whole.
    let Some(first) = packet.first() else { return false };
    let header = usize::from(first & 0x0f) * 4;
    let Some(icmp) = packet.get(header..) else { return false };
    icmp.len() >= ICMP_HEADER
        && packet[12..16] == host.octets()
        && icmp[0] == ECHO_REPLY
        && icmp[1] == 0
        && BigEndian::read_u16(&icmp[4..6]) == identifier
        && BigEndian::read_u16(&icmp[6..8]) == sequence
}
// :solution
