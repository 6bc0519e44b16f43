//! Starts the tree: steps 4, 5, 10 and 11 of the isolation, on the arena's side of the clone.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use libc::{c_int, pid_t};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, send, setsockopt, socketpair,
    sockopt,
};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, pipe2, read, write};

use super::cgroup::Inside;
use super::init::{FAILURE, Prepared, REPORT, init};
use super::plain;
use super::prepare::prepare;
use super::watch::Watch;
use super::{Bound, Plan, Report, Tree};
use crate::sandbox::Tier;
use crate::verdict::Breakdown;

/// How long a machine may take to set up a program; it takes a few milliseconds.
const SET_UP_MS: u16 = 20_000;

/// What differs between a student's program and a compiler.
#[derive(Default)]
pub struct Place {
    /// Mounts of readable paths that the arena itself could not reach.
    pub trees: Vec<(PathBuf, OwnedFd)>,
    /// The working directory, which it may read; else `/tmp`.
    pub directory: Option<PathBuf>,
    /// The directory in which it may write besides `/tmp`.
    pub writable: Option<PathBuf>,
    /// Whether it gets no socket at all.
    pub no_sockets: bool,
    /// Whether it keeps root's uid, without a capability, where there are no namespaces: its files are root's alone.
    pub keep_uid: bool,
}

/// See [`super::spawn`].
pub fn spawn(plan: Plan) -> Result<Tree, Breakdown> {
    spawn_in(plan, Place::default())
}

/// Starts a tree with more in view than a student's program has.
pub fn spawn_in(plan: Plan, place: Place) -> Result<Tree, Breakdown> {
    plain::as_root(|| start(plan, place))
}

fn start(plan: Plan, place: Place) -> Result<Tree, Breakdown> {
    let arena = plan.arena;
    let limits = plan.limits;
    let net_raw = plan.net_raw;
    let failed = |what: &'static str| move |error: Errno| Breakdown::system(what, error);
    let (handshake, other_end) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .map_err(failed("socketpair"))?;
    // Before the clone: the program's first byte must not come without its credentials.
    setsockopt(&handshake, sockopt::PassCred, &true).map_err(failed("SO_PASSCRED"))?;
    // In packets: what failed before an exec and the report that follows are not one.
    let (status, status_writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_DIRECT).map_err(failed("pipe"))?;
    fcntl(&status, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(failed("fcntl"))?;
    let (go, go_writer) = pipe2(OFlag::O_CLOEXEC).map_err(failed("pipe"))?;
    let (prepared, work) = prepare(plan, place, status_writer, other_end, (go, go_writer))?;
    let (init_pid, init) = clone(&prepared, namespaces(arena.tier, net_raw))?;
    let uid = prepared.uid;
    write(&prepared.go_writer, b"g").map_err(failed("cannot start the program's init"))?;
    // Drops our copies of init's descriptors: the other ends close when the program's side does.
    drop(prepared);
    let watched = init.try_clone().map_err(|error| Breakdown::system("dup", error))?;
    let watch = Watch::start(arena, uid, watched, init_pid, limits.resident);
    let mut tree = Tree { init, init_pid, program_pid: 0, handshake, status, arena, limits, watch, work };
    match meet(&tree) {
        Ok(pid) => tree.program_pid = pid,
        Err(breakdown) => {
            tree.kill();
            let _ = waitpid(Pid::from_raw(init_pid), Some(WaitPidFlag::__WALL));
            return Err(breakdown);
        }
    }
    Ok(tree)
}

/// A program with CAP_NET_RAW shares the arena's user namespace, which owns the network namespaces; any other gets one
/// of its own below it, in which no capability means anything.
fn namespaces(tier: Tier, net_raw: bool) -> c_int {
    let nested = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    match tier {
        Tier::C => 0,
        _ if net_raw => nested,
        _ => nested | libc::CLONE_NEWUSER,
    }
}

/// Clones init; comes back in the arena with its pid and pidfd.
fn clone(prepared: &Prepared, namespaces: c_int) -> Result<(pid_t, OwnedFd), Breakdown> {
    let mut pidfd: c_int = -1;
    let flags = namespaces | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: without CLONE_VM the child has a copy of this memory and goes on on a copy of this stack; it calls only
    // `init`, which never returns and needs no lock. clone and not clone3, which containers refuse.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, &raw mut pidfd, 0, 0) } as pid_t;
    match pid {
        0 => init(prepared),
        -1 => Err(Breakdown::system("cannot clone the program's init", Errno::last())),
        // SAFETY: the kernel has just put this descriptor there.
        _ => Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) })),
    }
}

