//! `list`: the labs, their programs, and their checks with points and requirement.

use std::fmt::Write;

use crate::check::Level;
use crate::exit::Problem;
use crate::grade::known_lab;
use crate::suites::SUITES;

/// The list, for all labs or for one.
pub fn list(lab: Option<&str>) -> Result<String, Problem> {
    let only = lab.map(known_lab).transpose()?;
    let mut out = String::new();
    for suite in SUITES.iter().filter(|suite| only.is_none_or(|only| only.lab == suite.lab)) {
        let _ = writeln!(out, "{}: {}", suite.lab, suite.programs.join(", "));
        let widest = suite.all().map(|check| check.name.len()).max().unwrap_or(0);
        for check in suite.all() {
            let bonus = if check.level == Level::Bonus { "+" } else { "" };
            let points = format!("{bonus}{}", check.points);
            let _ = writeln!(
                out,
                "  {:<13} {points:>3}  {:<widest$}  {}",
                check.requirement, check.name, check.question
            );
        }
        out.push('\n');
    }
    Ok(out)
}
