//! Questions that checks ask of a recording. Each is a pure function of what was recorded; none depends on which of
//! several calls a program used, nor on the order of what happened in different processes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::{Act, Event, Object, Outcome, Recording, Stamp, descends};

/// The time from a child's end until its parent waited for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zombie {
    /// The child.
    pub who: String,
    /// When it ended.
    pub from: Stamp,
    /// When its parent had waited for it; `None` where it never did, so that it was a zombie until the parent ended.
    pub to: Option<Stamp>,
}

/// A piece of a message that was not taken whole by one send, and whose rest was never sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsent {
    /// The `seq` of the send.
    pub event: u64,
    /// How much was to be sent.
    pub asked: u64,
    /// How much was taken.
    pub done: u64,
}

impl Recording {
    /// Whether a process (or a child of it) listens on a TCP port, and on which address.
    pub fn listening_on(&self, who: &str, port: u16) -> Option<SocketAddr> {
        let listens =
            self.of_tree(who).filter(|event| event.outcome.ok()).filter_map(|event| match &event.act {
                Act::Listen { object, local: Some(local), .. } if local.port() == port => {
                    Some((event, object, *local))
                }
                _ => None,
            });
        listens
            .filter(|(event, object, _)| !self.is_closed(object, event.seq))
            .map(|(_, _, local)| local)
            .last()
    }

    /// Whether a process (or a child of it) is bound to a port with a socket of this kind (SOCK_DGRAM, SOCK_STREAM),
    /// and to which address.
    pub fn bound_to(&self, who: &str, port: u16, kind: i32) -> Option<SocketAddr> {
        let binds =
            self.of_tree(who).filter(|event| event.outcome.ok()).filter_map(|event| match &event.act {
                Act::Bind { object, local: Some(local), .. } if local.port() == port => {
                    Some((event, object, *local))
                }
                _ => None,
            });
        let own_kind = binds.filter(|(_, object, _)| self.kind(object).is_none_or(|known| known == kind));
        own_kind
            .filter(|(event, object, _)| !self.is_closed(object, event.seq))
            .map(|(_, _, local)| local)
            .last()
    }

    /// The kind of a socket (SOCK_STREAM, SOCK_DGRAM, SOCK_RAW), where its making was recorded.
    pub fn kind(&self, socket: &Object) -> Option<i32> {
        self.events.iter().find_map(|event| match &event.act {
            Act::Open { object, kind, .. } if object == socket => Some(*kind),
            Act::Accept { connection: Some(connection), .. } if connection == socket => {
                Some(libc::SOCK_STREAM)
            }
            _ => None,
        })
    }

    /// Whether the last descriptor of an object was closed after the event `seq`.
    pub fn is_closed(&self, object: &Object, seq: u64) -> bool {
        self.events.iter().any(|event| {
            event.seq > seq
                && matches!(&event.act, Act::Close { object: closed, last: true, .. }
                    | Act::LeftOpen { object: closed, last: true, .. } if closed == object)
        })
    }

    /// The calls in which the threads of a process are at the end of the recording.
    pub fn blocked_in<'a>(&'a self, who: &'a str) -> Vec<&'a Event> {
        self.of(who).filter(|event| event.outcome == Outcome::Pending).collect()
    }

