//! The recorder's own thread: starts programs, serves every stop of every thread that they have, and reaps them all.
//!
//! Theory of operation. ptrace requests are only valid from the thread that attached, so one thread does everything and
//! never blocks on anything but its one `poll`: on commands, on SIGCHLD (by signalfd: ptrace stops and deaths raise it)
//! and on init's reports. After each wake-up it serves stops until there are none left. It never waits for one process
//! alone: when a pid namespace is torn down, the kernel waits until the tracer has reaped every tracee in it, so a
//! tracer that waits for init first waits for ever.
//!
//! If this thread ends, for whatever reason, the kernel kills every tracee (EXITKILL).

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;

use crate::recording::{Act, Event, Outcome};
use crate::verdict::Breakdown;
use crate::{host, sandbox};

use super::idle::Idle;
use super::inject::Rules;
use super::lockstep::Holds;
use super::ptrace::{self, Stop};
use super::shared::Shared;
use super::state::{Call, KnownObjects, Process, Start, Thread, TracedTree};
use super::timers::Timers;
use super::{Injection, Point, Started, descriptors, syscalls};

/// How long the thread waits for the last processes at the end, after it has killed them.
const END: Duration = Duration::from_secs(3);
/// A SIGCHLD that another thread took would go unnoticed without this.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// More events are counted, not kept: a program that spins makes tens of thousands in a second.
const MOST_EVENTS: usize = 100_000;
/// The same for births and deaths, of which books are kept: what a fork bomb makes in the longest check.
const MOST_VITAL_EVENTS: usize = 400_000;
/// While threads run in lockstep, somebody may be waited for in vain.
const LOOK_SOON: Duration = Duration::from_millis(5);

/// What the bench asks of the recorder's thread.
pub enum Command {
    /// Start a program.
    Start(Box<Start>, Sender<Result<Started, Breakdown>>),
    /// Inject into calls.
    Inject(String, Injection, Sender<Result<(), Breakdown>>),
    /// Hold the next thread that comes to a point.
    Hold(String, Point, Sender<Result<(), Breakdown>>),
    /// How many threads are held.
    Held(String, Sender<Result<usize, Breakdown>>),
    /// Let held threads go on.
    Release(String, Sender<Result<(), Breakdown>>),
    /// Run so many threads in lockstep from their receives to their sends.
    Interleave(String, usize, Sender<Result<bool, Breakdown>>),
    /// Kill everything and end.
    End,
}

/// The state of the recorder's thread.
pub struct Tracer {
    pub(super) shared: Arc<Shared>,
    commands: Receiver<Command>,
    traces: bool,
    signals: SignalFd,
    pub(super) trees: Vec<TracedTree>,
    pub(super) processes: BTreeMap<i32, Process>,
    pub(super) threads: BTreeMap<i32, Thread>,
    /// Threads that stopped before their birth was reported, as they were named then.
    early: BTreeMap<i32, (String, u32)>,
    pub(super) known: KnownObjects,
    pub(super) rules: Rules,
    /// Whether something was recorded since the bench was last told.
    news: bool,
    pub(super) idle: Idle,
    pub(super) timers: Timers,
    pub(super) holds: Holds,
}

