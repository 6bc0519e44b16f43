//! SIGCHLD is blocked and fetched with `sigwait`; after each signal `waitpid` is asked without blocking.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{ForkResult, fork};
use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: fork-wait [--count C] [--interval-ms I] [--exit-code E]");
    let count: u32 = arguments.number("--count", 1..=u32::MAX, 5);
    let interval_ms: u32 = arguments.number("--interval-ms", 1..=u32::MAX, 2000);
    let exit_code: u8 = arguments.number("--exit-code", 0..=255, 0);
    arguments.finish();
    run(count, Duration::from_millis(interval_ms.into()), exit_code).unwrap_or_else(|error| {
        eprintln!("fork-wait: {error}");
        ExitCode::FAILURE
    })
}

fn run(count: u32, interval: Duration, exit_code: u8) -> Result<ExitCode, Box<dyn Error>> {
    let children_ended = SigSet::from(Signal::SIGCHLD);
    children_ended.thread_block()?;
    // SAFETY: there is one thread.
    let ForkResult::Parent { child } = (unsafe { fork() })? else {
        let mut due = Instant::now();
        for number in 0..count {
            due += interval;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            writeln!(std::io::stdout(), "child is running... {number}")?;
        }
        return Ok(ExitCode::from(exit_code));
    };
    let status = loop {
        children_ended.wait()?;
        match waitid(Id::Pid(child), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG)? {
            WaitStatus::Exited(_, code) => break code * 256,
            WaitStatus::Signaled(_, signal, _) => break signal as i32,
            _ => {}
        }
    };
    writeln!(std::io::stdout(), "({child}, {status})")?;
    writeln!(std::io::stdout(), "parent is exiting...")?;
    Ok(ExitCode::SUCCESS)
}
