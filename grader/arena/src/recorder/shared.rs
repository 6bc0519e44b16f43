//! What the recorder's thread and the bench share: the recording, how programs ended, and who waits for what.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::recording::{Outcome, Recording};
use crate::sandbox::Report;
use crate::verdict::Breakdown;

use super::clock::Clock;

/// What the recorder's thread and the bench share.
pub struct Shared {
    recording: Mutex<Recording>,
    ends: Mutex<BTreeMap<String, End>>,
    threads: Mutex<BTreeMap<i32, Live>>,
    /// The programs that the bench is ending.
    killed: Mutex<Vec<String>>,
    /// Told to the bench whenever something was recorded or ended.
    pub changed: EventFd,
    /// Told to the recorder's thread when a command waits for it.
    pub wake: EventFd,
    /// The programs' clock.
    pub clock: Clock,
    /// The recorder's thread.
    pub tracer: AtomicI32,
    timers: AtomicBool,
    past_delay: AtomicU64,
    bench: Mutex<Bench>,
}

/// What the bench does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bench {
    /// It does not say: time is skipped without regard to it.
    Silent,
    /// It acts, or looks at what happened: time stands still.
    Busy,
    /// It waits for something to happen.
    Waits,
}

/// How a program ended, as far as it has.
#[derive(Default)]
struct End {
    report: Option<Report>,
    failure: Option<Breakdown>,
    tree: bool,
}

