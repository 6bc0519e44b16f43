//! What the recorder knows of the trees, processes and threads it traces.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;

use crate::recording::{Act, Disposition, Object};
use crate::sandbox::Tree;

use super::decode::Objects;
use super::ptrace::Entry;

/// How many generations a process's name tells apart.
const MOST_GENERATIONS: usize = 40;

/// One started program with all that it starts.
pub struct TracedTree {
    /// The program's name.
    pub who: String,
    /// The sandbox's part: init, handshake, report.
    pub tree: Tree,
    /// The names of its processes by the pids that they see themselves.
    pub names: BTreeMap<i32, String>,
    /// Whether init's report has been read.
    pub reported: bool,
    /// Whether init is gone, and with it every process of the tree.
    pub ended: bool,
}

/// One process.
pub struct Process {
    /// Its name.
    pub who: String,
    /// Its tree.
    pub tree: usize,
    /// Its pid as the arena sees it.
    pub pid: i32,
    /// What its descriptors refer to.
    pub objects: Objects,
    /// How many processes it made.
    pub children: u32,
    /// How many threads it ever had.
    pub threads: u32,
    /// How many threads it has.
    pub alive: u32,
    /// What its signals do, with `restart`.
    pub signals: BTreeMap<i32, (Disposition, bool)>,
    /// Whether it ever set a timer, so that it may go on by itself at any time.
    pub timers: bool,
    /// Its SIGALRM to come, where time is skipped: when, as time passed, and the interval in which it comes again.
    pub alarm: Option<(u64, u64)>,
}

/// One thread.
pub struct Thread {
    /// Its process's pid.
    pub process: i32,
    /// Its number within the process.
    pub index: u32,
    /// The call it is in.
    pub call: Option<Call>,
    /// A call that a signal interrupted, and that the kernel may restart.
    pub interrupted: Option<Call>,
    /// Whether it is on its way out.
    pub ending: bool,
    /// Whether it is stopped by a stop signal.
    pub stopped: bool,
    /// Whether it was let run for one instruction.
    pub steps: bool,
    /// The descriptor that it was about to close when it was let run.
    pub closing: Option<i32>,
}

/// A call from its entry to its exit.
#[derive(Debug)]
pub struct Call {
    /// Its event, where it has one.
    pub event: Option<usize>,
    /// Number and arguments as the program gave them.
    pub entry: Entry,
    /// What the recorder changed at its entry, and must put right at its exit.
    pub forged: Option<super::inject::Forged>,
    /// Its timeout, where that was taken over because time is skipped.
    pub timeout: Option<super::idle::Timeout>,
    /// How the kernel said that a signal interrupted it.
    pub interruption: i64,
}

impl Call {
    /// A call at its entry.
    pub fn new(event: Option<usize>, entry: Entry) -> Self {
        Self { event, entry, forged: None, timeout: None, interruption: 0 }
    }
}

impl Process {
    /// A process with its first thread.
    pub fn new(who: String, tree: usize, pid: i32) -> Self {
        Self {
            who,
            tree,
            pid,
            objects: Objects::default(),
            children: 0,
            threads: 1,
            alive: 1,
            signals: BTreeMap::new(),
            timers: false,
            alarm: None,
        }
    }

    /// The name of the child that was born last. In a long line of descent names stop growing: each would hold all before.
    pub fn child_name(&self) -> String {
        match self.who.match_indices('.').nth(MOST_GENERATIONS) {
            Some((end, _)) => format!("{}.x{}-{}", &self.who[..end], self.pid, self.children),
            None => format!("{}.{}", self.who, self.children),
        }
    }

    /// A forked copy: same signals, same descriptors.
    pub fn forked(&self, who: String, pid: i32) -> Self {
        Self { signals: self.signals.clone(), ..Self::new(who, self.tree, pid) }
    }

    /// What a signal does, and whether it restarts calls.
    pub fn signal(&self, signal: i32) -> (Disposition, bool) {
        self.signals.get(&signal).copied().unwrap_or((Disposition::Default, true))
    }

    /// A new program: handlers are gone, what is ignored stays so (execve(2)).
    pub fn loaded(&mut self) {
        self.objects.forget_all();
        self.signals.retain(|_, (disposition, _)| *disposition == Disposition::Ignore);
        self.alive = 1;
    }
}

impl Thread {
    /// A thread that runs.
    pub fn new(process: i32, index: u32) -> Self {
        Self {
            process,
            index,
            call: None,
            interrupted: None,
            ending: false,
            stopped: false,
            steps: false,
            closing: None,
        }
    }
}

/// What is known of the objects themselves, across all processes.
#[derive(Debug, Default)]
pub struct KnownObjects {
    /// The kind of a socket (SOCK_STREAM, ...).
    pub kinds: BTreeMap<Object, i32>,
    /// Objects that more than one descriptor of a process may refer to.
    pub duplicated: BTreeSet<Object>,
    /// Receive timeouts of sockets, in nanoseconds.
    receive_timeouts: BTreeMap<Object, u64>,
    /// Send timeouts of sockets, in nanoseconds.
    send_timeouts: BTreeMap<Object, u64>,
    /// How many bytes of payload the recording keeps.
    pub kept: usize,
}

impl KnownObjects {
    /// Learns from an act that succeeded.
    pub fn learn(&mut self, act: &Act) {
        match act {
            Act::Open { object, kind, .. } => {
                self.kinds.insert(object.clone(), *kind);
            }
            Act::Accept { listener, connection: Some(connection), .. } => {
                let kind = self.kinds.get(listener).copied().unwrap_or(libc::SOCK_STREAM);
                self.kinds.insert(connection.clone(), kind);
                // An accepted socket inherits the listener's timeouts.
                for timeouts in [&mut self.receive_timeouts, &mut self.send_timeouts] {
                    if let Some(timeout) = timeouts.get(listener).copied() {
                        timeouts.insert(connection.clone(), timeout);
                    }
                }
            }
            Act::Duplicate { object, .. } => {
                self.duplicated.insert(object.clone());
            }
            Act::SetOption { object, level: libc::SOL_SOCKET, name, value } => {
                let timeouts = match *name {
                    libc::SO_RCVTIMEO => &mut self.receive_timeouts,
                    libc::SO_SNDTIMEO => &mut self.send_timeouts,
                    _ => return,
                };
                let word = |at: usize| {
                    let word = value.get(at..at + 8).and_then(|word| word.try_into().ok());
                    word.map_or(0, u64::from_ne_bytes)
                };
                let timeout =
                    word(0).saturating_mul(1_000_000_000).saturating_add(word(8).saturating_mul(1000));
                if timeout == 0 {
                    timeouts.remove(object);
                } else {
                    timeouts.insert(object.clone(), timeout);
                }
            }
            _ => {}
        }
    }

    /// Whether a socket carries a stream, as far as is known.
    pub fn is_stream(&self, object: &Object) -> bool {
        self.kinds.get(object) == Some(&libc::SOCK_STREAM)
    }

    /// Whether a receive or send on it ends by itself.
    pub fn is_timed(&self, object: &Object) -> bool {
        self.receive_timeouts.contains_key(object) || self.send_timeouts.contains_key(object)
    }

    /// How long a receive on it waits at most.
    pub fn receive_timeout(&self, object: &Object) -> Option<u64> {
        self.receive_timeouts.get(object).copied()
    }
}

/// What a command brings to the recorder's thread when it starts a program.
pub struct Start {
    /// The program's name.
    pub who: String,
    /// What to start.
    pub plan: crate::sandbox::Plan,
    /// The network namespace.
    pub host: OwnedFd,
}
