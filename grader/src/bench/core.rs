//! What the parts of a bench share: hosts, recorder, the programs' streams, and the one place where the bench waits.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::process::Streams;
use crate::ask::Launch;
use crate::check::Setup;
use crate::host::Host;
use crate::recorder::{Recorder, clock};
use crate::sandbox::Arena;
use crate::verdict::Unexplained;

/// How long a program may take to do what is asked of it, not counting what an overloaded machine takes from it.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing at all must happen before a bench on which every thread waits for ever is given up.
const STUCK_PATIENCE: Duration = Duration::from_millis(700);
/// No machine is so overloaded that a check waits longer than this.
const LONGEST: Duration = Duration::from_secs(60);

/// What the parts of a bench share.
pub struct Core {
    pub arena: Arena,
    pub recorder: Recorder,
    pub hosts: Vec<Host>,
    pub setup: Setup,
    pub programs: BTreeMap<String, Launch>,
    pub streams: RefCell<Vec<Streams>>,
    /// Names given so far, so that a second copy of a program is called `udp-server#2`.
    pub named: RefCell<BTreeMap<String, u32>>,
    /// Program arguments used so far, for the notes of a finding.
    pub commands: RefCell<Vec<(String, String)>>,
    /// Whether the check may pass arguments (a plain check may not).
    pub plain: Cell<bool>,
    /// Whether what is waited for shows without an event, so that it must be looked for every few milliseconds.
    pub watching: Cell<bool>,
    /// When a finding was last made (`CLOCK_REALTIME`): what the programs do after that is no evidence.
    pub found_at: Cell<u64>,
}

/// Why a wait ended without what it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// The time was up.
    Deadline,
    /// Every thread of every program waits for ever for something that only this bench could do.
    Stuck,
    /// Every program has ended.
    Ended,
}

