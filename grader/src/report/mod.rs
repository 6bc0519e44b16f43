//! What a grading came to: one value, from which every format is written by one function.
//!
//! Whatever a submission can shape (its paths, its output, the compiler's words about it) is escaped in every format:
//! no control character of a student's ever reaches a terminal, a log or a file's structure.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::check::{Check, Level};
use crate::exit::Exit;
use crate::ladder;
use crate::sandbox::Tier;
use crate::schedule::{Asked, Outcome};
use crate::subject::Subject;
use crate::verdict::{Breakdown, Finding, Verdict};

mod text;

pub use text::{Style, text};

/// The version of the JSON format; `report.schema.json` describes it.
const SCHEMA: u32 = 1;

/// A graded submission.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The version of this format.
    pub schema: u32,
    /// The grader's version.
    pub grader: &'static str,
    /// What the compiler calls itself; absent where nothing was compiled.
    pub rustc: Option<String>,
    /// How strongly programs were isolated.
    pub tier: Tier,
    /// What was graded, as it was named.
    pub submission: String,
    /// Files of the submission that cargo would have obeyed and that were not read.
    pub ignored: Vec<String>,
    /// The labs, in teaching order.
    pub labs: Vec<LabReport>,
    /// Wall time in milliseconds.
    pub ms: u64,
    /// The command that graded it, up to the choice of checks.
    #[serde(skip)]
    pub command: String,
}

/// One graded lab.
#[derive(Debug, Serialize)]
pub struct LabReport {
    /// The lab.
    pub lab: String,
    /// What was graded: the submission's path, or a mutant's or variant's name.
    pub subject: String,
    /// A hash of everything that was graded.
    pub digest: String,
    /// Where random values came from; `--seed` with it asks the same again.
    pub seed: u64,
    /// The points earned.
    pub points: u32,
    /// The points that core and robust checks among those asked are worth.
    pub max: u32,
    /// The bonus points earned, contained in `points`.
    pub bonus: u32,
    /// The points among `max` that are not decided, because checks broke down: neither earned nor lost.
    pub undecided: u32,
    /// Why the lab was not graded, a line each.
    pub refused: Vec<String>,
    /// The programs that checks asked for and that are not there.
    pub missing: Vec<String>,
    /// The programs that do not compile, with the compiler's words.
    pub unbuilt: BTreeMap<String, String>,
    /// Every check that was asked, in teaching order.
    pub checks: Vec<CheckReport>,
}

/// One check's result.
#[derive(Debug, Serialize)]
pub struct CheckReport {
    /// The check.
    pub id: String,
    /// The requirement that it asks for.
    pub requirement: String,
    /// How much that asks for.
    pub level: Level,
    /// What it asks.
    pub question: String,
    /// The heading of the handout's section that teaches it.
    pub handout: String,
    /// The points earned.
    pub points: u32,
    /// The points that it is worth.
    pub max: u32,
    /// The verdict.
    pub verdict: VerdictName,
    /// What is wrong with the program, where the verdict is `fail`.
    pub finding: Option<Finding>,
    /// Why it was not asked, where the verdict is `blocked`, or `broke` because of another check.
    pub blocked_by: Option<String>,
    /// What failed and what to do next, where the verdict is `broke`.
    pub breakdown: Option<Breakdown>,
    /// Wall time of the check in its arena.
    pub ms: u64,
    /// How many repetitions passed before the verdict, and how many were asked.
    pub passed: (u32, u32),
    /// What happened, drawn.
    pub ladder: Option<String>,
}

/// A verdict's name in reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VerdictName {
    /// The program did what the requirement asks for.
    Pass,
    /// The program is wrong.
    Fail,
    /// Not asked, because of what came before.
    Blocked,
    /// Not answered, because the grader or the machine failed.
    Broke,
}

impl Report {
    /// An empty report, to which labs are added.
    pub fn new(submission: String, command: String, tier: Tier) -> Self {
        Self {
            schema: SCHEMA,
            grader: env!("CARGO_PKG_VERSION"),
            rustc: None,
            tier,
            submission,
            ignored: Vec::new(),
            labs: Vec::new(),
            ms: 0,
            command,
        }
    }

    /// The code that grading ends with.
    pub fn exit(&self) -> Exit {
        let checks = || self.labs.iter().flat_map(|lab| &lab.checks);
        if self.labs.iter().any(|lab| !lab.refused.is_empty() || !lab.missing.is_empty()) {
            Exit::Usage
        } else if checks().any(|check| check.verdict == VerdictName::Broke) {
            Exit::Breakdown
        } else if checks().any(|check| check.verdict != VerdictName::Pass) {
            Exit::Findings
        } else {
            Exit::Passed
        }
    }

