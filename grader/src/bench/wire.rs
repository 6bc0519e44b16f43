//! What crosses a link, packet by packet, and packets made by hand: for labs in which the headers are the
//! exercise.
//!
//! A [`Wire`] shows what *arrives* at one interface of one host, whether or not that host wants it. A
//! [`ForgedHost`] is a host that exists only by the packets that are sent in its name: its address lies
//! behind host b, which does not forward, so whatever is sent to it ends on the wire, unanswered but seen.

use std::fmt;
use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use byteorder::{BigEndian, ByteOrder};
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, Socket, Type};

use super::Bench;
use super::bytes::show;
use super::core::{Core, readable};
use crate::verdict::{Breakdown, Expected, Stop, Unexplained};

/// Watches one interface of one host.
pub struct Wire {
    core: Rc<Core>,
    socket: Socket,
    host: String,
    interface: String,
}

/// One IP packet, from its IP header on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpPacket {
    /// All its bytes.
    pub bytes: Vec<u8>,
    /// When it arrived (`CLOCK_REALTIME`).
    pub at: Duration,
}

/// A UDP datagram in a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// What it carries.
    pub payload: Vec<u8>,
    /// The time to live that was left on this link.
    pub ttl: u8,
}

/// An ICMP message of the echo kind in a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Who sent it.
    pub from: Ipv4Addr,
    /// To whom.
    pub to: Ipv4Addr,
    /// 8 is a request, 0 a reply.
    pub kind: u8,
    /// Always 0.
    pub code: u8,
    /// What the sender chose.
    pub identifier: u16,
    /// The number of the request.
    pub sequence: u16,
    /// What is to be sent back.
    pub payload: Vec<u8>,
    /// The checksum as it stands in the message.
    pub checksum: u16,
    /// When it arrived (`CLOCK_REALTIME`).
    pub at: Duration,
}

/// A host behind b that exists only by the packets that are sent in its name.
pub struct ForgedHost {
    wire: Wire,
    socket: Socket,
    /// Its address.
    pub address: Ipv4Addr,
}

impl Bench {
    /// Watches what arrives at `interface` of the host of that name, from now on.
    pub fn wire(&self, host: &str, interface: &str) -> Result<Wire, Stop> {
        let made = self.host(host).enter(|| open_wire(interface))?;
        let socket =
            made.map_err(|error| Breakdown::system(format!("cannot watch {interface} of {host}"), error))?;
        let (host, interface) = (host.to_string(), interface.to_string());
        Ok(Wire { core: self.core.clone(), socket, host, interface })
    }

    /// A host behind b that keeps silent unless the check answers for it.
    pub fn forged_host(&self, address: Ipv4Addr) -> Result<ForgedHost, Stop> {
        let made = self.host("b").enter(|| {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP))?;
            socket.set_header_included_v4(true)?;
            std::io::Result::Ok(socket)
        })?;
        let socket = made.map_err(|error| Breakdown::system("cannot open the bench's raw socket", error))?;
        Ok(ForgedHost { wire: self.wire("b", "eth0")?, socket, address })
    }

    /// Lets the system of that host answer no echo request from now on.
    pub fn silence_echo(&self, host: &str) -> Result<(), Stop> {
        let written =
            self.host(host).enter(|| std::fs::write("/proc/sys/net/ipv4/icmp_echo_ignore_all", "1"))?;
        Ok(written.map_err(|error| Breakdown::system(format!("cannot silence host {host}"), error))?)
    }
}

/// A packet socket that shows whole IP packets without their link header.
fn open_wire(interface: &str) -> std::io::Result<Socket> {
    let index = nix::net::if_::if_nametoindex(interface)?;
    let every = (libc::ETH_P_ALL as u16).to_be();
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(0)))?;
    let on: libc::c_int = 1;
    for (level, name) in
        [(libc::SOL_PACKET, PACKET_IGNORE_OUTGOING), (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS)]
    {
        // SAFETY: the option takes an int, and is given one with its length.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                level,
                name,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        if result != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    socket.set_nonblocking(true)?;
    // As much room as the system allows: a program that is not recorded sends faster than a check looks.
    socket.set_recv_buffer_size(1 << 20)?;
    // SAFETY: all zeroes is a valid value of this plain structure.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = every;
    address.sll_ifindex = index as i32;
    // SAFETY: the address is of the family that the socket is of, and is given with its length.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(socket) } else { Err(std::io::Error::last_os_error()) }
}

