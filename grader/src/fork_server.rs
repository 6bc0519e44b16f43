//! The fork server: the grader's executable once more, with one thread, which forks whatever must run in a process of
//! its own: arenas, probes, confined compilers. To fork costs a fraction of what it costs to execute, link and relocate
//! this executable for each of hundreds of checks; and the grader itself, with its many threads, could not fork.
//!
//! It holds nothing that a check must not know: what a child is asked comes on the child's own stdin.
//!
//! A request is one message on the control socket: a byte that names the [`Role`], and four descriptors: the child's
//! stdin, stdout and stderr, and its *line*. On the line the server tells how the child ended (the wait status, four
//! bytes). Whoever hangs up its end of the line before ends the child. When the control socket ends, so does the server,
//! and with it every child: an arena asks to die with its parent.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, send};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, fork, getpid, getppid};

/// The one argument with which this executable becomes the fork server.
pub const FORK_SERVER: &str = "fork-server";

/// What a child of the fork server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Finds out what this machine allows.
    Probe,
    /// Confines a compiler.
    Compiler,
    /// Asks one check.
    Arena,
    /// Watches a program at work.
    TraceArena,
    /// Measures servers.
    StylesArena,
}

const ROLES: [Role; 5] = [Role::Probe, Role::Compiler, Role::Arena, Role::TraceArena, Role::StylesArena];

impl Role {
    /// Plays it to its end.
    fn play(self) -> ExitCode {
        match self {
            Self::Probe => crate::probe::answer(),
            Self::Compiler => crate::sandbox::confine(),
            Self::Arena => crate::ask::arena(),
            Self::TraceArena => crate::trace::arena(),
            Self::StylesArena => crate::styles::arena(),
        }
    }
}

/// Turns this process into the fork server (and then, forked, into one of its children) where it was started as one.
/// Call it first of all, while there is one thread.
pub fn become_fork_server_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|argument| argument != FORK_SERVER) || arguments.next().is_some() {
        return None;
    }
    Some(match serve() {
        Ok(Some(role)) => role.play(),
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the fork server ends: {error}");
            ExitCode::FAILURE
        }
    })
}

/// A child, and the server's end of its line.
struct Child {
    pid: Pid,
    line: OwnedFd,
    hung_up: bool,
}

/// Serves until the control socket, which is stdin, ends. It comes back with a role in the child that is to play it.
fn serve() -> nix::Result<Option<Role>> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_set_mask()?;
    let ends = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let mut children: Vec<Child> = Vec::new();
    let (stdin, own_pid) = (std::io::stdin(), getpid());
    loop {
        let (mut ended, mut asked, mut hung_up) = (false, false, Vec::new());
        {
            let waiting = children.iter().filter(|child| !child.hung_up);
            let lines = waiting.clone().map(|child| child.line.as_fd());
            let descriptors = [ends.as_fd(), stdin.as_fd()].into_iter().chain(lines);
            let mut polled: Vec<PollFd<'_>> =
                descriptors.map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN)).collect();
            match poll(&mut polled, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                result => result?,
            };
            let mut ready = polled.iter().map(|polled| polled.any().unwrap_or(false));
            ended |= ready.next().unwrap_or(false);
            asked |= ready.next().unwrap_or(false);
            hung_up.extend(waiting.zip(ready).filter(|(_, ready)| *ready).map(|(child, _)| child.pid));
        }
        if ended {
            while ends.read_signal()?.is_some() {}
            reap(&mut children);
        }
        // Those that are still here were not reaped: their numbers are theirs.
        for child in children.iter_mut().filter(|child| hung_up.contains(&child.pid)) {
            child.hung_up = true;
            let _ = kill(child.pid, Signal::SIGKILL);
        }
        if asked {
            let Some((role, [input, output, errors, line])) = request(stdin.as_fd())? else {
                return Ok(None);
            };
            // SAFETY: this process has one thread, so the child may do whatever it could have done.
            match unsafe { fork() } {
                Ok(ForkResult::Child) => {
                    prctl::set_pdeathsig(Signal::SIGKILL)?;
                    if getppid() != own_pid {
                        return Ok(None);
                    }
                    SigSet::empty().thread_set_mask()?;
                    dup2_stdin(input)?;
                    dup2_stdout(output)?;
                    dup2_stderr(errors)?;
                    return Ok(Some(role));
                }
                Ok(ForkResult::Parent { child: pid }) => {
                    children.push(Child { pid, line, hung_up: false });
                    // While nobody waits for it: every arena finds it done.
                    crate::sandbox::prepare_filter();
                }
                // The line ends without a status.
                Err(error) => eprintln!("the fork server cannot fork: {error}"),
            }
        }
    }
}

/// Tells of every child that has ended.
fn reap(children: &mut Vec<Child>) {
    loop {
        let (pid, status) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, code << 8),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, signal as i32),
            Err(Errno::EINTR) => continue,
            _ => return,
        };
        if let Some(at) = children.iter().position(|child| child.pid == pid) {
            let child = children.swap_remove(at);
            let _ = send(child.line.as_raw_fd(), &status.to_ne_bytes(), MsgFlags::MSG_NOSIGNAL);
        }
    }
}

/// The next request; `None` when there are no more.
fn request(control: BorrowedFd<'_>) -> nix::Result<Option<(Role, [OwnedFd; 4])>> {
    let mut byte = [0u8];
    let mut buffers = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([RawFd; 4]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let received = recvmsg::<()>(control.as_raw_fd(), &mut buffers, Some(&mut space), flags)?;
    let numbers = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmRights(numbers) => Some(numbers),
        _ => None,
    });
    let count = received.bytes;
    // SAFETY: the kernel has just made these descriptors for this process, and nobody else knows them.
    let owned = numbers.into_iter().flatten().map(|number| unsafe { OwnedFd::from_raw_fd(number) });
    let files: Result<[OwnedFd; 4], _> = owned.collect::<Vec<_>>().try_into();
    if count == 0 {
        return Ok(None);
    }
    match (ROLES.get(usize::from(byte[0])), files) {
        (Some(role), Ok(files)) => Ok(Some((*role, files))),
        _ => Err(Errno::EBADMSG),
    }
}
