//! Serves the stops at the entry and exit of a recorded call, and at signals, for the recorder's thread.

use crate::recording::{Act, Disposition, Event, Object, Outcome};

use super::decode::{self, View};
use super::ptrace::{self, Entry};
use super::registers;
use super::state::Call;
use super::syscalls;
use super::trace::{Tracer, same_call};

// Of include/linux/errno.h: how the kernel says that a signal interrupted a call. Programs never see these.
const ERESTARTSYS: i64 = 512;
const ERESTARTNOINTR: i64 = 513;
const ERESTARTNOHAND: i64 = 514;
const ERESTART_RESTARTBLOCK: i64 = 516;

/// `si_code` of a SIGSYS that a seccomp filter raised.
const SYS_SECCOMP: i32 = 1;

/// How many bytes of stream payload a recording keeps whole; later ones keep their head only.
const PAYLOADS: usize = 1 << 20;
/// Larger pieces of a stream keep their head only.
const STREAM_PIECE: usize = 4 << 10;

impl Tracer {
    /// A recorded call is about to begin.
    pub(super) fn entry(&mut self, pid: i32) {
        let Some(entry) = ptrace::entry(pid) else { return self.go_on(pid, 0) };
        if self.clock_read(pid, &entry) || self.is_restart(pid, &entry) {
            return;
        }
        let process = self.threads[&pid].process;
        let Some(known) = self.processes.get_mut(&process) else { return self.go_on(pid, 0) };
        let names = &self.trees[known.tree].names;
        let clock = &self.shared.clock;
        let mut view = View { thread: pid, process, objects: &mut known.objects, names, clock };
        let Some(asked) = decode::enter(&mut view, &entry) else { return self.go_on(pid, 0) };
        if self.is_held_before(pid, &asked.act) {
            return;
        }
        self.steps_into_call(pid, &asked.act);
        let Some(known) = self.processes.get_mut(&process) else { return self.go_on(pid, 0) };
        if decode::is_timer(entry.number) {
            known.timers = true;
            self.shared.timers_used();
        }
        if let Act::SignalAction { signal, handler, restart, .. } = asked.act {
            known.signals.insert(signal, (handler, restart));
        }
        self.shared.clock.work_was_done();
        let name = syscalls::name(entry.number);
        for (fd, object) in asked.closes {
            let (last, unread) = self.about_to_close(process, fd, &object);
            self.record(pid, &name, Some(fd), Act::Close { object, last, unread }, Outcome::Ok(0));
        }
        let mut act = asked.act;
        if let (Act::Close { object, last, unread }, Some(fd)) = (&mut act, asked.fd) {
            (*last, *unread) = self.about_to_close(process, fd, object);
        }
        if let Act::Send { object, payload, .. } = &mut act {
            self.bound_payload(object, payload);
        }
        let untimed = self.waits_for_ever(&act);
        if !asked.exit {
            // Its outcome is known: what is open can be closed, and a handler can be set.
            let open = !matches!(&act, Act::Close { object: Object::Other(kind), .. } if kind.is_empty());
            let outcome = if open { Outcome::Ok(0) } else { Outcome::Err(libc::EBADF) };
            let closing = asked.fd.filter(|_| matches!(act, Act::Close { .. }));
            self.record(pid, &name, asked.fd, act, outcome);
            if let Some(thread) = self.threads.get_mut(&pid) {
                thread.closing = closing;
            }
            return self.go_on(pid, 0);
        }
        let event = self.record(pid, &name, asked.fd, act, Outcome::Pending);
        let mut call = Call::new(event, entry);
        self.forge(pid, &mut call);
        if self.shared.clock.skips() {
            self.take_alarm(pid, &entry);
            self.take_posix_timer(pid, &entry);
        }
        self.shared.publish(pid, event.filter(|_| untimed));
        if let Some(thread) = self.threads.get_mut(&pid) {
            thread.call = Some(call);
        }
        self.begin(pid);
    }

    /// A call that a signal had interrupted begins again: it stays one event.
    fn is_restart(&mut self, pid: i32, entry: &Entry) -> bool {
        let thread = self.threads.get_mut(&pid).expect("only known threads are served");
        let restarts = |call: &Call| entry.number == libc::SYS_restart_syscall || same_call(call, entry);
        let Some(call) = thread.interrupted.take_if(|call| restarts(call)) else {
            // A restart of a call that was never seen is nothing to record.
            if entry.number == libc::SYS_restart_syscall {
                self.go_on(pid, 0);
                return true;
            }
            return false;
        };
        let event = call.event;
        thread.call = Some(call);
        let mut untimed = false;
        let place = event;
        let mut act = None;
        self.edit(place, |event| {
            event.restarts += 1;
            act = Some(event.act.clone());
        });
        if let Some(act) = act {
            untimed = self.waits_for_ever(&act);
        }
        self.shared.publish(pid, event.filter(|_| untimed));
        self.begin(pid);
        true
    }

    /// Only raw and datagram payloads are kept whole (headers are judged there); of streams, small pieces.
    fn bound_payload(&mut self, object: &Object, payload: &mut Option<Vec<u8>>) {
        let Some(bytes) = payload else { return };
        let stream = self.known.kinds.get(object).is_none_or(|kind| *kind == libc::SOCK_STREAM);
        if stream && (bytes.len() > STREAM_PIECE || self.known.kept + bytes.len() > PAYLOADS) {
            *payload = None;
        } else {
            self.known.kept += bytes.len();
        }
    }

