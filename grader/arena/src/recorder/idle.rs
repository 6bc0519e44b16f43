//! Time that costs none: while every thread of every program sleeps, and the bench waits too, the programs' clock jumps
//! to the next deadline.
//!
//! A call with a timeout is made to wait for ever (a sleep becomes a wait for a signal), and its deadline is kept here.
//! When its time has come it is interrupted, and ends as it would have by itself. So signals reach a sleeping program
//! as always, and to others it looks asleep. The clock of the vDSO is switched off when a program is loaded, and every
//! reading of a clock answered from here.

use std::time::{Duration, Instant};

use crate::recording::{Act, Object};

use super::decode;
use super::inject::skip_call;
use super::memory;
use super::ptrace::{self, Entry};
use super::registers;
use super::shared::state;
use super::state::Call;
use super::timers::TimerKey;
use super::trace::Tracer;

/// Between two looks at whether all threads sleep; it grows while they do not.
const FIRST_LOOK: Duration = Duration::from_micros(150);
const LAST_LOOK: Duration = Duration::from_millis(2);
/// The kernel has timers of its own (delayed acknowledgements, repeats) that no look at threads can see: while
/// streams are involved, all must sleep for so long.
const STREAM_GRACE: Duration = Duration::from_millis(60);

const AT_NULL: u64 = 0;
const AT_IGNORE: u64 = 1;
const AT_SYSINFO_EHDR: u64 = 33;

/// What a call whose timeout was taken over returns when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A sleep: 0; where the rest is written when a signal ends it.
    Sleep(u64),
    /// select, poll, epoll: nothing is ready; where the rest is written back, and in which unit.
    Ready(Option<(u64, Unit)>),
    /// A wait between threads: ETIMEDOUT.
    Threads,
    /// A call on a socket with a timeout: EAGAIN.
    Socket,
    /// A wait for a signal: EAGAIN.
    Signal,
}

/// The smaller half of a time in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// As in `timespec`.
    Nanoseconds,
    /// As in `timeval`.
    Microseconds,
}

/// A timeout that was taken over.
#[derive(Clone, Copy, Debug)]
pub struct Timeout {
    /// When it ends, as time passed on the programs' clock.
    pub deadline: u64,
    /// What it is.
    pub wait: Wait,
    /// Whether it was interrupted because its time has come.
    pub expired: bool,
    /// Whether its registers are changed at the moment.
    taken: bool,
}

/// What is due at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// The timeout of this thread's call ends.
    Timeout(i32),
    /// This process gets SIGALRM.
    Alarm(i32),
    /// This timer descriptor becomes readable.
    Timer(TimerKey),
    /// This timer of `timer_create` sends its signal.
    Posix(TimerKey),
}

/// How long all threads have slept.
#[derive(Debug)]
pub struct Idle {
    since: Option<(Instant, Vec<(i32, u64)>)>,
    look: Duration,
}

impl Default for Idle {
    fn default() -> Self {
        Self { since: None, look: FIRST_LOOK }
    }
}

