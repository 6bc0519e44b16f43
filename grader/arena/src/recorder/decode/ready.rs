//! select, poll, epoll and their likes: on what a program waits, and for how long.

use crate::recorder::descriptors;
use crate::recorder::memory;
use crate::recorder::ptrace::Entry;
use crate::recording::Act;

use super::{Asked, View, descriptor};

/// How many of the descriptors waited for are named; a server with thousands of clients would fill the recording.
const NAMED: usize = 64;

/// The form of a timeout in a waiting call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// Milliseconds in the register, below zero for ever.
    Milliseconds,
    /// A pointer to seconds and nanoseconds, null for ever.
    Timespec,
    /// A pointer to seconds and microseconds, null for ever.
    Timeval,
}

/// Which argument of a waiting call is its timeout, and in which form.
pub fn timeout_argument(number: i64) -> Option<(usize, Timeout)> {
    #[cfg(target_arch = "x86_64")]
    match number {
        libc::SYS_select => return Some((4, Timeout::Timeval)),
        libc::SYS_poll => return Some((2, Timeout::Milliseconds)),
        libc::SYS_epoll_wait => return Some((3, Timeout::Milliseconds)),
        _ => {}
    }
    match number {
        libc::SYS_pselect6 => Some((4, Timeout::Timespec)),
        libc::SYS_ppoll => Some((2, Timeout::Timespec)),
        libc::SYS_epoll_pwait => Some((3, Timeout::Milliseconds)),
        libc::SYS_epoll_pwait2 => Some((3, Timeout::Timespec)),
        _ => None,
    }
}

/// The timeout of a waiting call in nanoseconds, `None` for ever.
pub fn timeout(thread: i32, call: &Entry) -> Option<u64> {
    let (index, form) = timeout_argument(call.number)?;
    let argument = call.arguments[index];
    match form {
        Timeout::Milliseconds => u64::try_from(descriptor(argument)).ok().map(|ms| ms * 1_000_000),
        _ if argument == 0 => None,
        Timeout::Timespec => memory::timespec(thread, argument),
        Timeout::Timeval => memory::timeval(thread, argument),
    }
}

/// The act of a waiting call.
pub fn decode(view: &mut View<'_>, call: &Entry) -> Option<Asked> {
    let (_, form) = timeout_argument(call.number)?;
    let timeout = timeout(view.thread, call);
    let a = call.arguments;
    let (fds, fd) = if is_select(call.number) {
        (selected(view.thread, a), None)
    } else if is_poll(call.number) {
        (polled(view.thread, a[0], a[1]), None)
    } else {
        debug_assert!(form != Timeout::Timeval);
        let epoll = descriptor(a[0]);
        let fds = if timeout == Some(0) { Vec::new() } else { descriptors::watched(view.process, epoll) };
        (fds, Some(epoll))
    };
    let objects = fds.into_iter().take(NAMED).map(|fd| view.object(fd)).collect();
    Some(Asked::new(Act::WaitReady { objects, timeout, ready: 0 }, fd))
}

fn is_select(number: i64) -> bool {
    #[cfg(target_arch = "x86_64")]
    if number == libc::SYS_select {
        return true;
    }
    number == libc::SYS_pselect6
}

fn is_poll(number: i64) -> bool {
    #[cfg(target_arch = "x86_64")]
    if number == libc::SYS_poll {
        return true;
    }
    number == libc::SYS_ppoll
}

fn selected(thread: i32, a: [u64; 6]) -> Vec<i32> {
    let count = descriptor(a[0]).clamp(0, 1 << 16) as usize;
    let mut wanted = vec![false; count];
    for set in [a[1], a[2], a[3]] {
        let bits = memory::bytes(thread, set, count.div_ceil(8));
        for (fd, wanted) in wanted.iter_mut().enumerate() {
            *wanted |= bits.get(fd / 8).is_some_and(|byte| byte >> (fd % 8) & 1 == 1);
        }
    }
    wanted.iter().enumerate().filter(|(_, wanted)| **wanted).map(|(fd, _)| fd as i32).collect()
}

fn polled(thread: i32, address: u64, count: u64) -> Vec<i32> {
    let raw = memory::bytes(thread, address, count.min(NAMED as u64) as usize * 8);
    let fds = raw.chunks_exact(8).map(|one| i32::from_ne_bytes([one[0], one[1], one[2], one[3]]));
    fds.filter(|fd| *fd >= 0).collect()
}
