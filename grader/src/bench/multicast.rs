//! Groups: who is a member, and the bench's own members and senders.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::{Bench, Process, UdpPeer};
use crate::verdict::{Because, Breakdown, Expected, Stop};

/// A membership of a host: on which interface, and by how many sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The interface, such as `eth0`.
    pub interface: String,
    /// How many sockets of the host are members there.
    pub members: u32,
}

impl Bench {
    /// Where the host of that name is a member of `group`, and how often.
    pub fn memberships(&self, host: &str, group: IpAddr) -> Result<Vec<Membership>, Stop> {
        let file = if group.is_ipv4() { "igmp" } else { "igmp6" };
        let read =
            self.host(host).enter(|| std::fs::read_to_string(format!("/proc/thread-self/net/{file}")))?;
        let table =
            read.map_err(|error| Breakdown::system(format!("cannot read /proc/net/{file}"), error))?;
        Ok(match group {
            IpAddr::V4(group) => v4(&table, group.octets()),
            IpAddr::V6(group) => v6(&table, group.octets()),
        })
    }

    /// How many sockets of the host of that name are members of `group`, on whatever interface.
    pub fn members(&self, host: &str, group: IpAddr) -> u32 {
        self.memberships(host, group)
            .map_or(0, |memberships| memberships.iter().map(|membership| membership.members).sum())
    }

    /// A peer on that host bound to `bound`, with only SO_REUSEADDR set, that is a member of `group` on the
    /// interface with the address `interface`.
    pub fn group_member(
        &self,
        host: &str,
        bound: SocketAddr,
        group: Ipv4Addr,
        interface: Ipv4Addr,
    ) -> Result<UdpPeer, Stop> {
        self.udp_peer_made_by(host, || {
            let socket = Socket::new(Domain::for_address(bound), Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_reuse_address(true)?;
            socket.bind(&bound.into())?;
            socket.join_multicast_v4(&group, &interface)?;
            Ok(socket.into())
        })
    }
}

impl Bench {
    /// Waits until a receiver on host a is bound to `port` and `members` sockets of the host are members of
    /// `group`, so that what is sent to the group from now on reaches it.
    pub fn until_receiving(
        &self,
        receiver: &mut Process,
        group: IpAddr,
        port: u16,
        members: u32,
    ) -> Expected {
        receiver.until_bound(Some(port)).with(|unexplained| unexplained.sent(receiver.command()))?;
        let expected = match members {
            1 => format!("host a is a member of {group}"),
            more => format!("{more} sockets of host a are members of {group}"),
        };
        self.until(&expected, || (self.members("a", group) >= members).then_some(()))
            .with(|unexplained| unexplained.sent(receiver.command()))
    }
}

/// `/proc/net/igmp`: a line per interface, and below it, further right, one per group, in hexadecimal as it
/// stands in memory.
fn v4(table: &str, group: [u8; 4]) -> Vec<Membership> {
    let wanted = format!("{:08X}", u32::from_ne_bytes(group));
    let mut interface = "";
    let mut found = Vec::new();
    for line in table.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !line.starts_with(char::is_whitespace) {
            interface = words.get(1).copied().unwrap_or("");
        } else if words.first() == Some(&wanted.as_str()) {
            let members = words.get(1).and_then(|word| word.parse().ok()).unwrap_or(1);
            found.push(Membership { interface: interface.to_string(), members });
        }
    }
    found
}

/// `/proc/net/igmp6`: index, interface, group and number of members.
fn v6(table: &str, group: [u8; 16]) -> Vec<Membership> {
    let wanted: String = group.iter().map(|byte| format!("{byte:02x}")).collect();
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let lines = lines.filter(|words| words.get(2) == Some(&wanted.as_str()));
    lines
        .map(|words| Membership {
            interface: words[1].to_string(),
            members: words.get(3).and_then(|word| word.parse().ok()).unwrap_or(1),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memberships_are_read_by_interface() {
        let table = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
                     1\tlo        :     1      V3\n\
                     \t\t\t\t010000E0     1 0:00000000\t\t0\n\
                     3\teth1      :     2      V3\n\
                     \t\t\t\t010101E2     2 0:00000000\t\t0\n";
        let found = v4(table, [226, 1, 1, 1]);
        assert_eq!(found, [Membership { interface: "eth1".to_string(), members: 2 }]);
        assert_eq!(v4(table, [1, 1, 1, 226]), []);
    }

    #[test]
    fn ipv6_memberships_are_read_by_interface() {
        let table = "3    eth1            ff150000000000000000000000000001     1 00000004 0\n";
        let group = std::net::Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 1).octets();
        assert_eq!(v6(table, group), [Membership { interface: "eth1".to_string(), members: 1 }]);
    }
}
