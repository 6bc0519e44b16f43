//! Starts one program in isolation: own user, pid, mount, ipc and uts namespaces inside the arena's, as pid 2 under
//! our own init, with a minimal read-only root, limits, no capabilities and a system-call filter.
//!
//! The order of calls is the one that works together with the recorder: the student blocks, after its limits and
//! before its filters, until it is released; denials are visible to the recorder and fail closed.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use crate::verdict::Breakdown;

/// What to start, and within which bounds.
pub struct Plan {
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
    /// Whether a recorder will trace it: its filter then stops at recorded calls (without a tracer those would fail).
    pub traced: bool,
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
    /// Size of a file it writes, in bytes.
    pub file_size: u64,
    /// Processor seconds of one process.
    pub cpu: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { processes: 256, descriptors: (256, 4096), memory: 4 << 30, file_size: 64 << 20, cpu: 60 }
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
    /// Where init reports how the program ended.
    pub status: OwnedFd,
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
}

/// Starts the tree in the network namespace of the calling thread. It comes back when the program waits, just before
/// its filters and its exec, to be released by [`Tree::release`]. Call it on a thread that outlives the tree.
pub fn spawn(_plan: Plan) -> Result<Tree, Breakdown> {
    todo!()
}
