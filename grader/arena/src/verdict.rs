//! Whose fault is it? The answer is kept apart by the compiler: a [`Finding`] says that the program is wrong, with
//! evidence and reason; a [`Breakdown`] says that the grader or the machine failed, and never costs a point.
//!
//! An expectation without a reason does not compile: expectations return `Result<_, Unexplained>`, a check returns
//! `Result<(), Stop>`, and only [`Because::because`] leads from one to the other.

use serde::{Deserialize, Serialize};

/// What a check found to be wrong with a program: evidence first, then the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What the check did or sent, in the student's terms: bytes as `00 ff` with their meaning, or a command line.
    pub sent: Option<String>,
    /// What a correct program would have shown.
    pub expected: Option<String>,
    /// What this program showed, never cut silently.
    pub observed: Option<String>,
    /// The likely mistake, recognised from recorded facts, as one sentence.
    pub likely: Option<String>,
    /// The name of the likely mistake, where it is one that the recording shows by itself (`recording/mistakes.rs`).
    #[serde(default)]
    pub mistake: Option<String>,
    /// Further facts, a line each: where a process was blocked, what stderr said, how it ended.
    pub notes: Vec<String>,
    /// Why it must be so, as one sentence.
    pub because: String,
}

/// The grader or the machine failed: what happened, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breakdown {
    /// What failed, with the system's reason.
    pub what: String,
    /// What the reader can do about it.
    pub next: String,
}

impl Breakdown {
    /// A breakdown that says what failed and what to do next.
    pub fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what: what.into(), next: next.into() }
    }

    /// A failure of a system call of the grader's own.
    pub fn system(what: impl Into<String>, error: impl std::fmt::Display) -> Self {
        Self::new(format!("{}: {error}", what.into()), "run `cargo xtask doctor`, then grade again")
    }
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The program did what the requirement asks for.
    Pass,
    /// The program is wrong.
    Fail(Box<Finding>),
    /// Not asked, because the named check, on which this one builds, did not pass.
    Blocked(String),
    /// Not answered, because the grader or the machine failed.
    Broke(Breakdown),
}

/// Why a check ended early.
#[derive(Clone, Debug)]
pub enum Stop {
    /// The program is wrong.
    Finding(Box<Finding>),
    /// The grader or the machine failed.
    Breakdown(Breakdown),
}

impl From<Breakdown> for Stop {
    fn from(breakdown: Breakdown) -> Self {
        Self::Breakdown(breakdown)
    }
}

/// An expectation that was not met and that still lacks its reason.
#[derive(Debug)]
#[must_use = "add the reason with .because(\"...\")"]
pub struct Unexplained(pub Stop);

impl Unexplained {
    /// A finding made of what was expected and what was observed instead.
    pub fn new(expected: impl Into<String>, observed: impl Into<String>) -> Self {
        let finding = Finding {
            expected: Some(expected.into()),
            observed: Some(observed.into()),
            ..Finding::default()
        };
        Self(Stop::Finding(Box::new(finding)))
    }

    /// Adds what was sent or done before.
    pub fn sent(self, sent: impl Into<String>) -> Self {
        self.edit(|finding| finding.sent = Some(sent.into()))
    }

    /// Adds the likely mistake, which must follow from recorded facts.
    pub fn likely(self, mistake: impl Into<String>) -> Self {
        self.edit(|finding| finding.likely = Some(mistake.into()))
    }

    /// Adds a further fact, unless it is there already.
    pub fn note(self, fact: impl Into<String>) -> Self {
        let fact = fact.into();
        self.edit(|finding| {
            if !finding.notes.contains(&fact) {
                finding.notes.push(fact);
            }
        })
    }

    fn edit(mut self, edit: impl FnOnce(&mut Finding)) -> Self {
        if let Stop::Finding(finding) = &mut self.0 {
            edit(finding);
        }
        self
    }
}

impl From<Breakdown> for Unexplained {
    fn from(breakdown: Breakdown) -> Self {
        Self(Stop::Breakdown(breakdown))
    }
}

/// What an expectation returns: its value, or a stop that still lacks its reason.
pub type Expected<T = ()> = Result<T, Unexplained>;

/// The only way from an expectation to the end of a check.
pub trait Because<T> {
    /// Says why it must be so. The sentence is what the student learns from.
    fn because(self, reason: &str) -> Result<T, Stop>;
    /// Edits the finding, where there is one: adds what was sent, a likely mistake, a note.
    fn with(self, edit: impl FnOnce(Unexplained) -> Unexplained) -> Self;
}

impl<T> Because<T> for Expected<T> {
    fn because(self, reason: &str) -> Result<T, Stop> {
        self.map_err(|unexplained| unexplained.edit(|finding| finding.because = reason.to_string()).0)
    }

    fn with(self, edit: impl FnOnce(Unexplained) -> Unexplained) -> Self {
        self.map_err(edit)
    }
}

/// Expects that `holds`; says what was expected and observed where it does not.
pub fn ensure(holds: bool, expected: impl Into<String>, observed: impl Into<String>) -> Expected {
    if holds { Ok(()) } else { Err(Unexplained::new(expected, observed)) }
}
