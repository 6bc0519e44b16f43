//! What a captured frame says: addresses, protocol, and in words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Packet;

/// The headers of a frame, as far as the labs' protocols go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Where it comes from; the port is 0 where the protocol has none.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// The protocol above IP, with what matters of it.
    pub transport: Transport,
    /// The bytes behind the headers (as far as they were kept).
    pub payload: Vec<u8>,
    /// How many bytes stand behind the headers.
    pub payload_length: u64,
}

/// What stands above IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and fields are those of the protocols")]
pub enum Transport {
    Udp,
    Tcp { flags: u8 },
    Icmp { kind: u8, code: u8 },
    Igmp { kind: u8 },
    Other(u8),
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

impl Packet {
    /// Reads the headers; `None` where this is not IP.
    pub fn headers(&self) -> Option<Headers> {
        match word(&self.frame, 12)? {
            0x0800 => v4(self.frame.get(14..)?, u64::from(self.length).saturating_sub(14)),
            0x86dd => v6(self.frame.get(14..)?),
            _ => None,
        }
    }

    /// What it is, in a few words: `UDP 2 bytes 00 ff`, `TCP SYN`.
    pub fn in_words(&self) -> String {
        let Some(headers) = self.headers() else { return self.link_in_words() };
        let bytes = |name: &str| {
            let shown: Vec<String> =
                headers.payload.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
            let more = if headers.payload_length > 6 { " .." } else { "" };
            format!("{name} {} bytes {}{more}", headers.payload_length, shown.join(" "))
                .trim_end()
                .to_string()
        };
        match headers.transport {
            Transport::Udp => bytes("UDP"),
            Transport::Tcp { flags } => {
                let names = [(SYN, "SYN"), (FIN, "FIN"), (RST, "RST")];
                let mut words: Vec<&str> =
                    names.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| *name).collect();
                if flags & ACK != 0 && headers.payload_length == 0 {
                    words.push("ACK");
                }
                let name = format!("TCP {}", words.join("+"));
                if headers.payload_length > 0 { bytes(name.trim_end()) } else { name }
            }
            Transport::Icmp { kind, code } => match (headers.to.is_ipv4(), kind, code) {
                (true, 8, _) => bytes("ICMP echo request"),
                (true, 0, _) => bytes("ICMP echo reply"),
                (true, 3, 3) => "ICMP port unreachable".to_string(),
                _ => format!("ICMP type {kind} code {code}"),
            },
            Transport::Igmp { kind: 0x22 } => "IGMP report".to_string(),
            Transport::Igmp { kind: 0x17 } => "IGMP leave".to_string(),
            Transport::Igmp { kind } => format!("IGMP type {kind:#x}"),
            Transport::Other(protocol) => format!("IP protocol {protocol}"),
        }
    }

    fn link_in_words(&self) -> String {
        match word(&self.frame, 12) {
            Some(0x0806) => "ARP".to_string(),
            Some(kind) => format!("ethertype {kind:04x}"),
            None => "a short frame".to_string(),
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn v4(packet: &[u8], link_length: u64) -> Option<Headers> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    let from: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    let to: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    // A large segment that the system has not cut yet may say 0 here.
    let total = match u64::from(word(packet, 2)?) {
        0 => link_length,
        total => total,
    };
    let (from, to) = (IpAddr::from(Ipv4Addr::from(from)), IpAddr::from(Ipv4Addr::from(to)));
    transport(*packet.get(9)?, packet.get(header..)?, total.saturating_sub(header as u64), from, to)
}

fn v6(packet: &[u8]) -> Option<Headers> {
    let from: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
    let to: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
    let (from, to) = (IpAddr::from(Ipv6Addr::from(from)), IpAddr::from(Ipv6Addr::from(to)));
    transport(*packet.get(6)?, packet.get(40..)?, u64::from(word(packet, 4)?), from, to)
}

fn transport(protocol: u8, segment: &[u8], length: u64, from: IpAddr, to: IpAddr) -> Option<Headers> {
    let (mut ports, mut header) = ((0, 0), 0);
    let transport = match protocol {
        17 => {
            ports = (word(segment, 0)?, word(segment, 2)?);
            header = 8;
            Transport::Udp
        }
        6 => {
            ports = (word(segment, 0)?, word(segment, 2)?);
            header = usize::from(segment.get(12)? >> 4) * 4;
            Transport::Tcp { flags: segment.get(13)? & (FIN | SYN | RST | PSH | ACK) }
        }
        1 | 58 => {
            header = 8;
            Transport::Icmp { kind: *segment.first()?, code: *segment.get(1)? }
        }
        2 => Transport::Igmp { kind: *segment.first()? },
        other => Transport::Other(other),
    };
    let payload_length = length.saturating_sub(header as u64);
    let mut payload = segment.get(header..).unwrap_or_default().to_vec();
    payload.truncate(usize::try_from(payload_length).unwrap_or(usize::MAX));
    let (from, to) = (SocketAddr::new(from, ports.0), SocketAddr::new(to, ports.1));
    Some(Headers { from, to, transport, payload, payload_length })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::recording::Stamp;

    /// A UDP datagram over Ethernet and IPv4 from 127.0.0.1.
    pub fn udp(ports: (u16, u16), payload: &[u8], at: u64) -> Packet {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00, 0x45, 0]);
        frame.extend((28 + payload.len() as u16).to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        frame.extend(ports.0.to_be_bytes());
        frame.extend(ports.1.to_be_bytes());
        frame.extend((8 + payload.len() as u16).to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(payload);
        Packet {
            at: Stamp { real: at, seen: at },
            host: "a".into(),
            interface: "lo".into(),
            outgoing: true,
            length: frame.len() as u32,
            frame,
            cause: None,
        }
    }

    #[test]
    fn a_datagram_in_words() {
        let packet = udp((40000, 5000), &[0, 255], 1);
        let headers = packet.headers().unwrap();
        assert_eq!((headers.from.port(), headers.to.port(), headers.payload), (40000, 5000, vec![0, 255]));
        assert_eq!(packet.in_words(), "UDP 2 bytes 00 ff");
    }

    #[test]
    fn what_is_not_ip_is_named_too() {
        let mut packet = udp((1, 2), &[], 1);
        packet.frame[13] = 6;
        assert_eq!((packet.headers(), packet.in_words().as_str()), (None, "ARP"));
    }
}
