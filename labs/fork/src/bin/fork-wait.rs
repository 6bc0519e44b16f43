//! `fork-wait`: the parent waits for its child and reads how it ended (the course's second example).
//!
//! `wait` does two things at once: it blocks until a child has ended, and it takes the child's status, which the
//! system has kept for it.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: fork-wait [--count C] [--interval-ms I] [--exit-code E]";

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new(USAGE);
    let count: u32 = arguments.number("--count", 1..=u32::MAX, 5);
    let interval_ms: u32 = arguments.number("--interval-ms", 1..=u32::MAX, 2000);
    let exit_code: u8 = arguments.number("--exit-code", 0..=u8::MAX, 0);
    arguments.finish();

    match run(count, Duration::from_millis(interval_ms.into()), exit_code) {
        Ok(status) => status,
        Err(problem) => {
            // Nobody is left to be told when even stderr cannot be written.
            let _ = writeln!(io::stderr(), "fork-wait: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Forks; from then on two processes run this program, and each of them returns from here with its own exit status.
fn run(count: u32, interval: Duration, exit_code: u8) -> Result<ExitCode, String> {
    todo!("fork: the child ticks {count} times, every {interval:?}, and exits with {exit_code}; wait for it")
}
