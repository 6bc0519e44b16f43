//! POSIX timers (timer_create(2)) where time is skipped: the kernel's are never set; each is kept here on the programs'
//! clock, and sends its signal as the kernel would have.

use super::descriptors;
use super::inject::skip_call;
use super::memory;
use super::ptrace::Entry;
use super::timers::{TimerKey, write_setting};
use super::trace::Tracer;

/// Of `sigevent` (sigevent(3type)): where its parts stand.
const SIGNAL: u64 = 8;
const NOTIFY: u64 = 12;
const THREAD: u64 = 16;
/// The first of the signals that may wait more than once.
const FIRST_QUEUED: i32 = 32;
const SECOND: u64 = 1_000_000_000;

/// The timers that programs have made.
#[derive(Debug, Default)]
pub struct PosixTimers {
    made: Vec<PosixTimer>,
}

#[derive(Debug)]
struct PosixTimer {
    /// Its process, and its number there.
    key: TimerKey,
    /// The clock by which it goes.
    clock: i32,
    /// The signal that it sends, if it sends one, and what that carries.
    signal: Option<(i32, u64)>,
    /// The thread that gets the signal; the process where there is none.
    thread: Option<i32>,
    /// When it ends next, as time passed on the programs' clock; `None` while it is not set.
    deadline: Option<u64>,
    /// After how long it ends again and again; 0 for never.
    interval: u64,
}

/// The head of a `siginfo_t` of SI_TIMER; the whole is 128 bytes.
#[repr(C)]
struct Information {
    signal: i32,
    errno: i32,
    code: i32,
    padding: i32,
    timer: i32,
    overrun: i32,
    value: u64,
    rest: [u64; 12],
}

impl PosixTimers {
    /// The timer that sends its signal next, and when.
    pub fn due(&self) -> Option<(u64, TimerKey)> {
        let telling = self.made.iter().filter(|timer| timer.signal.is_some());
        telling.filter_map(|timer| Some((timer.deadline?, timer.key))).min()
    }

    /// The moment of a timer has come.
    pub fn ring(&mut self, key: TimerKey) {
        let Some(timer) = self.find(key) else { return };
        timer.send();
        timer.deadline = timer
            .deadline
            .filter(|_| timer.interval > 0)
            .map(|deadline| deadline.saturating_add(timer.interval));
    }

    /// Forgets the timers of a process that has ended or loads another program.
    pub fn forget(&mut self, process: i32) {
        self.made.retain(|timer| timer.key.0 != process);
    }

    fn find(&mut self, key: TimerKey) -> Option<&mut PosixTimer> {
        self.made.iter_mut().find(|timer| timer.key == key)
    }
}

impl PosixTimer {
    fn send(&self) {
        let Some((signal, value)) = self.signal else { return };
        let (process, timer) = self.key;
        // One that comes again and again counts what it could not send; it does not send it later.
        if self.interval > 0 && signal >= FIRST_QUEUED && self.waits(signal) {
            return;
        }
        let information = Information {
            signal,
            errno: 0,
            code: libc::SI_TIMER,
            padding: 0,
            timer,
            overrun: 0,
            value,
            rest: [0; 12],
        };
        // SAFETY: `information` is as large as a `siginfo_t`, and lives through the call. Who is gone gets no signal.
        unsafe {
            match self.thread {
                Some(thread) => libc::syscall(
                    libc::SYS_rt_tgsigqueueinfo,
                    process,
                    thread,
                    signal,
                    &raw const information,
                ),
                None => libc::syscall(libc::SYS_rt_sigqueueinfo, process, signal, &raw const information),
            }
        };
    }

