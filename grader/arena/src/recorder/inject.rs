//! Forges results of system calls, only where the kernel could give them, and lets the kernel do the rest: of a
//! shortened send exactly so many bytes leave, and whether a call that met a signal is restarted or ends with EINTR is
//! the kernel's own decision.
//!
//! Every injection applies call by call, and only to calls for which its precondition holds: short counts on stream
//! sockets alone (a datagram is never cut), signals only where the program does not block them. A call that the kernel
//! restarts is never injected into again.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;

use crate::recording::{Act, Disposition, descends};
use crate::verdict::Breakdown;

use super::descriptors;
use super::memory;
use super::registers;
use super::state::Call;
use super::trace::Tracer;
use super::{CallKind, Injection};

/// No check needs more injected results than this in one process.
const MOST: u32 = 100_000;

/// The injections that the bench asked for.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    who: String,
    injection: Injection,
    /// How often it was used, by process: the order in which processes call is not the same in every run.
    used: BTreeMap<String, u32>,
}

/// What was changed at the entry of a call.
#[derive(Clone, Debug)]
pub enum Forged {
    /// The register of an argument, with what the program had there.
    Argument(usize, u64),
    /// Places in the program's memory, with what stood there.
    Memory(Vec<(u64, Vec<u8>)>),
    /// The call is skipped, and ends as the kernel ends one that a signal interrupts.
    Interrupted(i64),
}

impl Rules {
    /// Adds an injection for a program and its children.
    pub fn add(&mut self, who: &str, injection: Injection) -> Result<(), Breakdown> {
        match &injection {
            Injection::Signal { signal, .. } if Signal::try_from(*signal).is_err() => {
                return Err(Breakdown::new(format!("{signal} is no signal"), "mend the check"));
            }
            _ => {}
        }
        self.rules.push(Rule { who: who.to_string(), injection, used: BTreeMap::new() });
        Ok(())
    }

    fn has_signals(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.injection, Injection::Signal { .. }))
    }

    /// The first injection for this process that `fits` and is not used up; it counts as used.
    fn take(&mut self, who: &str, fits: impl Fn(&Injection) -> bool) -> Option<Injection> {
        let rule = self.rules.iter_mut().find(|rule| {
            let used = rule.used.get(who).copied().unwrap_or(0);
            descends(who, &rule.who) && used < rule.injection.calls().min(MOST) && fits(&rule.injection)
        })?;
        *rule.used.entry(who.to_string()).or_default() += 1;
        Some(rule.injection.clone())
    }
}

impl Injection {
    fn calls(&self) -> u32 {
        match self {
            Self::ShortSend { calls, .. }
            | Self::ShortReceive { calls, .. }
            | Self::Signal { calls, .. }
            | Self::AbortedConnection { calls } => *calls,
        }
    }
}

impl Tracer {
    /// Changes a call at its entry if an injection asks for it.
    pub(super) fn forge(&mut self, pid: i32, call: &mut Call) {
        let Some(process) = self.processes.get(&self.threads[&pid].process) else { return };
        let who = process.who.clone();
        let act = call.event.and_then(|place| Some(self.shared.recording().events.get(place)?.act.clone()));
        let Some(act) = act else { return };
        match act {
            Act::Send { ref object, asked, .. } if self.known.is_stream(object) => {
                let fits = |injection: &Injection| matches!(injection, Injection::ShortSend { most, .. } if *most < asked && *most > 0);
                if let Some(Injection::ShortSend { most, .. }) = self.rules.take(&who, fits) {
                    self.shorten(pid, call, most, "send took only");
                }
            }
            Act::Receive { ref object, room, flags, .. } if self.known.is_stream(object) => {
                // A receive that waits for all gives less only where a handler runs: that is not forged.
                let whole = flags & libc::MSG_WAITALL != 0;
                let fits = |injection: &Injection| matches!(injection, Injection::ShortReceive { most, .. } if *most < room && *most > 0 && !whole);
                if let Some(Injection::ShortReceive { most, .. }) = self.rules.take(&who, fits) {
                    self.shorten(pid, call, most, "receive gave at most");
                } else {
                    self.meet_signal(pid, call, &who, CallKind::Receive, self.known.is_timed(object));
                }
            }
            Act::Receive { ref object, .. } => {
                self.meet_signal(pid, call, &who, CallKind::Receive, self.known.is_timed(object));
            }
            Act::Accept { ref listener, .. } => {
                let timed = self.known.is_timed(listener);
                let aborts = |injection: &Injection| matches!(injection, Injection::AbortedConnection { .. });
                if self.rules.take(&who, aborts).is_some() {
                    self.skip(
                        pid,
                        call,
                        -i64::from(libc::ECONNABORTED),
                        "accept failed with ECONNABORTED (accept(2))",
                    );
                } else {
                    self.meet_signal(pid, call, &who, CallKind::Accept, timed);
                }
            }
            Act::Reap { nohang: false, .. } => self.meet_signal(pid, call, &who, CallKind::Wait, false),
            Act::Sleep { asked } if asked != Some(0) => {
                self.meet_signal(pid, call, &who, CallKind::Sleep, false)
            }
            _ => {}
        }
    }

    fn note_injection(&mut self, call: &Call, words: String) {
        self.edit(call.event, |event| event.injected = Some(words));
    }

