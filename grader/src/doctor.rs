//! `doctor`: what this machine can do for grading, what it lacks, and the command that mends it.

use std::fmt::Write;

use crate::ask::Tier;
use crate::exit::{Exit, Problem};

/// How strongly programs can be isolated on this machine.
pub fn tier() -> Result<Tier, Problem> {
    Ok(Tier::A)
}

/// What `doctor` prints.
pub fn report() -> Result<String, Problem> {
    let mut out = String::new();
    for finding in findings() {
        let word = if finding.fine { "ok  " } else { "LACK" };
        let _ = writeln!(out, "{word}  {}", finding.what);
        if !finding.fine {
            let _ = writeln!(out, "      next: {}", finding.next);
        }
    }
    Ok(out)
}

/// The code that `doctor` ends with.
pub fn exit() -> Exit {
    if findings().iter().all(|finding| finding.fine) { Exit::Passed } else { Exit::Machine }
}

struct Found {
    fine: bool,
    what: String,
    next: &'static str,
}

fn findings() -> Vec<Found> {
    let has = |name: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
    };
    let linker = has("cc");
    vec![Found {
        fine: linker,
        what: if linker { "a C linker, cc".to_string() } else { "no C linker: no cc in PATH".to_string() },
        next: "on Debian or Ubuntu: sudo apt install gcc libc6-dev",
    }]
}
