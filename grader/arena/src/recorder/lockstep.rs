//! Holds threads between their calls, and runs threads in lockstep, so that a data race is certain instead of rare.
//!
//! *Hold*: the next thread that comes to a point (before a send, after a receive, ...) stops there until it is released.
//! *Lockstep*: threads that have just received wait for each other, and then run one instruction each in turn until
//! each comes to its next send. Threads that serve equal requests then read a shared total at the same moment, before
//! any of them has written it; a program that adds under a lock, or atomically, gives each its own answer all the same.
//! A thread that blocks (on a lock that another of them holds) leaves the turn to the others until it goes on.
//! *Slow motion*: one thread that has just received runs instruction by instruction, and the others run freely. What it
//! does in two steps that should be one then lasts long enough for another thread to come between, wherever that is.

use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

use crate::recording::{Act, descends};

use super::Point;
use super::ptrace::{self, Stop};
use super::registers;
use super::shared::state;
use super::trace::Tracer;

/// How long the first of the threads waits for the others: they come at once, unless the machine is very busy.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a thread that does not sleep may take for one instruction.
const LONG_STEP: Duration = Duration::from_millis(400);
/// One instruction rarely takes so long: the thread may be inside a call that is not recorded.
const STEP: Duration = Duration::from_millis(5);
/// After so many instructions the threads run freely: several times what a program needs that was compiled without any
/// optimisation; an interpreter needs more. A number of steps, and not a time, so that a busy machine does not matter.
const MOST_STEPS: u64 = 40_000;
/// `si_code` of a SIGTRAP after a single step: over a call, over any other instruction, and into a signal's handler.
const TRAP_BRKPT: i32 = 1;
const TRAP_TRACE: i32 = 2;
const TRAP_HANDLER: i32 = libc::SIGTRAP;
/// How many instructions run between two looks at what else happened.
const STEPS_IN_A_ROW: u64 = 64;
/// After so many instructions the recorder's thread looks what the bench wants.
const STEPS_AT_ONCE: u64 = 512;

/// What is held, and what runs in lockstep.
#[derive(Debug, Default)]
pub struct Holds {
    points: Vec<(String, Point)>,
    held: Vec<(i32, Held)>,
    lockstep: Option<Lockstep>,
    /// Whether any thread was ever run instruction by instruction.
    stepped: bool,
}

/// Where a thread is held, and so how it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Entry,
    Leave,
}

#[derive(Debug)]
struct Lockstep {
    who: String,
    /// How many run in turn; one alone runs slowly beside others that run freely.
    threads: usize,
    /// Whether one that runs slowly was chosen.
    chosen: bool,
    /// Those that have received and wait for the others.
    parked: Vec<i32>,
    parked_since: Instant,
    /// Those that run in turn.
    runners: Vec<Runner>,
    turn: usize,
    steps: u64,
    /// Those that have slept while others ran in turn: nobody's time passes meanwhile, so that a runtime does not find
    /// that a thread runs for long and preempts it, again and again.
    sleepers: Vec<i32>,
    /// Whether some were let go because they came to no send.
    gave_up: bool,
    /// Where those that ran in turn, and the recorder's own thread (0), may run otherwise.
    moved: Vec<(i32, CpuSet)>,
}

#[derive(Debug)]
struct Runner {
    pid: i32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Stopped between two instructions.
    Ready,
    /// Runs its one instruction.
    Steps,
    /// Inside a call.
    Away,
}

impl Lockstep {
    /// Whether there are threads that run in turn, and none of them is inside a call.
    fn runs_in_turn(&self) -> bool {
        !self.runners.is_empty() && self.runners.iter().all(|runner| runner.state != State::Away)
    }

    /// Keeps those that run in turn, and their tracer, on one processor: to wake somebody on another one, for every
    /// instruction, takes several times as long. Where that is not permitted, it takes so long.
    fn share_a_processor(&mut self) {
        let mut here = CpuSet::new();
        let known = sched_getcpu().and_then(|processor| here.set(processor));
        if known.is_err() {
            return;
        }
        for pid in self.runners.iter().map(|runner| runner.pid).chain([0]) {
            let thread = Pid::from_raw(pid);
            if let Ok(before) = sched_getaffinity(thread) {
                if sched_setaffinity(thread, &here).is_ok()
                    && self.moved.iter().all(|(other, _)| *other != pid)
                {
                    self.moved.push((pid, before));
                }
            }
        }
    }
}

