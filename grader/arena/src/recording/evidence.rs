//! Where each process stands at the end of a recording, in words: in which call, on what, and whom that waits for.

use std::net::SocketAddr;

use super::{Act, Event, Object, Outcome, Recording};

impl Recording {
    /// How a process stands, in words: in which call it is blocked and on what.
    pub fn standing(&self, who: &str) -> Option<String> {
        let blocked = self.blocked_in(who);
        let last = blocked.last()?;
        let others = match blocked.len() {
            1 => String::new(),
            more => format!(" (and {} more threads of it in calls of their own)", more - 1),
        };
        Some(format!("is blocked in {}{others}", self.call_in_words(last)))
    }

    /// A call that has not returned, with what it waits for.
    pub fn call_in_words(&self, event: &Event) -> String {
        let on = |object: &Object| {
            let fd = event.fd.map(|fd| format!(" on descriptor {fd}")).unwrap_or_default();
            format!("{}{fd}, {}", event.call, self.object_in_words(object))
        };
        match &event.act {
            Act::Receive { object, .. } | Act::Read { object, .. } => on(object),
            Act::Send { object, asked, .. } | Act::Write { object, asked, .. } => {
                format!("{} ({asked} bytes; whoever reads it does not)", on(object))
            }
            Act::Accept { listener, .. } => on(listener),
            Act::Connect { object, peer, .. } => match peer {
                Some(peer) => format!("connect to {peer}"),
                None => on(object),
            },
            Act::Reap { .. } => format!("{}: it waits for a child", event.call),
            Act::Sleep { asked: Some(asked) } => format!("{}, for {}", event.call, duration(*asked)),
            Act::Sleep { asked: None } => format!("{}: it waits for a signal", event.call),
            Act::WaitThread { .. } => format!("{}: it waits for another of its threads", event.call),
            Act::WaitReady { objects, timeout, .. } => {
                let shown: Vec<String> =
                    objects.iter().take(3).map(|object| self.object_in_words(object)).collect();
                let rest = objects.len().saturating_sub(shown.len());
                let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
                let until =
                    timeout.map_or("without a timeout".to_string(), |time| format!("for {}", duration(time)));
                format!("{} {until}, watching {}{more}", event.call, shown.join(", "))
            }
            _ => event.call.clone(),
        }
    }

    /// What an object is, in words: `the connection from 127.0.0.1:40000`.
    pub fn object_in_words(&self, object: &Object) -> String {
        match object {
            Object::Socket(_) => self.socket_in_words(object),
            Object::Pipe(_) => "a pipe".to_string(),
            Object::File(path) => path.clone(),
            Object::Other(kind) if kind.is_empty() => "nothing that is open".to_string(),
            Object::Other(kind) => kind.trim_matches(['[', ']']).to_string(),
        }
    }

    fn socket_in_words(&self, object: &Object) -> String {
        let mut words = None;
        let mut kind = None;
        for event in &self.events {
            match &event.act {
                Act::Open { object: made, family, kind: opened, .. } if made == object => {
                    kind = Some(match (*family, *opened) {
                        (libc::AF_UNIX, _) => "Unix",
                        (_, libc::SOCK_STREAM) => "TCP",
                        (_, libc::SOCK_DGRAM) => "UDP",
                        _ => "raw",
                    });
                }
                Act::OpenPair { a, b } if a == object || b == object => kind = Some("paired"),
                _ if !event.outcome.ok() => {}
                Act::Bind { object: bound, local: Some(local), .. } if bound == object => {
                    words = Some(format!("bound to {local}"));
                }
                Act::Listen { object: listening, local: Some(local), .. } if listening == object => {
                    words = Some(format!("listening on {local}"));
                }
                Act::Connect { object: connected, peer: Some(peer), .. } if connected == object => {
                    words = Some(format!("connected to {peer}"));
                }
                Act::Accept { connection: Some(connection), peer, .. } if connection == object => {
                    kind = Some("TCP");
                    words = peer.map(|peer| format!("accepted from {peer}"));
                }
                _ => {}
            }
        }
        let kind = kind.map(|kind| format!("{kind} ")).unwrap_or_default();
        match words {
            Some(words) => format!("the {kind}socket {words}"),
            None => format!("a {kind}socket without an address"),
        }
    }

    /// The circle in which two processes wait for each other, where there is one.
    pub fn wait_cycle(&self) -> Option<String> {
        let waiting: Vec<(&Event, End)> = self
            .events
            .iter()
            .filter(|event| event.outcome == Outcome::Pending)
            .filter_map(|event| match &event.act {
                Act::Receive { object, .. } => Some((event, self.end_of(object)?)),
                _ => None,
            })
            .collect();
        for (index, (one, end)) in waiting.iter().enumerate() {
            let found = waiting[index + 1..].iter().find(|(_, other)| end.faces(other));
            if let Some((other, other_end)) = found {
                let ended = |event: &Event, object: &Object| {
                    self.of(&event.who).any(|earlier| match &earlier.act {
                        Act::Shutdown { object: ended, how } => ended == object && *how >= 1,
                        _ => false,
                    })
                };
                let nobody = !ended(one, &end.object) && !ended(other, &other_end.object);
                let last = if nobody { ", and nobody ended its direction" } else { "" };
                return Some(format!(
                    "{} waits for bytes from {}, and {} waits for bytes from {}{last}",
                    one.who, other.who, other.who, one.who
                ));
            }
        }
        None
    }

    fn end_of(&self, object: &Object) -> Option<End> {
        self.events.iter().rev().find_map(|event| match &event.act {
            Act::Connect { object: connected, local, peer } if connected == object => {
                Some(End { object: object.clone(), local: *local, peer: *peer, accepted: false })
            }
            Act::Accept { connection: Some(connection), peer, .. } if connection == object => {
                Some(End { object: object.clone(), local: None, peer: *peer, accepted: true })
            }
            _ => None,
        })
    }
}

/// One end of a connection.
struct End {
    object: Object,
    local: Option<SocketAddr>,
    peer: Option<SocketAddr>,
    accepted: bool,
}

impl End {
    fn faces(&self, other: &Self) -> bool {
        let meet =
            |connected: &Self, accepted: &Self| connected.local.is_some() && connected.local == accepted.peer;
        match (self.accepted, other.accepted) {
            (false, true) => meet(self, other),
            (true, false) => meet(other, self),
            _ => self.local.is_some() && self.local == other.peer && self.peer == other.local,
        }
    }
}

fn duration(nanoseconds: u64) -> String {
    let ms = nanoseconds / 1_000_000;
    if ms >= 1000 && ms % 1000 == 0 { format!("{} s", ms / 1000) } else { format!("{ms} ms") }
}
