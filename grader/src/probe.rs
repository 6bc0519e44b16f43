//! Finds out what this machine lets an arena do, by trying it: a process of its own becomes an arena and says how far it
//! came.

use std::process::ExitCode;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use serde::{Deserialize, Serialize};

use crate::child::{self, Streams};
use crate::fork_server::Role;
use crate::sandbox;
use crate::sandbox::Tier;

/// Long enough for a loaded machine; a probe does a dozen system calls.
const LIMIT: Duration = Duration::from_secs(60);
const OUTPUT_LIMIT: usize = 64 << 10;

/// What was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Probe {
    /// How strongly programs can be isolated.
    pub tier: Tier,
    /// Why namespaces cannot be had.
    pub no_namespaces: Option<String>,
    /// Why /proc cannot be mounted in them.
    pub no_proc: Option<String>,
    /// Why system calls cannot be recorded.
    pub no_ptrace: Option<String>,
}

/// Probes this machine.
pub fn probe() -> Result<Probe, String> {
    let output = child::output(Role::Probe, &[], Streams::Piped, LIMIT, OUTPUT_LIMIT)
        .map_err(|stopped| stopped.breakdown("a probe of this machine").what)?;
    serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("a probe of this machine ended early ({})", output.status))
}

/// The whole life of a probe: looks, and writes what it found to stdout. For a process with one thread.
pub fn answer() -> ExitCode {
    match serde_json::to_writer(std::io::stdout().lock(), &look()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn look() -> Probe {
    let no_ptrace = in_child(try_ptrace).err();
    // Mostly everything works, and then there is no need to ask for less.
    let no_proc = in_child(enter_and_mount_proc).err();
    let entered = match no_proc {
        None => Ok(()),
        Some(_) => in_child(|| {
            let arena = sandbox::enter_arena(Tier::A, crate::schedule::FIRST_UID, None);
            arena.map(drop).map_err(|breakdown| breakdown.what)
        }),
    };
    let no_proc = no_proc.filter(|_| entered.is_ok());
    let tier = match (&entered, &no_proc) {
        (Err(_), _) => Tier::C,
        (Ok(()), Some(_)) => Tier::B,
        (Ok(()), None) => Tier::A,
    };
    Probe { tier, no_namespaces: entered.err(), no_proc, no_ptrace }
}

fn enter_and_mount_proc() -> Result<(), String> {
    sandbox::enter_arena(Tier::A, crate::schedule::FIRST_UID, None).map_err(|breakdown| breakdown.what)?;
    unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS).map_err(|error| error.to_string())?;
    in_child(|| {
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
            .map_err(|error| error.to_string())?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
        // As a program's root does it: nothing is hidden at first, where that is permitted.
        let pids = Some("subset=pid");
        mount(Some("proc"), "/proc", Some("proc"), flags, none)
            .and_then(|()| mount(Some("proc"), "/proc", none, flags | MsFlags::MS_REMOUNT, pids))
            .or_else(|_| mount(Some("proc"), "/proc", Some("proc"), flags, pids))
            .map_err(|error| error.to_string())
    })
}

/// Seizes a child that waits, as the recorder does.
fn try_ptrace() -> Result<(), String> {
    // SAFETY: this process has one thread, so the child may do whatever it could have done.
    match unsafe { fork() }.map_err(|error| error.to_string())? {
        ForkResult::Child => loop {
            nix::unistd::pause();
        },
        ForkResult::Parent { child } => {
            // SAFETY: PTRACE_SEIZE takes no address; its options are the last argument.
            let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, child.as_raw(), 0, 0) };
            let seized = nix::errno::Errno::result(seized);
            let _ = kill(child, Signal::SIGKILL);
            let _ = waitpid(child, None);
            seized.map(drop).map_err(|error| error.to_string())
        }
    }
}

/// Does something that cannot be undone in a child, and brings its reason back over a pipe.
fn in_child(work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let (reader, writer) = nix::unistd::pipe().map_err(|error| error.to_string())?;
    // SAFETY: this process has one thread, so the child may do whatever it could have done.
    match unsafe { fork() }.map_err(|error| error.to_string())? {
        ForkResult::Child => {
            drop(reader);
            let code = match work() {
                Ok(()) => 0,
                Err(reason) => {
                    let _ = nix::unistd::write(&writer, reason.as_bytes());
                    1
                }
            };
            std::process::exit(code)
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let mut reason = String::new();
            let _ = std::io::Read::read_to_string(&mut std::fs::File::from(reader), &mut reason);
            match waitpid(child, None) {
                Ok(WaitStatus::Exited(_, 0)) => Ok(()),
                Ok(WaitStatus::Exited(..)) => Err(reason),
                other => Err(format!("the probe ended early: {other:?}")),
            }
        }
    }
}
