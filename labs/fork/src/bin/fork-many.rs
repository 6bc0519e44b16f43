//! `fork-many`: many children, born in one order and ending in the other.
//!
//! `wait` reports whichever child ends first, so the parent must look at the process number that it returns, and it
//! must call `wait` once for every child: the one that it forgets stays as a zombie.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

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
    todo!("fork {children} times; child k sleeps (N-k+1) x {interval:?} and exits with k; reap them all")
}
