//! Turns a freshly forked process into an arena: steps 0 to 3 of the isolation.

use std::fs;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, getegid, geteuid, getppid, setgroups, setresgid, setresuid};

use super::cgroup::Entry;
use super::{Arena, plain};
use crate::host;
use crate::sandbox::Tier;
use crate::verdict::Breakdown;

/// Turns this process, which must still have one thread, into an arena, in the control group `group` if there is one. A
/// root process takes `uid` then (not in tier C, where only the programs take it).
pub fn enter_arena(tier: Tier, uid: u32, group: Option<&Entry>) -> Result<Arena, Breakdown> {
    let parent = getppid();
    let group = group.map(Entry::enter).transpose()?;
    let arena = match tier {
        Tier::A | Tier::B => {
            drop_root(uid)?;
            enter_namespaces()?;
            Arena { tier, uid: geteuid().as_raw(), group }
        }
        Tier::C => {
            let root = geteuid().is_root();
            let uid = if root { uid } else { geteuid().as_raw() };
            if root {
                plain::act_as(uid);
            }
            // Whatever outlives its program becomes the arena's child, not that of the container's pid 1.
            prctl::set_child_subreaper(true).map_err(|error| Breakdown::system("prctl(SUBREAPER)", error))?;
            Arena { tier, uid, group }
        }
    };
    // Only now: the change of uid would have wiped it.
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|error| Breakdown::system("prctl(PDEATHSIG)", error))?;
    if getppid() != parent {
        return Err(Breakdown::new("the grader ended before its arena began", "grade again"));
    }
    Ok(arena)
}

/// Root inside a user namespace made by root would be exempt from process limits and could write to `/proc/sys`: the
/// arena of a root grader is a dedicated uid.
fn drop_root(uid: u32) -> Result<(), Breakdown> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let failed = |error: Errno| {
        let what = format!("cannot take uid {uid}");
        match error {
            Errno::EINVAL => Breakdown::new(
                format!("{what}: this container does not map it"),
                "run the grader as an ordinary user of the container",
            ),
            _ => Breakdown::system(what, error),
        }
    };
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    setgroups(&[]).map_err(failed)?;
    setresgid(group, group, group).map_err(failed)?;
    setresuid(user, user, user).map_err(failed)?;
    // The change of uid closed /proc/self to ourselves, and uid_map is to be written next.
    prctl::set_dumpable(true).map_err(failed)
}

fn enter_namespaces() -> Result<(), Breakdown> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
        .map_err(|error| Breakdown::system("cannot enter a user and network namespace of its own", error))?;
    for (file, text) in [
        ("setgroups", "deny".to_string()),
        ("uid_map", format!("0 {uid} 1")),
        ("gid_map", format!("0 {gid} 1")),
    ] {
        let path = format!("/proc/self/{file}");
        fs::write(&path, text).map_err(|error| Breakdown::system(format!("cannot write {path}"), error))?;
    }
    host::raise_loopback()
}
