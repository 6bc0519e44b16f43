//! Tier C, without namespaces: what stands in for them. Under root, programs take a uid of their own, so that they can
//! neither signal nor read the arena, and can all be found again by it; an ordinary user has only Landlock, the filter and
//! limits.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::chown;

use libc::{c_int, c_long};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, geteuid, getresuid};

use super::tree::signal;
use crate::verdict::Breakdown;

/// A directory of a program's own, in place of a `/tmp` of its own.
pub fn work_directory(uid: u32) -> Result<tempfile::TempDir, Breakdown> {
    let failed = |error: std::io::Error| Breakdown::system("cannot make a directory for the program", error);
    let directory = tempfile::Builder::new().prefix("socklab-").tempdir().map_err(failed)?;
    if geteuid().is_root() {
        chown(directory.path(), Some(uid), Some(uid)).map_err(failed)?;
    }
    Ok(directory)
}

/// Makes the calling thread (and those that it starts, but no other) act as `uid`, with the way back open and root's
/// capabilities in hand: the kernel lets a process without CAP_SYS_PTRACE, which containers lack, trace and look into
/// only processes of its own uid.
pub fn act_as(uid: u32) {
    // capset(2), version 3: effective, permitted and inheritable, low half first.
    let header = [0x2008_0522u32, 0];
    let mut data = [0u32; 6];
    // The C library's calls would change every thread.
    // SAFETY: the arrays have the layout of the calls' structures and live through them. Where a call fails, tracing
    // fails later and says why.
    unsafe {
        libc::syscall(libc::SYS_setresgid, uid, uid, 0);
        libc::syscall(libc::SYS_setresuid, uid, uid, 0);
        if libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr()) == 0 {
            (data[0], data[3]) = (data[1], data[4]);
            libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr());
        }
    }
}

/// Does `work` with the calling thread as root, if it only acts as somebody else.
pub fn as_root<T>(work: impl FnOnce() -> T) -> T {
    let acting = getresuid().ok().filter(|ids| !ids.effective.is_root() && ids.saved.is_root());
    let Some(ids) = acting else { return work() };
    // A change of uid forgets with whom this thread is to die.
    let dies_with = prctl::get_pdeathsig().ok().flatten();
    act_as(0);
    let result = work();
    act_as(ids.effective.as_raw());
    let _ = prctl::set_pdeathsig(dies_with);
    result
}

/// Asks init to end its whole tree: where it is not pid 1 of a namespace, its own death would end only the program.
pub fn ask_to_end(init: BorrowedFd<'_>) {
    as_root(|| signal(init.as_fd(), libc::SIGTERM));
}

/// Kills every process of `uid` but this one: whatever an init left that was killed itself. Only for root, whose
/// programs have a uid of their own.
pub fn sweep(uid: u32) {
    const ROUNDS: u32 = 100;
    as_root(|| {
        if !geteuid().is_root() || uid == 0 {
            return;
        }
        for _ in 0..ROUNDS {
            let left = of(uid);
            if left.is_empty() {
                return;
            }
            for pid in left {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            // Those that this process inherited are its to reap.
            let any = Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL);
            while waitpid(None, any).is_ok_and(|status| status.pid().is_some()) {}
        }
    });
}

/// The living processes whose real uid is `uid`, this one left out.
fn of(uid: u32) -> Vec<i32> {
    let own = std::process::id() as i32;
    let others = processes().filter(|(pid, status)| *pid != own && is_of(status, uid));
    others.filter(|(_, status)| !field(status, "State:").contains('Z')).map(|(pid, _)| pid).collect()
}

/// How many processes and threads the limit of processes counts for `uid` before the program's own: whatever else runs
/// under it, and under root this arena, whose threads act as that uid (as the one will that watches the program).
pub fn running(uid: u32) -> u64 {
    let own = std::process::id() as i32;
    let others = processes().filter(|(pid, status)| *pid != own && is_of(status, uid));
    let others: u64 = others.filter_map(|(_, status)| field(&status, "Threads:").parse::<u64>().ok()).sum();
    let threads = fs::read_dir("/proc/self/task").map_or(1, |threads| threads.count() as u64);
    others + threads + 1
}

fn processes() -> impl Iterator<Item = (i32, String)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, super::proc_text(pid, "status")?)))
}

fn is_of(status: &str, uid: u32) -> bool {
    field(status, "Uid:").split_whitespace().next() == Some(&uid.to_string())
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim()
}

/// Init's loop without a pid namespace. It must not allocate. See [`super::init`].
///
/// # Safety
/// To be called by a process with one thread, whose children are all its own to kill.
pub unsafe fn reap(program: c_int, wait_for_orphans: bool, report: impl Fn(c_int, &libc::rusage)) -> ! {
    // SAFETY: plain system calls on memory of this frame.
    unsafe {
        let mut signals: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut signals, libc::SIGCHLD);
        libc::sigaddset(&raw mut signals, libc::SIGTERM);
        loop {
            let mut status = 0;
            let mut usage: libc::rusage = std::mem::zeroed();
            let pid = libc::wait4(-1, &raw mut status, libc::__WALL | libc::WNOHANG, &raw mut usage);
            if pid == program {
                report(status, &usage);
                if !wait_for_orphans {
                    end_all();
                }
            }
            if pid < 0 {
                libc::_exit(0);
            }
            // Both are blocked since before the program was born: none is missed.
            if pid == 0 && libc::sigwaitinfo(&raw const signals, std::ptr::null_mut()) == libc::SIGTERM {
                end_all();
            }
        }
    }
}

/// Kills the children, and then those whom they leave to this subreaper, until there is none.
unsafe fn end_all() -> ! {
    let mut list = [0u8; 4096];
    // SAFETY: plain system calls on memory of this frame; the descriptor is closed again.
    unsafe {
        loop {
            let file = libc::open(c"/proc/thread-self/children".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            let length = libc::read(file, list.as_mut_ptr().cast(), list.len());
            libc::close(file);
            let mut pid: c_long = 0;
            for byte in &list[..usize::try_from(length).unwrap_or(0)] {
                if byte.is_ascii_digit() {
                    pid = 10 * pid + c_long::from(byte - b'0');
                } else {
                    libc::kill(pid as c_int, libc::SIGKILL);
                    pid = 0;
                }
            }
            // Blocks until one of them has ended.
            if libc::wait4(-1, std::ptr::null_mut(), libc::__WALL, std::ptr::null_mut()) < 0 {
                libc::_exit(0);
            }
        }
    }
}
