//! Tier C, without namespaces: what stands in for them. Under root, programs take a uid of their own, so that they can
//! neither signal nor read the arena, and can all be found again by it; an ordinary user has only Landlock, filters and
//! limits.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, chown};

use libc::{c_int, c_long};
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, Uid, geteuid, getresuid};

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

/// Whether the calling thread is root, or was before [`act_as`].
pub fn can_be_root() -> bool {
    getresuid().is_ok_and(|ids| ids.effective.is_root() || ids.saved.is_root())
}

/// Makes the calling thread (and no other) act as `uid`, with the way back open: the kernel lets a tracer without
/// CAP_SYS_PTRACE, which containers lack, trace only processes of its own uid.
pub fn act_as(uid: u32) {
    // The C library's calls would change every thread.
    // SAFETY: no memory is passed. Where this fails, tracing fails later and says why.
    unsafe {
        libc::syscall(libc::SYS_setresgid, uid, uid, 0);
        libc::syscall(libc::SYS_setresuid, uid, uid, 0);
    }
}

/// Does `work` with the calling thread as root, if it was that once.
pub fn as_root<T>(work: impl FnOnce() -> T) -> T {
    let before = getresuid();
    let acting = before.ok().filter(|ids| !ids.effective.is_root() && ids.saved.is_root());
    if acting.is_some() {
        act_as(0);
    }
    let result = work();
    if let Some(ids) = acting {
        act_as(ids.effective.as_raw());
    }
    result
}

/// Does `work` with the calling thread, if it is root, as `uid`: without CAP_SYS_PTRACE root may see less of a program
/// than the program's own uid does.
pub fn acting_as<T>(uid: u32, work: impl FnOnce() -> T) -> T {
    let root = geteuid().is_root() && uid != 0;
    if root {
        act_as(uid);
    }
    let result = work();
    if root {
        act_as(0);
    }
    result
}

/// Asks init to end its whole tree: where it is not pid 1 of a namespace, its own death would end only the program.
pub fn ask_to_end(init: BorrowedFd<'_>) {
    as_root(|| signal(init.as_fd(), libc::SIGTERM));
}

/// Kills every process of `uid`: whatever slipped away from its init. Only for root, whose programs have a uid of their
/// own.
pub fn sweep(uid: u32) {
    const ROUNDS: u32 = 100;
    as_root(|| {
        if !geteuid().is_root() || uid == 0 {
            return;
        }
        for _ in 0..ROUNDS {
            // SAFETY: the child makes only bare system calls, on no memory, and ends.
            let child = unsafe {
                let child = libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
                if child == 0 {
                    libc::syscall(libc::SYS_setresuid, uid, uid, uid);
                    let killed = libc::kill(-1, libc::SIGKILL);
                    libc::_exit(c_int::from(killed < 0 && Errno::last() == Errno::ESRCH));
                }
                child
            };
            let ended = waitpid(Pid::from_raw(child as i32), Some(WaitPidFlag::__WALL));
            if child < 0 || !matches!(ended, Ok(nix::sys::wait::WaitStatus::Exited(_, 0))) {
                return;
            }
        }
    });
}

/// How many processes and threads this user has: an ordinary user's limit counts them all.
pub fn running(uid: Uid) -> u64 {
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    let own = processes.flatten().filter(|entry| {
        entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit())
            && entry.metadata().is_ok_and(|meta| meta.uid() == uid.as_raw())
    });
    own.map(|entry| fs::read_dir(entry.path().join("task")).map_or(0, |threads| threads.count() as u64)).sum()
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