impl Core {
    /// Waits until `done` gives a value, and meanwhile moves the programs' streams. `sockets` are what `done` looks
    /// at, with the events that may make it succeed.
    pub fn wait<T>(
        &self,
        sockets: &[(BorrowedFd<'_>, PollFlags)],
        done: impl FnMut() -> Option<T>,
    ) -> Result<T, Late> {
        self.wait_within(PATIENCE, sockets, done)
    }

    /// As [`wait`](Self::wait), with another patience.
    pub fn wait_within<T>(
        &self,
        patience: Duration,
        sockets: &[(BorrowedFd<'_>, PollFlags)],
        mut done: impl FnMut() -> Option<T>,
    ) -> Result<T, Late> {
        let mut deadline = Deadline::new(patience);
        let started = Instant::now();
        let mut quiet_since = started;
        let mut seen = self.progress();
        let mut ended_since = None;
        loop {
            self.pump();
            if let Some(value) = done() {
                return Ok(value);
            }
            if deadline.expired(self) {
                return Err(Late::Deadline);
            }
            deadline.begin_after_a_moment(self);
            let progress = self.progress();
            if progress != seen {
                (seen, quiet_since) = (progress, Instant::now());
            }
            if self.all_ended() {
                let since = *ended_since.get_or_insert_with(Instant::now);
                if since.elapsed() > Duration::from_millis(60) {
                    return Err(Late::Ended);
                }
            } else if quiet_since.elapsed() > STUCK_PATIENCE {
                // Looked at twice: a thread that wakes between the two looks has shown that it is not stuck.
                let stuck = self.recorder.stuck() && self.progress() == seen && done().is_none();
                if stuck && !self.bytes_are_on_their_way() {
                    return Err(Late::Stuck);
                }
                quiet_since = Instant::now();
            }
            // Without a recorder there are no events to wait for either.
            let blind = self.watching.get() || !self.recorder.recording().recorded;
            // What has not shown soon is looked for less and less often: a hundred checks may be waiting at once.
            let patient = (started.elapsed().as_millis() as u64 / 16).clamp(3, 60);
            let longest = match (blind, ended_since) {
                (true, _) => patient,
                (false, Some(_)) => 20,
                (false, None) => 100,
            };
            let longest = deadline.left(self).min(Duration::from_millis(longest));
            self.sleep_until_something_happens(sockets, longest);
        }
    }

    /// Waits for a fact that must be looked up (in /proc, say): looks after every event and every few milliseconds.
    pub fn wait_watching<T>(&self, done: impl FnMut() -> Option<T>) -> Result<T, Late> {
        self.wait_watching_within(PATIENCE, done)
    }

    /// As [`wait_watching`](Self::wait_watching), with another patience.
    pub fn wait_watching_within<T>(
        &self,
        patience: Duration,
        done: impl FnMut() -> Option<T>,
    ) -> Result<T, Late> {
        self.watching.set(true);
        let found = self.wait_within(patience, &[], done);
        self.watching.set(false);
        found
    }

    /// Moves what can be moved between the bench and the programs' standard streams.
    pub fn pump(&self) {
        for stream in self.streams.borrow_mut().iter_mut() {
            stream.pump();
        }
    }

    /// Whether programs were started and every one of them has ended, with every process it made.
    pub fn all_ended(&self) -> bool {
        let streams = self.streams.borrow();
        !streams.is_empty() && streams.iter().all(|stream| self.recorder.tree_ended(&stream.who))
    }

    /// A number that changes whenever a program does something that the recorder sees or writes something.
    fn progress(&self) -> (usize, u64) {
        let bytes = self.streams.borrow().iter().map(|stream| stream.moved).sum();
        (self.recorder.recording().events.len(), bytes)
    }

    fn sleep_until_something_happens(&self, sockets: &[(BorrowedFd<'_>, PollFlags)], longest: Duration) {
        let streams = self.streams.borrow();
        let mut set = vec![PollFd::new(self.recorder.changed(), PollFlags::POLLIN)];
        set.extend(sockets.iter().map(|(socket, flags)| PollFd::new(*socket, *flags)));
        for stream in streams.iter() {
            stream.watch(&mut set);
        }
        let timeout =
            PollTimeout::try_from(longest.max(Duration::from_millis(1))).unwrap_or(PollTimeout::MAX);
        // Where sleeping costs no time, the programs' clock jumps only while we wait here.
        self.recorder.bench_is_waiting(true);
        // An error here (EINTR) only means that the loop looks again.
        let _ = poll(&mut set, timeout);
        self.recorder.bench_is_waiting(false);
        if set[0].any() == Some(true) {
            let mut count = [0; 8];
            let _ = nix::unistd::read(self.recorder.changed(), &mut count);
        }
    }

    /// What a reader should know beside a finding: how each program stands, and what it said on stderr.
    pub fn notes(&self, mut unexplained: Unexplained) -> Unexplained {
        self.settle();
        self.found_at.set(clock::read(libc::CLOCK_REALTIME));
        let streams = self.streams.borrow();
        // Of many programs, one after another, those that have ended before are no evidence.
        let latest = streams.len().saturating_sub(2);
        let ended_before =
            |at: usize, stream: &Streams| at < latest && self.recorder.report(&stream.who).is_some();
        for (at, stream) in streams.iter().enumerate() {
            if ended_before(at, stream) {
                continue;
            }
            unexplained = unexplained.note(self.standing(&stream.who));
            let said = String::from_utf8_lossy(&stream.stderr.bytes);
            let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
            for line in lines.iter().take(4) {
                unexplained = unexplained.note(format!("{} said on stderr: {line}", stream.who));
            }
            if lines.len() > 4 {
                unexplained = unexplained.note(format!("({} more lines on stderr)", lines.len() - 4));
            }
        }
        unexplained
    }

    /// Waits a moment for the programs to come to rest: one that is just dying, or just about to wait, is told by where
    /// it ends up.
    fn settle(&self) {
        const MOMENT: Duration = Duration::from_millis(200);
        // One that never rests is given back, on a busy machine, whatever time it has to share.
        const LATEST: Duration = Duration::from_secs(2);
        let begin = Instant::now();
        let rests = || (self.recorder.stuck() || begin.elapsed() > LATEST).then_some(());
        let _ = self.wait_within(MOMENT, &[], rests);
        self.pump();
    }

    /// How a program stands: ended and how, or blocked in what.
    pub fn standing(&self, who: &str) -> String {
        if let Some(report) = self.recorder.report(who) {
            return format!("{who} has ended: {}", super::process::describe(&report));
        }
        let Some(standing) = self.recorder.recording().standing(who) else {
            return format!("{who} is running");
        };
        match self.bytes_waiting(who) {
            Some(bytes) => format!("{who} {standing} ({bytes})"),
            None => format!("{who} {standing}"),
        }
    }

    /// The finding of a wait that brought nothing.
    pub fn late(&self, late: Late, expected: impl Into<String>) -> Unexplained {
        self.late_within(late, PATIENCE, expected)
    }

    /// The finding of a wait of another patience.
    pub fn late_within(&self, late: Late, patience: Duration, expected: impl Into<String>) -> Unexplained {
        let observed = match late {
            Late::Deadline if patience >= Duration::from_secs(2) => {
                format!("nothing within {} seconds", patience.as_secs())
            }
            Late::Deadline => format!("nothing within {} ms", patience.as_millis()),
            Late::Stuck => "nothing, and nothing can come any more: every process waits".to_string(),
            Late::Ended => "nothing, and every program has ended".to_string(),
        };
        self.notes(Unexplained::new(expected, observed))
    }

    /// The host of that name.
    pub fn host(&self, name: &str) -> &Host {
        self.hosts
            .iter()
            .find(|host| host.name == name)
            .expect("the check asks for a host that its setup has")
    }
}

/// A deadline in time that the programs really had: what the scheduler withheld from them or from us is given back.
pub struct Deadline {
    patience: Duration,
    made: Instant,
    /// When it began to count, and what had been withheld by then: to know that, a file of each thread is read, which
    /// costs more than most waits take. So it begins after a moment only, and until then there is no hurry.
    begun: Option<(Instant, Duration)>,
}

impl Deadline {
    /// Until it begins.
    const MOMENT: Duration = Duration::from_millis(4);

    /// So long from about now.
    pub fn new(patience: Duration) -> Self {
        Self { patience, made: Instant::now(), begun: None }
    }

    /// Begins to count, unless it has, once the first moment is over.
    pub fn begin_after_a_moment(&mut self, core: &Core) {
        if self.begun.is_none() && self.made.elapsed() >= Self::MOMENT {
            self.begun = Some((Instant::now(), withheld(core)));
        }
    }

    /// Whether the time is up.
    pub fn expired(&self, core: &Core) -> bool {
        self.begun.is_some_and(|(start, _)| start.elapsed() >= self.patience) && self.left(core).is_zero()
    }

    /// How much is left; before it begins, of the first moment.
    pub fn left(&self, core: &Core) -> Duration {
        let Some((start, before)) = self.begun else {
            return Self::MOMENT.saturating_sub(self.made.elapsed());
        };
        let elapsed = start.elapsed();
        if elapsed < self.patience {
            return self.patience - elapsed;
        }
        let given_back = withheld(core).saturating_sub(before);
        (self.patience + given_back).min(LONGEST.max(self.patience)).saturating_sub(elapsed)
    }
}

/// What the scheduler has withheld so far from the programs and from this thread.
fn withheld(core: &Core) -> Duration {
    core.recorder.delay() + own_delay()
}

/// How long this thread has waited for a processor so far.
fn own_delay() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    Duration::from_nanos(nanoseconds)
}

/// A descriptor and the events that may make a wait succeed.
pub fn readable<F: AsFd>(socket: &F) -> [(BorrowedFd<'_>, PollFlags); 1] {
    [(socket.as_fd(), PollFlags::POLLIN)]
}
