//! How a command ends: the published exit codes, and the [`Problem`] that ends one early.

use std::process::ExitCode;

/// The published exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Every check passed.
    Passed = 0,
    /// At least one check found something wrong with a program.
    Findings = 1,
    /// The command or the submission cannot be used as it is.
    Usage = 2,
    /// This machine lacks something; `cargo xtask doctor` says what.
    Machine = 69,
    /// The grader itself failed on at least one check: its points are not decided.
    Breakdown = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command cannot go on: what is wrong, and what to do next.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The code that the command ends with.
    pub exit: Exit,
    /// What is wrong: a lower-case sentence fragment that names the thing.
    pub what: String,
    /// What to do next.
    pub next: String,
}

impl Problem {
    /// The reader's input is wrong.
    pub fn usage(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, what: what.into(), next: next.into() }
    }

    /// The grader itself failed.
    pub fn breakdown(breakdown: &crate::verdict::Breakdown) -> Self {
        Self { exit: Exit::Breakdown, what: breakdown.what.clone(), next: breakdown.next.clone() }
    }

    /// The machine lacks something.
    pub fn machine(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { exit: Exit::Machine, what: what.into(), next: next.into() }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "error: {}\n  next: {}",
            crate::report::escape(&self.what),
            crate::report::escape(&self.next)
        )
    }
}

/// A path as it may be shown: control characters escaped, however the file is named.
pub fn shown(path: &std::path::Path) -> String {
    crate::report::escape(&path.to_string_lossy())
}
