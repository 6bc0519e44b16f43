//! Just enough rtnetlink to lay a link: a request is a header and attributes, the kernel answers with an errno.

use std::io::{Error, ErrorKind, Result};
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use libc::{
    IFLA_AF_SPEC, IFLA_IFNAME, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINKINFO, IFLA_NET_NS_FD, NLM_F_ACK,
    NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST,
};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

const VETH_INFO_PEER: u16 = 1;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;
const IFLA_INET_CONF: u16 = 1;
const IPV4_DEVCONF_FORWARDING: u16 = 1;
const NESTED: u16 = libc::NLA_F_NESTED as u16;
const ALIGNMENT: usize = 4;

/// Creates the pair of links `name` here and `peer_name` in the namespace `peer`.
pub fn add_veth(name: &str, peer_name: &str, peer: impl AsRawFd) -> Result<()> {
    let mut request = Request::new(libc::RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    request.put(&link_header(0, 0));
    request.text(IFLA_IFNAME, name);
    request.nest(IFLA_LINKINFO, |info| {
        info.text(IFLA_INFO_KIND, "veth");
        info.nest(IFLA_INFO_DATA, |data| {
            data.nest(VETH_INFO_PEER, |link| {
                link.put(&link_header(0, 0));
                link.text(IFLA_IFNAME, peer_name);
                link.attribute(IFLA_NET_NS_FD, &peer.as_raw_fd().to_ne_bytes());
            });
        });
    });
    request.send()
}

/// Keeps the kernel from giving the link an IPv6 address of its own accord, and so from talking about it.
pub fn keep_quiet(index: u32) -> Result<()> {
    let mut request = Request::new(libc::RTM_NEWLINK, 0);
    request.put(&link_header(index, 0));
    request.nest(IFLA_AF_SPEC, |families| {
        families.nest(libc::AF_INET6 as u16, |inet6| {
            inet6.attribute(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE]);
        });
    });
    request.send()
}

/// Has the link forward nothing. New namespaces take over what the machine does, and one with Docker forwards.
pub fn forward_nothing(index: u32) -> Result<()> {
    let mut request = Request::new(libc::RTM_NEWLINK, 0);
    request.put(&link_header(index, 0));
    request.nest(IFLA_AF_SPEC, |families| {
        families.nest(libc::AF_INET as u16, |inet| {
            inet.nest(IFLA_INET_CONF, |settings| {
                settings.attribute(IPV4_DEVCONF_FORWARDING, &0u32.to_ne_bytes());
            });
        });
    });
    request.send()
}

/// Brings the link up.
pub fn set_up(index: u32) -> Result<()> {
    let mut request = Request::new(libc::RTM_NEWLINK, 0);
    request.put(&link_header(index, libc::IFF_UP as u32));
    request.send()
}

/// Gives the link an address; an IPv6 one is usable at once, without a search for duplicates.
pub fn add_address(index: u32, address: IpAddr, prefix: u8) -> Result<()> {
    let mut request = Request::new(libc::RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
    let (family, octets) = octets(address);
    let flags = if address.is_ipv6() { libc::IFA_F_NODAD as u8 } else { 0 };
    // struct ifaddrmsg: family, prefix length, flags, scope, index
    request.put(&[family, prefix, flags, libc::RT_SCOPE_UNIVERSE]);
    request.put(&index.to_ne_bytes());
    request.attribute(libc::IFA_LOCAL, &octets);
    request.attribute(libc::IFA_ADDRESS, &octets);
    if let IpAddr::V4(address) = address {
        let broadcast = address.to_bits() | u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
        request.attribute(libc::IFA_BROADCAST, &broadcast.to_be_bytes());
    }
    request.send()
}

/// Routes `network`/`prefix` by the link, through `gateway` if there is one.
pub fn add_route(index: u32, network: IpAddr, prefix: u8, gateway: Option<IpAddr>) -> Result<()> {
    let mut request = Request::new(libc::RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
    let (family, octets_of_network) = octets(network);
    let scope = if gateway.is_some() { libc::RT_SCOPE_UNIVERSE } else { libc::RT_SCOPE_LINK };
    // struct rtmsg: family, destination and source length, tos, table, protocol, scope, type, flags
    let header = [
        family,
        prefix,
        0,
        0,
        libc::RT_TABLE_MAIN,
        libc::RTPROT_STATIC,
        scope,
        libc::RTN_UNICAST,
        0,
        0,
        0,
        0,
    ];
    request.put(&header);
    if prefix > 0 {
        request.attribute(libc::RTA_DST, &octets_of_network);
    }
    if let Some(gateway) = gateway {
        request.attribute(libc::RTA_GATEWAY, &octets(gateway).1);
    }
    request.attribute(libc::RTA_OIF, &index.to_ne_bytes());
    request.send()
}

fn octets(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(address) => (libc::AF_INET as u8, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6 as u8, address.octets().to_vec()),
    }
}

/// struct ifinfomsg: family and type (unspecified), index, flags, and which of them are meant.
fn link_header(index: u32, flags: u32) -> Vec<u8> {
    [[0; 4], index.to_ne_bytes(), flags.to_ne_bytes(), flags.to_ne_bytes()].concat()
}

struct Request {
    bytes: Vec<u8>,
}

impl Request {
    fn new(kind: u16, flags: i32) -> Self {
        let flags = (flags | NLM_F_REQUEST | NLM_F_ACK) as u16;
        let mut request = Self { bytes: Vec::new() };
        // struct nlmsghdr: length (filled in when it is known), type, flags, sequence, port
        request.put(&[0; 4]);
        request.put(&[kind.to_ne_bytes(), flags.to_ne_bytes()].concat());
        request.put(&[0; 8]);
        request
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = (ALIGNMENT + value.len()) as u16;
        self.put(&[length.to_ne_bytes(), kind.to_ne_bytes()].concat());
        self.put(value);
    }

    fn text(&mut self, kind: u16, value: &str) {
        self.attribute(kind, &[value.as_bytes(), &[0]].concat());
    }

    fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.put(&[[0; 2], (kind | NESTED).to_ne_bytes()].concat());
        fill(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    /// Sends it in the network namespace of the calling thread and waits for the kernel's word on it.
    fn send(mut self) -> Result<()> {
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        let route = SockProtocol::NetlinkRoute;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, route)?;
        sendto(socket.as_raw_fd(), &self.bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        let mut answer = [0; 4096];
        let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        // The answer is a header of 16 bytes (its type at 4) and the negative errno.
        let kind = u16::from_ne_bytes([answer[4], answer[5]]);
        if length < 20 || i32::from(kind) != libc::NLMSG_ERROR {
            return Err(Error::new(ErrorKind::InvalidData, "not an answer of rtnetlink"));
        }
        match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
            0 => Ok(()),
            errno => Err(Error::from_raw_os_error(-errno)),
        }
    }
}
