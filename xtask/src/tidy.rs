//! `tidy`: what the project keeps to and no compiler checks. Every complaint says what to do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use grader::exit::{Exit, Problem};
use grader::house;
use grader::suites::SUITES;

/// Files up to about this many lines can be read in one sitting.
const FILE_LINES: usize = 520;
/// Functions up to about this many lines fit on a screen.
const FUNCTION_LINES: usize = 75;
/// Files and functions that were longer when this was written down. Numbers may only fall.
const RATCHET: &str = "xtask/ratchet.txt";
/// Module names that say nothing.
const EMPTY_NAMES: [&str; 7] = ["util", "utils", "common", "helper", "helpers", "misc", "imp"];

/// Looks through the whole checkout.
pub fn tidy() -> Result<Exit, Problem> {
    let files = files(&house::root());
    let mut complaints = Vec::new();
    let mut ratchet = Ratchet::read();
    for file in &files {
        let Ok(text) = fs::read_to_string(house::root().join(file)) else { continue };
        if file.ends_with(".rs") {
            rust(file, &text, &mut ratchet, &mut complaints);
        } else if file.ends_with(".md") {
            links(file, &text, &mut complaints);
        }
    }
    ratchet.slack(&mut complaints);
    lists(&mut complaints);
    for complaint in &complaints {
        println!("{complaint}");
    }
    println!("tidy: {} files, {} complaints", files.len(), complaints.len());
    Ok(if complaints.is_empty() { Exit::Passed } else { Exit::Findings })
}

/// Every file of the checkout, by its path below the root; build output and hidden directories left out.
fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(root.join(&directory)) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = directory.join(&name);
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !name.starts_with('.') && name != "target" => {
                    directories.push(path)
                }
                Ok(kind) if kind.is_file() => found.push(path.to_string_lossy().into_owned()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

fn rust(file: &str, text: &str, ratchet: &mut Ratchet, complaints: &mut Vec<String>) {
    ratchet.measure(file, text.lines().count(), FILE_LINES, complaints);
    for (name, lines) in functions(text) {
        ratchet.measure(&format!("{file} {name}"), lines, FUNCTION_LINES, complaints);
    }
    let stem = Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if EMPTY_NAMES.contains(&stem) || file.split('/').any(|part| EMPTY_NAMES.contains(&part)) {
        complaints.push(format!("{file}: this name says nothing: name it after what it is"));
    }
    let in_suites = file.starts_with("grader/src/suites/") || file.starts_with("grader/src/hidden/");
    let visible = file.starts_with("labs/") && file.contains("/tests/");
    for (at, line) in text.lines().enumerate() {
        let mut complain = |what: &str| complaints.push(format!("{file}:{}: {what}", at + 1));
        if file == "xtask/src/tidy.rs" {
            continue;
        }
        if ["TODO", "FIXME", "XXX", "HACK"].iter().any(|word| line.contains(word)) {
            complain("an open end: finish it, or file it");
        }
        if line.trim_start().starts_with("#[allow(") || line.trim_start().starts_with("#![allow(") {
            complain("use #[expect(.., reason = \"..\")]: it tells when it is no longer needed");
        }
        if line.trim_start().starts_with("&& let ") {
            complain("Rust 1.85 (rust-version) knows no `&& let`: nest the two, or match");
        }
        if (in_suites || visible) && line.contains("sleep(") {
            complain("a sleep is no synchronisation: wait for what must happen");
        }
        if in_suites && ["TcpStream", "TcpListener", "UdpSocket"].iter().any(|word| line.contains(word)) {
            complain("take a peer of the bench: it knows which errors are the program's doing");
        }
    }
    if in_suites && !text.starts_with("//!") {
        complaints.push(format!("{file}: say on top what it is and why"));
    }
}

/// Each function's name and how many lines it has. Formatted code closes a function where it opened it.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let words = code.split(['(', '<']).next().unwrap_or_default();
        let Some((before, name)) = words.split_once("fn ") else { continue };
        let is_prefix = |word: &str| {
            ["pub", "const", "unsafe", "async", "extern"].contains(&word)
                || word.starts_with("pub(")
                || word.starts_with('"')
        };
        if !before.split_whitespace().all(is_prefix) {
            continue;
        }
        let close = format!("{}}}", &line[..line.len() - code.len()]);
        if let Some(length) = lines[at..].iter().position(|line| *line == close) {
            found.push((name.trim().to_string(), length + 1));
        }
    }
    found
}

