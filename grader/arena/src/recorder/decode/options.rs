//! Socket options, with every way of joining and leaving a multicast group as the same act.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::recorder::memory;
use crate::recorder::ptrace::Entry;
use crate::recording::Act;

use super::{View, descriptor};

// Of linux/in.h; libc does not have all of them for every target.
const MCAST_JOIN_GROUP: i32 = 42;
const MCAST_LEAVE_GROUP: i32 = 45;
const MCAST_JOIN_SOURCE_GROUP: i32 = 46;
const MCAST_LEAVE_SOURCE_GROUP: i32 = 47;

/// The act of a `setsockopt`.
pub fn decode(view: &mut View<'_>, call: &Entry) -> Act {
    let a = call.arguments;
    let object = view.object(descriptor(a[0]));
    let (level, name, length) = (descriptor(a[1]), descriptor(a[2]), descriptor(a[4]));
    let length = u32::try_from(length).unwrap_or(0);
    let value = memory::bytes(view.thread, a[3], length.min(256) as usize);
    match membership(level, name, &value) {
        Some((true, group, interface)) => Act::Join { object, group, interface, length },
        Some((false, group, interface)) => Act::Leave { object, group, interface, length },
        None => Act::SetOption { object, level, name, value },
    }
}

/// Whether it joins, the group and the interface, for an option that changes a membership.
fn membership(level: i32, name: i32, value: &[u8]) -> Option<(bool, IpAddr, String)> {
    match (level, name) {
        (libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP | libc::IP_DROP_MEMBERSHIP) => {
            let interface = match number(value, 8) {
                Some(index) if index != 0 => index.to_string(),
                _ => v4(value, 4)?.to_string(),
            };
            Some((name == libc::IP_ADD_MEMBERSHIP, v4(value, 0)?, interface))
        }
        (libc::IPPROTO_IP, libc::IP_ADD_SOURCE_MEMBERSHIP | libc::IP_DROP_SOURCE_MEMBERSHIP) => {
            Some((name == libc::IP_ADD_SOURCE_MEMBERSHIP, v4(value, 0)?, v4(value, 4)?.to_string()))
        }
        (libc::IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP | libc::IPV6_DROP_MEMBERSHIP) => {
            let group: [u8; 16] = value.get(0..16)?.try_into().ok()?;
            let group = Ipv6Addr::from(group).into();
            Some((name == libc::IPV6_ADD_MEMBERSHIP, group, number(value, 16)?.to_string()))
        }
        (
            libc::IPPROTO_IP | libc::IPPROTO_IPV6,
            MCAST_JOIN_GROUP | MCAST_LEAVE_GROUP | MCAST_JOIN_SOURCE_GROUP | MCAST_LEAVE_SOURCE_GROUP,
        ) => {
            let group = memory::parse_address(value.get(8..)?)?.ip();
            let joins = matches!(name, MCAST_JOIN_GROUP | MCAST_JOIN_SOURCE_GROUP);
            Some((joins, group, number(value, 0)?.to_string()))
        }
        _ => None,
    }
}

fn v4(value: &[u8], at: usize) -> Option<IpAddr> {
    let address: [u8; 4] = value.get(at..at + 4)?.try_into().ok()?;
    Some(Ipv4Addr::from(address).into())
}

fn number(value: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(value.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_joining_names_group_and_interface() {
        let group: IpAddr = [226, 1, 1, 1].into();
        let mreq = [226, 1, 1, 1, 192, 0, 2, 1];
        let add = libc::IP_ADD_MEMBERSHIP;
        assert_eq!(membership(libc::IPPROTO_IP, add, &mreq), Some((true, group, "192.0.2.1".into())));
        let mreqn = [&[226, 1, 1, 1, 0, 0, 0, 0][..], &7_u32.to_ne_bytes()].concat();
        assert_eq!(membership(libc::IPPROTO_IP, add, &mreqn), Some((true, group, "7".into())));
        let mut request = vec![0_u8; 136];
        request[0..4].copy_from_slice(&3_u32.to_ne_bytes());
        request[8..10].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
        request[12..16].copy_from_slice(&[226, 1, 1, 1]);
        assert_eq!(
            membership(libc::IPPROTO_IP, MCAST_LEAVE_GROUP, &request),
            Some((false, group, "3".into()))
        );
    }

    #[test]
    fn a_short_value_is_no_membership() {
        assert_eq!(membership(libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP, &[226, 1]), None);
    }
}
