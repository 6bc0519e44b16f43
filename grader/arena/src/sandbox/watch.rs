//! Watches the memory of a tree. A limit of address space counts each process for itself and counts what is never
//! touched; only the arena sees what all of them really hold.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use libc::pid_t;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::cgroup::Inside;
use super::{Arena, plain};

/// How often to look while a tree is small, as all are at first, and while it is large: in between, a program can take
/// what two processors can clear in that time. (Most programs have ended before the first look.)
const SMALL_PERIOD_MS: u16 = 60;
const PERIOD_MS: u16 = 20;
/// A tree is small below this part of its limit.
const SMALL: u64 = 8;

/// A thread that kills a tree whose memory exceeds its limit; it ends with the tree.
pub struct Watch {
    exceeded: Arc<AtomicBool>,
}

impl Watch {
    /// Starts to watch the tree of `init` (its pidfd and pid), whose program took `uid` if that is one of its own.
    /// Without a thread to do it, nothing is watched.
    pub fn start(arena: Arena, uid: Option<u32>, init: OwnedFd, pid: pid_t, limit: u64) -> Self {
        let exceeded = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&exceeded);
        let work = move || {
            // What its memory is made of, a process tells only its own uid.
            uid.into_iter().for_each(plain::act_as);
            watch(arena, &init, pid, limit, &seen);
        };
        let _ = thread::Builder::new().name("memory watch".into()).spawn(work);
        Self { exceeded }
    }

    /// Whether it has killed the tree for holding more than its limit.
    pub fn exceeded(&self) -> bool {
        self.exceeded.load(Ordering::SeqCst)
    }
}

fn watch(arena: Arena, init: &OwnedFd, pid: pid_t, limit: u64, exceeded: &AtomicBool) {
    let mut period = SMALL_PERIOD_MS;
    loop {
        let mut ended = [PollFd::new(init.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ended, PollTimeout::from(period)) {
            Ok(0) | Err(Errno::EINTR) => {}
            _ => return,
        }
        // The kernel ended one process of the group, and whoever waits for that one now waits for ever, or goes on without.
        if arena.group.is_some_and(Inside::has_killed) {
            super::kill(arena.tier, init);
            return;
        }
        let held = resident(pid);
        period = if held < limit / SMALL { SMALL_PERIOD_MS } else { PERIOD_MS };
        if held > limit && proportional(pid) > limit {
            exceeded.store(true, Ordering::SeqCst);
            super::kill(arena.tier, init);
            return;
        }
    }
}

/// The memory of the tree of `init` in bytes, pages that it shares with files left out. Cheap, but what processes share
/// after a fork counts once for each.
pub fn resident(init: pid_t) -> u64 {
    sum(init, |pid| memory_of(&pid.to_string()))
}

/// The memory of this process in bytes, pages that it shares with files left out.
pub fn own_memory() -> u64 {
    memory_of("self").unwrap_or(0)
}

fn memory_of(process: &str) -> Option<u64> {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .unwrap_or(4096)
        .unsigned_abs();
    let text = fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
    let mut fields = text.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
    let (resident, shared) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(resident.saturating_sub(shared) * page)
}

/// The same, with shared pages divided among those who share them. Costs the kernel a walk over all their pages.
fn proportional(init: pid_t) -> u64 {
    sum(init, |pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()? << 10)
    })
}

/// Adds up what `measure` says of every process below `init`.
fn sum(init: pid_t, measure: impl Fn(pid_t) -> Option<u64>) -> u64 {
    let (mut total, mut left) = (0, children(init));
    while let Some(pid) = left.pop() {
        total += measure(pid).unwrap_or(0);
        left.extend(children(pid));
    }
    total
}

/// A file of `/proc/<pid>`, such as `status`. A process names itself as it likes, also in bytes that are no text.
pub fn proc_text(pid: pid_t, file: &str) -> Option<String> {
    Some(String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/{file}")).ok()?).into_owned())
}

/// The children of every thread of `pid`.
pub fn children(pid: pid_t) -> Vec<pid_t> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists =
        threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}
