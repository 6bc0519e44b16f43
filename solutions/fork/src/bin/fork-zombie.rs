//! `fork-zombie`: the child ends first and its parent is busy (the course's third example).
//!
//! Until the parent has read its status, the child stays in the process table as a zombie: no memory, no open files,
//! only a process number and a status. `ps` shows it as `Z`, "defunct".

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

// solution:
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use std::thread;
// :solution

const USAGE: &str = "usage: fork-zombie [--count C] [--interval-ms I]";

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new(USAGE);
    let count: u32 = arguments.number("--count", 1..=u32::MAX, 5);
    let interval_ms: u32 = arguments.number("--interval-ms", 1..=u32::MAX, 2000);
    arguments.finish();

    match run(count, Duration::from_millis(interval_ms.into())) {
        Ok(status) => status,
        Err(problem) => {
            // Nobody is left to be told when even stderr cannot be written.
            let _ = writeln!(io::stderr(), "fork-zombie: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Forks; from then on two processes run this program, and each of them returns from here with its own exit status.
fn run(count: u32, interval: Duration) -> Result<ExitCode, String> {
    // solution: todo!("fork: the child ends at once, the parent ticks {count} times, every {interval:?}, and then waits")
    // SAFETY: this process has one thread only, so the child's copy of the memory holds no lock that nobody frees.
    let fork_result = unsafe { fork() }.map_err(|error| format!("cannot fork: {}", error.desc()))?;
    match fork_result {
        ForkResult::Child => say("child exits...")?,
        ForkResult::Parent { child } => {
            for number in 0..count {
                thread::sleep(interval); // Sleeps on when a signal handler interrupts it.
                say(&format!("parent is running... {number}"))?;
            }
            // The child ended long ago: this does not block, it takes the status and with it ends the zombie.
            let status = wait_for(child)?;
            say(&format!("({child}, {status})"))?;
            say("parent is exiting...")?;
        }
    }
    Ok(ExitCode::SUCCESS)
    // :solution
}
// solution:

/// Blocks until `child` has ended and returns its raw wait status: the low seven bits are the signal that killed it
/// (0: none), the next bit says that it left a core dump, and the byte above is its exit code.
fn wait_for(child: Pid) -> Result<i32, String> {
    loop {
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(code << 8),
            Ok(WaitStatus::Signaled(_, signal, core_dumped)) => {
                return Ok(signal as i32 | if core_dumped { 0x80 } else { 0 });
            }
            // A signal was handled, or the child did something else than to end: go on waiting.
            Err(Errno::EINTR) | Ok(_) => {}
            Err(error) => return Err(format!("cannot wait for process {child}: {}", error.desc())),
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