/// Leaves out the copies of frames that the host itself sends (packet(7), Linux 4.20).
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

impl Wire {
    /// The next IP packet of which `want` makes something; the others are passed over.
    pub fn next<T>(&self, expected: &str, mut want: impl FnMut(&IpPacket) -> Option<T>) -> Expected<T> {
        let find = || std::iter::from_fn(|| self.take()).find_map(|packet| want(&packet));
        self.core.wait(&readable(&self.socket), find).map_err(|late| {
            let place = format!("watched was {} of host {}", self.interface, self.host);
            self.core.late(late, expected).note(place)
        })
    }

    /// Every IP packet that has arrived and was not taken yet.
    pub fn seen(&self) -> Vec<IpPacket> {
        std::iter::from_fn(|| self.take()).collect()
    }

    /// Every UDP datagram that arrived before one that the bench itself now sends from host a on this link:
    /// what a program of host a sent before it ended is among them.
    pub fn datagrams(&self, bench: &Bench) -> Result<Vec<Datagram>, Stop> {
        const MARK: &[u8] = b"the bench's own mark";
        const DISCARD: u16 = 9;
        let far = bench.host(&self.host).addresses.iter().find_map(|(_, address)| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        });
        let far = far.expect("every host but a has an address on its link");
        // The other end of the link is host a, one address below.
        let near = Ipv4Addr::from_bits(far.to_bits() - 1);
        let peer = bench.udp_peer_on("a", SocketAddr::from((near, 0)))?;
        peer.send(SocketAddr::from((far, DISCARD)), MARK)?;
        let mut found = Vec::new();
        self.next("the bench's own mark", |packet| {
            let datagram = packet.udp()?;
            if datagram.payload == MARK {
                return Some(());
            }
            found.push(datagram);
            None
        })
        .map_err(|_| Breakdown::new("the bench does not see its own datagram", "grade again"))?;
        Ok(found)
    }

    /// Expects that the programs of host a, which have ended, have sent exactly these datagrams by this link.
    pub fn expect_datagrams(&self, bench: &Bench, to: SocketAddr, payloads: &[&[u8]]) -> Expected {
        let seen = self.datagrams(bench).map_err(Unexplained)?;
        let right = |datagram: &Datagram, payload: &&[u8]| datagram.to == to && datagram.payload == **payload;
        if seen.len() == payloads.len()
            && seen.iter().zip(payloads).all(|(datagram, payload)| right(datagram, payload))
        {
            return Ok(());
        }
        let place = format!("on the link from host a to host {}", self.host);
        let expected = match payloads {
            [] => format!("no UDP datagram {place}"),
            [payload] => format!("one UDP datagram {place}: {} to {to}", show(payload)),
            all => format!("{} UDP datagrams {place}, such as {} to {to}", all.len(), show(all[0])),
        };
        let listed: Vec<String> = seen.iter().take(LISTED).map(Datagram::to_string).collect();
        let observed = match seen.len() {
            0 => format!("no UDP datagram {place}"),
            1 => listed.join(""),
            count if count > LISTED => format!("{count} datagrams: {}; ...", listed.join("; ")),
            count => format!("{count} datagrams: {}", listed.join("; ")),
        };
        let mut unexplained = Unexplained::new(expected, observed);
        if let (Some(datagram), Some(payload)) = (seen.first(), payloads.first()) {
            if let Some(likely) = likely_mistake(datagram, to, payload) {
                unexplained = unexplained.likely(likely);
            }
        }
        Err(bench.explain(unexplained))
    }

    fn take(&self) -> Option<IpPacket> {
        loop {
            let (bytes, at) = receive_stamped(&self.socket)?;
            if matches!(bytes.first().map(|first| first >> 4), Some(4 | 6)) && bytes.len() >= 20 {
                return Some(IpPacket { bytes, at });
            }
        }
    }
}

/// How many datagrams a finding lists.
const LISTED: usize = 4;