    /// What a process left open when it ended: descriptor and object.
    pub fn left_open<'a>(&'a self, who: &'a str) -> Vec<(i32, &'a Object)> {
        self.all_left_open().remove(who).unwrap_or_default()
    }

    /// The same of every process that left something open.
    pub fn all_left_open(&self) -> BTreeMap<&str, Vec<(i32, &Object)>> {
        let mut all: BTreeMap<&str, Vec<(i32, &Object)>> = BTreeMap::new();
        for event in &self.events {
            if let (Act::LeftOpen { object, .. }, Some(fd)) = (&event.act, event.fd) {
                all.entry(&event.who).or_default().push((fd, object));
            }
        }
        all
    }

    /// The sockets that a process has made (or accepted) and not closed; for one that has ended, those that it left
    /// open.
    pub fn open_sockets<'a>(&'a self, who: &'a str) -> Vec<&'a Object> {
        let mut open: Vec<&Object> = Vec::new();
        for event in self.of(who) {
            match &event.act {
                Act::Open { object, .. } | Act::Accept { connection: Some(object), .. }
                    if event.outcome.ok() =>
                {
                    open.push(object);
                }
                Act::OpenPair { a, b } if event.outcome.ok() => open.extend([a, b]),
                Act::Close { object, .. } if event.outcome.ok() => open.retain(|known| *known != object),
                _ => {}
            }
        }
        open
    }

    /// How each child of a process ended and was waited for. Empty for children that never are zombies, because the
    /// process ignores SIGCHLD or asked for no zombies before they were born.
    pub fn zombies(&self, who: &str) -> Vec<Zombie> {
        self.all_zombies().remove(who).unwrap_or_default()
    }

    /// The same of every process that has such children. (A program can make more processes than a pass for each allows.)
    pub fn all_zombies(&self) -> BTreeMap<&str, Vec<Zombie>> {
        let mut ends: BTreeMap<&str, &Event> = BTreeMap::new();
        let mut reaped: BTreeMap<(&str, &str), &Event> = BTreeMap::new();
        let mut settings: BTreeMap<&str, Vec<(u64, bool)>> = BTreeMap::new();
        for event in &self.events {
            match &event.act {
                Act::Exit { .. } | Act::Killed { .. } => drop(ends.entry(&event.who).or_insert(event)),
                Act::Reap { child: Some(child), keeps: false, .. } => {
                    reaped.entry((&event.who, child)).or_insert(event);
                }
                // sigaction(2), SA_NOCLDWAIT: the system reaps the children.
                Act::SignalAction { signal: libc::SIGCHLD, handler, no_child_wait, .. }
                    if event.outcome.ok() =>
                {
                    let by_itself = *no_child_wait || *handler == super::Disposition::Ignore;
                    settings.entry(&event.who).or_default().push((event.seq, by_itself));
                }
                _ => {}
            }
        }
        let mut all: BTreeMap<&str, Vec<Zombie>> = BTreeMap::new();
        for event in &self.events {
            let (parent, Act::Fork { child, .. }) = (event.who.as_str(), &event.act) else { continue };
            let Some(end) = ends.get(child.as_str()).filter(|_| !child.is_empty()) else { continue };
            // An orphan is reaped by whoever took it over.
            let orphan = ends.get(parent).is_some_and(|last| last.seq < end.seq);
            let set = settings.get(parent).map_or(&[][..], Vec::as_slice);
            let before = set.partition_point(|(seq, _)| *seq < end.seq);
            let by_itself = before.checked_sub(1).is_some_and(|last| set[last].1);
            if !orphan && !by_itself {
                let to = reaped.get(&(parent, child.as_str())).map(|reap| reap.exit);
                all.entry(parent).or_default().push(Zombie { who: child.clone(), from: end.exit, to });
            }
        }
        all
    }

    /// Sends on a stream that took less than was asked, and after which the process never sent the rest.
    pub fn sent_less_and_never_the_rest(&self, who: &str) -> Vec<Unsent> {
        let sends: Vec<(&Event, &Object, u64, u64)> = self
            .of_tree(who)
            .filter_map(|event| match &event.act {
                Act::Send { object, asked, done, .. } => Some((event, object, *asked, *done)),
                _ => None,
            })
            .collect();
        let kinds = self.kinds();
        // What the process asked of the socket next, from behind.
        let mut next: BTreeMap<(&str, &Object), u64> = BTreeMap::new();
        let mut unsent = Vec::new();
        for (event, object, asked, done) in sends.into_iter().rev() {
            let asked_next = next.insert((&event.who, object), asked);
            let stream = kinds.get(object).is_none_or(|kind| *kind == libc::SOCK_STREAM);
            // A failure afterwards (the peer went away) is no mistake of this kind.
            if event.outcome.ok() && done < asked && stream && asked_next.is_none_or(|asked| asked == 0) {
                unsent.push(Unsent { event: event.seq, asked, done });
            }
        }
        unsent.reverse();
        unsent
    }

    /// The kinds of all sockets, as [`Recording::kind`] has them.
    fn kinds(&self) -> BTreeMap<&Object, i32> {
        let mut kinds = BTreeMap::new();
        for event in &self.events {
            match &event.act {
                Act::Open { object, kind, .. } => drop(kinds.entry(object).or_insert(*kind)),
                Act::Accept { connection: Some(connection), .. } => {
                    kinds.entry(connection).or_insert(libc::SOCK_STREAM);
                }
                _ => {}
            }
        }
        kinds
    }

    /// The groups that a process joined and did not leave before it closed the socket or ended.
    pub fn memberships_left_to_the_kernel(&self, who: &str) -> BTreeSet<std::net::IpAddr> {
        let mut members: Vec<(&Object, std::net::IpAddr)> = Vec::new();
        let mut forgotten = BTreeSet::new();
        for event in self.of_tree(who).filter(|event| !matches!(event.outcome, Outcome::Err(_))) {
            match &event.act {
                Act::Join { object, group, .. } => members.push((object, *group)),
                Act::Leave { object, group, .. } => {
                    members.retain(|(socket, joined)| (*socket, joined) != (object, group));
                }
                Act::Close { object, last: true, .. } | Act::LeftOpen { object, last: true, .. } => {
                    forgotten.extend(
                        members.iter().filter(|(socket, _)| *socket == object).map(|(_, group)| *group),
                    );
                    members.retain(|(socket, _)| *socket != object);
                }
                Act::Exit { .. } | Act::Killed { .. } if event.who == who => {
                    forgotten.extend(members.drain(..).map(|(_, group)| group));
                }
                _ => {}
            }
        }
        forgotten
    }

    /// Whether a process left the group by itself, before it closed the socket.
    pub fn left_before_closing(&self, who: &str, group: std::net::IpAddr) -> bool {
        let left = self.of_tree(who).any(|event| {
            event.outcome.ok() && matches!(&event.act, Act::Leave { group: left, .. } if *left == group)
        });
        left && !self.memberships_left_to_the_kernel(who).contains(&group)
    }

    /// How many calls that wait for a child came back without one (WNOHANG with nobody ready; EINTR is no such case).
    pub fn empty_waits(&self, who: &str) -> usize {
        self.of(who)
            .filter(|event| {
                matches!(event.act, Act::Reap { child: None, keeps: false, .. })
                    && event.outcome == Outcome::Ok(0)
            })
            .count()
    }

    /// The processes that hold an object at the end of the recording, by the acts of all.
    pub fn holders(&self, object: &Object) -> BTreeSet<String> {
        let mut holders: Vec<(String, u32)> = Vec::new();
        for event in &self.events {
            let add = |holders: &mut Vec<(String, u32)>| match holders
                .iter_mut()
                .find(|(who, _)| *who == event.who)
            {
                Some((_, count)) => *count += 1,
                None => holders.push((event.who.clone(), 1)),
            };
            match &event.act {
                Act::Open { object: made, .. } | Act::Accept { connection: Some(made), .. }
                    if made == object && event.outcome.ok() =>
                {
                    add(&mut holders);
                }
                Act::OpenPair { a, b } if (a == object || b == object) && event.outcome.ok() => {
                    add(&mut holders)
                }
                Act::Duplicate { object: copied, .. } if copied == object && event.outcome.ok() => {
                    add(&mut holders)
                }
                Act::Fork { child, .. } if !child.is_empty() => {
                    if let Some((_, count)) = holders.iter().find(|(who, _)| *who == event.who) {
                        let count = *count;
                        holders.push((child.clone(), count));
                    }
                }
                Act::Close { object: closed, .. } if closed == object && event.outcome.ok() => {
                    if let Some((_, count)) = holders.iter_mut().find(|(who, _)| *who == event.who) {
                        *count = count.saturating_sub(1);
                    }
                }
                Act::Exit { .. } | Act::Killed { .. } => holders.retain(|(who, _)| *who != event.who),
                _ => {}
            }
        }
        holders.into_iter().filter(|(_, count)| *count > 0).map(|(who, _)| who).collect()
    }

    /// The events of a process and its children into which something was injected.
    pub fn injected<'a>(&'a self, who: &'a str) -> impl Iterator<Item = &'a Event> {
        self.events.iter().filter(move |event| event.injected.is_some() && descends(&event.who, who))
    }

    /// What the process did with the network, in words, if anything: looking up a name, and what the C library does to
    /// put addresses in order (connecting datagram sockets without sending), is nothing.
    pub fn touched_network(&self, who: &str) -> Option<String> {
        let is_internet = |socket: &Object| {
            self.events.iter().any(|event| {
                matches!(&event.act, Act::Open { object, family: libc::AF_INET | libc::AF_INET6 | libc::AF_PACKET, .. }
                    if object == socket)
            })
        };
        let touched = self.of_tree(who).find(|event| match &event.act {
            Act::Bind { object, .. } | Act::Listen { object, .. } | Act::Send { object, .. } => {
                is_internet(object)
            }
            Act::Connect { object, .. } => {
                is_internet(object) && self.kind(object) == Some(libc::SOCK_STREAM)
            }
            Act::Join { .. } => true,
            _ => false,
        });
        touched.map(|event| format!("it called {}", event.call))
    }
}

#[cfg(test)]
#[path = "facts_tests.rs"]
pub(super) mod tests;
