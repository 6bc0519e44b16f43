//! `fork-reap`: as `fork-zombie`, but the parent has said beforehand that it does not care how its children end.
//!
//! SIGCHLD is ignored by default, and yet zombies stay. Only where it is ignored *explicitly* does the system throw the
//! status away when the child ends. There is no zombie then, and no status for `wait` either.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

// solution:
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::wait;
use nix::unistd::{ForkResult, fork};
use std::thread;
// :solution

const USAGE: &str = "usage: fork-reap [--count C] [--interval-ms I]";

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new(USAGE);
    let count: u32 = arguments.number("--count", 1..=u32::MAX, 5);
    let interval_ms: u32 = arguments.number("--interval-ms", 1..=u32::MAX, 2000);
    arguments.finish();

    match run(count, Duration::from_millis(interval_ms.into())) {
        Ok(status) => status,
        Err(problem) => {
            // Nobody is left to be told when even stderr cannot be written.
            let _ = writeln!(io::stderr(), "fork-reap: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Forks; from then on two processes run this program, and each of them returns from here with its own exit status.
fn run(count: u32, interval: Duration) -> Result<ExitCode, String> {
    // solution: todo!("ignore SIGCHLD, then as fork-zombie: the parent ticks {count} times, every {interval:?}")
    // Before the fork: the child may be gone before the parent runs again.
    // SAFETY: no handler is installed, so no code of ours will run at an unexpected moment.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }
        .map_err(|error| format!("cannot ignore SIGCHLD: {}", error.desc()))?;

    // SAFETY: this process has one thread only, so the child's copy of the memory holds no lock that nobody frees.
    let fork_result = unsafe { fork() }.map_err(|error| format!("cannot fork: {}", error.desc()))?;
    match fork_result {
        ForkResult::Child => say("child exits...")?,
        ForkResult::Parent { child: _ } => {
            for number in 0..count {
                thread::sleep(interval); // Sleeps on when a signal handler interrupts it.
                say(&format!("parent is running... {number}"))?;
            }
            wait_until_childless()?;
            say("no child to wait for")?;
            say("parent is exiting...")?;
        }
    }
    Ok(ExitCode::SUCCESS)
    // :solution
}
// solution:

/// Waits until there is no child. With SIGCHLD ignored `wait` blocks while a child runs, and then reports none.
fn wait_until_childless() -> Result<(), String> {
    loop {
        match wait() {
            Err(Errno::ECHILD) => return Ok(()),
            Err(Errno::EINTR) => {}
            Ok(status) => return Err(format!("a child has left a status all the same: {status:?}")),
            Err(error) => return Err(format!("cannot wait: {}", error.desc())),
        }
    }
}

/// Prints a line, out at once. `println!` would panic when stdout cannot be written; here the caller hears of it.
fn say(line: &str) -> Result<(), String> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(|error| format!("cannot write to stdout: {error}"))
}
// :solution