/// Waits for the program's byte and returns its pid, which the kernel has translated to the arena's namespace.
fn meet(tree: &Tree) -> Result<pid_t, Breakdown> {
    let mut ends = [PollFd::new(tree.handshake.as_fd(), PollFlags::POLLIN)];
    let ready = loop {
        match poll(&mut ends, PollTimeout::from(SET_UP_MS)) {
            Err(Errno::EINTR) => {}
            other => break other.map_err(|error| Breakdown::system("poll", error))?,
        }
    };
    if ready == 0 {
        return Err(Breakdown::new(
            "the sandbox did not come up",
            "the machine may be overloaded: grade again",
        ));
    }
    let mut byte = [0u8];
    let mut buffers = [IoSliceMut::new(&mut byte)];
    let mut control = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
    let received =
        recvmsg::<()>(tree.handshake.as_raw_fd(), &mut buffers, Some(&mut control), MsgFlags::empty())
            .map_err(|error| Breakdown::system("cannot meet the program", error))?;
    let credentials = received.cmsgs().ok().into_iter().flatten().find_map(|message| match message {
        ControlMessageOwned::ScmCredentials(credentials) => Some(credentials),
        _ => None,
    });
    match credentials {
        Some(credentials) if received.bytes == 1 => Ok(credentials.pid()),
        // The other end closed: init or the program failed and said why on the status pipe.
        _ => Err(tree.report().err().unwrap_or_else(|| {
            Breakdown::new("the program's init ended before the program began", "grade again")
        })),
    }
}

/// See [`Tree::release`].
pub fn release(tree: &Tree) -> Result<(), Breakdown> {
    send(tree.handshake.as_raw_fd(), b"g", MsgFlags::MSG_NOSIGNAL)
        .map_err(|error| Breakdown::system("cannot release the program", error))?;
    Ok(())
}

/// See [`Tree::report`].
pub fn report(tree: &Tree) -> Result<Option<Report>, Breakdown> {
    let mut bytes = [0u8; 64];
    let length = match read(&tree.status, &mut bytes) {
        Err(Errno::EAGAIN) => return Ok(None),
        read => read.map_err(|error| Breakdown::system("cannot read the report of init", error))?,
    };
    match bytes[..length] {
        [REPORT, ref numbers @ ..] if numbers.len() == 32 => {
            let number = |index: usize| {
                let mut raw = [0u8; 8];
                raw.copy_from_slice(&numbers[8 * index..8 * index + 8]);
                i64::from_ne_bytes(raw)
            };
            let time = |index: usize| Duration::from_micros(number(index).unsigned_abs());
            let max_resident = number(3).unsigned_abs() << 10;
            let mut report = Report {
                status: number(0) as i32,
                user: time(1),
                system: time(2),
                max_resident,
                bound: None,
            };
            report.bound = bound(tree, &report)?;
            Ok(Some(report))
        }
        [FAILURE, a, b, c, d, ref name @ ..] => {
            let error = io::Error::from_raw_os_error(i32::from_ne_bytes([a, b, c, d]));
            let what = format!("cannot start the program ({})", String::from_utf8_lossy(name));
            Err(Breakdown::system(what, error))
        }
        // Init is gone without a word: the whole tree was killed from outside.
        _ => {
            let none = Duration::ZERO;
            let mut report =
                Report { status: libc::SIGKILL, user: none, system: none, max_resident: 0, bound: None };
            report.bound = bound(tree, &report)?;
            Ok(Some(report))
        }
    }
}

/// The bound that a wait status and the processor time speak of, or the control group: there it may have been one process
/// of the tree that was ended, and the program may have made what it could of that.
fn bound(tree: &Tree, report: &Report) -> Result<Option<Bound>, Breakdown> {
    let limits = &tree.limits;
    let used = report.user + report.system;
    Ok(match report.status & 0x7f {
        libc::SIGXFSZ => Some(Bound::FileSize(limits.file_size)),
        libc::SIGXCPU => Some(Bound::Processor(limits.cpu)),
        libc::SIGKILL if used >= Duration::from_secs(limits.cpu) => Some(Bound::Processor(limits.cpu)),
        libc::SIGKILL if tree.watch.exceeded() => Some(Bound::Memory(limits.resident)),
        _ => tree.arena.group.map_or(Ok(None), Inside::ended_by)?,
    })
}

/// Sends a signal to the process behind a pidfd, whatever became of its number. One that has ended needs none.
pub fn signal(process: BorrowedFd<'_>, signal: c_int) {
    // SAFETY: no memory is passed.
    unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
}