impl Tracer {
    /// Switches off the vDSO of a program that was just loaded, so that its clock is ours.
    pub(super) fn skip_vdso(&self, pid: i32) {
        if !self.shared.clock.skips() {
            return;
        }
        let Some(registers) = registers::get(pid) else { return };
        let stack = memory::bytes(pid, registers.stack(), 1 << 20);
        let words: Vec<u64> =
            stack.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap_or([0; 8]))).collect();
        // argc, argv, 0, envp, 0, then the auxiliary vector in pairs (elf(5)).
        let Some(arguments) = words.first() else { return };
        let environment = *arguments as usize + 2;
        let Some(length) =
            words.get(environment..).and_then(|words| words.iter().position(|word| *word == 0))
        else {
            return;
        };
        let mut at = environment + length + 1;
        while let (Some(key), Some(_)) = (words.get(at), words.get(at + 1)) {
            if *key == AT_SYSINFO_EHDR {
                memory::write(pid, registers.stack() + at as u64 * 8, &AT_IGNORE.to_ne_bytes());
            }
            if *key == AT_NULL {
                return;
            }
            at += 2;
        }
    }

    /// Answers a reading of a clock. These are never recorded.
    pub(super) fn clock_read(&mut self, pid: i32, entry: &Entry) -> bool {
        let a = entry.arguments;
        let clock = match entry.number {
            libc::SYS_clock_gettime => a[0] as i32,
            libc::SYS_gettimeofday => libc::CLOCK_REALTIME,
            number if is_time(number) => libc::CLOCK_REALTIME,
            _ => return false,
        };
        let skipping = self.shared.clock.skips();
        if let Some(now) = skipping.then(|| self.shared.clock.program_reads(clock)).flatten() {
            let written = match entry.number {
                libc::SYS_clock_gettime => write_time(pid, a[1], now, Unit::Nanoseconds),
                libc::SYS_gettimeofday => a[0] == 0 || write_time(pid, a[0], now, Unit::Microseconds),
                _ => a[0] == 0 || memory::write(pid, a[0], &(now / 1_000_000_000).to_ne_bytes()),
            };
            let result = if is_time(entry.number) { (now / 1_000_000_000) as i64 } else { 0 };
            if written {
                skip_call(pid, result);
            }
        }
        self.go_on(pid, 0);
        true
    }

    /// Lets a thread into the call that it stands before; if that has a timeout, takes the timeout over.
    pub(super) fn begin(&mut self, pid: i32) {
        if self.shared.clock.skips() {
            self.take_timeout(pid);
        }
        self.go_on(pid, 0);
    }

    fn take_timeout(&mut self, pid: i32) {
        let Some(call) = self.threads.get(&pid).and_then(|thread| thread.call.as_ref()) else { return };
        if call.forged.is_some() {
            return;
        }
        let act = call.event.and_then(|place| Some(self.shared.recording().events.get(place)?.act.clone()));
        let entry = call.entry;
        let kept = call.timeout;
        let Some((asked, wait)) = act.and_then(|act| self.timed_wait(&act, &entry)) else { return };
        // A call that began again after a signal keeps its deadline.
        let deadline =
            kept.map_or_else(|| self.shared.clock.passed().saturating_add(asked), |kept| kept.deadline);
        if let Some(mut registers) = registers::get(pid) {
            match wait {
                Wait::Sleep(_) => {
                    // ppoll(NULL, 0, NULL, NULL): waits for a signal, and ends as a sleep does.
                    (0..5).for_each(|index| *registers.argument(index) = 0);
                    registers.set_number(pid, libc::SYS_ppoll);
                }
                Wait::Ready(_) => {
                    if let Some((index, form)) = decode::timeout_argument(entry.number) {
                        let for_ever = if form == decode::Timeout::Milliseconds { u64::MAX } else { 0 };
                        *registers.argument(index) = for_ever;
                    }
                }
                Wait::Threads => *registers.argument(3) = 0,
                Wait::Signal => *registers.argument(2) = 0,
                Wait::Socket => {}
            }
            registers::set(pid, &registers);
        }
        if let Some(call) = self.threads.get_mut(&pid).and_then(|thread| thread.call.as_mut()) {
            call.timeout = Some(Timeout { deadline, wait, expired: false, taken: true });
        }
    }

    /// How long a call waits at most, and what kind of wait it is; `None` where it waits for ever or not at all.
    fn timed_wait(&self, act: &Act, entry: &Entry) -> Option<(u64, Wait)> {
        let a = entry.arguments;
        let (asked, wait) = match act {
            Act::Sleep { asked: Some(asked) } => match entry.number {
                libc::SYS_nanosleep => (*asked, Wait::Sleep(a[1])),
                libc::SYS_clock_nanosleep if a[1] as i32 & libc::TIMER_ABSTIME != 0 => {
                    (*asked, Wait::Sleep(0))
                }
                libc::SYS_clock_nanosleep => (*asked, Wait::Sleep(a[3])),
                libc::SYS_rt_sigtimedwait => (*asked, Wait::Signal),
                _ => return None,
            },
            Act::WaitReady { timeout: Some(asked), .. } => {
                let rest = match decode::timeout_argument(entry.number)? {
                    (_, decode::Timeout::Milliseconds) => None,
                    (index, decode::Timeout::Timespec) => Some((a[index], Unit::Nanoseconds)),
                    (index, decode::Timeout::Timeval) => Some((a[index], Unit::Microseconds)),
                };
                (*asked, Wait::Ready(rest))
            }
            Act::WaitThread { timeout: Some(asked) } => (*asked, Wait::Threads),
            Act::Receive { object, .. } | Act::Accept { listener: object, .. } => {
                (self.known.receive_timeout(object)?, Wait::Socket)
            }
            _ => return None,
        };
        (asked > 0).then_some((asked, wait))
    }

    /// At the exit of a call whose timeout was taken over: puts its registers right, and ends it where its time has come.
    pub(super) fn give_timeout_back(&mut self, pid: i32, call: &mut Call, result: i64) -> i64 {
        let Some(timeout) = call.timeout.filter(|timeout| timeout.taken) else { return result };
        call.timeout = Some(Timeout { taken: false, ..timeout });
        let Some(mut registers) = registers::get(pid) else { return result };
        let a = call.entry.arguments;
        (0..6).for_each(|index| *registers.argument(index) = a[index]);
        registers.set_number(pid, call.entry.number);
        let interrupted = matches!(-result, 512..=516) || result == -i64::from(libc::EINTR);
        let result = match timeout.wait {
            _ if !(timeout.expired && interrupted) => result,
            Wait::Sleep(_) | Wait::Ready(_) => 0,
            Wait::Threads => -i64::from(libc::ETIMEDOUT),
            Wait::Socket | Wait::Signal => -i64::from(libc::EAGAIN),
        };
        registers.set_result(result);
        registers::set(pid, &registers);
        let rest = timeout.deadline.saturating_sub(self.shared.clock.passed());
        match timeout.wait {
            Wait::Sleep(place) if place != 0 && result != 0 => {
                write_time(pid, place, rest, Unit::Nanoseconds);
            }
            Wait::Ready(Some((place, unit))) => {
                write_time(pid, place, rest, unit);
            }
            _ => {}
        }
        result
    }

    /// When the thread must look again at whether all sleep; `None` where time is not skipped.
    pub(super) fn next_look(&self) -> Option<Duration> {
        (self.shared.clock.skips() && !self.threads.is_empty() && self.next_deadline().is_some())
            .then_some(self.idle.look)
    }

    fn next_deadline(&self) -> Option<(u64, Due)> {
        let timeouts = self.threads.iter().filter_map(|(pid, thread)| {
            let timeout = thread.call.as_ref()?.timeout?;
            (timeout.taken && !timeout.expired).then_some((timeout.deadline, Due::Timeout(*pid)))
        });
        let alarms =
            self.processes.values().filter_map(|process| Some((process.alarm?.0, Due::Alarm(process.pid))));
        let timers = self.timers.due().map(|(deadline, key)| (deadline, Due::Timer(key)));
        let posix = self.timers.posix.due().map(|(deadline, key)| (deadline, Due::Posix(key)));
        timeouts.chain(alarms).chain(timers).chain(posix).min()
    }

    /// Sets the alarm of `alarm` and `setitimer` on the programs' clock instead of the system's.
    pub(super) fn take_alarm(&mut self, pid: i32, entry: &Entry) {
        let (a, now) = (entry.arguments, self.shared.clock.passed());
        let (value, interval) = if is_alarm(entry.number) {
            (u64::from(a[0] as u32) * 1_000_000_000, 0)
        } else if entry.number == libc::SYS_setitimer && a[0] as i32 == libc::ITIMER_REAL {
            let time = |at: u64| memory::timeval(pid, at).filter(|_| a[1] != 0).unwrap_or(0);
            (time(a[1].wrapping_add(16)), time(a[1]))
        } else if entry.number == libc::SYS_getitimer && a[0] as i32 == libc::ITIMER_REAL {
            return self.tell_alarm(pid, a[1]);
        } else {
            return;
        };
        let process = self.threads[&pid].process;
        let Some(process) = self.processes.get_mut(&process) else { return };
        let before = process.alarm.replace((now.saturating_add(value), interval));
        if value == 0 {
            process.alarm = None;
        }
        let (left, every) = before.map_or((0, 0), |(deadline, every)| (deadline.saturating_sub(now), every));
        if is_alarm(entry.number) {
            skip_call(pid, left.div_ceil(1_000_000_000) as i64);
        } else {
            if a[2] != 0 {
                write_time(pid, a[2], every, Unit::Microseconds);
                write_time(pid, a[2].wrapping_add(16), left, Unit::Microseconds);
            }
            skip_call(pid, 0);
        }
    }

    /// Answers `getitimer`.
    fn tell_alarm(&mut self, pid: i32, place: u64) {
        let alarm = self.processes.get(&self.threads[&pid].process).and_then(|process| process.alarm);
        let (deadline, every) = alarm.unwrap_or((0, 0));
        let left = deadline.saturating_sub(self.shared.clock.passed());
        let written = write_time(pid, place, every, Unit::Microseconds)
            && write_time(pid, place.wrapping_add(16), left, Unit::Microseconds);
        if written {
            skip_call(pid, 0);
        }
    }

    /// The moment of an alarm has come.
    fn ring(&mut self, pid: i32) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        process.alarm = process
            .alarm
            .filter(|(_, every)| *every > 0)
            .map(|(at, every)| (at.saturating_add(every), every));
        // SAFETY: kill takes integers only.
        unsafe { libc::kill(pid, libc::SIGALRM) };
    }

    /// Jumps to the next deadline if all threads sleep and the bench waits.
    pub(super) fn look_whether_idle(&mut self) {
        let Some((deadline, due)) = self.next_deadline() else { return };
        if !self.shared.bench_waits() || !self.all_sleep() {
            self.idle.since = None;
            self.idle.look = FIRST_LOOK;
            return;
        }
        let switches = self.switches();
        match &self.idle.since {
            Some((since, before)) if *before == switches => {
                if since.elapsed() < self.grace() {
                    self.idle.look = (self.idle.look * 2).min(LAST_LOOK);
                    return;
                }
            }
            _ => {
                self.idle = Idle { since: Some((Instant::now(), switches)), look: FIRST_LOOK };
                return;
            }
        }
        self.idle = Idle::default();
        // The bench may have begun to act since: then nothing jumps.
        if !self.shared.jump(deadline) {
            return;
        }
        match due {
            Due::Alarm(pid) => self.ring(pid),
            Due::Timer(key) => self.timers.expire(key),
            Due::Posix(key) => self.timers.posix.ring(key),
            Due::Timeout(pid) => {
                let call = self.threads.get_mut(&pid).and_then(|thread| thread.call.as_mut());
                if let Some(timeout) = call.and_then(|call| call.timeout.as_mut()) {
                    timeout.expired = true;
                }
                let _ = ptrace::interrupt(pid);
            }
        }
    }

    fn all_sleep(&self) -> bool {
        self.threads.iter().all(|(pid, thread)| {
            let waits = thread.call.is_some() && !self.is_expired(*pid);
            // 'T' and 't': stopped by a signal, until somebody continues it.
            match state(*pid) {
                Some('S') => waits,
                Some('T' | 't') => thread.stopped,
                // Not to be disturbed: a parent waits so for its vfork child. Any other sleep of this kind is short and
                // ends by itself, such as that of a fork on a busy machine.
                Some('D') => {
                    let flags = thread.call.as_ref().and_then(|call| decode::clone_flags(*pid, &call.entry));
                    waits && flags.is_some_and(|flags| flags & libc::CLONE_VFORK as u64 != 0)
                }
                Some('Z') | None => thread.ending,
                _ => false,
            }
        })
    }

    fn is_expired(&self, pid: i32) -> bool {
        let timeout = self.threads.get(&pid).and_then(|thread| thread.call.as_ref()?.timeout);
        timeout.is_some_and(|timeout| timeout.expired)
    }

    /// How often each thread has run: a thread that woke and fell asleep between two looks shows here.
    fn switches(&self) -> Vec<(i32, u64)> {
        let mut switches: Vec<_> = self
            .threads
            .keys()
            .map(|pid| {
                let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
                (*pid, text.split_whitespace().nth(2).and_then(|word| word.parse().ok()).unwrap_or(0))
            })
            .collect();
        switches.sort_unstable();
        switches
    }

    fn grace(&self) -> Duration {
        let recording = self.shared.recording();
        let waits_on_stream =
            self.threads.values().filter_map(|thread| thread.call.as_ref()?.event).any(|place| {
                let Some(event) = recording.events.get(place) else { return false };
                let stream =
                    |object: &Object| matches!(object, Object::Socket(_)) && self.known.is_stream(object);
                match &event.act {
                    Act::Receive { object, .. } | Act::Send { object, .. } | Act::Connect { object, .. } => {
                        stream(object)
                    }
                    Act::Accept { .. } => true,
                    Act::WaitReady { objects, .. } => objects.iter().any(stream),
                    _ => false,
                }
            });
        if waits_on_stream { STREAM_GRACE } else { Duration::ZERO }
    }
}

#[cfg(target_arch = "x86_64")]
fn is_time(number: i64) -> bool {
    number == libc::SYS_time
}

#[cfg(not(target_arch = "x86_64"))]
fn is_time(_number: i64) -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
fn is_alarm(number: i64) -> bool {
    number == libc::SYS_alarm
}

#[cfg(not(target_arch = "x86_64"))]
fn is_alarm(_number: i64) -> bool {
    false
}

/// Writes a time as `timespec` or `timeval` into a program's memory.
pub fn write_time(pid: i32, place: u64, time: u64, unit: Unit) -> bool {
    let part = match unit {
        Unit::Nanoseconds => time % 1_000_000_000,
        Unit::Microseconds => time % 1_000_000_000 / 1000,
    };
    let bytes = [(time / 1_000_000_000).to_ne_bytes(), part.to_ne_bytes()].concat();
    memory::write(pid, place, &bytes)
}
