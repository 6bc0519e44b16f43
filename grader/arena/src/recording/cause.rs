//! Which system call put a packet on the wire.
//!
//! On the bench's links the kernel sends inside the call, so the packet's moment lies between the call's entry and its
//! exit; ports and payload then say which of the calls under way it was. Reports of group membership come by a timer of
//! their own and are attributed by the group.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::frames::{Headers, Transport};
use super::{Act, Event, Object, Outcome, Packet, Recording};

/// The system closes a socket somewhat after the moment at which the close was recorded.
const CLOSING: u64 = 3_000_000;

/// How many calls before a packet are looked at: more than can be under way on one bench.
const UNDER_WAY: usize = 256;

/// The calls that can put packets on a wire, in the order in which they began.
pub struct Causes<'a> {
    recording: &'a Recording,
    calls: Vec<&'a Event>,
    ports: BTreeMap<&'a Object, u16>,
}

impl<'a> Causes<'a> {
    /// Those of a recording.
    pub fn of(recording: &'a Recording) -> Self {
        let mut calls: Vec<&Event> =
            recording.events.iter().filter(|event| socket_of(&event.act).is_some()).collect();
        calls.sort_by_key(|event| event.enter.real);
        Self { recording, calls, ports: recording.local_ports() }
    }

    /// The `seq` of the event that caused a packet, where that can be told.
    pub fn find(&self, packet: &Packet) -> Option<u64> {
        let headers = packet.headers()?;
        if let Transport::Igmp { .. } = headers.transport {
            return self.recording.membership_before(packet);
        }
        let at = packet.at.real;
        let begun = self.calls.partition_point(|event| event.enter.real <= at);
        let under_way = self.calls[begun.saturating_sub(UNDER_WAY)..begun].iter().filter(|event| {
            at <= match event.act {
                Act::Close { .. } | Act::LeftOpen { .. } => event.exit.real + CLOSING,
                _ if event.outcome == Outcome::Pending => u64::MAX,
                _ => event.exit.real,
            }
        });
        let best =
            under_way.map(|event| (fit(event, &headers, &self.ports), event)).filter(|(fit, _)| *fit > 0);
        best.max_by_key(|(fit, event)| (*fit, event.enter.real)).map(|(_, event)| event.seq)
    }
}

impl Recording {
    fn membership_before(&self, packet: &Packet) -> Option<u64> {
        let mut before = self.events.iter().rev().filter(|event| event.enter.real <= packet.at.real);
        let change = before.find(|event| {
            let group = match &event.act {
                Act::Join { group: IpAddr::V4(group), .. } | Act::Leave { group: IpAddr::V4(group), .. } => {
                    group.octets()
                }
                _ => return false,
            };
            // The group's address stands somewhere in the report, whatever its version.
            packet.frame.windows(4).skip(14).any(|window| window == group)
        });
        change.map(|event| event.seq)
    }

    /// The local port of every socket whose binding, connection or acceptance was recorded.
    fn local_ports(&self) -> BTreeMap<&Object, u16> {
        let mut ports = BTreeMap::new();
        for event in &self.events {
            match &event.act {
                Act::Bind { object, local: Some(local), .. }
                | Act::Listen { object, local: Some(local), .. }
                | Act::Connect { object, local: Some(local), .. } => {
                    ports.insert(object, local.port());
                }
                Act::Accept { listener, connection: Some(connection), .. } => {
                    if let Some(port) = ports.get(listener).copied() {
                        ports.insert(connection, port);
                    }
                }
                _ => {}
            }
        }
        ports
    }

    /// What the programs' clock showed at a moment of real time.
    pub fn seen_at(&self, real: u64) -> u64 {
        let before = self.events.iter().rev().find(|event| event.enter.real <= real);
        before.map_or(real, |event| if event.enter.seen == event.enter.real { real } else { event.exit.seen })
    }
}

fn socket_of(act: &Act) -> Option<&Object> {
    match act {
        Act::Send { object, .. }
        | Act::Connect { object, .. }
        | Act::Shutdown { object, .. }
        | Act::Close { object: object @ Object::Socket(_), .. }
        | Act::LeftOpen { object: object @ Object::Socket(_), .. } => Some(object),
        _ => None,
    }
}

/// How well a call fits a packet that was sent while it was under way; 0 where it does not.
fn fit(event: &Event, headers: &Headers, ports: &BTreeMap<&Object, u16>) -> u32 {
    let Some(socket) = socket_of(&event.act) else { return 0 };
    let own = ports.get(socket).copied().unwrap_or(0);
    let sends = match &event.act {
        Act::Send { to, payload, head, .. } => {
            let same = payload.as_ref().is_some_and(|payload| *payload == headers.payload)
                || (!head.is_empty()
                    && headers.payload.starts_with(&head[..head.len().min(headers.payload.len())]));
            let there = to.is_some_and(|to| same_address(to, headers.to));
            u32::from(there) * 4 + u32::from(same && !headers.payload.is_empty()) * 4
        }
        Act::Connect { peer, .. } => u32::from(peer.is_some_and(|peer| same_address(peer, headers.to))) * 4,
        _ => 2,
    };
    let from = own != 0 && own == headers.from.port();
    // The answer of the other end comes inside the same call: SYN and ACK inside connect.
    let answer = own != 0 && own == headers.to.port() && matches!(headers.transport, Transport::Tcp { .. });
    match (from, answer) {
        (true, _) => 8 + sends,
        (false, true) => 1 + sends.min(1),
        _ if own == 0 => sends.saturating_sub(3),
        _ => 0,
    }
}

fn same_address(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && (one.ip() == other.ip() || one.ip().is_unspecified())
}