    /// What was wrong with the submission itself, a line each.
    pub fn problems(&self) -> Vec<String> {
        let missing = |lab: &LabReport, program: &String| {
            format!("{}: the program {program} is missing: put it into src/bin/{program}.rs", lab.lab)
        };
        self.labs
            .iter()
            .flat_map(|lab| {
                let refused = lab.refused.iter().map(|refused| format!("{}: {refused}", lab.lab));
                refused.chain(lab.missing.iter().map(move |program| missing(lab, program)))
            })
            .collect()
    }

    /// The report as JSON, with every control character spelled out, not only those that JSON itself forbids.
    pub fn json(&self) -> String {
        let text =
            serde_json::to_string_pretty(self).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"));
        escape_json(&text) + "\n"
    }
}

impl LabReport {
    /// The report on a subject that was asked.
    pub fn new(subject: &Subject, seed: u64, outcome: Outcome) -> Self {
        let checks: Vec<CheckReport> = outcome.asked.into_iter().map(CheckReport::new).collect();
        let sum = |bonus: bool, of: fn(&CheckReport) -> u32| -> u32 {
            checks.iter().filter(|check| (check.level == Level::Bonus) == bonus).map(of).sum()
        };
        Self {
            lab: subject.suite.lab.to_string(),
            subject: subject.name.clone(),
            digest: subject.digest.clone(),
            seed,
            points: sum(false, |check| check.points) + sum(true, |check| check.points),
            max: sum(false, |check| check.max),
            bonus: sum(true, |check| check.points),
            undecided: sum(false, |check| if check.verdict == VerdictName::Broke { check.max } else { 0 }),
            refused: subject.refused.clone(),
            missing: if subject.with {
                Vec::new()
            } else {
                subject.missing().iter().map(ToString::to_string).collect()
            },
            unbuilt: outcome.unbuilt,
            checks,
        }
    }
}

impl CheckReport {
    fn new(asked: Asked) -> Self {
        let Asked { check, answer, passed, behind } = asked;
        let Check { name, requirement, level, points, question, handout, .. } = check;
        let recording = answer.recording.as_ref().filter(|recording| ladder::tells_something(recording));
        let mut report = Self {
            id: name.to_string(),
            requirement: requirement.to_string(),
            level: *level,
            question: question.to_string(),
            handout: handout.to_string(),
            points: 0,
            max: *points,
            verdict: VerdictName::Pass,
            finding: None,
            blocked_by: None,
            breakdown: None,
            ms: answer.ms,
            passed,
            ladder: recording.map(|recording| ladder::draw(recording, None)),
        };
        match answer.verdict {
            Verdict::Pass => report.points = *points,
            Verdict::Fail(finding) => (report.verdict, report.finding) = (VerdictName::Fail, Some(*finding)),
            Verdict::Blocked(by) => (report.verdict, report.blocked_by) = (VerdictName::Blocked, Some(by)),
            Verdict::Broke(breakdown) => {
                (report.verdict, report.breakdown) = (VerdictName::Broke, Some(breakdown));
                report.blocked_by =
                    behind.map(|behind| format!("{behind} broke down, and this builds on it"));
            }
        }
        report
    }
}

/// JSON with every control character spelled out: only its strings can hold one, where an escape means the same.
pub fn escape_json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        if character != '\n' && is_dangerous(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Text from outside with every control character spelled out, on one line.
pub fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            _ if is_dangerous(character) => shown.extend(character.escape_unicode()),
            _ => shown.push(character),
        }
    }
    shown
}

/// The same for text of several lines: newlines stay, a tab becomes spaces.
pub fn escape_lines(text: &str) -> Vec<String> {
    text.trim_end_matches('\n').split('\n').map(|line| escape(&line.replace('\t', "    "))).collect()
}

/// Characters that a terminal obeys, that turn the direction of a line, or that are there and cannot be seen.
fn is_dangerous(character: char) -> bool {
    const UNSEEN: [std::ops::RangeInclusive<char>; 10] = [
        '\u{ad}'..='\u{ad}',
        '\u{61c}'..='\u{61c}',
        '\u{180e}'..='\u{180e}',
        '\u{200b}'..='\u{200f}',
        '\u{2028}'..='\u{202e}',
        '\u{2060}'..='\u{206f}',
        '\u{fe00}'..='\u{fe0f}',
        '\u{feff}'..='\u{feff}',
        '\u{fff9}'..='\u{fffb}',
        '\u{e0000}'..='\u{e0fff}',
    ];
    character.is_control() || UNSEEN.iter().any(|unseen| unseen.contains(&character))
}