/// Lengths that are allowed to be what they are, and no more.
struct Ratchet {
    allowed: BTreeMap<String, usize>,
    used: BTreeMap<String, usize>,
}

impl Ratchet {
    fn read() -> Self {
        let text = fs::read_to_string(house::root().join(RATCHET)).unwrap_or_default();
        let row = |line: &str| {
            let (lines, what) = line.split_once(' ')?;
            Some((what.to_string(), lines.parse().ok()?))
        };
        let allowed = text.lines().filter(|line| !line.starts_with('#')).filter_map(row).collect();
        Self { allowed, used: BTreeMap::new() }
    }

    fn measure(&mut self, what: &str, lines: usize, most: usize, complaints: &mut Vec<String>) {
        let allowed = self.allowed.get(what).copied();
        if allowed.is_some() && lines > most {
            self.used.insert(what.to_string(), lines);
        }
        if lines > allowed.unwrap_or(most) {
            complaints.push(format!("{what}: {lines} lines, want at most {most}: split it along its nouns"));
        }
    }

    /// An allowance that is larger than needed must fall.
    fn slack(&self, complaints: &mut Vec<String>) {
        for (what, allowed) in &self.allowed {
            match self.used.get(what) {
                None => {
                    complaints.push(format!("{RATCHET}: {what} is within the limit now: remove its line"))
                }
                Some(used) if used < allowed => {
                    complaints.push(format!(
                        "{RATCHET}: {what} has {used} lines now: lower its number from {allowed}"
                    ));
                }
                Some(_) => {}
            }
        }
    }
}

/// Links of a page to other files and to headings.
fn links(file: &str, text: &str, complaints: &mut Vec<String>) {
    let here = house::root().join(file);
    let directory = here.parent().unwrap_or(&here);
    let mut in_code = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if path.is_empty() { here.clone() } else { directory.join(path) };
            if !path.exists() {
                complaints.push(format!("{file}:{}: {target} is not there", at + 1));
            } else if !heading.is_empty() && !anchors(&path).iter().any(|anchor| anchor == heading) {
                complaints.push(format!("{file}:{}: there is no heading for {target}", at + 1));
            }
        }
    }
}

/// The anchors that a page's headings make, as GitHub makes them.
fn anchors(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let anchor = |heading: &str| {
        let keep = |character: &char| character.is_alphanumeric() || " -_".contains(*character);
        heading
            .trim_start_matches('#')
            .trim()
            .to_lowercase()
            .chars()
            .filter(keep)
            .collect::<String>()
            .replace(' ', "-")
    };
    text.lines().filter(|line| line.starts_with('#')).map(anchor).collect()
}

/// Every list of the labs names the same ones.
fn lists(complaints: &mut Vec<String>) {
    let labs: Vec<&str> = SUITES.iter().map(|suite| suite.lab).collect();
    for place in [house::labs(), house::solutions()] {
        let entries = fs::read_dir(&place).into_iter().flatten().flatten();
        let found: Vec<String> = entries
            .filter(|entry| entry.path().join("Cargo.toml").is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        for lab in labs.iter().filter(|lab| !found.iter().any(|found| found == *lab)) {
            complaints.push(format!("{}/{lab} is not there, but the grader has its suite", place.display()));
        }
        for lab in found.iter().filter(|found| !labs.contains(&found.as_str())) {
            complaints.push(format!("{}/{lab}: the grader has no suite for it", place.display()));
        }
    }
    let way = fs::read_to_string(house::labs().join("README.md")).unwrap_or_default();
    let mut rest = way.as_str();
    for lab in &labs {
        match rest.find(&format!("]({lab}/README.md)")) {
            Some(at) => rest = &rest[at..],
            None => complaints.push(format!("labs/README.md: link {lab}/README.md, in teaching order")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::functions;

    #[test]
    fn functions_are_measured_from_signature_to_brace() {
        let text = "impl A {\n    pub fn short(&self) {\n        one();\n    }\n}\n\npub const fn long<T>(\n    a: T,\n) {\n}\nlet fn_name = 1;\n";
        assert_eq!(functions(text), [("short".to_string(), 3), ("long".to_string(), 4)]);
    }
}
