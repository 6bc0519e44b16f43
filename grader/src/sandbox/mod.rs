//! Starts one program in isolation: own user, pid, mount, ipc and uts namespaces inside the arena's, as pid 2 under
//! our own init, with a minimal read-only root, limits, no capabilities and a system-call filter.
//!
//! The order of calls is the one that works together with the recorder: the student blocks, after its limits and
//! before its filters, until it is released; denials are visible to the recorder and fail closed.

use std::ffi::OsString;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use crate::ask::Tier;
use crate::verdict::Breakdown;

/// The proof that this process is an arena: namespaces, uid and loopback are as the tier has them.
#[derive(Clone, Copy, Debug)]
pub struct Arena {
    /// How programs are isolated here.
    pub tier: Tier,
    /// The uid and gid of the programs, as this machine (or container) sees them.
    pub uid: u32,
}

/// Turns this process, which must still have one thread, into an arena. A root process takes `uid` first.
pub fn enter_arena(_tier: Tier, _uid: u32) -> Result<Arena, Breakdown> {
    todo!()
}

/// What to start, and within which bounds.
pub struct Plan {
    /// Where it runs.
    pub arena: Arena,
    /// The executable, as the arena sees it.
    pub program: PathBuf,
    /// Its arguments, `argv[0]` included.
    pub argv: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Further files and directories that it may read, at their own paths (`--with` scripts).
    pub readable: Vec<PathBuf>,
    /// Descriptors 0, 1 and 2.
    pub stdio: [OwnedFd; 3],
    /// Its bounds.
    pub limits: Limits,
    /// Whether it gets CAP_NET_RAW over its network namespace.
    pub net_raw: bool,
    /// Signals that are ignored when it starts (inherited through exec), such as SIGPIPE.
    pub ignored_signals: Vec<i32>,
    /// The system calls at which its filter stops for a recorder, which fills this in (without a tracer they would
    /// fail). Empty where nothing is recorded.
    pub traced_calls: Vec<i64>,
    /// Further names of its hosts file; `localhost` is there for both families.
    pub names: Vec<(IpAddr, String)>,
    /// Whether init stays until every orphan has ended (else it ends with the program itself).
    pub wait_for_orphans: bool,
}

/// Bounds of one program and all that it starts.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Processes and threads (RLIMIT_NPROC, counted per user namespace).
    pub processes: u64,
    /// Open descriptors, soft and hard.
    pub descriptors: (u64, u64),
    /// Address space of one process, in bytes.
    pub memory: u64,
    /// Resident memory of the whole tree, in bytes.
    pub resident: u64,
    /// Size of a file it writes, in bytes.
    pub file_size: u64,
    /// Processor seconds of one process.
    pub cpu: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            processes: 256,
            descriptors: (256, 4096),
            memory: 4 << 30,
            resident: 512 << 20,
            file_size: 64 << 20,
            cpu: 60,
        }
    }
}

/// A started tree of processes: init, the program below it, and all that the program starts.
pub struct Tree {
    /// A pidfd of init: killing it takes the whole tree.
    pub init: OwnedFd,
    /// The pid of init as the arena sees it.
    pub init_pid: i32,
    /// The pid of the program as the arena sees it.
    pub program_pid: i32,
    /// The end of the handshake that releases the program.
    pub handshake: OwnedFd,
    /// Where init reports how the program ended: readable (or at its end) when it has.
    pub status: OwnedFd,
    /// How it is isolated.
    pub tier: Tier,
}

impl Tree {
    /// Lets the program go on to its filters and its exec.
    pub fn release(&self) -> Result<(), Breakdown> {
        todo!()
    }

    /// How the program ended, or `None` while it has not. Does not block.
    pub fn report(&self) -> Result<Option<Report>, Breakdown> {
        todo!()
    }

    /// Ends the whole tree. Who calls this reaps init (and, if it traces, all others) afterwards.
    pub fn kill(&self) {
        kill(self.tier, &self.init);
    }
}

/// Ends the whole tree below the init of the pidfd `init`.
pub fn kill(_tier: Tier, _init: impl AsFd) {
    todo!()
}

/// A bound of the sandbox that ended a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Its processes together held more memory than [`Limits::resident`].
    Memory(u64),
    /// It used more processor seconds than [`Limits::cpu`].
    Processor(u64),
    /// It wrote more into one file than [`Limits::file_size`].
    FileSize(u64),
}

impl std::fmt::Display for Bound {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Memory(bytes) => write!(out, "killed: it used more than {} MiB of memory", bytes >> 20),
            Self::Processor(seconds) => {
                write!(out, "killed: it used more than {seconds} seconds of processor time")
            }
            Self::FileSize(bytes) => {
                write!(out, "killed: it wrote more than {} MiB into one file", bytes >> 20)
            }
        }
    }
}

/// How the program ended, as init saw it.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// The raw wait status.
    pub status: i32,
    /// Processor time in user mode.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// Largest resident set in bytes.
    pub max_resident: u64,
    /// The bound that ended it, if one did. Display says it in a student's words.
    pub bound: Option<Bound>,
}

/// Starts the tree in the network namespace of the calling thread. It comes back when the program waits, just before
/// its filters and its exec, to be released by [`Tree::release`]. Call it on a thread that outlives the tree.
pub fn spawn(_plan: Plan) -> Result<Tree, Breakdown> {
    todo!()
}