/// Makes a thread run freely that steps though nobody asks it to. A program that saves its flags while it steps (as Go's
/// runtime does where it preempts a goroutine) saves the trap flag with them, and steps again once it has restored
/// them, perhaps long afterwards and in another thread.
fn forget_steps(pid: i32) -> bool {
    let Some(mut registers) = registers::get(pid) else { return false };
    registers.clear_trap_flag();
    registers::set(pid, &registers)
}

impl Point {
    /// Whether a call that is about to begin is this point.
    fn is_before(self, act: &Act) -> bool {
        match self {
            Self::BeforeSend => matches!(act, Act::Send { .. }),
            Self::BeforeReceive => matches!(act, Act::Receive { .. }),
            Self::BeforeLock => matches!(act, Act::WaitThread { .. }),
            Self::BeforeAccept => matches!(act, Act::Accept { .. }),
            Self::AfterReceive | Self::AfterAccept | Self::AfterFork => false,
        }
    }

    /// Whether a call that has just succeeded is this point.
    fn is_after(self, act: &Act) -> bool {
        match self {
            Self::AfterReceive => matches!(act, Act::Receive { done, .. } if *done > 0),
            Self::AfterAccept => matches!(act, Act::Accept { .. }),
            Self::AfterFork => matches!(act, Act::Fork { .. }),
            _ => false,
        }
    }
}

impl Tracer {
    /// Holds the next thread of `who` that comes to this point.
    pub(super) fn hold(&mut self, who: String, point: Point) {
        self.holds.points.push((who, point));
    }

    /// Lets every held thread of `who` go on, and forgets points that nobody came to.
    pub(super) fn release(&mut self, who: &str) {
        self.holds.points.retain(|(of, _)| of != who);
        let of = |tracer: &Self, pid: i32| tracer.name_of(pid).is_some_and(|name| descends(&name, who));
        let (released, kept) =
            std::mem::take(&mut self.holds.held).into_iter().partition(|(pid, _)| of(self, *pid));
        self.holds.held = kept;
        let released: Vec<(i32, Held)> = released;
        for (pid, held) in released {
            match held {
                Held::Entry => self.entry(pid),
                Held::Leave => self.go_on(pid, 0),
            }
        }
    }

    /// How many threads of `who` are held.
    pub(super) fn held(&self, who: &str) -> usize {
        let of = |pid: i32| self.name_of(pid).is_some_and(|name| descends(&name, who));
        self.holds.held.iter().filter(|(pid, _)| of(*pid)).count()
    }

    fn name_of(&self, pid: i32) -> Option<String> {
        let thread = self.threads.get(&pid)?;
        Some(self.processes.get(&thread.process)?.who.clone())
    }

    /// Whether a thread is held before the call at whose entry it stands.
    pub(super) fn is_held_before(&mut self, pid: i32, act: &Act) -> bool {
        self.is_held(pid, Held::Entry, |point| point.is_before(act))
    }

    /// Whether a thread is held after the call that it has just made.
    pub(super) fn is_held_after(&mut self, pid: i32, act: &Act) -> bool {
        self.is_held(pid, Held::Leave, |point| point.is_after(act))
    }

    fn is_held(&mut self, pid: i32, held: Held, at: impl Fn(Point) -> bool) -> bool {
        if self.holds.points.is_empty() {
            return false;
        }
        let Some(who) = self.name_of(pid) else { return false };
        let place = self.holds.points.iter().position(|(of, point)| descends(&who, of) && at(*point));
        let Some(place) = place else { return false };
        self.holds.points.remove(place);
        self.holds.held.push((pid, held));
        true
    }

    /// Runs the threads of `who` in lockstep from their receives to their sends, so many together; 0 ends that. Whether
    /// all that ran like that before came to their sends.
    pub(super) fn interleave(&mut self, who: String, threads: usize) -> bool {
        let to_the_end = self.holds.lockstep.as_ref().is_none_or(|lockstep| !lockstep.gave_up);
        if let Some(lockstep) = self.holds.lockstep.take() {
            let runners = lockstep
                .runners
                .iter()
                .filter(|runner| runner.state == State::Ready)
                .map(|runner| runner.pid);
            for pid in runners.chain(lockstep.parked.iter().copied()).chain(lockstep.sleepers.iter().copied())
            {
                self.go_on(pid, 0);
            }
            for (pid, processors) in lockstep.moved {
                let _ = sched_setaffinity(Pid::from_raw(pid), &processors);
            }
        }
        if threads > 0 {
            let (parked, runners, sleepers) = (Vec::new(), Vec::new(), Vec::new());
            let (turn, steps, chosen, parked_since) = (0, 0, false, Instant::now());
            let (moved, gave_up) = (Vec::new(), false);
            self.holds.lockstep = Some(Lockstep {
                who,
                threads,
                chosen,
                parked,
                parked_since,
                runners,
                turn,
                steps,
                sleepers,
                gave_up,
                moved,
            });
        }
        to_the_end
    }