    /// Whether a call, if it blocks, ends only by what others do.
    fn waits_for_ever(&self, act: &Act) -> bool {
        match act {
            Act::Receive { object, .. } | Act::Send { object, .. } | Act::Accept { listener: object, .. } => {
                !self.known.is_timed(object)
            }
            Act::Read { object, .. } | Act::Write { object, .. } => {
                !matches!(object, Object::Other(kind) if kind.contains("timerfd"))
            }
            Act::WaitReady { timeout, .. } | Act::WaitThread { timeout } => timeout.is_none(),
            Act::Reap { .. } | Act::Fork { vfork: true, .. } => true,
            Act::Sleep { asked } => asked.is_none(),
            _ => false,
        }
    }

    /// A call is over.
    pub(super) fn leave(&mut self, pid: i32) {
        let result = ptrace::result(pid);
        let thread = self.threads.get_mut(&pid).expect("only known threads are served");
        let (Some(mut call), Some(result)) = (thread.call.take(), result) else { return self.go_on(pid, 0) };
        self.shared.publish(pid, None);
        let result = self.put_right(pid, &mut call, result);
        let result = self.give_timeout_back(pid, &mut call, result);
        if result >= 0 && self.shared.clock.skips() {
            self.timer_call_ended(pid, &call.entry);
        }
        if matches!(-result, ERESTARTSYS | ERESTARTNOINTR | ERESTARTNOHAND | ERESTART_RESTARTBLOCK) {
            if let Some(thread) = self.threads.get_mut(&pid) {
                call.interruption = -result;
                thread.interrupted = Some(call);
            }
            return self.go_on(pid, 0);
        }
        let act = self.complete(pid, &call, result);
        if let Some(act) = act.filter(|_| result >= 0) {
            if self.is_held_after(pid, &act) || self.is_parked(pid, &act) || self.sleeps_on(pid, &act) {
                return;
            }
        }
        self.go_on(pid, 0);
    }

    /// Writes down what a call returned; the act as it is now known.
    fn complete(&mut self, pid: i32, call: &Call, result: i64) -> Option<Act> {
        let process = self.threads[&pid].process;
        let mut act = None;
        self.edit(call.event, |event| act = Some(event.act.clone()));
        let (Some(mut act), Some(known)) = (act, self.processes.get_mut(&process)) else { return None };
        let names = &self.trees[known.tree].names;
        let clock = &self.shared.clock;
        let mut view = View { thread: pid, process, objects: &mut known.objects, names, clock };
        decode::leave(&mut view, &call.entry, &mut act, result);
        if result >= 0 {
            self.known.learn(&act);
        }
        let now = self.shared.clock.now();
        self.edit(call.event, |event| {
            event.exit = now;
            event.outcome = match result {
                result if result == -i64::from(libc::EINTR) => Outcome::Interrupted,
                result if result < 0 => Outcome::Err(i32::try_from(-result).unwrap_or(0)),
                result => Outcome::Ok(result),
            };
            event.act = act.clone();
        });
        Some(act)
    }

    /// A signal is about to be delivered: one of the filter's, which says that a call was refused, or a real one.
    pub(super) fn signal(&mut self, pid: i32, signal: i32) {
        let information = ptrace::signal_information(pid);
        let refusal =
            information.as_ref().filter(|about| signal == libc::SIGSYS && about.si_code == SYS_SECCOMP);
        if let Some(about) = refusal {
            return self.refused(pid, about.si_errno);
        }
        if signal == libc::SIGTRAP && self.is_step(pid, information.as_ref()) {
            return self.go_on(pid, 0);
        }
        let (process, now) = (self.threads[&pid].process, self.shared.clock.now());
        let (disposition, restart) = self
            .processes
            .get(&process)
            .map_or((Disposition::Default, true), |process| process.signal(signal));
        if disposition == Disposition::Handler {
            let thread = self.threads.get_mut(&pid).expect("only known threads are served");
            // signal(7): what a handler ends, and what begins again behind it.
            let ended = thread.interrupted.take_if(|call| match call.interruption {
                ERESTARTNOHAND | ERESTART_RESTARTBLOCK => true,
                ERESTARTSYS => !restart,
                _ => false,
            });
            self.edit(ended.and_then(|call| call.event), |event: &mut Event| {
                event.outcome = Outcome::Interrupted;
                event.exit = now;
            });
        }
        self.record(pid, "signal", None, Act::SignalDelivered { signal }, Outcome::Ok(0));
        self.go_on(pid, signal);
    }

    /// The filter has skipped a call; the program is told the errno instead of dying of SIGSYS.
    fn refused(&mut self, pid: i32, errno: i32) {
        if let Some(mut registers) = registers::get(pid) {
            let entry = registers.entry();
            let act = Act::Other { arguments: entry.arguments.to_vec() };
            self.record(pid, &syscalls::name(entry.number), None, act, Outcome::Refused(errno));
            registers.set_result(-i64::from(errno));
            registers::set(pid, &registers);
        }
        self.go_on(pid, 0);
    }
}
