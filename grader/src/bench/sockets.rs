//! The sockets of a host as the kernel lists them (sock_diag(7)): who listens where, and what is queued.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::core::Core;
use crate::verdict::Breakdown;

/// A TCP state (or, for UDP, whether it is connected).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of RFC 9293")]
pub enum State {
    Established,
    SynSent,
    SynReceived,
    FinWait1,
    FinWait2,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    Closing,
}

/// One socket of a host.
#[derive(Clone, Debug)]
pub struct SocketInfo {
    /// TCP, else UDP.
    pub tcp: bool,
    /// Its state.
    pub state: State,
    /// Its own address; IPv4-mapped addresses are shown as IPv4.
    pub local: SocketAddr,
    /// The other side's address, or the unspecified one.
    pub remote: SocketAddr,
    /// Bytes that wait to be read (for a listening socket: connections that wait to be accepted).
    pub receive_queue: u32,
    /// Bytes that wait to be acknowledged (for a listening socket: the backlog).
    pub send_queue: u32,
    /// Its inode, 0 where no process holds it any more.
    pub inode: u64,
}

const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `struct inet_diag_msg` begins after the 16 bytes of the netlink header.
const HEADER: usize = 16;
const MESSAGE: usize = 72;

/// Which sockets are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every TCP and UDP socket. The kernel walks its whole table of connections for it: milliseconds.
    All,
    /// The listening TCP sockets: microseconds.
    Listening,
    /// The UDP sockets.
    Udp,
}

/// The sockets of the host, of both families.
pub fn list(core: &Core, host: &str, which: Which) -> Result<Vec<SocketInfo>, Breakdown> {
    core.host(host).enter(|| {
        let mut all = Vec::new();
        let netlink = open()?;
        let states = if which == Which::Listening { 1 << 10 } else { u32::MAX };
        for family in [libc::AF_INET, libc::AF_INET6] {
            for protocol in [libc::IPPROTO_TCP, libc::IPPROTO_UDP] {
                let tcp = protocol == libc::IPPROTO_TCP;
                if (tcp && which == Which::Udp) || (!tcp && which == Which::Listening) {
                    continue;
                }
                ask(&netlink, family, protocol, states, None)?;
                read_answers(&netlink, tcp, &mut all)?;
            }
        }
        Ok(all)
    })?
}

/// The TCP socket of the host with exactly these two ends, where there is one.
pub fn connection(
    core: &Core,
    host: &str,
    local: SocketAddr,
    remote: SocketAddr,
) -> Result<Option<SocketInfo>, Breakdown> {
    core.host(host).enter(|| {
        let netlink = open()?;
        let mut all = Vec::new();
        ask(&netlink, libc::AF_INET, libc::IPPROTO_TCP, u32::MAX, Some((local, remote)))?;
        read_answers(&netlink, true, &mut all)?;
        // A server's end may be an IPv6 socket that serves IPv4 too; the kernel finds it by the same two ends. A
        // listening socket is what it finds where there is no connection.
        Ok(all.into_iter().find(|socket| socket.local == local && socket.remote == remote))
    })?
}

fn failed(error: std::io::Error) -> Breakdown {
    Breakdown::system("cannot list sockets (sock_diag)", error)
}

