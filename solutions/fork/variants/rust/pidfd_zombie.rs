//! The parent polls the child's pidfd, which tells that it has ended and leaves it a zombie until `waitid`.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{ForkResult, fork};
use std::error::Error;
use std::io::Write;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: fork-zombie [--count C] [--interval-ms I]");
    let count: u32 = arguments.number("--count", 1..=u32::MAX, 5);
    let interval_ms: u32 = arguments.number("--interval-ms", 1..=u32::MAX, 2000);
    arguments.finish();
    run(count, Duration::from_millis(interval_ms.into())).unwrap_or_else(|error| {
        eprintln!("fork-zombie: {error}");
        ExitCode::FAILURE
    })
}

fn run(count: u32, interval: Duration) -> Result<ExitCode, Box<dyn Error>> {
    // SAFETY: there is one thread.
    let ForkResult::Parent { child } = (unsafe { fork() })? else {
        writeln!(std::io::stdout(), "child exits...")?;
        return Ok(ExitCode::SUCCESS);
    };
    for number in 0..count {
        std::thread::sleep(interval);
        writeln!(std::io::stdout(), "parent is running... {number}")?;
    }
    // SAFETY: plain numbers go in, a descriptor or -1 comes out.
    let number = unsafe { nix::libc::syscall(nix::libc::SYS_pidfd_open, child.as_raw(), 0) };
    let status = if number >= 0 {
        // SAFETY: the descriptor is new and nobody else's.
        let pidfd = unsafe { OwnedFd::from_raw_fd(number as i32) };
        poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
        waitid(Id::PIDFd(pidfd.as_fd()), WaitPidFlag::WEXITED)?
    } else {
        waitid(Id::Pid(child), WaitPidFlag::WEXITED)?
    };
    let status = match status {
        WaitStatus::Exited(_, code) => code << 8,
        WaitStatus::Signaled(_, signal, _) => signal as i32,
        other => return Err(format!("unexpected {other:?}").into()),
    };
    writeln!(std::io::stdout(), "({child}, {status})")?;
    writeln!(std::io::stdout(), "parent is exiting...")?;
    Ok(ExitCode::SUCCESS)
}
