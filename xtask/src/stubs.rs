//! `stubs`: a stub is a projection of its solution, never written by hand.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use grader::exit::{Exit, Problem};
use grader::grade::{known_lab, unwritable};
use grader::suites::SUITES;
use grader::{house, mutant};

const OPEN: &str = "// solution:";
const CLOSE: &str = "// :solution";

/// Writes the stubs of all labs, or of one; or only checks that they are what they would be written as.
pub fn stubs(check: bool, lab: Option<&str>) -> Result<Exit, Problem> {
    let only = lab.map(known_lab).transpose()?;
    let mut stale = Vec::new();
    for suite in SUITES.iter().filter(|suite| only.is_none_or(|only| only.lab == suite.lab)) {
        let solution = mutant::solution(suite)?;
        let mut wanted = BTreeMap::new();
        for (path, text) in &solution.files {
            let stub = project(text).map_err(|reason| {
                Problem::usage(format!("solutions/{}/{path}: {reason}", suite.lab), "mend the markers")
            })?;
            wanted.insert(path.clone(), stub);
        }
        let directory = house::labs().join(suite.lab);
        // A lab whose stub is not there yet, or not readable as one, is written whole.
        let present = mutant::stub(suite).map(|sources| sources.files).unwrap_or_default();
        for (path, text) in &wanted {
            if present.get(path) != Some(text) {
                stale.push(format!("labs/{}/{path}", suite.lab));
                if !check {
                    write(&directory.join(path), text)?;
                }
            }
        }
        for path in present.keys().filter(|path| !wanted.contains_key(*path)) {
            stale.push(format!("labs/{}/{path} (its solution has no such file)", suite.lab));
            if !check {
                let path = directory.join(path);
                fs::remove_file(&path).map_err(|error| unwritable(&path, &error))?;
            }
        }
    }
    for path in &stale {
        println!("{} {path}", if check { "stale" } else { "wrote" });
    }
    if check && !stale.is_empty() {
        eprintln!("next: cargo xtask stubs");
        return Ok(Exit::Findings);
    }
    Ok(Exit::Passed)
}

fn write(path: &Path, text: &str) -> Result<(), Problem> {
    let above = path.parent().unwrap_or(path);
    fs::create_dir_all(above).and_then(|()| fs::write(path, text)).map_err(|error| unwritable(path, &error))
}

/// The stub that a solution's text makes.
fn project(text: &str) -> Result<String, String> {
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