    /// Whether a thread that has just received waits for others to run in lockstep with.
    pub(super) fn is_parked(&mut self, pid: i32, act: &Act) -> bool {
        let Act::Receive { object, done, .. } = act else { return false };
        if *done == 0 || !self.known.is_stream(object) || self.holds.lockstep.is_none() {
            return false;
        }
        let who = self.name_of(pid).unwrap_or_default();
        let Some(lockstep) = self.holds.lockstep.as_mut().filter(|lockstep| descends(&who, &lockstep.who))
        else {
            return false;
        };
        if lockstep.threads == 1 && std::mem::replace(&mut lockstep.chosen, true) {
            return false;
        }
        if lockstep.parked.is_empty() {
            lockstep.parked_since = Instant::now();
        }
        lockstep.parked.push(pid);
        true
    }

    /// Whether a thread that has just slept waits until those that run in turn are done.
    pub(super) fn sleeps_on(&mut self, pid: i32, act: &Act) -> bool {
        if !matches!(act, Act::Sleep { .. }) || self.holds.lockstep.is_none() {
            return false;
        }
        let who = self.name_of(pid).unwrap_or_default();
        let lockstep = self.holds.lockstep.as_mut().filter(|lockstep| descends(&who, &lockstep.who));
        let Some(lockstep) = lockstep.filter(|lockstep| lockstep.runs_in_turn()) else { return false };
        lockstep.sleepers.push(pid);
        true
    }

    /// Lets those go on that have slept, once somebody who ran in turn may wait for them.
    fn wake_sleepers(&mut self) {
        let lockstep = self.holds.lockstep.as_mut().filter(|lockstep| !lockstep.runs_in_turn());
        let woken = lockstep.map(|lockstep| std::mem::take(&mut lockstep.sleepers)).unwrap_or_default();
        woken.into_iter().for_each(|pid| self.go_on(pid, 0));
    }

    /// Runs the threads in turn until all of them are away or done, or for a while; called whenever the recorder wakes up.
    /// Whether there is more to do.
    pub(super) fn run_lockstep(&mut self) -> bool {
        for _ in 0..STEPS_AT_ONCE {
            let turn = self.next_turn();
            self.wake_sleepers();
            let Some(pid) = turn else { return false };
            if !self.step(pid, 0) {
                self.leave_lockstep(pid);
                continue;
            }
            match self.end_of_step(pid) {
                Some(stop) => self.serve(pid, stop),
                None => {
                    self.set_runner(pid, State::Away);
                }
            }
            let Some(lockstep) = self.holds.lockstep.as_mut() else { return false };
            lockstep.steps += 1;
            let away = lockstep.runners.iter().any(|runner| runner.state == State::Away);
            if away || lockstep.threads == 1 || lockstep.steps % STEPS_IN_A_ROW == 0 {
                self.serve_stops();
                self.tell_bench();
            }
        }
        true
    }

    fn step(&mut self, pid: i32, signal: i32) -> bool {
        if let Some(thread) = self.threads.get_mut(&pid) {
            thread.steps = true;
        }
        self.holds.stepped = true;
        ptrace::step(pid, signal).is_ok()
    }

    /// The stop after a step; `None` where the thread sleeps in a call that is not recorded.
    fn end_of_step(&self, pid: i32) -> Option<Stop> {
        let start = Instant::now();
        loop {
            if let Some(stop) = ptrace::poll_one(pid) {
                return Some(stop);
            }
            // Sleeping here, instead of asking again and again, is what lets the thread run.
            self.sleep_until_child(STEP);
            let sleeps = || matches!(state(pid), Some('S' | 'D'));
            if start.elapsed() > STEP && (sleeps() || start.elapsed() > LONG_STEP) {
                return ptrace::poll_one(pid);
            }
        }
    }

