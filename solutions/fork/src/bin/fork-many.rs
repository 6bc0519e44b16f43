//! `fork-many`: many children, born in one order and ending in the other.
//!
//! `wait` reports whichever child ends first, so the parent must look at the process number that it returns, and it
//! must call `wait` once for every child: the one that it forgets stays as a zombie.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

// solution:
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::{ForkResult, fork};
use std::thread;
// :solution

const USAGE: &str = "usage: fork-many [--children N] [--interval-ms I]";

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new(USAGE);
    let children: u32 = arguments.number("--children", 1..=u32::MAX, 4);
    let interval_ms: u32 = arguments.number("--interval-ms", 1..=u32::MAX, 2000);
    arguments.finish();

    match run(children, Duration::from_millis(interval_ms.into())) {
        Ok(status) => status,
        Err(problem) => {
            // Nobody is left to be told when even stderr cannot be written.
            let _ = writeln!(io::stderr(), "fork-many: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Makes the children and reaps them. Every child returns from here too, with its own exit status.
fn run(children: u32, interval: Duration) -> Result<ExitCode, String> {
    // solution: todo!("fork {children} times; child k sleeps (N-k+1) x {interval:?} and exits with k; reap them all")
    let mut refused = None;
    for number in 1..=children {
        // SAFETY: this process has one thread only, so the child's copy of the memory holds no lock that nobody frees.
        match unsafe { fork() } {
            // The child leaves the loop at once: if it stayed, it would have children of its own.
            Ok(ForkResult::Child) => {
                thread::sleep(interval * (children - number + 1));
                return Ok(ExitCode::from((number % 256) as u8));
            }
            Ok(ForkResult::Parent { child: _ }) => {}
            Err(error) => {
                refused = Some(format!("cannot fork child {number} of {children}: {}", error.desc()));
                break;
            }
        }
    }

    // Also when a fork was refused: those that were born are reaped.
    reap_all()?;
    match refused {
        None => Ok(ExitCode::SUCCESS),
        Some(problem) => Err(problem),
    }
    // :solution
}
// solution:

/// Waits until no child is left and prints a line for each, with its raw wait status: the low seven bits are the
/// signal that killed it (0: none), the next bit says that it left a core dump, the byte above is its exit code.
fn reap_all() -> Result<(), String> {
    loop {
        match wait() {
            Ok(WaitStatus::Exited(child, code)) => say(&format!("({child}, {})", code << 8))?,
            Ok(WaitStatus::Signaled(child, signal, core_dumped)) => {
                let status = signal as i32 | if core_dumped { 0x80 } else { 0 };
                say(&format!("({child}, {status})"))?;
            }
            // A signal was handled, or a child did something else than to end: go on waiting.
            Err(Errno::EINTR) | Ok(_) => {}
            Err(Errno::ECHILD) => return Ok(()),
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
