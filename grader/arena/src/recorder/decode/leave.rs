//! What a call brought, read at its exit.

use std::net::SocketAddr;

use crate::recorder::descriptors;
use crate::recorder::memory::{self, Part};
use crate::recorder::ptrace::Entry;
use crate::recording::{Act, Object};

use super::{HEAD, View, descriptor};

/// Completes an act with what its call returned.
pub fn leave(view: &mut View<'_>, call: &Entry, act: &mut Act, result: i64) {
    let a = call.arguments;
    let fd = descriptor(a[0]);
    let done = u64::try_from(result).unwrap_or(0);
    let new = i32::try_from(result).unwrap_or(-1);
    match act {
        Act::Open { object, .. } if result >= 0 => *object = fresh(view, new),
        Act::OpenPair { a: first, b: second } if result >= 0 => {
            let pair = pair(view.thread, a[3]);
            (*first, *second) = (fresh(view, pair.0), fresh(view, pair.1));
        }
        Act::Pipe { object, read_fd, write_fd } if result >= 0 => {
            (*read_fd, *write_fd) = pair(view.thread, a[0]);
            *object = fresh(view, *read_fd);
            view.objects.forget(*write_fd);
        }
        // Where nobody lends us the socket, it has the port that it asked for, or one that we do not know.
        Act::Bind { asked, local, .. } if result >= 0 => {
            *local = local_address(view, fd).or(asked.filter(|asked| asked.port() != 0))
        }
        Act::Listen { local, .. } if result >= 0 => *local = local_address(view, fd),
        // A connection under way has its local address too.
        Act::Connect { local, .. } => *local = local_address(view, fd),
        Act::Accept { connection, peer, .. } if result >= 0 => {
            *connection = Some(fresh(view, new));
            *peer = memory::u32(view.thread, a[2])
                .and_then(|length| memory::address(view.thread, a[1], u64::from(length)))
                .or_else(|| descriptors::peer_address(&descriptors::copy(view.process, new)?));
        }
        Act::Send { done: sent, .. } => *sent = if is_many(call.number) { first_sent(view, a) } else { done },
        Act::Receive { room, done: got, end, from, head, .. } => {
            let (parts, name, length) = received(view.thread, call, done);
            *got = length;
            *end = result == 0 && *room > 0 && is_stream(view, call, fd);
            if result >= 0 {
                *from = name;
                *head = memory::gather(view.thread, &parts, HEAD.min(length as usize));
            }
        }
        Act::WaitReady { ready, .. } => *ready = u32::try_from(result).unwrap_or(0),
        Act::Read { done: got, .. } | Act::Write { done: got, .. } => *got = done,
        Act::Duplicate { to_fd, .. } if result >= 0 => {
            *to_fd = new;
            view.objects.forget(new);
        }
        Act::Close { .. } => view.objects.forget(fd),
        Act::Other { .. } if call.number == libc::SYS_close_range => view.objects.forget_all(),
        Act::Reap { child, status, .. } => {
            if let Some((pid, raw)) = reaped(view.thread, call, result) {
                *child = Some(view.name(pid));
                *status = raw;
            }
        }
        _ => {}
    }
}

/// The object behind a descriptor that the call has just made.
fn fresh(view: &mut View<'_>, fd: i32) -> Object {
    view.objects.forget(fd);
    view.object(fd)
}

fn pair(thread: i32, address: u64) -> (i32, i32) {
    (memory::i32(thread, address).unwrap_or(-1), memory::i32(thread, address.wrapping_add(4)).unwrap_or(-1))
}

fn local_address(view: &View<'_>, fd: i32) -> Option<SocketAddr> {
    descriptors::local_address(&descriptors::copy(view.process, fd)?)
}

fn is_many(number: i64) -> bool {
    matches!(number, libc::SYS_sendmmsg | libc::SYS_recvmmsg)
}

/// `msg_len` of the first message of a `sendmmsg` or `recvmmsg`.
fn first_sent(view: &View<'_>, a: [u64; 6]) -> u64 {
    memory::u32(view.thread, a[1].wrapping_add(56)).map_or(0, u64::from)
}

/// A read of 0 bytes is the end of a stream, but an empty datagram elsewhere.
fn is_stream(view: &View<'_>, _call: &Entry, fd: i32) -> bool {
    descriptors::copy(view.process, fd).is_none_or(|socket| descriptors::is_stream(&socket))
}

/// Where the bytes of a receive are, from whom they came, and how many they are.
fn received(thread: i32, call: &Entry, done: u64) -> (Vec<Part>, Option<SocketAddr>, u64) {
    let a = call.arguments;
    match call.number {
        libc::SYS_recvmsg | libc::SYS_recvmmsg => {
            let Some(message) = memory::message(thread, a[1]) else { return (Vec::new(), None, done) };
            let parts = memory::parts(thread, message.parts.0, message.parts.1);
            let length = match memory::u32(thread, a[1].wrapping_add(56)) {
                Some(length) if is_many(call.number) => u64::from(length),
                _ => done,
            };
            (parts, memory::address(thread, message.name.0, message.name.1), length)
        }
        libc::SYS_readv => (memory::parts(thread, a[1], a[2]), None, done),
        libc::SYS_recvfrom => {
            let length = memory::u32(thread, a[5]).map_or(0, u64::from);
            let from = memory::address(thread, a[4], length);
            (vec![Part { base: a[1], length: a[2] }], from, done)
        }
        libc::SYS_read => (vec![Part { base: a[1], length: a[2] }], None, done),
        _ => (Vec::new(), None, done),
    }
}

/// The pid that a wait reported, and its raw status where the program asked for it.
fn reaped(thread: i32, call: &Entry, result: i64) -> Option<(i32, Option<i32>)> {
    let a = call.arguments;
    if call.number == libc::SYS_wait4 {
        let pid = i32::try_from(result).ok().filter(|pid| *pid > 0)?;
        return Some((pid, memory::i32(thread, a[1])));
    }
    let information = memory::bytes(thread, a[2], 28);
    let word = |at: usize| {
        information.get(at..at + 4).map(|word| i32::from_ne_bytes(word.try_into().unwrap_or([0; 4])))
    };
    let (code, pid, status) = (word(8)?, word(16)?, word(24)?);
    let raw = match code {
        libc::CLD_EXITED => (status & 0xff) << 8,
        libc::CLD_KILLED => status,
        libc::CLD_DUMPED => status | 0x80,
        libc::CLD_CONTINUED => 0xffff,
        _ => status << 8 | 0x7f,
    };
    (result == 0 && pid > 0).then_some((pid, Some(raw)))
}
