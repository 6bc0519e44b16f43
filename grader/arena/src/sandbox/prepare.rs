//! Prepares all that init and the program need, while memory may still be allocated: step 4 of the isolation.

use std::ffi::{CString, OsString};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use nix::fcntl::{FcntlArg, fcntl};
use nix::unistd::geteuid;

use super::init::{Prepared, Strings};
use super::root::Root;
use super::tree::Place;
use super::{Arena, Limits, Plan, filter, landlock, plain};
use crate::sandbox::Tier;
use crate::verdict::Breakdown;

/// The least descriptor that is prepared for init, above all places to which init moves it.
const ABOVE_PLACES: RawFd = 16;

const CAP_NET_RAW: u64 = 13;

/// Prepares init, and the program's own directory where there is no root of its own.
pub fn prepare(
    plan: Plan,
    place: Place,
    status: OwnedFd,
    handshake: OwnedFd,
    (go, go_writer): (OwnedFd, OwnedFd),
) -> Result<(Prepared, Option<tempfile::TempDir>), Breakdown> {
    let arena = plan.arena;
    let alone = arena.tier == Tier::C;
    if alone && !plan.names.is_empty() {
        let next = "it needs namespaces: run `cargo xtask doctor`, which says what allows them";
        return Err(Breakdown::new("this check gives its program a hosts file of its own", next));
    }
    let work = if alone && place.writable.is_none() { Some(plain::work_directory(arena.uid)?) } else { None };
    let writable: Vec<PathBuf> = place.writable.iter().cloned().chain(work.iter().map(path_of)).collect();
    let (root, reach) = if alone {
        let readable: Vec<PathBuf> = plan.readable.iter().chain(&place.directory).cloned().collect();
        // A compiler, which has a directory of its own, looks nobody up.
        let settings = place.directory.is_none();
        (None, landlock::of_the_machine(&plan.program, &readable, &writable, settings))
    } else {
        (Some(Root::list(&plan, &place)?), landlock::of_the_root(&writable))
    };
    let wall = landlock::prepare(&reach)?.map(|wall| wall.moved(above_places)).transpose()?;
    let directory = place.directory.clone().or_else(|| work.as_ref().map(path_of)).filter(|_| alone);
    let executable = match &root {
        Some(root) => root.executable.clone(),
        None => c_string(plan.program.into_os_string())?,
    };
    let assignments = plan.env.into_iter().map(|(name, value)| {
        let mut assignment = name;
        assignment.push("=");
        assignment.push(value);
        assignment
    });
    let trees = place.trees.into_iter().map(|(_, tree)| above_places(tree)).collect::<Result<_, _>>()?;
    let [input, output, errors] = plan.stdio;
    let prepared = Prepared {
        trees,
        map: (!alone && !plan.net_raw).then_some(c"1000 0 1"),
        root,
        directory: directory.map(|path| c_string(path.into_os_string())).transpose()?,
        wall,
        executable,
        argv: strings(plan.argv)?,
        env: strings(assignments.collect())?,
        stdio: [above_places(input)?, above_places(output)?, above_places(errors)?],
        status: above_places(status)?,
        handshake: above_places(handshake)?,
        go: above_places(go)?,
        go_writer: above_places(go_writer)?,
        limits: limits(arena, &plan.limits),
        capabilities: if plan.net_raw { 1 << CAP_NET_RAW } else { 0 },
        uid: (alone && geteuid().is_root() && !place.keep_uid).then_some(arena.uid),
        ignored_signals: plan.ignored_signals,
        filter: filter::filter(&plan.traced_calls, !place.no_sockets, !alone)?,
        wait_for_orphans: plan.wait_for_orphans,
    };
    Ok((prepared, work))
}

fn path_of(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().to_path_buf()
}

fn strings(texts: Vec<OsString>) -> Result<Strings, Breakdown> {
    let held = texts.into_iter().map(c_string).collect::<Result<_, _>>()?;
    Ok(Strings::new(held))
}

/// The limits in the order in which they are set: that of processes last.
fn limits(arena: Arena, limits: &Limits) -> Vec<(u32, libc::rlimit)> {
    let processes = match arena.tier {
        // Init is one of them.
        Tier::A | Tier::B => limits.processes,
        // Without a user namespace others are counted, too, and under root not init.
        Tier::C => plain::running(arena.uid) + limits.processes - u64::from(geteuid().is_root()),
    };
    let both = |value: u64| libc::rlimit { rlim_cur: value, rlim_max: value };
    let (soft, hard) = limits.descriptors;
    vec![
        (libc::RLIMIT_CORE, both(0)),
        (libc::RLIMIT_AS, both(limits.memory)),
        (libc::RLIMIT_FSIZE, both(limits.file_size)),
        // SIGXCPU at the first, which a program may handle, SIGKILL at the second.
        (libc::RLIMIT_CPU, libc::rlimit { rlim_cur: limits.cpu, rlim_max: limits.cpu + 1 }),
        (libc::RLIMIT_NOFILE, libc::rlimit { rlim_cur: soft, rlim_max: hard }),
        (libc::RLIMIT_MSGQUEUE, both(0)),
        // Timers, and signals that wait: kernel memory that is nobody's.
        (libc::RLIMIT_SIGPENDING, both(1024)),
        (libc::RLIMIT_NPROC, both(processes)),
    ]
}

fn c_string(text: OsString) -> Result<CString, Breakdown> {
    CString::new(text.into_vec())
        .map_err(|error| Breakdown::new(format!("a path or argument holds a NUL: {error}"), "leave it out"))
}

fn above_places(descriptor: OwnedFd) -> Result<OwnedFd, Breakdown> {
    let moved = fcntl(&descriptor, FcntlArg::F_DUPFD_CLOEXEC(ABOVE_PLACES))
        .map_err(|error| Breakdown::system("cannot move a descriptor", error))?;
    // SAFETY: the call made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}
