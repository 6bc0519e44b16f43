//! Starts programs in the sandbox and records what they do, by ptrace on one thread of its own, and forges the few
//! results that a check injects.

mod calls;
pub mod clock;
mod closing;
mod decode;
mod descriptors;
mod idle;
mod inject;
mod lockstep;
mod memory;
pub mod packets;
mod posix_timers;
mod ptrace;
mod registers;
mod shared;
mod state;
pub mod syscalls;
mod timers;
mod trace;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

use crate::recording::Recording;
use crate::sandbox::{Plan, Report};
use crate::verdict::Breakdown;

use shared::Shared;
use state::Start;
use trace::{Command, Tracer};

/// How to record.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether to trace at all; without it programs run unrecorded and `Recording::recorded` is false.
    pub trace: bool,
    /// Whether the programs' clock skips the time in which all of them sleep.
    pub skip_idle: bool,
}

/// A thread that starts, traces and reaps the programs of one bench.
pub struct Recorder {
    shared: Arc<Shared>,
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
}

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
#[expect(
    missing_docs,
    reason = "`most` bytes; `calls` of each process at most, the program and its children alike"
)]
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

/// A place between two calls at which a thread can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before it sends on a socket.
    BeforeSend,
    /// Before it receives from a socket.
    BeforeReceive,
    /// Before it waits for a lock or another thread.
    BeforeLock,
    /// Before it accepts a connection.
    BeforeAccept,
    /// After it has received something.
    AfterReceive,
    /// After it has accepted a connection.
    AfterAccept,
    /// After it has made a child.
    AfterFork,
}

impl Recorder {
    /// Starts the recorder's thread. Call it before any other thread is made: SIGCHLD is blocked in the calling thread,
    /// so that the recorder's own is the one that hears it.
    pub fn start(options: Options) -> Result<Self, Breakdown> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block().map_err(|error| Breakdown::system("cannot block SIGCHLD", error))?;
        let traces = options.trace && ptrace::permitted();
        let shared = Arc::new(Shared::new(traces, options.skip_idle && traces)?);
        let (commands, receiver) = channel();
        let tracer_shared = Arc::clone(&shared);
        let run = move || {
            tracer_shared.tracer.store(nix::unistd::gettid().as_raw(), Ordering::Relaxed);
            if let Ok(tracer) = Tracer::new(tracer_shared, receiver, traces) {
                tracer.run();
            }
        };
        let thread = std::thread::Builder::new()
            .name("recorder".to_string())
            .spawn(run)
            .map_err(|error| Breakdown::system("cannot start the recorder's thread", error))?;
        Ok(Self { shared, commands, thread: Some(thread) })
    }

    /// Starts a program in the network namespace `host`, called `who` in the recording, and lets it run.
    pub fn spawn(&self, who: &str, plan: Plan, host: BorrowedFd<'_>) -> Result<Started, Breakdown> {
        let host = host
            .try_clone_to_owned()
            .map_err(|error| Breakdown::system("cannot keep a host's namespace", error))?;
        let start = Box::new(Start { who: who.to_string(), plan, host });
        self.ask(|reply| Command::Start(start, reply))
    }

    /// Injects into the calls of `who` and its children from now on; `who` need not have been started yet. An injection
    /// applies to those calls alone for which its precondition holds: that it did is noted in their events.
    pub fn inject(&self, who: &str, injection: Injection) -> Result<(), Breakdown> {
        self.ask(|reply| Command::Inject(who.to_string(), injection, reply))
    }

    /// Holds the next thread of `who` or its children that comes to this point; once for each call of this. A held thread
    /// is stopped: signals wait too, until [`release`](Self::release).
    pub fn hold(&self, who: &str, point: Point) -> Result<(), Breakdown> {
        self.ask(|reply| Command::Hold(who.to_string(), point, reply))
    }

    /// How many threads of `who` and its children are held now.
    pub fn held(&self, who: &str) -> Result<usize, Breakdown> {
        self.ask(|reply| Command::Held(who.to_string(), reply))
    }

    /// Lets all held threads of `who` and its children go on, and holds no more of them.
    pub fn release(&self, who: &str) -> Result<(), Breakdown> {
        self.ask(|reply| Command::Release(who.to_string(), reply))
    }

    /// Makes a data race of `who` certain: from now on its threads, as each receives something from a stream, wait until
    /// `threads` of them have, and then run one instruction each in turn until each sends its answer. So let as many
    /// clients send an equal request and read the answers, again and again; the first requests of each connection may
    /// take different paths (a first allocation), later ones do not. A program that guards what its threads share is
    /// only slowed down: tens of thousands of instructions take some tenths of a second. If not all come within two
    /// seconds, those that came run alone. 0 ends it.
    ///
    /// With 1, the next thread that receives runs instruction by instruction, once, until it sends, and the others run
    /// freely: let other clients send many requests meanwhile.
    ///
    /// Gives whether all that ran like that until now came to their sends: one that needs too many instructions, as an
    /// interpreter does, is let go before.
    pub fn interleave(&self, who: &str, threads: usize) -> Result<bool, Breakdown> {
        self.ask(|reply| Command::Interleave(who.to_string(), threads, reply))
    }

    /// What was recorded so far.
    pub fn recording(&self) -> MutexGuard<'_, Recording> {
        self.shared.recording()
    }

    /// How the program ended, once it has.
    pub fn report(&self, who: &str) -> Option<Report> {
        self.shared.report(who)
    }

    /// Why a program could not be started, where that showed only after it was released.
    pub fn failure(&self, who: &str) -> Option<Breakdown> {
        self.shared.failure(who)
    }

    /// Whether every process of the program's tree has ended.
    pub fn tree_ended(&self, who: &str) -> bool {
        self.shared.has_tree_ended(who)
    }

    /// The bench is ending that program: it waits no more.
    pub fn expect_end(&self, who: &str) {
        self.shared.expect_end(who);
    }

    /// Whether every live thread of every program waits for ever, so that nothing happens any more unless the bench acts.
    pub fn stuck(&self) -> bool {
        self.shared.stuck()
    }

    /// Whether every live thread of every program waits, for ever if that can be known.
    pub fn rests(&self) -> bool {
        self.shared.rests()
    }

    /// Where time is skipped, it is skipped only while the bench waits: it says so here, before and after. Until it
    /// has done so for the first time, time is skipped without regard to it.
    pub fn bench_is_waiting(&self, waits: bool) {
        self.shared.bench_is_waiting(waits);
    }

    /// An eventfd that becomes readable whenever something was recorded or ended (it is never reset by the recorder;
    /// the one reader, the bench's main thread, resets it by reading).
    pub fn changed(&self) -> BorrowedFd<'_> {
        self.shared.changed.as_fd()
    }

    /// The run-queue delay of all traced threads and of the recorder's own so far: time that an overloaded machine took
    /// from the programs, by which deadlines are extended.
    pub fn delay(&self) -> Duration {
        self.shared.delay()
    }

    fn ask<T>(&self, command: impl FnOnce(Sender<Result<T, Breakdown>>) -> Command) -> Result<T, Breakdown> {
        let (reply, answer) = channel();
        let gone = || Breakdown::new("the recorder's thread has ended", "grade again, and report this");
        self.commands.send(command(reply)).map_err(|_| gone())?;
        let _ = self.shared.wake.write(1);
        answer.recv().map_err(|_| gone())?
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::End);
        let _ = self.shared.wake.write(1);
        if let Some(thread) = self.thread.take() {
            // A panic of the recorder's thread was printed already; its programs are dead.
            let _ = thread.join();
        }
    }
}
