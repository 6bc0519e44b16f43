//! Timer descriptors (timerfd_create(2)) where time is skipped: the kernel's own clock must not end them, and the
//! programs' clock must. So each that a program has set is put off for ever, and set to end at once when its time has
//! come.

use std::os::fd::{AsRawFd, OwnedFd};

use super::descriptors;
use super::idle::{Unit, write_time};
use super::memory;
use super::posix_timers::PosixTimers;
use super::ptrace::Entry;
use super::trace::Tracer;

/// Longer than any program of a check lives.
const FOR_EVER: libc::time_t = 1 << 30;

/// A process and its number for the descriptor.
pub type TimerKey = (i32, i32);

/// The timers that were set and are to end yet.
#[derive(Debug, Default)]
pub struct Timers {
    running: Vec<Timer>,
    /// Those of `timer_create`.
    pub posix: PosixTimers,
}

#[derive(Debug)]
struct Timer {
    key: TimerKey,
    /// Our own descriptor of the same timer.
    copy: OwnedFd,
    /// When it ends, as time passed on the programs' clock.
    deadline: u64,
    /// After how long it ends again and again; 0 for never.
    interval: u64,
}

impl Timers {
    /// The timer that ends next, and when.
    pub fn due(&self) -> Option<(u64, TimerKey)> {
        self.running.iter().map(|timer| (timer.deadline, timer.key)).min()
    }

    /// Lets a timer end.
    pub fn expire(&mut self, key: TimerKey) {
        for timer in self.running.iter_mut().filter(|timer| timer.key == key) {
            set(&timer.copy, 0, 1);
            timer.deadline = timer.deadline.saturating_add(timer.interval);
        }
        self.running.retain(|timer| timer.key != key || timer.interval > 0);
    }

    /// Forgets the timers of a process that has ended.
    pub fn forget(&mut self, process: i32) {
        self.running.retain(|timer| timer.key.0 != process);
        self.posix.forget(process);
    }

    /// A process loads another program: its descriptors stay, its other timers do not (execve(2)).
    pub fn loaded(&mut self, process: i32) {
        self.posix.forget(process);
    }
}

impl Tracer {
    /// At the exit of a call on timers: learns of what it did.
    pub(super) fn timer_call_ended(&mut self, pid: i32, entry: &Entry) {
        match entry.number {
            libc::SYS_timerfd_settime => self.take_timer(pid, entry),
            libc::SYS_timerfd_gettime => self.tell_timer(pid, entry),
            libc::SYS_timer_create => self.learn_posix_timer(pid, entry),
            _ => {}
        }
    }

    /// Says how long a timer that was taken over still has.
    fn tell_timer(&self, pid: i32, entry: &Entry) {
        let key = (self.threads[&pid].process, entry.arguments[0] as i32);
        if let Some(timer) = self.timers.running.iter().find(|timer| timer.key == key) {
            let left = timer.deadline.saturating_sub(self.shared.clock.passed());
            write_setting(pid, entry.arguments[1], timer.interval, left);
        }
    }

    /// Takes a timer over.
    fn take_timer(&mut self, pid: i32, entry: &Entry) {
        let (a, process) = (entry.arguments, self.threads[&pid].process);
        let key = (process, a[0] as i32);
        self.timers.running.retain(|timer| timer.key != key);
        let interval = memory::timespec(pid, a[2]).unwrap_or(0);
        let value = memory::timespec(pid, a[2] + 16).unwrap_or(0);
        let Some(copy) = descriptors::copy(process, key.1).filter(|_| value > 0) else { return };
        let clock = &self.shared.clock;
        let left = match a[1] as i32 & libc::TFD_TIMER_ABSTIME {
            0 => value,
            _ => value.saturating_sub(clock.seen(clock_of(key))),
        };
        set(&copy, FOR_EVER, 0);
        let deadline = clock.passed().saturating_add(left);
        self.timers.running.push(Timer { key, copy, deadline, interval });
    }
}

/// Writes an `itimerspec` into a program's memory.
pub fn write_setting(pid: i32, place: u64, interval: u64, left: u64) -> bool {
    write_time(pid, place, interval, Unit::Nanoseconds)
        && write_time(pid, place.wrapping_add(16), left, Unit::Nanoseconds)
}

/// Sets a timer to end once, after so long.
fn set(timer: &OwnedFd, seconds: libc::time_t, nanoseconds: libc::c_long) {
    let value = libc::timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let new = libc::itimerspec { it_interval: never, it_value: value };
    // SAFETY: `new` lives through the call, which writes nothing.
    unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &raw const new, std::ptr::null_mut()) };
}

/// The clock by which a timer descriptor goes (proc(5)).
fn clock_of((process, fd): TimerKey) -> i32 {
    let text = std::fs::read_to_string(format!("/proc/{process}/fdinfo/{fd}")).unwrap_or_default();
    let clock = text.lines().find_map(|line| line.strip_prefix("clockid:")?.trim().parse().ok());
    clock.unwrap_or(libc::CLOCK_MONOTONIC)
}
