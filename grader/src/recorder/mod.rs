//! Starts programs in the sandbox and records what they do, by ptrace on one thread of its own, and forges the few
//! results that a check injects.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::MutexGuard;
use std::time::Duration;

use crate::recording::Recording;
use crate::sandbox::{Plan, Report};
use crate::verdict::Breakdown;

/// How to record.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether to trace at all; without it programs run unrecorded and `Recording::recorded` is false.
    pub trace: bool,
    /// Whether the programs' clock skips the time in which all of them sleep.
    pub skip_idle: bool,
}

/// A thread that starts, traces and reaps the programs of one bench.
pub struct Recorder {}

/// A program that was started.
pub struct Started {
    /// The name by which the recording calls it.
    pub who: String,
    /// Its pid as the arena sees it.
    pub pid: i32,
    /// The pid of its init as the arena sees it.
    pub init_pid: i32,
    /// A pidfd of its init: SIGKILL to it ends the whole tree.
    pub init: OwnedFd,
}

/// A system-call result that the bench forges, only where the kernel could give it.
#[derive(Clone, Debug)]
pub enum Injection {
    /// Every send on a stream socket takes at most so many bytes (send(2): may take only part).
    ShortSend { most: u64, calls: u32 },
    /// Every receive on a stream socket gives at most so many bytes (recv(2): may give less than asked).
    ShortReceive { most: u64, calls: u32 },
    /// The next so many calls of a kind meet a signal just before they block; the kernel then decides whether they
    /// restart (signal(7)). Only for calls that the kernel would end with EINTR.
    Signal { kind: CallKind, signal: i32, calls: u32 },
    /// The next accept fails with ECONNABORTED (accept(2)).
    AbortedConnection { calls: u32 },
}

/// The calls that a signal can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after the man pages")]
pub enum CallKind {
    Receive,
    Accept,
    Wait,
    Sleep,
}

impl Recorder {
    /// Starts the recorder's thread.
    pub fn start(_options: Options) -> Result<Self, Breakdown> {
        todo!()
    }

    /// Starts a program in the network namespace `host`, called `who` in the recording, and lets it run.
    pub fn spawn(&self, _who: &str, _plan: Plan, _host: BorrowedFd<'_>) -> Result<Started, Breakdown> {
        todo!()
    }

    /// Injects into the calls of `who` and its children from now on. Refused where the precondition does not hold.
    pub fn inject(&self, _who: &str, _injection: Injection) -> Result<(), Breakdown> {
        todo!()
    }

    /// What was recorded so far.
    pub fn recording(&self) -> MutexGuard<'_, Recording> {
        todo!()
    }

    /// How the program ended, once it has.
    pub fn report(&self, _who: &str) -> Option<Report> {
        todo!()
    }

    /// Whether every process of the program's tree has ended.
    pub fn tree_ended(&self, _who: &str) -> bool {
        todo!()
    }

    /// Whether every live thread of every program waits for ever, so that nothing happens any more unless the bench acts.
    pub fn stuck(&self) -> bool {
        todo!()
    }

    /// An eventfd that becomes readable whenever something was recorded or ended (it is never reset by the recorder;
    /// the one reader, the bench's main thread, resets it by reading).
    pub fn changed(&self) -> BorrowedFd<'_> {
        todo!()
    }

    /// The run-queue delay of all traced threads and of the recorder's own so far: time that an overloaded machine took
    /// from the programs, by which deadlines are extended.
    pub fn delay(&self) -> Duration {
        todo!()
    }
}
