//! `fork-reap`: as `fork-zombie`, but the parent has said beforehand that it does not care how its children end.
//!
//! SIGCHLD is ignored by default, and yet zombies stay. Only where it is ignored *explicitly* does the system throw the
//! status away when the child ends. There is no zombie then, and no status for `wait` either.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

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
    todo!("ignore SIGCHLD, then as fork-zombie: the parent ticks {count} times, every {interval:?}")
}
