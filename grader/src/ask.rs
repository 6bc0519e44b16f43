//! One check, one process: the grader re-executes itself as an *arena*, hands it an [`Ask`] on stdin (never argv, which
//! a student could read) and gets an [`Answer`] back on stdout.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::recording::Recording;
use crate::verdict::Verdict;

/// How to start one program of the subject.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Launch {
    /// The executable.
    pub executable: PathBuf,
    /// Its arguments before those of the check, `argv[0]` included: one for a binary, more for an interpreter.
    pub argv: Vec<String>,
    /// Files and directories that it may read besides the executable and the system's own.
    pub readable: Vec<PathBuf>,
}

/// How strongly programs can be isolated on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tier {
    /// Namespaces, with a /proc of its own.
    A,
    /// Namespaces, but /proc cannot be mounted.
    B,
    /// No namespaces (a default Docker container): other uid, landlock, filter and limits.
    C,
}

/// What an arena is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ask {
    /// The lab.
    pub lab: String,
    /// The check.
    pub check: String,
    /// Every program that the check may start, by its name in the lab.
    pub programs: BTreeMap<String, Launch>,
    /// Where the check's random values come from.
    pub seed: u64,
    /// How to isolate.
    pub tier: Tier,
    /// Whether to trace at all (it may also turn out that ptrace is not allowed).
    pub trace: bool,
    /// Whether the answer must bring the recording even when the check passes.
    pub record: bool,
    /// The uid and gid that a root arena takes.
    pub uid: u32,
}

/// What an arena answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The verdict.
    pub verdict: Verdict,
    /// Wall time of the check within the arena, in milliseconds.
    pub ms: u64,
    /// What was recorded, for failed checks and where it was asked for.
    pub recording: Option<Recording>,
}