/// A live thread: the event of the call in which it waits for ever, if it does.
#[derive(Clone, Copy, Debug, Default)]
struct Live {
    waits: Option<usize>,
    ending: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere while it was held ends the check anyway; what was recorded is still worth showing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Nothing has happened yet.
    pub fn new(recorded: bool, skip_idle: bool) -> Result<Self, Breakdown> {
        let event = || {
            EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)
                .map_err(|error| Breakdown::system("cannot make an eventfd", error))
        };
        Ok(Self {
            recording: Mutex::new(Recording { recorded, ..Recording::default() }),
            ends: Mutex::default(),
            killed: Mutex::default(),
            threads: Mutex::default(),
            changed: event()?,
            wake: event()?,
            clock: Clock::new(skip_idle),
            tracer: AtomicI32::new(0),
            timers: AtomicBool::new(false),
            past_delay: AtomicU64::new(0),
            bench: Mutex::new(Bench::Silent),
        })
    }

    /// What was recorded so far.
    pub fn recording(&self) -> MutexGuard<'_, Recording> {
        lock(&self.recording)
    }

    /// A program was started.
    pub fn tree_started(&self, who: &str) {
        lock(&self.ends).insert(who.to_string(), End::default());
    }

    /// A program has ended, and init said how.
    pub fn reported(&self, who: &str, report: Result<Report, Breakdown>) {
        let mut ends = lock(&self.ends);
        let end = ends.entry(who.to_string()).or_default();
        match report {
            Ok(report) => end.report = Some(report),
            Err(breakdown) => end.failure = Some(breakdown),
        }
    }

    /// Every process of a program's tree has ended.
    pub fn tree_ended(&self, who: &str) {
        lock(&self.ends).entry(who.to_string()).or_default().tree = true;
    }

    /// How a program ended, once it has.
    pub fn report(&self, who: &str) -> Option<Report> {
        lock(&self.ends).get(who)?.report
    }

    /// Why a program could not be started, where that showed only after its release.
    pub fn failure(&self, who: &str) -> Option<Breakdown> {
        lock(&self.ends).get(who)?.failure.clone()
    }

    /// Whether every process of a program's tree has ended.
    pub fn has_tree_ended(&self, who: &str) -> bool {
        lock(&self.ends).get(who).is_some_and(|end| end.tree)
    }

    /// The bench is ending a program.
    pub fn expect_end(&self, who: &str) {
        lock(&self.killed).push(who.to_string());
    }

    /// A thread runs, or is in the call of this event, which only others can end.
    pub fn publish(&self, thread: i32, waits: Option<usize>) {
        lock(&self.threads).insert(thread, Live { waits, ending: false });
    }

    /// A thread is on its way out.
    pub fn publish_ending(&self, thread: i32) {
        lock(&self.threads).insert(thread, Live { waits: None, ending: true });
    }

    /// A thread is gone.
    pub fn forget(&self, thread: i32) {
        lock(&self.threads).remove(&thread);
    }

    /// The bench waits for something to happen, or has begun to act.
    pub fn bench_is_waiting(&self, waits: bool) {
        *lock(&self.bench) = if waits { Bench::Waits } else { Bench::Busy };
    }

    /// Whether the bench knows all that happened and waits.
    pub fn bench_waits(&self) -> bool {
        self.may_jump(*lock(&self.bench))
    }

    /// Moves the programs' clock, unless the bench has begun to act; whether it was moved.
    pub fn jump(&self, deadline: u64) -> bool {
        let bench = lock(&self.bench);
        let may = self.may_jump(*bench);
        if may {
            self.clock.jump(deadline);
        }
        may
    }

    fn may_jump(&self, bench: Bench) -> bool {
        match bench {
            Bench::Silent => true,
            Bench::Busy => false,
            // It may not have looked yet at what happened last.
            Bench::Waits => {
                let mut set = [PollFd::new(self.changed.as_fd(), PollFlags::POLLIN)];
                poll(&mut set, PollTimeout::ZERO) == Ok(0)
            }
        }
    }

    /// A program set a timer: from now on it may go on by itself at any time.
    pub fn timers_used(&self) {
        self.timers.store(true, Ordering::Relaxed);
    }

    /// Keeps the run-queue delay of a thread that ends.
    pub fn keep_delay(&self, thread: i32) {
        self.past_delay.fetch_add(run_queue_delay(thread), Ordering::Relaxed);
    }

    /// The run-queue delay of all threads, past and present, and of the recorder's own.
    pub fn delay(&self) -> Duration {
        let live: Vec<i32> =
            lock(&self.threads).iter().filter(|(_, live)| !live.ending).map(|(pid, _)| *pid).collect();
        let own = run_queue_delay(self.tracer.load(Ordering::Relaxed));
        let now: u64 = live.into_iter().map(run_queue_delay).sum();
        Duration::from_nanos(self.past_delay.load(Ordering::Relaxed) + own + now)
    }

    /// Whether every live thread waits: as [`stuck`](Self::stuck), or without a recorder, which alone knows for what, as
    /// far as /proc shows now.
    pub fn rests(&self) -> bool {
        if self.recording().recorded {
            return self.stuck();
        }
        let programs: Vec<i32> = lock(&self.threads).keys().copied().collect();
        programs.into_iter().all(sleeps)
    }

    /// Whether every live thread really sleeps in a call that only others can end.
    pub fn stuck(&self) -> bool {
        if self.timers.load(Ordering::Relaxed) {
            return false;
        }
        // It is init that is killed. Until it has had a processor, the processes below it sleep as before.
        let mut killed = lock(&self.killed);
        killed.retain(|who| !self.has_tree_ended(who));
        if !killed.is_empty() {
            return false;
        }
        drop(killed);
        let live: Vec<(i32, Live)> = lock(&self.threads).iter().map(|(pid, live)| (*pid, *live)).collect();
        let recording = self.recording();
        let waits = |live: &Live| {
            let event = live.waits.and_then(|place| recording.events.get(place));
            event.is_some_and(|event| event.outcome == Outcome::Pending)
        };
        let all_wait = !live.is_empty() && live.iter().all(|(_, live)| waits(live));
        drop(recording);
        // The state is looked at after the calls: a thread that left its call meanwhile shows as running or stopped.
        all_wait && live.iter().all(|(pid, _)| state(*pid) == Some('S'))
    }
}

/// Whether every thread of a process and of those below it sleeps.
fn sleeps(process: i32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let mut threads = tasks.filter_map(|task| task.file_name().to_str()?.parse().ok());
    threads.all(|thread| !matches!(state(thread), Some('R' | 'D')))
        && crate::sandbox::children(process).into_iter().all(sleeps)
}

/// The nanoseconds for which a thread was ready to run and had no processor.
fn run_queue_delay(thread: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{thread}/schedstat")).unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// The state letter of a thread.
pub fn state(thread: i32) -> Option<char> {
    let stat = crate::sandbox::proc_text(thread, "stat")?;
    // The name stands in parentheses and may itself hold some, and newlines.
    stat.get(stat.rfind(')')? + 2..)?.chars().next()
}
