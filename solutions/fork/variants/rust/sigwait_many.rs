//! SIGCHLD is blocked and fetched with `sigwait`; after each signal everybody who has ended is reaped.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: fork-many [--children N] [--interval-ms I]");
    let children: u32 = arguments.number("--children", 1..=u32::MAX, 4);
    let interval_ms: u32 = arguments.number("--interval-ms", 1..=u32::MAX, 2000);
    arguments.finish();
    run(children, Duration::from_millis(interval_ms.into())).unwrap_or_else(|error| {
        eprintln!("fork-many: {error}");
        ExitCode::FAILURE
    })
}

fn run(children: u32, interval: Duration) -> Result<ExitCode, Box<dyn Error>> {
    let children_ended = SigSet::from(Signal::SIGCHLD);
    children_ended.thread_block()?;
    let mut living = 0;
    let mut refused = None;
    for number in 1..=children {
        // SAFETY: there is one thread.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                std::thread::sleep(interval * (children - number + 1));
                // SAFETY: ends the process without a trace of the parent's.
                unsafe { nix::libc::_exit(number.rem_euclid(256) as i32) }
            }
            Ok(ForkResult::Parent { .. }) => living += 1,
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    while living > 0 {
        children_ended.wait()?;
        while living > 0 {
            let (child, status) = match waitpid(None, Some(WaitPidFlag::WNOHANG))? {
                WaitStatus::Exited(child, code) => (child, code << 8),
                WaitStatus::Signaled(child, signal, _) => (child, signal as i32),
                _ => break,
            };
            writeln!(std::io::stdout(), "({child}, {status})")?;
            living -= 1;
        }
    }
    match refused {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => Err(error.into()),
    }
}