    /// Whether its last signal still waits to be received.
    fn waits(&self, signal: i32) -> bool {
        let (who, key) = self.thread.map_or((self.key.0, "ShdPnd:"), |thread| (thread, "SigPnd:"));
        let status = crate::sandbox::proc_text(who, "status").unwrap_or_default();
        let waiting = status.lines().find_map(|line| line.strip_prefix(key));
        let set = waiting.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0);
        set & (1 << (signal - 1)) != 0
    }

    /// What stands in an `itimerspec` of it.
    fn setting(&self, now: u64) -> (u64, u64) {
        match self.deadline {
            // 0 would mean that it is not set.
            Some(deadline) => (self.interval, deadline.saturating_sub(now).max(1)),
            None => (0, 0),
        }
    }
}

impl Tracer {
    /// At the exit of `timer_create`: learns whom the timer tells, and how.
    pub(super) fn learn_posix_timer(&mut self, pid: i32, entry: &Entry) {
        let (a, process) = (entry.arguments, self.threads[&pid].process);
        let number = |place: u64| memory::u32(pid, place).map(|number| number as i32);
        let Some(id) = number(a[2]) else { return };
        let (mut signal, mut thread) = (Some((libc::SIGALRM, id as u64)), None);
        if a[1] != 0 {
            let how = number(a[1] + NOTIFY).unwrap_or(libc::SIGEV_NONE);
            let told = number(a[1] + SIGNAL).zip(memory::u64(pid, a[1]));
            signal = told.filter(|_| how != libc::SIGEV_NONE);
            if how & libc::SIGEV_THREAD_ID != 0 {
                let Some(told) = number(a[1] + THREAD).and_then(|inner| self.thread_of(process, inner))
                else {
                    return;
                };
                thread = Some(told);
            }
        }
        let key = (process, id);
        self.timers.posix.made.retain(|timer| timer.key != key);
        let clock = a[0] as i32;
        self.timers.posix.made.push(PosixTimer { key, clock, signal, thread, deadline: None, interval: 0 });
    }

    /// The thread of a process that the program itself knows by this number.
    fn thread_of(&self, process: i32, inner: i32) -> Option<i32> {
        let own = self.threads.iter().filter(|(_, thread)| thread.process == process);
        own.map(|(pid, _)| *pid).find(|pid| descriptors::status_number(*pid, "NSpid:") == Some(inner))
    }

    /// At the entry of a call on a POSIX timer: answers it, where the timer goes by a clock of ours.
    pub(super) fn take_posix_timer(&mut self, pid: i32, entry: &Entry) {
        let (a, process) = (entry.arguments, self.threads[&pid].process);
        let key = (process, a[0] as i32);
        let clock = &self.shared.clock;
        let Some(timer) = self.timers.posix.find(key).filter(|timer| clock.is_ours(timer.clock)) else {
            return;
        };
        let (interval, left) = timer.setting(clock.passed());
        match entry.number {
            libc::SYS_timer_gettime if write_setting(pid, a[1], interval, left) => {
                skip_call(pid, 0);
            }
            libc::SYS_timer_settime => {
                // What is not valid is refused by the kernel.
                let Some((every, value)) = asked(pid, a[2]) else { return };
                let after = match a[1] as i32 & libc::TIMER_ABSTIME {
                    0 => value,
                    _ => value.saturating_sub(clock.seen(timer.clock)),
                };
                timer.interval = every;
                timer.deadline = (value > 0).then(|| clock.passed().saturating_add(after));
                if a[3] != 0 {
                    write_setting(pid, a[3], interval, left);
                }
                skip_call(pid, 0);
            }
            libc::SYS_timer_delete => self.timers.posix.made.retain(|timer| timer.key != key),
            _ => {}
        }
    }
}

/// An `itimerspec` in a program's memory, as interval and value in nanoseconds.
fn asked(pid: i32, place: u64) -> Option<(u64, u64)> {
    let time = |place: u64| {
        let nanoseconds = memory::u64(pid, place.wrapping_add(8)).filter(|part| *part < SECOND)?;
        let seconds = memory::u64(pid, place).filter(|seconds| i64::try_from(*seconds).is_ok())?;
        Some(seconds.saturating_mul(SECOND).saturating_add(nanoseconds))
    };
    Some((time(place)?, time(place.wrapping_add(16))?))
}
