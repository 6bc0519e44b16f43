//! Bytes that wait: what lies unread at the sockets on which a program is blocked, and at the other end of them.

use super::core::Core;
use super::sockets::{self, SocketInfo, State, Which};
use crate::recording::{Act, Event, Object};

/// How many sockets are told about: a server that watches a thousand is told by a few.
const TOLD: usize = 3;

impl Core {
    /// What waits at the sockets on which a program is blocked, in words; nothing where it is blocked on none.
    pub fn bytes_waiting(&self, who: &str) -> Option<String> {
        let recording = self.recorder.recording();
        let blocked = recording.blocked_in(who);
        let inodes: Vec<u64> = blocked.iter().flat_map(|event| inodes(event)).take(TOLD).collect();
        if inodes.is_empty() {
            return None;
        }
        let all = self.all_sockets();
        let told: Vec<String> = inodes
            .iter()
            .filter_map(|inode| all.iter().find(|socket| socket.inode == *inode))
            .map(|socket| match inodes.len() {
                1 => in_words(socket, &all),
                _ => format!("{}: {}", socket.local, in_words(socket, &all)),
            })
            .collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    /// Whether the kernel has bytes of some connection yet to bring to a reader who has read all that came. It sends again
    /// what a full buffer did not take, after a while that grows each time.
    pub fn bytes_are_on_their_way(&self) -> bool {
        are_on_their_way(&self.all_sockets())
    }

    /// Milliseconds, and only where a wait is about to end. What cannot be listed is not there.
    fn all_sockets(&self) -> Vec<SocketInfo> {
        let list = |host: &crate::host::Host| sockets::list(self, host.name, Which::All).unwrap_or_default();
        self.hosts.iter().flat_map(list).collect()
    }
}

fn are_on_their_way(all: &[SocketInfo]) -> bool {
    let connections: Vec<&SocketInfo> =
        all.iter().filter(|socket| socket.tcp && socket.state != State::Listen).collect();
    let reads = |sender: &SocketInfo| {
        connections.iter().any(|other| {
            other.local == sender.remote && other.remote == sender.local && other.receive_queue == 0
        })
    };
    connections.iter().any(|socket| socket.send_queue > 0 && reads(socket))
}

fn count(number: u32, noun: &str) -> String {
    match number {
        0 => format!("no {noun} waits"),
        1 => format!("1 {noun} waits"),
        more => format!("{more} {noun}s wait"),
    }
}

fn inodes(event: &Event) -> Vec<u64> {
    let inode = |object: &Object| match object {
        Object::Socket(inode) => Some(*inode),
        _ => None,
    };
    match &event.act {
        Act::Receive { object, .. }
        | Act::Send { object, .. }
        | Act::Read { object, .. }
        | Act::Write { object, .. }
        | Act::Accept { listener: object, .. } => inode(object).into_iter().collect(),
        Act::WaitReady { objects, .. } => objects.iter().filter_map(inode).collect(),
        _ => Vec::new(),
    }
}

fn in_words(socket: &SocketInfo, all: &[SocketInfo]) -> String {
    if socket.state == State::Listen {
        return format!("{} to be accepted", count(socket.receive_queue, "connection"));
    }
    if !socket.tcp {
        // The kernel counts the memory of datagrams, not their bytes.
        let what = if socket.receive_queue == 0 { "no datagram waits" } else { "a datagram waits, or more" };
        return format!("{what} to be received");
    }
    let own = format!("{} to be received", count(socket.receive_queue, "byte"));
    match all.iter().find(|other| other.local == socket.remote && other.remote == socket.local) {
        Some(other) => {
            format!("{own}, {} at the other end", count(other.receive_queue + socket.send_queue, "byte"))
        }
        None => own,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::{SocketInfo, State, are_on_their_way};

    fn connection(ports: [u16; 2], receive_queue: u32, send_queue: u32) -> SocketInfo {
        let [local, remote] = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let state = State::Established;
        SocketInfo { tcp: true, state, local, remote, receive_queue, send_queue, inode: 1 }
    }

    #[test]
    fn bytes_come_only_to_one_who_has_read_what_came() {
        let server = connection([5000, 42_520], 0, 51_163);
        // The client's buffer took no more and is empty now: the server's kernel will try again.
        assert!(are_on_their_way(&[server.clone(), connection([42_520, 5000], 0, 0)]));
        // The client reads nothing.
        assert!(!are_on_their_way(&[server.clone(), connection([42_520, 5000], 4042, 0)]));
        // Another client's buffer is empty.
        assert!(!are_on_their_way(&[server.clone(), connection([42_532, 5000], 0, 0)]));
        // Nobody is at the other end.
        assert!(!are_on_their_way(&[server]));
        let listening = SocketInfo { state: State::Listen, ..connection([5000, 0], 0, 128) };
        assert!(!are_on_their_way(&[
            listening,
            connection([5000, 42_520], 7, 0),
            connection([42_520, 5000], 0, 0)
        ]));
    }
}
