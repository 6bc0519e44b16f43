//! `explain`: what a check asks and where the handout teaches it, without giving away what it will send.

use std::fmt::Write;

use crate::check::{Check, Level, Suite};
use crate::exit::Problem;
use crate::house;
use crate::suites::SUITES;

/// The explanation of a check.
pub fn explain(name: &str) -> Result<String, Problem> {
    let found = SUITES.iter().find_map(|suite| Some((suite, suite.find(name)?)));
    let (suite, check) = found.ok_or_else(|| {
        Problem::usage(format!("there is no check {name}"), "`cargo xtask list` shows every check")
    })?;
    Ok(page(suite, check))
}

fn page(suite: &Suite, check: &Check) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}: {}", check.name, check.question);
    let level = match check.level {
        Level::Core => "core: what the course's own program does",
        Level::Robust => "robust: what the real world does to a program",
        Level::Bonus => "bonus: beyond the course",
    };
    let _ = writeln!(out, "  requirement {} ({level}), {} points", check.requirement, check.points);
    if let Some(sentence) = requirement(suite.lab, check.requirement) {
        let _ = writeln!(out, "  it says     {sentence}");
    }
    let _ = writeln!(out, "  programs    {}", check.programs.join(", "));
    if let Some(before) = check.after {
        let _ = writeln!(out, "  after       {before}");
    }
    if !check.handout.is_empty() {
        let _ = writeln!(out, "  handout     labs/{}/README.md, \"{}\"", suite.lab, check.handout);
    }
    let _ = writeln!(out, "  alone       cargo xtask grade labs/{} --only {}", suite.lab, check.name);
    out
}

/// What the handout's table says about a requirement.
pub fn requirement(lab: &str, number: &str) -> Option<String> {
    requirements(lab).into_iter().find(|row| row.number == number).map(|row| row.sentence)
}

/// One row of a handout's table of requirements.
#[derive(Clone, Debug)]
pub struct Requirement {
    /// Such as `udp.6`.
    pub number: String,
    /// `core`, `robust` or `bonus`.
    pub level: String,
    /// What it demands.
    pub sentence: String,
}

/// The table of requirements in a lab's handout: its rows are `| udp.6 | robust | ... |`.
pub fn requirements(lab: &str) -> Vec<Requirement> {
    let handout = std::fs::read_to_string(house::labs().join(lab).join("README.md")).unwrap_or_default();
    let prefix = format!("{lab}.");
    let row = |line: &str| {
        let inner = line.trim().strip_prefix('|')?.trim_end().trim_end_matches('|');
        let mut cells = inner.splitn(3, '|').map(|cell| cell.trim().trim_matches('`').to_string());
        let (number, level, sentence) = (cells.next()?, cells.next()?, cells.next()?);
        let digits = number.strip_prefix(&prefix)?;
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then_some(Requirement { number, level, sentence })
    };
    handout.lines().filter_map(row).collect()
}
