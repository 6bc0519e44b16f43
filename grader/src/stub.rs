//! A stub is a projection of its solution, never written by hand: what stands between `// solution: <line>` and
//! `// :solution` is replaced by that line.

use std::collections::BTreeMap;

use crate::check::Suite;
use crate::exit::Problem;
use crate::mutant;

const OPEN: &str = "// solution:";
const CLOSE: &str = "// :solution";

/// How a lab's stub differs from what its solution makes.
#[derive(Debug, Default)]
pub struct Stale {
    /// Files that are missing or different, with the text that they should have.
    pub wrong: BTreeMap<String, String>,
    /// Files that the solution does not have.
    pub surplus: Vec<String>,
}

/// Compares a lab's stub with its solution.
pub fn stale(suite: &'static Suite) -> Result<Stale, Problem> {
    let solution = mutant::solution(suite)?;
    // A stub that is not there yet, or not readable as one, is wrong as a whole.
    let present = mutant::stub(suite).map(|sources| sources.files).unwrap_or_default();
    let mut stale = Stale::default();
    for (path, text) in &solution.files {
        let wanted = project(text).map_err(|reason| {
            Problem::usage(format!("solutions/{}/{path}: {reason}", suite.lab), "mend the markers")
        })?;
        if present.get(path) != Some(&wanted) {
            stale.wrong.insert(path.clone(), wanted);
        }
    }
    stale.surplus = present.into_keys().filter(|path| !solution.files.contains_key(path)).collect();
    Ok(stale)
}

/// The stub that a solution's text makes.
pub fn project(text: &str) -> Result<String, String> {
    let mut lines: Vec<String> = Vec::new();
    let mut open: Option<usize> = None;
    for (at, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        if let Some(stub) = trimmed.strip_prefix(OPEN) {
            if let Some(first) = open {
                return Err(format!("line {}: the marker of line {first} is not closed yet", at + 1));
            }
            open = Some(at + 1);
            if !stub.trim().is_empty() {
                let indentation = &line[..line.len() - trimmed.len()];
                lines.push(format!("{indentation}{}", stub.trim()));
            }
        } else if trimmed.trim_end() == CLOSE {
            open.take().ok_or(format!("line {}: closes a marker that is not open", at + 1))?;
        } else if open.is_none() {
            lines.push(line.to_string());
        }
    }
    match open {
        Some(first) => Err(format!("line {first}: the marker is never closed")),
        None => Ok(tidied(&lines)),
    }
}

/// The lines without the blank ones that the removed parts leave behind.
fn tidied(lines: &[String]) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for line in lines {
        let blank = line.trim().is_empty();
        let after_opening = kept.last().is_none_or(|last| last.trim().is_empty() || last.ends_with('{'));
        if blank && after_opening {
            continue;
        }
        if line.trim_start().starts_with('}') && kept.last().is_some_and(|last| last.trim().is_empty()) {
            kept.pop();
        }
        kept.push(line);
    }
    while kept.last().is_some_and(|last| last.trim().is_empty()) {
        kept.pop();
    }
    kept.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::project;

    #[test]
    fn what_stands_between_the_markers_is_replaced() {
        let solution = "fn main() {\n    let port = 5000;\n    // solution: todo!(\"use {port}\")\n    bind(port);\n    // :solution\n}\n";
        let stub = "fn main() {\n    let port = 5000;\n    todo!(\"use {port}\")\n}\n";
        assert_eq!(project(solution).as_deref(), Ok(stub));
    }

    #[test]
    fn an_empty_stub_line_leaves_no_blank_lines_behind() {
        let solution = "use a;\n\n// solution:\nuse b;\n// :solution\n\nfn main() {\n\n    // solution:\n    b();\n    // :solution\n}\n";
        assert_eq!(project(solution).as_deref(), Ok("use a;\n\nfn main() {\n}\n"));
    }

    #[test]
    fn open_and_stray_markers_are_named_by_line() {
        assert!(project("// solution: x\n").is_err_and(|reason| reason.contains("line 1")));
        assert!(project("a\n// :solution\n").is_err_and(|reason| reason.contains("line 2")));
    }
}