impl Tracer {
    /// A tracer for the calling thread, in which SIGCHLD must be blocked.
    pub fn new(shared: Arc<Shared>, commands: Receiver<Command>, traces: bool) -> Result<Self, Breakdown> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .map_err(|error| Breakdown::system("cannot make a signalfd", error))?;
        Ok(Self {
            shared,
            commands,
            traces,
            signals,
            trees: Vec::new(),
            processes: BTreeMap::new(),
            threads: BTreeMap::new(),
            early: BTreeMap::new(),
            known: KnownObjects::default(),
            rules: Rules::default(),
            news: false,
            idle: Idle::default(),
            timers: Timers::default(),
            holds: Holds::default(),
        })
    }

    /// Serves until it is told to end.
    pub fn run(mut self) {
        let mut end: Option<Instant> = None;
        loop {
            while let Ok(command) = self.commands.try_recv() {
                match command {
                    Command::Start(start, reply) => {
                        let _ = reply.send(self.start(*start));
                    }
                    Command::Inject(who, injection, reply) => {
                        let _ = reply.send(self.inject(&who, injection));
                    }
                    Command::Hold(who, point, reply) => {
                        let _ = reply.send(self.needs_tracing().map(|()| self.hold(who, point)));
                    }
                    Command::Held(who, reply) => {
                        let _ = reply.send(Ok(self.held(&who)));
                    }
                    Command::Release(who, reply) => {
                        self.release(&who);
                        let _ = reply.send(Ok(()));
                    }
                    Command::Interleave(who, threads, reply) => {
                        let _ = reply.send(self.needs_tracing().map(|()| self.interleave(who, threads)));
                    }
                    Command::End => {
                        self.trees.iter().filter(|tree| !tree.ended).for_each(|tree| tree.tree.kill());
                        end = Some(Instant::now() + END);
                    }
                }
            }
            self.serve_stops();
            let more = self.run_lockstep();
            self.read_reports();
            self.tell_bench();
            if self.shared.clock.skips() {
                self.look_whether_idle();
            }
            if end.is_some_and(|end| self.trees.iter().all(|tree| tree.ended) || Instant::now() > end) {
                return;
            }
            if !more {
                self.wait();
            }
        }
    }

    fn wait(&mut self) {
        let mut set = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.shared.wake.as_fd(), PollFlags::POLLIN),
        ];
        let waited_for = self.trees.iter().filter(|tree| !tree.reported);
        set.extend(waited_for.map(|tree| PollFd::new(tree.tree.status.as_fd(), PollFlags::POLLIN)));
        // An error (EINTR) only means that the loop looks again.
        let soon = self.lockstep_waits().then_some(LOOK_SOON);
        let longest = self.next_look().or(soon).unwrap_or(LOOK_AGAIN);
        let timeout = TimeSpec::from_duration(longest);
        let _ = ppoll(&mut set, Some(timeout), None);
        while let Ok(Some(_)) = self.signals.read_signal() {}
        let _ = self.shared.wake.read();
    }

    /// Sleeps until a tracee has something to report, at most so long.
    pub(super) fn sleep_until_child(&self, longest: Duration) {
        let mut set = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let _ = ppoll(&mut set, Some(TimeSpec::from_duration(longest)), None);
        while let Ok(Some(_)) = self.signals.read_signal() {}
    }

    pub(super) fn serve_stops(&mut self) {
        while let Some((pid, stop)) = ptrace::poll() {
            self.serve(pid, stop);
        }
    }

    pub(super) fn tell_bench(&mut self) {
        if std::mem::take(&mut self.news) {
            let _ = self.shared.changed.write(1);
        }
    }

    fn start(&mut self, start: Start) -> Result<Started, Breakdown> {
        let Start { who, mut plan, host } = start;
        if self.traces {
            plan.traced_calls = syscalls::numbers();
        }
        let tree = host::enter(host.as_fd(), || sandbox::spawn(plan))
            .map_err(|error| Breakdown::system("cannot enter a host", error))??;
        let init = tree.init.try_clone().map_err(|error| Breakdown::system("cannot keep a pidfd", error))?;
        let started = Started { who: who.clone(), pid: tree.program_pid, init_pid: tree.init_pid, init };
        let (pid, index) = (tree.program_pid, self.trees.len());
        let mut names = BTreeMap::new();
        if self.traces {
            if let Err(error) = ptrace::seize(pid) {
                tree.kill();
                return Err(Breakdown::system(format!("cannot trace {who}"), error));
            }
            let inner_pid = descriptors::status_number(pid, "NSpid:").unwrap_or(pid);
            names.insert(inner_pid, who.clone());
            self.processes.insert(pid, Process::new(who.clone(), index, pid));
            self.threads.insert(pid, Thread::new(pid, 0));
        }
        // Of an unrecorded program this one thread, so that what it waits for a processor is known at least.
        self.shared.publish(pid, None);
        tree.release()?;
        self.shared.tree_started(&who);
        self.trees.push(TracedTree { who, tree, names, reported: false, ended: false });
        Ok(started)
    }

    fn read_reports(&mut self) {
        for tree in self.trees.iter_mut().filter(|tree| !tree.reported) {
            match tree.tree.report() {
                Ok(None) => {}
                Ok(Some(report)) => {
                    self.shared.reported(&tree.who, Ok(report));
                    tree.reported = true;
                    self.news = true;
                }
                Err(breakdown) => {
                    self.shared.reported(&tree.who, Err(breakdown));
                    tree.reported = true;
                    self.news = true;
                }
            }
        }
    }

    pub(super) fn serve(&mut self, pid: i32, stop: Stop) {
        if let Stop::Gone(status) = stop {
            return self.gone(pid, status);
        }
        // A child may stop before its birth is reported by its parent, who may even die before that.
        if !self.threads.contains_key(&pid) {
            let Some(name) = self.adopt(pid) else {
                let _ = ptrace::resume(pid, 0);
                return;
            };
            self.early.insert(pid, name);
        }
        if let Some(thread) = self.threads.get_mut(&pid) {
            thread.stopped = matches!(stop, Stop::Halted(_));
            thread.closing = None;
        }
        match stop {
            Stop::Entry => self.entry(pid),
            Stop::Leave => self.leave(pid),
            Stop::Born(child) => self.born(pid, child),
            Stop::Loaded(former) => self.loaded(pid, former),
            Stop::Ending(status) => self.ending(pid, status),
            Stop::Halted(_) => {
                let _ = ptrace::listen(pid);
            }
            Stop::Trap => self.go_on(pid, 0),
            Stop::Signal(signal) => self.signal(pid, signal),
            Stop::Gone(_) => {}
        }
    }

    /// Lets a thread run: to the exit of its call where that matters.
    pub(super) fn go_on(&mut self, pid: i32, signal: i32) {
        let in_call = self.threads.get(&pid).is_some_and(|thread| thread.call.is_some());
        if !in_call && self.waits_for_turn(pid, signal) {
            return;
        }
        // ESRCH: it was killed, and its death will be reported.
        let _ = if in_call { ptrace::resume_to_exit(pid, signal) } else { ptrace::resume(pid, signal) };
    }

    fn born(&mut self, parent: i32, child: i32) {
        // It may have stopped, and even ended, before this.
        let name = self.early.remove(&child).or_else(|| self.adopt(child));
        let event = self.threads[&parent].call.as_ref().and_then(|call| call.event);
        self.edit(event, |event| match (&mut event.act, name) {
            (Act::Fork { child, .. }, Some((who, _))) => *child = who,
            (Act::Thread { thread }, Some((_, index))) => *thread = index,
            _ => {}
        });
        self.go_on(parent, 0);
    }

    /// Takes a new thread or process into the books: its process's name and its number there. `None` where nobody knows
    /// where it comes from.
    fn adopt(&mut self, pid: i32) -> Option<(String, u32)> {
        let leader = descriptors::status_number(pid, "Tgid:").unwrap_or(pid);
        if leader != pid {
            let process = self.processes.get_mut(&leader)?;
            let index = process.threads;
            process.threads += 1;
            process.alive += 1;
            self.threads.insert(pid, Thread::new(leader, index));
            self.shared.publish(pid, None);
            return Some((process.who.clone(), index));
        }
        let parent = descriptors::status_number(pid, "PPid:").unwrap_or(0);
        let inner_pid = descriptors::status_number(pid, "NSpid:").unwrap_or(pid);
        let process = if let Some(parent) = self.processes.get_mut(&parent) {
            parent.children += 1;
            parent.forked(parent.child_name(), pid)
        } else {
            // Its parent died in the middle of making it.
            let place = self.trees.iter().position(|tree| tree.tree.init_pid == parent)?;
            Process::new(format!("{}.orphan", self.trees[place].who), place, pid)
        };
        let who = process.who.clone();
        self.trees[process.tree].names.insert(inner_pid, who.clone());
        self.processes.insert(pid, process);
        self.threads.insert(pid, Thread::new(pid, 0));
        self.shared.publish(pid, None);
        Some((who, 0))
    }

    fn loaded(&mut self, pid: i32, former: i32) {
        if former != pid {
            // A thread that did not lead called exec: it takes the leader's pid, and all others are gone.
            if let Some(thread) = self.threads.remove(&former) {
                self.never_returned(pid);
                self.threads.insert(pid, thread);
            }
            self.shared.forget(former);
        }
        let process = self.threads[&pid].process;
        if let Some(process) = self.processes.get_mut(&process) {
            process.loaded();
            self.timers.loaded(process.pid);
        }
        self.skip_vdso(pid);
        self.go_on(pid, 0);
    }

    fn ending(&mut self, pid: i32, _status: i32) {
        self.held_no_more(pid);
        self.shared.keep_delay(pid);
        let thread = self.threads.get_mut(&pid).expect("only known threads are served");
        thread.ending = true;
        let process = thread.process;
        self.shared.publish_ending(pid);
        let last = self.processes.get_mut(&process).is_some_and(|process| {
            process.alive = process.alive.saturating_sub(1);
            process.alive == 0
        });
        if last {
            self.left_open(pid, process);
        }
        self.go_on(pid, 0);
    }

    fn gone(&mut self, pid: i32, status: i32) {
        self.held_no_more(pid);
        self.never_returned(pid);
        if let Some(process) = self.threads.get(&pid).map(|thread| thread.process) {
            if process == pid {
                let act = if libc::WIFSIGNALED(status) {
                    Act::Killed { signal: libc::WTERMSIG(status) }
                } else {
                    Act::Exit { code: libc::WEXITSTATUS(status) }
                };
                self.record(pid, "exit", None, act, Outcome::NeverReturned);
                self.processes.remove(&pid);
                self.timers.forget(pid);
            } else if !self.threads[&pid].ending {
                if let Some(process) = self.processes.get_mut(&process) {
                    process.alive = process.alive.saturating_sub(1);
                }
            }
        }
        self.threads.remove(&pid);
        self.shared.forget(pid);
        if let Some(tree) = self.trees.iter_mut().find(|tree| tree.tree.init_pid == pid) {
            tree.ended = true;
            // Init's last words may have come between the last look and its end.
            let who = tree.who.clone();
            self.read_reports();
            self.shared.tree_ended(&who);
            self.news = true;
        }
    }

    /// The call in which a thread was, or that it would have restarted, will never return.
    fn never_returned(&mut self, pid: i32) {
        let Some(thread) = self.threads.get_mut(&pid) else { return };
        let calls = [thread.call.take(), thread.interrupted.take()];
        let now = self.shared.clock.now();
        for call in calls.into_iter().flatten() {
            self.edit(call.event, |event| {
                event.outcome = Outcome::NeverReturned;
                event.exit = now;
            });
        }
    }

    /// Adds an event of a thread, pending where the outcome says so; returns its place.
    pub(super) fn record(
        &mut self,
        pid: i32,
        call: &str,
        fd: Option<i32>,
        act: Act,
        outcome: Outcome,
    ) -> Option<usize> {
        let thread = self.threads.get(&pid)?;
        let who = self.processes.get(&thread.process)?.who.clone();
        let now = self.shared.clock.now();
        let mut recording = self.shared.recording();
        let place = recording.events.len();
        let vital =
            matches!(act, Act::Fork { .. } | Act::Exit { .. } | Act::Killed { .. } | Act::Reap { .. });
        if place >= if vital { MOST_VITAL_EVENTS } else { MOST_EVENTS } {
            recording.lost_events += 1;
            return None;
        }
        recording.events.push(Event {
            seq: place as u64,
            enter: now,
            exit: now,
            who,
            thread: thread.index,
            call: call.to_string(),
            fd,
            act,
            outcome,
            injected: None,
            restarts: 0,
        });
        drop(recording);
        self.news = true;
        Some(place)
    }

    /// Changes an event that was recorded before (unless the bench has taken the recording away).
    pub(super) fn edit(&mut self, place: Option<usize>, edit: impl FnOnce(&mut Event)) {
        let Some(place) = place else { return };
        if let Some(event) = self.shared.recording().events.get_mut(place) {
            edit(event);
        }
        self.news = true;
    }

    fn inject(&mut self, who: &str, injection: Injection) -> Result<(), Breakdown> {
        self.needs_tracing()?;
        self.rules.add(who, injection)
    }

    fn needs_tracing(&self) -> Result<(), Breakdown> {
        if self.traces {
            return Ok(());
        }
        Err(Breakdown::new(
            "this check needs the recorder, and ptrace is not permitted here",
            "run the grader where ptrace is permitted (`cargo xtask doctor` says what is missing)",
        ))
    }
}

/// Whether a call still is where it was.
pub fn same_call(call: &Call, entry: &ptrace::Entry) -> bool {
    call.entry.number == entry.number && call.entry.arguments == entry.arguments
}