/// What the difference between the datagram that was seen and the right one tells.
fn likely_mistake(seen: &Datagram, to: SocketAddr, payload: &[u8]) -> Option<String> {
    let wrong_port = seen.to.port() != to.port();
    if wrong_port && seen.to.port() == to.port().swap_bytes() {
        return Some(format!(
            "port {} with its two bytes in the wrong order is {}",
            to.port(),
            seen.to.port()
        ));
    }
    if wrong_port {
        return Some(format!("the port is {}", seen.to.port()));
    }
    if to.ip().is_multicast() && !seen.to.ip().is_multicast() {
        return Some(format!("{} is no group: it is the address of one host, or of all", seen.to.ip()));
    }
    if seen.to != to {
        return Some(format!("it went to {}", seen.to.ip()));
    }
    match seen.payload.strip_prefix(payload) {
        Some([]) => None,
        Some(rest) => Some(format!("something follows the message: {}", show(rest))),
        None => None,
    }
}

/// The next packet of a packet socket and when it arrived.
fn receive_stamped(socket: &Socket) -> Option<(Vec<u8>, Duration)> {
    let mut bytes = vec![0; 65_536];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let mut ancillary = nix::cmsg_space!(TimeSpec);
    let message =
        recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut parts, Some(&mut ancillary), MsgFlags::MSG_DONTWAIT);
    let message = message.ok()?;
    let stamp = message.cmsgs().ok()?.find_map(|part| match part {
        ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
        _ => None,
    });
    let length = message.bytes;
    bytes.truncate(length);
    Some((bytes, stamp.unwrap_or_default()))
}

impl IpPacket {
    /// The addresses, the protocol, the time to live and what follows the header.
    fn parts(&self) -> Option<(IpAddr, IpAddr, u8, u8, &[u8])> {
        let bytes = &self.bytes;
        if bytes.len() < 20 {
            return None;
        }
        if bytes[0] >> 4 == 4 {
            let header = usize::from(bytes[0] & 15) * 4;
            let from = Ipv4Addr::from_bits(BigEndian::read_u32(&bytes[12..16]));
            let to = Ipv4Addr::from_bits(BigEndian::read_u32(&bytes[16..20]));
            let length = usize::from(BigEndian::read_u16(&bytes[2..4])).min(bytes.len());
            return Some((from.into(), to.into(), bytes[9], bytes[8], bytes.get(header..length)?));
        }
        let from: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
        let to: [u8; 16] = bytes.get(24..40)?.try_into().ok()?;
        Some((Ipv6Addr::from(from).into(), Ipv6Addr::from(to).into(), bytes[6], bytes[7], &bytes[40..]))
    }

    /// The UDP datagram that it carries.
    pub fn udp(&self) -> Option<Datagram> {
        let (from, to, protocol, ttl, udp) = self.parts()?;
        if protocol != 17 || udp.len() < 8 {
            return None;
        }
        let port = |at: usize| BigEndian::read_u16(&udp[at..at + 2]);
        let (from, to) = (SocketAddr::new(from, port(0)), SocketAddr::new(to, port(2)));
        Some(Datagram { from, to, payload: udp[8..].to_vec(), ttl })
    }

    /// The checksum of the UDP datagram that it carries in an IPv4 packet, as it stands there, and the right
    /// one.
    pub fn udp_checksums(&self) -> Option<(u16, u16)> {
        let (IpAddr::V4(from), IpAddr::V4(to), 17, _, udp) = self.parts()? else { return None };
        if udp.len() < 8 {
            return None;
        }
        let mut blank = udp.to_vec();
        blank[6..8].fill(0);
        let length = (udp.len() as u16).to_be_bytes();
        let sum = checksum(&[&from.octets(), &to.octets(), &[0, 17], &length, &blank]);
        // On the wire 0 says that there is none; in one's complement ffff is zero, too.
        let right = if sum == 0 { 0xffff } else { sum };
        Some((BigEndian::read_u16(&udp[6..8]), right))
    }

    /// The ICMP echo request or reply that it carries.
    pub fn echo(&self) -> Option<Echo> {
        let (IpAddr::V4(from), IpAddr::V4(to), 1, _, icmp) = self.parts()? else { return None };
        if icmp.len() < 8 || !matches!(icmp[0], 0 | 8) {
            return None;
        }
        let field = |at: usize| BigEndian::read_u16(&icmp[at..at + 2]);
        Some(Echo {
            from,
            to,
            kind: icmp[0],
            code: icmp[1],
            checksum: field(2),
            identifier: field(4),
            sequence: field(6),
            payload: icmp[8..].to_vec(),
            at: self.at,
        })
    }
}

