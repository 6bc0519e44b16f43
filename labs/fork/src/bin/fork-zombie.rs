//! `fork-zombie`: the child ends first and its parent is busy (the course's third example).
//!
//! Until the parent has read its status, the child stays in the process table as a zombie: no memory, no open files,
//! only a process number and a status. `ps` shows it as `Z`, "defunct".

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

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
    todo!("fork: the child ends at once, the parent ticks {count} times, every {interval:?}, and then waits")
}
