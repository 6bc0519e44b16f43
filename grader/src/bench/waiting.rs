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
        // Milliseconds, and only for a finding. What cannot be listed is not told.
        let list = |host: &crate::host::Host| sockets::list(self, host.name, Which::All).unwrap_or_default();
        let all: Vec<SocketInfo> = self.hosts.iter().flat_map(list).collect();
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
