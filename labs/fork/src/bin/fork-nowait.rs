//! `fork-nowait`: the parent does not wait for its child (the course's first example).
//!
//! The parent says that it exits and is gone. Its child is now an orphan: the system gives it a new parent (process 1
//! or a "subreaper") and it goes on as if nothing had happened.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: fork-nowait [--count C] [--interval-ms I]";

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new(USAGE);
    let count: u32 = arguments.number("--count", 1..=u32::MAX, 5);
    let interval_ms: u32 = arguments.number("--interval-ms", 1..=u32::MAX, 2000);
    arguments.finish();

    match run(count, Duration::from_millis(interval_ms.into())) {
        Ok(status) => status,
        Err(problem) => {
            // Nobody is left to be told when even stderr cannot be written.
            let _ = writeln!(io::stderr(), "fork-nowait: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Forks; from then on two processes run this program, and each of them returns from here with its own exit status.
fn run(count: u32, interval: Duration) -> Result<ExitCode, String> {
    todo!("fork: the parent says that it exits, the child ticks {count} times, every {interval:?}")
}