    /// The thread whose turn it is; starts those that are parked once there are enough of them and no others run.
    fn next_turn(&mut self) -> Option<i32> {
        loop {
            let lockstep = self.holds.lockstep.as_mut()?;
            let count = lockstep.runners.len();
            if count >= lockstep.threads.min(2) && lockstep.steps <= MOST_STEPS {
                let mut order = (1..=count).map(|ahead| (lockstep.turn + ahead) % count);
                let place = order.find(|place| lockstep.runners[*place].state == State::Ready)?;
                lockstep.turn = place;
                lockstep.runners[place].state = State::Steps;
                return Some(lockstep.runners[place].pid);
            }
            // What is left of several, or threads that come to no send, run freely.
            lockstep.gave_up |= count >= lockstep.threads.min(2) && lockstep.steps > MOST_STEPS;
            let runners: Vec<Runner> = lockstep.runners.drain(..).collect();
            let ready = runners.iter().filter(|runner| runner.state == State::Ready);
            ready.for_each(|runner| self.go_on(runner.pid, 0));
            let lockstep = self.holds.lockstep.as_mut()?;
            let waited = lockstep.parked_since.elapsed() > PATIENCE;
            if lockstep.parked.is_empty() || (lockstep.parked.len() < lockstep.threads && !waited) {
                return None;
            }
            let together = lockstep.parked.len().min(lockstep.threads);
            let started = lockstep.parked.drain(..together).map(|pid| Runner { pid, state: State::Ready });
            lockstep.runners = started.collect();
            lockstep.share_a_processor();
            (lockstep.turn, lockstep.steps) = (lockstep.runners.len() - 1, 0);
            lockstep.parked_since = Instant::now();
        }
    }

    fn set_runner(&mut self, pid: i32, state: State) -> bool {
        let runners = self.holds.lockstep.as_mut().map(|lockstep| &mut lockstep.runners);
        let runner = runners.and_then(|runners| runners.iter_mut().find(|runner| runner.pid == pid));
        runner.map(|runner| runner.state = state).is_some()
    }

    /// A thread has run its instruction, or its call is over: it waits for its next turn. False for others.
    pub(super) fn waits_for_turn(&mut self, pid: i32, signal: i32) -> bool {
        // A signal is delivered now; its handler, too, is run step by step.
        if signal != 0 && self.set_runner(pid, State::Away) {
            return self.step(pid, signal);
        }
        self.set_runner(pid, State::Ready)
    }

    /// Whether a SIGTRAP is the work of the recorder: the end of a step, or what is left of one.
    pub(super) fn is_step(&mut self, pid: i32, information: Option<&libc::siginfo_t>) -> bool {
        let steps = self.threads.get_mut(&pid).is_some_and(|thread| std::mem::take(&mut thread.steps));
        match information.map(|information| information.si_code) {
            Some(TRAP_BRKPT | TRAP_TRACE | TRAP_HANDLER) if steps => true,
            Some(TRAP_TRACE) => self.holds.stepped && forget_steps(pid),
            _ => false,
        }
    }

    /// A thread has begun a call: it has no turns until that is over, and a send or another receive ends its part.
    pub(super) fn steps_into_call(&mut self, pid: i32, act: &Act) {
        if matches!(act, Act::Send { .. } | Act::Receive { .. }) {
            self.leave_lockstep(pid);
        } else {
            self.set_runner(pid, State::Away);
        }
    }

    /// A thread is gone, or its part is over.
    pub(super) fn leave_lockstep(&mut self, pid: i32) {
        if let Some(lockstep) = self.holds.lockstep.as_mut() {
            lockstep.parked.retain(|parked| *parked != pid);
            lockstep.sleepers.retain(|sleeper| *sleeper != pid);
            lockstep.runners.retain(|runner| runner.pid != pid);
        }
    }

    /// A thread is gone.
    pub(super) fn held_no_more(&mut self, pid: i32) {
        self.holds.held.retain(|(held, _)| *held != pid);
        self.leave_lockstep(pid);
    }

    /// Whether the recorder must wake up soon by itself.
    pub(super) fn lockstep_waits(&self) -> bool {
        self.holds
            .lockstep
            .as_ref()
            .is_some_and(|lockstep| !lockstep.runners.is_empty() || !lockstep.parked.is_empty())
    }
}