fn open() -> Result<OwnedFd, Breakdown> {
    const NETLINK_SOCK_DIAG: i32 = 4;
    // SAFETY: socket takes no pointers; a negative result is an error and is not used as a descriptor.
    let fd =
        unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, NETLINK_SOCK_DIAG) };
    if fd < 0 {
        return Err(failed(std::io::Error::last_os_error()));
    }
    // SAFETY: the descriptor was just created and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn ask(
    netlink: &OwnedFd,
    family: i32,
    protocol: i32,
    states: u32,
    ends: Option<(SocketAddr, SocketAddr)>,
) -> Result<(), Breakdown> {
    const REQUEST: u16 = 1;
    const DUMP: u16 = 0x300;
    let flags = if ends.is_some() { REQUEST } else { REQUEST | DUMP };
    let family = match ends {
        Some((local, _)) if local.is_ipv6() => libc::AF_INET6,
        _ => family,
    };
    let mut request = Vec::with_capacity(HEADER + 56);
    request.extend_from_slice(&(HEADER as u32 + 56).to_ne_bytes());
    request.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend_from_slice(&flags.to_ne_bytes());
    request.extend_from_slice(&[0; 8]);
    request.extend_from_slice(&[family as u8, protocol as u8, 0, 0]);
    request.extend_from_slice(&states.to_ne_bytes());
    if let Some((local, remote)) = ends {
        request.extend_from_slice(&local.port().to_be_bytes());
        request.extend_from_slice(&remote.port().to_be_bytes());
        for end in [local, remote] {
            let mut words = [0; 16];
            match end.ip() {
                IpAddr::V4(v4) => words[..4].copy_from_slice(&v4.octets()),
                IpAddr::V6(v6) => words = v6.octets(),
            }
            request.extend_from_slice(&words);
        }
        request.extend_from_slice(&[0; 4]);
        // INET_DIAG_NOCOOKIE
        request.extend_from_slice(&[0xff; 8]);
    }
    request.resize(HEADER + 56, 0);
    let flags = nix::sys::socket::MsgFlags::empty();
    nix::sys::socket::send(netlink.as_raw_fd(), &request, flags).map_err(|error| failed(error.into()))?;
    Ok(())
}

fn read_answers(netlink: &OwnedFd, tcp: bool, all: &mut Vec<SocketInfo>) -> Result<(), Breakdown> {
    const DONE: u16 = 3;
    const ERROR: u16 = 2;
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let count =
            nix::sys::socket::recv(netlink.as_raw_fd(), &mut buffer, nix::sys::socket::MsgFlags::empty())
                .map_err(|error| failed(error.into()))?;
        let mut rest = &buffer[..count];
        while rest.len() >= HEADER {
            let length = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
            let kind = u16::from_ne_bytes([rest[4], rest[5]]);
            let multipart = rest[6] & 2 != 0;
            if kind == DONE || kind == ERROR || length < HEADER || length > rest.len() {
                return Ok(());
            }
            if length >= HEADER + MESSAGE {
                all.extend(decode(&rest[HEADER..length], tcp));
            }
            if !multipart {
                return Ok(());
            }
            rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        }
    }
}

/// Decodes `struct inet_diag_msg` (linux/inet_diag.h).
fn decode(message: &[u8], tcp: bool) -> Option<SocketInfo> {
    let v6 = i32::from(message[0]) == libc::AF_INET6;
    let word =
        |at: usize| u32::from_ne_bytes([message[at], message[at + 1], message[at + 2], message[at + 3]]);
    let address = |port_at: usize, at: usize| {
        let port = u16::from_be_bytes([message[port_at], message[port_at + 1]]);
        let ip = if v6 {
            let bytes: [u8; 16] = message[at..at + 16].try_into().ok()?;
            Ipv6Addr::from(bytes).to_canonical()
        } else {
            let bytes: [u8; 4] = message[at..at + 4].try_into().ok()?;
            IpAddr::V4(Ipv4Addr::from(bytes))
        };
        Some(SocketAddr::new(ip, port))
    };
    let state = match message[1] {
        1 => State::Established,
        2 => State::SynSent,
        3 | 12 => State::SynReceived,
        4 => State::FinWait1,
        5 => State::FinWait2,
        6 => State::TimeWait,
        8 => State::CloseWait,
        9 => State::LastAck,
        10 => State::Listen,
        11 => State::Closing,
        _ => State::Close,
    };
    Some(SocketInfo {
        tcp,
        state,
        local: address(4, 8)?,
        remote: address(6, 24)?,
        receive_queue: word(56),
        send_queue: word(60),
        inode: u64::from(word(68)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_message(message in proptest::collection::vec(any::<u8>(), MESSAGE..200)) {
            let read = decode(&message, true).unwrap();
            prop_assert!(read.local.port() == u16::from_be_bytes([message[4], message[5]]));
        }
    }
}
