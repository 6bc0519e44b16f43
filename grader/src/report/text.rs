//! The report that a person reads: for each failed check the question, the evidence, the reason and the command that
//! asks it again; at the end each lab's score and the next step.

use super::{CheckReport, LabReport, Report, VerdictName, escape, escape_lines};
use crate::verdict::{Breakdown, Finding};

/// How wide a check's question is padded to at most.
const QUESTION_WIDTH: usize = 84;
/// How many lines of the compiler's words are shown; the JSON report has them all.
const COMPILER_LINES: usize = 40;
/// How many lines of one piece of evidence are shown.
const EVIDENCE_LINES: usize = 16;

/// How the text is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Whether to colour verdicts.
    pub colour: bool,
    /// Whether checks that passed get a line each.
    pub passes: bool,
}

/// The report as text.
pub fn text(report: &Report, style: Style) -> String {
    let checks = || report.labs.iter().flat_map(|lab| &lab.checks);
    let widths = Widths {
        requirement: checks().map(|check| check.requirement.len()).max().unwrap_or(0),
        question: checks().map(|check| check.question.chars().count()).max().unwrap_or(0).min(QUESTION_WIDTH),
        score: checks().map(|check| score(check).len()).max().unwrap_or(0),
    };
    let mut page = Page { out: String::new(), style, report, widths };
    for name in &report.ignored {
        page.line(&format!("ignored  {}", escape(name)));
    }
    for problem in report.problems() {
        let word = page.coloured(31, "ERROR");
        page.line(&format!("{word} {}", escape(&problem)));
    }
    for lab in &report.labs {
        page.lab(lab);
    }
    page.summary();
    page.out
}

struct Page<'a> {
    out: String,
    style: Style,
    report: &'a Report,
    widths: Widths,
}

/// How wide the columns are.
struct Widths {
    requirement: usize,
    question: usize,
    score: usize,
}

fn score(check: &CheckReport) -> String {
    match check.verdict {
        // Neither lost nor gained.
        VerdictName::Broke => format!("-/{}", check.max),
        _ => format!("{}/{}", check.points, check.max),
    }
}

impl Page<'_> {
    fn line(&mut self, line: &str) {
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    fn coloured(&self, code: u8, text: &str) -> String {
        if self.style.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    fn lab(&mut self, lab: &LabReport) {
        for (program, words) in &lab.unbuilt {
            let word = self.coloured(31, "FAIL ");
            self.line(&format!("{word} {}  {program} does not compile", lab.lab));
            self.block("", words, COMPILER_LINES);
        }
        for check in &lab.checks {
            if check.verdict != VerdictName::Pass || self.style.passes {
                self.check(lab, check);
            }
        }
    }

    fn check(&mut self, lab: &LabReport, check: &CheckReport) {
        let word = match check.verdict {
            VerdictName::Pass => self.coloured(32, "pass "),
            VerdictName::Fail => self.coloured(31, "FAIL "),
            VerdictName::Blocked => self.coloured(33, "-----"),
            VerdictName::Broke => self.coloured(35, "BROKE"),
        };
        let (question, number, score) = (&check.question, &check.requirement, score(check));
        let Widths { requirement: wide, question: wider, score: narrow } = self.widths;
        let head = format!("{word} {number:<wide$} {question:<wider$} {score:>narrow$}  {}", check.id);
        self.line(&head);
        if check.passed.1 > 1 && check.passed.0 < check.passed.1 {
            self.field("repeated", &format!("passed {} of {} times", check.passed.0, check.passed.1));
        }
        match (&check.finding, &check.ladder) {
            (Some(finding), _) => self.finding(lab, check, finding),
            (None, Some(ladder)) => self.ladder(ladder),
            (None, None) => {}
        }
        if let Some(by) = &check.blocked_by {
            self.field("not asked", by);
        }
        if let Some(Breakdown { what, next }) = &check.breakdown {
            // What broke another check is told there.
            if check.blocked_by.is_none() {
                self.field("what", what);
                self.field("next", next);
            }
            self.field("points", "none are lost: this is not the program's fault, and it is not decided");
        }
    }

    fn finding(&mut self, lab: &LabReport, check: &CheckReport, finding: &Finding) {
        let evidence = [
            ("sent", &finding.sent),
            ("expected", &finding.expected),
            ("observed", &finding.observed),
            ("likely", &finding.likely),
        ];
        for (name, value) in evidence {
            if let Some(value) = value {
                self.field(name, value);
            }
        }
        for note in &finding.notes {
            self.field("note", note);
        }
        let handout = match check.handout.as_str() {
            "" => String::new(),
            section => format!("   (handout: \"{section}\")"),
        };
        self.field("because", &format!("{}{handout}", finding.because));
        if let Some(ladder) = &check.ladder {
            self.ladder(ladder);
        }
        self.field("again", &again(self.report, lab, check));
    }

    fn ladder(&mut self, ladder: &str) {
        self.line("");
        self.block("", ladder, usize::MAX);
        self.line("");
    }

    fn field(&mut self, name: &str, value: &str) {
        self.block(name, value, EVIDENCE_LINES);
    }

    /// Lines with a name before the first; says how many were left out.
    fn block(&mut self, name: &str, value: &str, most: usize) {
        let lines = escape_lines(value);
        for (at, line) in lines.iter().take(most).enumerate() {
            let name = if at == 0 { name } else { "" };
            self.line(&if most == COMPILER_LINES {
                format!("      {line}")
            } else {
                format!("      {name:<9} {line}")
            });
        }
        if lines.len() > most {
            let left = lines.len() - most;
            self.line(&format!("      {:<9} ... {left} more lines: see them with --format json", ""));
        }
    }

    fn summary(&mut self) {
        if self.out.lines().count() > 0 {
            self.line("");
        }
        for lab in &self.report.labs {
            let bonus = if lab.bonus > 0 { format!(" ({} bonus)", lab.bonus) } else { String::new() };
            let open =
                if lab.undecided > 0 { format!(" ({} undecided)", lab.undecided) } else { String::new() };
            let score = format!("{}/{}{bonus}{open}", lab.points, lab.max - lab.undecided);
            self.line(&format!("{:<12} {score:<20} {}", lab.lab, next_step(lab)));
        }
    }
}

/// The command that asks this check alone, with the same random values.
fn again(report: &Report, lab: &LabReport, check: &CheckReport) -> String {
    let narrow = if report.labs.len() > 1 { format!(" --lab {}", lab.lab) } else { String::new() };
    format!("{}{narrow} --only {}", report.command, check.id)
}

fn next_step(lab: &LabReport) -> String {
    if !lab.refused.is_empty() {
        return "next: mend what is named above, then grade again".to_string();
    }
    if let Some(program) = lab.missing.first() {
        return format!("next: write {program}");
    }
    if let Some(program) = lab.unbuilt.keys().next() {
        return format!("next: make {program} compile");
    }
    let first = |verdict| lab.checks.iter().find(|check: &&CheckReport| check.verdict == verdict);
    if let Some(check) = first(VerdictName::Fail) {
        let handout = match check.handout.as_str() {
            "" => String::new(),
            section => format!(", handout \"{section}\""),
        };
        return format!("next: {} ({}{handout})", check.id, check.requirement);
    }
    if let Some(check) = first(VerdictName::Broke) {
        return format!("next: {} broke down, see above", check.id);
    }
    if lab.checks.is_empty() { "no checks to ask".to_string() } else { "all passed".to_string() }
}
