//! Isolation: runs programs that nobody has read, so that they can neither get out nor shape their own grade.
//!
//! # Theory of operation
//!
//! Five kinds of process, each with less privilege than the one above it:
//!
//! ```text
//! grader       any uid, many threads; never touches a program
//!  `- fork server   the grader's executable again, with one thread
//!      `- arena    one per check, asked over a pipe; owns a user and a network namespace
//!          `- init   pid 1 of namespaces of its own; not dumpable; reaps, and reports on a pipe that no program holds
//!              `- program   pid 2: no capability, no way to gain one, limits, landlock, filter
//! ```
//!
//! The order of the steps is what makes it work, as root and as an ordinary user, with a recorder inside or without:
//!
//! | step | who | does | why there |
//! |---|---|---|---|
//! | 0 | arena ([`enter_arena`]) | goes into its control group, if it has one | must still be root, and have one thread |
//! | 1 | arena | under root: takes a dedicated uid, turns dumpable again | uid 0 is exempt from process limits |
//! | 2 | arena | user and network namespace, maps, loopback; then the [hosts](crate::host) | must still have one thread |
//! | 3 | arena | asks to die with the fork server, which dies with the grader | the change of uid would have wiped it |
//! | 4 | spawning thread ([`spawn`]) | lists root, arguments, filter; handshake, status and go pipe | nothing may allocate after the clone |
//! | 5 | spawning thread | clones init into user, pid, mount, ipc and uts namespaces; sends the go byte | |
//! | 6 | init | asks to die with the spawning thread, awaits the go byte; descriptors; maps; root | the byte closes the race with the arena's death |
//! | 7 | init | clones the program, *then* turns not dumpable, closes its descriptors, reaps | before, it would have hidden the program from its recorder |
//! | 8 | program | session, limits, capabilities, no_new_privs, landlock, signals | |
//! | 9 | program | sends a byte, whose credentials tell the arena its pid; waits | |
//! | 10 | spawning thread | [`spawn`] comes back; a recorder seizes the program | after step 8: nothing of ours is traced |
//! | 11 | spawning thread | [`Tree::release`] | |
//! | 12 | program | filter, exec | |
//!
//! Killing init ends every process of its namespace ([`Tree::kill`]). Who traces must go on waiting for *all* tracees
//! then, because the namespace ends only when its zombies are reaped. All of it hangs on the spawning thread: it must
//! outlive the tree.
//!
//! A program that needs CAP_NET_RAW ([`Plan::net_raw`]) stays in the arena's user namespace, which owns its network, with
//! that capability alone; it is uid 0 there.
//!
//! Where there are no namespaces (tier C) steps 2 and 5 have none, init is a subreaper that ends its tree when it is
//! asked to or the arena dies, and the program takes a uid of its own in step 8, as which the arena acts by then; see
//! `plain`. Compilers run in the same sandbox, with other things in view; see [`CompilePlan`].

mod arena;
pub mod cgroup;
mod confine;
mod filter;
mod init;
mod landlock;
mod plain;
mod prepare;
mod root;
mod tree;
mod watch;

use std::ffi::OsString;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use arena::enter_arena;
pub use confine::{CompileLimits, CompilePlan, Compiled, confine, reachable};
pub use landlock::version as landlock_version;
pub use watch::{children, proc_text};

use crate::verdict::Breakdown;

/// How strongly programs can be isolated on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tier {
    /// Namespaces, with a /proc of its own.
    A,
    /// Namespaces, but /proc cannot be mounted.
    B,
    /// No namespaces (a default Docker container): other uid, landlock, filter and limits.
    C,
}

/// The proof that this process is an arena: namespaces, uid and loopback are as the tier has them.
#[derive(Clone, Copy, Debug)]
pub struct Arena {
    /// How programs are isolated here.
    pub tier: Tier,
    /// The uid and gid of the programs, as this machine (or container) sees them.
    pub uid: u32,
    /// The control group that it is in, if any.
    pub group: Option<&'static cgroup::Inside>,
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
    /// Where it runs.
    pub arena: Arena,
    limits: Limits,
    watch: watch::Watch,
    /// Its own directory, where it has no `/tmp` of its own.
    work: Option<tempfile::TempDir>,
}

impl Drop for Tree {
    fn drop(&mut self) {
        if self.work.is_some() {
            plain::sweep(self.arena.uid);
            plain::as_root(|| self.work.take());
        }
    }
}

impl Tree {
    /// Lets the program go on to its filter and its exec.
    pub fn release(&self) -> Result<(), Breakdown> {
        tree::release(self)
    }

    /// How the program ended, or `None` while it has not. Does not block.
    pub fn report(&self) -> Result<Option<Report>, Breakdown> {
        tree::report(self)
    }

    /// Ends the whole tree. Who calls this reaps init (and, if it traces, all others) afterwards.
    pub fn kill(&self) {
        kill(self.arena.tier, &self.init);
    }
}

/// Ends the whole tree below the init of the pidfd `init`.
pub fn kill(tier: Tier, init: impl AsFd) {
    match tier {
        Tier::A | Tier::B => tree::signal(init.as_fd(), libc::SIGKILL),
        Tier::C => plain::ask_to_end(init.as_fd()),
    }
}

/// A bound of the sandbox that ended a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bound {
    /// Its processes together held more memory than [`Limits::resident`], or those of all programs of its control group
    /// more than that has for them.
    Memory(u64),
    /// It used more processor seconds than [`Limits::cpu`].
    Processor(u64),
    /// It wrote more into one file than [`Limits::file_size`].
    FileSize(u64),
    /// It took longer than so many seconds (compilers only; the bench has its own clock for programs).
    Time(u64),
    /// It wrote more than so many bytes of messages (compilers only).
    Output(u64),
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
            Self::Time(seconds) => write!(out, "killed: it took longer than {seconds} seconds"),
            Self::Output(bytes) => write!(out, "killed: it wrote more than {bytes} bytes of messages"),
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
/// its filter and its exec, to be released by [`Tree::release`]. Call it on a thread that outlives the tree.
pub fn spawn(plan: Plan) -> Result<Tree, Breakdown> {
    tree::spawn(plan)
}

/// Builds the filter of a recorded program ahead of the first one.
pub fn prepare_filter() {
    let _ = filter::filter(&crate::recorder::syscalls::numbers(), true, true);
}