impl Echo {
    /// The message as it goes behind the IP header, with the checksum that is right for it.
    pub fn message(&self) -> Vec<u8> {
        let mut message = vec![self.kind, self.code, 0, 0];
        message.extend(self.identifier.to_be_bytes());
        message.extend(self.sequence.to_be_bytes());
        message.extend(&self.payload);
        let sum = checksum(&[&message]);
        BigEndian::write_u16(&mut message[2..4], sum);
        message
    }

    /// The checksum that would be right.
    pub fn right_checksum(&self) -> u16 {
        BigEndian::read_u16(&self.message()[2..4])
    }

    /// The reply to this request.
    pub fn reply(&self) -> Self {
        Self { from: self.to, to: self.from, kind: 0, ..self.clone() }
    }
}

impl fmt::Display for Echo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            8 => "an echo request",
            0 => "an echo reply",
            _ => "an ICMP message",
        };
        write!(f, "{kind} (type {}, code {}) ", self.kind, self.code)?;
        write!(f, "from {} to {}, identifier {}, ", self.from, self.to, self.identifier)?;
        write!(f, "sequence {}, {} bytes of payload", self.sequence, self.payload.len())
    }
}

impl fmt::Display for Datagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", show(&self.payload), self.to)
    }
}

impl ForgedHost {
    /// The next echo request to this host.
    pub fn request(&self) -> Expected<Echo> {
        let expected = format!("an echo request to {}", self.address);
        self.wire
            .next(&expected, |packet| packet.echo().filter(|echo| echo.kind == 8 && echo.to == self.address))
    }

    /// The echo requests to this host that have arrived and were not taken yet.
    pub fn requests(&self) -> Vec<Echo> {
        let echoes = self.wire.seen().into_iter().filter_map(|packet| packet.echo());
        echoes.filter(|echo| echo.kind == 8 && echo.to == self.address).collect()
    }

    /// Sends an echo message as it is, behind an IP header with these options (a multiple of four bytes).
    pub fn send(&self, echo: &Echo, options: &[u8]) -> Result<(), Stop> {
        let message = echo.message();
        let header = 20 + options.len();
        let mut packet = vec![0; 20];
        packet[0] = 4 << 4 | (header / 4) as u8;
        BigEndian::write_u16(&mut packet[2..4], (header + message.len()) as u16);
        packet[8] = 64;
        packet[9] = 1;
        packet[12..16].copy_from_slice(&echo.from.octets());
        packet[16..20].copy_from_slice(&echo.to.octets());
        packet.extend_from_slice(options);
        // The system fills in the header's own checksum.
        packet.extend(message);
        let sent = self.socket.send_to(&packet, &SocketAddrV4::new(echo.to, 0).into());
        Ok(sent
            .map(|_| ())
            .map_err(|error| Breakdown::system("cannot send the bench's own packet", error))?)
    }
}

/// The Internet checksum (RFC 1071) over these parts, each but the last of even length.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u64 =
        words.map(|word| u64::from(word[0]) << 8 | u64::from(word.get(1).copied().unwrap_or(0))).sum();
    let mut sum = sum;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_a_message_with_its_checksum_is_zero() {
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
        assert_eq!(checksum(&[&[0xff; 1400], &[0xff]]), 0x00ff);
    }

    #[test]
    fn an_echo_request_is_read_off_a_packet_with_options() {
        let request = Echo {
            from: Ipv4Addr::new(192, 0, 2, 1),
            to: Ipv4Addr::new(192, 0, 2, 2),
            kind: 8,
            code: 0,
            identifier: 0x1234,
            sequence: 7,
            payload: vec![1, 2, 3],
            checksum: 0,
            at: Duration::ZERO,
        };
        let mut bytes = vec![0x46, 0, 0, 35, 0, 0, 0, 0, 64, 1, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 1, 1, 1, 0];
        bytes.extend(request.message());
        let read = IpPacket { bytes, at: Duration::ZERO }.echo().expect("it is an echo request");
        assert_eq!(read.checksum, request.right_checksum());
        assert_eq!(Echo { checksum: 0, ..read }, request);
    }
}