    /// Lets a call have only so many bytes.
    fn shorten(&mut self, pid: i32, call: &mut Call, most: u64, words: &str) {
        let forged = match call.entry.number {
            libc::SYS_read | libc::SYS_write | libc::SYS_sendto | libc::SYS_recvfrom => {
                set_argument(pid, 2, most).map(|before| Forged::Argument(2, before))
            }
            libc::SYS_sendfile => set_argument(pid, 3, most).map(|before| Forged::Argument(3, before)),
            libc::SYS_splice => set_argument(pid, 4, most).map(|before| Forged::Argument(4, before)),
            libc::SYS_readv | libc::SYS_writev => {
                shorten_parts(pid, call.entry.arguments[1], call.entry.arguments[2], most)
            }
            libc::SYS_sendmsg | libc::SYS_recvmsg => memory::message(pid, call.entry.arguments[1])
                .and_then(|message| shorten_parts(pid, message.parts.0, message.parts.1, most)),
            _ => None,
        };
        if forged.is_some() {
            self.note_injection(call, format!("{words} {most} bytes"));
            call.forged = forged;
        }
    }

    /// Lets a call not happen and return this.
    fn skip(&mut self, pid: i32, call: &mut Call, result: i64, words: &str) {
        if skip_call(pid, result) {
            self.note_injection(call, words.to_string());
        }
    }

    /// Sends a signal that meets the call before it blocks.
    fn meet_signal(&mut self, pid: i32, call: &mut Call, who: &str, kind: CallKind, timed: bool) {
        let Some(process) = self.processes.get(&self.threads[&pid].process) else { return };
        // A call that does not block is never ended by a signal.
        let on_socket = matches!(kind, CallKind::Receive | CallKind::Accept);
        if on_socket && self.rules.has_signals() && does_not_block(process.pid, call) {
            return;
        }
        let may_meet = |injection: &Injection| match injection {
            Injection::Signal { kind: wanted, signal, .. } if *wanted == kind => {
                // signal(7): without a handler, only a call with a timeout on its socket ends early (after a stop).
                (process.signal(*signal).0 == Disposition::Handler || timed) && !is_blocked(pid, *signal)
            }
            _ => false,
        };
        let Some(Injection::Signal { signal, .. }) = self.rules.take(who, may_meet) else { return };
        let handled = process.signal(signal).0 == Disposition::Handler;
        let group = process.pid;
        if handled {
            // SAFETY: tgkill takes integers only.
            unsafe { libc::syscall(libc::SYS_tgkill, group, pid, signal) };
        }
        let name = Signal::try_from(signal).map_or("a signal", Signal::as_str);
        if kind == CallKind::Sleep {
            // The kernel ends a sleep before it has begun when a signal waits, and keeps the books of what is left.
            return self.note_injection(call, format!("{name} came just before it slept"));
        }
        // The call itself must not run: it could bring data, and no signal is noticed then.
        if skip_call(pid, 0) {
            let errno = if timed { libc::EINTR } else { 512 };
            call.forged = Some(Forged::Interrupted(-i64::from(errno)));
            self.note_injection(call, format!("{name} came just before it waited"));
        }
    }

    /// Undoes at the exit of a call what was changed at its entry; the result as the program will see it.
    pub(super) fn put_right(&mut self, pid: i32, call: &mut Call, result: i64) -> i64 {
        match call.forged.take() {
            None => result,
            Some(Forged::Argument(index, before)) => {
                set_argument(pid, index, before);
                result
            }
            Some(Forged::Memory(places)) => {
                for (address, before) in places {
                    memory::write(pid, address, &before);
                }
                result
            }
            Some(Forged::Interrupted(result)) => {
                let Some(mut registers) = registers::get(pid) else { return result };
                registers.set_number(pid, call.entry.number);
                registers.set_result(result);
                registers::set(pid, &registers);
                result
            }
        }
    }
}

/// Changes an argument of the call at whose entry or exit a thread stands; returns what it was.
pub fn set_argument(pid: i32, index: usize, value: u64) -> Option<u64> {
    let mut registers = registers::get(pid)?;
    let before = std::mem::replace(registers.argument(index), value);
    registers::set(pid, &registers).then_some(before)
}

/// At the entry of a call: lets it not happen and return this.
pub fn skip_call(pid: i32, result: i64) -> bool {
    let Some(mut registers) = registers::get(pid) else { return false };
    registers.set_result(result);
    registers.set_number(pid, -1) && registers::set(pid, &registers)
}

/// Cuts an `iovec` array in the program's memory so that it holds only so many bytes.
fn shorten_parts(pid: i32, address: u64, count: u64, most: u64) -> Option<Forged> {
    let parts = memory::parts(pid, address, count);
    let (mut left, mut places) = (most, Vec::new());
    for (index, part) in parts.iter().enumerate() {
        let kept = part.length.min(left);
        left -= kept;
        if kept < part.length {
            let place = address + index as u64 * 16 + 8;
            if !memory::write(pid, place, &kept.to_ne_bytes()) {
                // Constant memory cannot be changed: what was cut so far is put back, and the call runs whole.
                places.iter().for_each(|(place, before): &(u64, Vec<u8>)| {
                    memory::write(pid, *place, before);
                });
                return None;
            }
            places.push((place, part.length.to_ne_bytes().to_vec()));
        }
    }
    Some(Forged::Memory(places))
}

/// Whether a receive or accept returns at once, because of its descriptor or its flags.
fn does_not_block(process: i32, call: &Call) -> bool {
    let a = call.entry.arguments;
    let flags = match call.entry.number {
        libc::SYS_recvfrom => a[3],
        libc::SYS_recvmsg => a[2],
        _ => 0,
    };
    let flags_of = |fd| nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_GETFL).ok();
    let status = descriptors::copy(process, a[0] as i32).and_then(flags_of).unwrap_or(0);
    flags as i32 & libc::MSG_DONTWAIT != 0 || status & libc::O_NONBLOCK != 0
}

/// Whether a thread blocks a signal.
fn is_blocked(pid: i32, signal: i32) -> bool {
    let status = crate::sandbox::proc_text(pid, "status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    signal > 0 && mask >> (signal - 1) & 1 == 1
}
