//! From a submission to a report: takes it in, builds its programs, asks their checks, and writes down what came out.

use std::collections::BTreeMap;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::check::Suite;
use crate::compile::Compiler;
use crate::exit::{Problem, shown};
use crate::intake;
use crate::report::{LabReport, Report};
use crate::schedule::{self, Event, Outcome, Plan};
use crate::subject::{Origin, Subject};
use crate::suites::SUITES;
use crate::verdict::Verdict;

/// What to grade.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// A directory of labs, one lab's directory, or an archive of either. Not used with `with`.
    pub path: Option<PathBuf>,
    /// Only this lab.
    pub lab: Option<String>,
    /// Programs and the command lines that stand for them.
    pub with: Vec<(String, String)>,
}

/// What was requested, taken in.
pub struct Taken {
    began: Instant,
    /// What the report calls it.
    name: String,
    subjects: Vec<Subject>,
    ignored: Vec<String>,
}

/// Takes in what is requested. `only` are the names of checks, which must exist.
pub fn take(request: &Request, only: &[String]) -> Result<Taken, Problem> {
    let began = Instant::now();
    let lab = request.lab.as_deref().map(known_lab).transpose()?;
    known_checks(only, lab)?;
    let name = submission_name(request);
    if !request.with.is_empty() {
        let subjects = from_commands(&request.with, lab)?;
        return Ok(Taken { began, name, subjects, ignored: Vec::new() });
    }
    let path = request.path.as_deref().unwrap_or(Path::new("labs"));
    let submission = intake::take(path, lab.map(|suite| suite.lab))?;
    let subjects = from_submission(path, submission.labs);
    Ok(Taken { began, name, subjects, ignored: submission.ignored })
}

/// Grades what was taken in, and keeps recordings of each check in `record`. `command` is how the reader called it, up
/// to the choice of checks.
pub fn grade(taken: Taken, plan: &Plan, record: Option<&Path>, command: String) -> Result<Report, Problem> {
    let mut report = Report::new(taken.name, command, plan.tier);
    report.ignored = taken.ignored;
    let subjects = taken.subjects.into_iter().filter(|subject| is_asked(subject, plan));
    let subjects: Vec<Subject> = subjects.collect();
    if subjects.is_empty() {
        let what = format!("nothing to ask: no lab there has the check {}", plan.only.join(", "));
        return Err(Problem::usage(what, "`cargo xtask list` shows every check with its lab and programs"));
    }
    let compiler = Compiler::prepare(plan.tier)?;
    report.rustc = Some(compiler.version().to_string());
    let keep = record.map(recording_place).transpose()?;
    for (subject, outcome) in ask_all(&subjects, plan, &compiler) {
        if let Some(place) = &keep {
            keep_recordings(place, subject, &outcome)?;
        }
        report.labs.push(LabReport::new(subject, plan.seed.unwrap_or_else(|| subject.seed()), outcome));
    }
    report.ms = taken.began.elapsed().as_millis() as u64;
    Ok(report)
}

fn submission_name(request: &Request) -> String {
    if request.with.is_empty() {
        request.path.as_deref().map_or_else(|| "labs".to_string(), shown)
    } else {
        request
            .with
            .iter()
            .map(|(program, words)| format!("{program}={words}"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// The suite of that name, or what the names are.
pub fn known_lab(name: &str) -> Result<&'static Suite, Problem> {
    crate::suites::of(name).ok_or_else(|| {
        let names: Vec<&str> = SUITES.iter().map(|suite| suite.lab).collect();
        Problem::usage(format!("there is no lab {name}"), format!("the labs are {}", names.join(", ")))
    })
}

/// Whether the named checks exist.
fn known_checks(names: &[String], lab: Option<&'static Suite>) -> Result<(), Problem> {
    let exists = |name: &String| match lab {
        Some(suite) => suite.find(name).is_some(),
        None => SUITES.iter().any(|suite| suite.find(name).is_some()),
    };
    match names.iter().find(|name| !exists(name)) {
        None => Ok(()),
        Some(name) => {
            let place = lab.map_or(String::new(), |suite| format!(" in the lab {}", suite.lab));
            Err(Problem::usage(
                format!("there is no check {name}{place}"),
                "`cargo xtask list` shows every check",
            ))
        }
    }
}

fn from_submission(path: &Path, mut labs: BTreeMap<String, intake::Sources>) -> Vec<Subject> {
    let name = shown(path);
    SUITES
        .iter()
        .filter_map(|suite| Some(Subject::from_sources(name.clone(), suite, labs.remove(suite.lab)?)))
        .collect()
}

/// The subjects that command lines make, one for each lab whose programs they stand for.
fn from_commands(with: &[(String, String)], lab: Option<&'static Suite>) -> Result<Vec<Subject>, Problem> {
    let mut programs: BTreeMap<&str, BTreeMap<String, Origin>> = BTreeMap::new();
    for (program, line) in with {
        let suite = SUITES.iter().find(|suite| suite.programs.contains(&program.as_str()));
        let suite = suite.filter(|suite| lab.is_none_or(|lab| lab.lab == suite.lab)).ok_or_else(|| {
            let suites = SUITES.iter().filter(|suite| lab.is_none_or(|lab| lab.lab == suite.lab));
            let names: Vec<&str> = suites.flat_map(|suite| suite.programs).copied().collect();
            Problem::usage(
                format!("--with: there is no program {program}"),
                format!("name one of {}", names.join(", ")),
            )
        })?;
        let words = split_words(line).ok_or_else(|| {
            Problem::usage(format!("--with {program}: a quote is not closed in {line}"), "close it")
        })?;
        let words = resolved(program, words)?;
        programs.entry(suite.lab).or_default().insert(program.clone(), Origin::Command(words));
    }
    Ok(SUITES
        .iter()
        .filter_map(|suite| {
            let origins = programs.remove(suite.lab)?;
            Some(Subject::new("--with".to_string(), suite, origins, Vec::new(), true))
        })
        .collect())
}

/// Splits a command line as a shell would where it has only words and quotes. `None` where a quote is left open.
pub fn split_words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (Some('\''), _) => word.get_or_insert_default().push(character),
            (_, '\\') => word.get_or_insert_default().push(characters.next()?),
            (Some(_), _) => word.get_or_insert_default().push(character),
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    if quote.is_none() { Some(words) } else { None }
}

/// The command with its executable found and its existing files named in full, or what is wrong with it.
fn resolved(program: &str, mut words: Vec<String>) -> Result<Vec<String>, Problem> {
    let Some(first) = words.first().cloned() else {
        let next =
            format!("give a command line, such as --with {program}='/usr/bin/python3 -u {program}.py'");
        return Err(Problem::usage(format!("--with {program}: the command is empty"), next));
    };
    let candidates: Vec<PathBuf> = if first.contains('/') {
        vec![PathBuf::from(&first)]
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|directory| directory.join(&first)).collect()
    };
    let Some(found) = candidates.iter().find(|candidate| candidate.is_file()) else {
        let next = "name an existing executable by its path";
        return Err(Problem::usage(format!("--with {program}: there is no command {first}"), next));
    };
    if nix::unistd::access(found, nix::unistd::AccessFlags::X_OK).is_err() {
        let next = format!("make it executable (chmod +x {first}) or name its interpreter before it");
        return Err(Problem::usage(format!("--with {program}: {first} is not executable"), next));
    }
    for (at, word) in words.iter_mut().enumerate() {
        let path = if at == 0 { found.as_path() } else { Path::new(word.as_str()) };
        let full = if at == 0 || path.is_file() { std::path::absolute(path).ok() } else { None };
        if let Some(full) = full {
            *word = full.to_string_lossy().into_owned();
        }
    }
    Ok(words)
}

/// Whether the plan asks this subject anything; a lab that has no check yet is reported as such.
fn is_asked(subject: &Subject, plan: &Plan) -> bool {
    plan.only.is_empty() || !schedule::asked_of(subject, plan).is_empty()
}

/// Asks all subjects at once, and shows on a terminal how far it is.
fn ask_all<'a>(subjects: &'a [Subject], plan: &Plan, compiler: &Compiler) -> Vec<(&'a Subject, Outcome)> {
    let progress = Progress::new();
    let tell = |event| progress.tell(event);
    let outcomes = std::thread::scope(|scope| {
        let threads: Vec<_> = subjects
            .iter()
            .map(|subject| {
                let tell = &tell;
                scope.spawn(move || {
                    if !subject.refused.is_empty() {
                        return Outcome { unbuilt: BTreeMap::new(), asked: Vec::new() };
                    }
                    schedule::run(subject, plan, compiler, tell)
                })
            })
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Outcome>| match thread.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        threads.into_iter().map(join).collect::<Vec<_>>()
    });
    progress.clear();
    subjects.iter().zip(outcomes).collect()
}

/// One line on a terminal; nothing elsewhere.
struct Progress {
    shown: bool,
    planned: AtomicUsize,
    done: AtomicUsize,
    failed: AtomicUsize,
}

impl Progress {
    fn new() -> Self {
        let zero = || AtomicUsize::new(0);
        Self { shown: std::io::stderr().is_terminal(), planned: zero(), done: zero(), failed: zero() }
    }

    fn tell(&self, event: Event) {
        match event {
            Event::Planned(checks) => drop(self.planned.fetch_add(checks, Ordering::Relaxed)),
            Event::Done { passed } => {
                self.done.fetch_add(1, Ordering::Relaxed);
                self.failed.fetch_add(usize::from(!passed), Ordering::Relaxed);
            }
        }
        if self.shown {
            let of = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
            let (done, planned, failed) = (of(&self.done), of(&self.planned), of(&self.failed));
            let _ =
                write!(std::io::stderr().lock(), "\r\x1b[K{done} of {planned} checks, {failed} not passed ");
        }
    }

    fn clear(&self) {
        if self.shown {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

fn recording_place(place: &Path) -> Result<PathBuf, Problem> {
    fs::create_dir_all(place).map_err(|error| unwritable(place, &error))?;
    Ok(place.to_path_buf())
}

/// The problem that `path` cannot be written.
pub fn unwritable(path: &Path, error: &std::io::Error) -> Problem {
    let what = format!("cannot write {}: {error}", shown(path));
    let next = match error.kind() {
        std::io::ErrorKind::StorageFull => "free some space there, then grade again",
        _ => "name a place that you may write",
    };
    Problem { exit: crate::exit::Exit::Usage, what, next: next.to_string() }
}

fn keep_recordings(place: &Path, subject: &Subject, outcome: &Outcome) -> Result<(), Problem> {
    for asked in &outcome.asked {
        let Some(recording) = &asked.answer.recording else { continue };
        let name = format!("{}.{}", subject.suite.lab, asked.check.name);
        let path = place.join(format!("{name}.json"));
        let text = serde_json::to_string(recording).unwrap_or_default();
        fs::write(&path, crate::report::escape_json(&text)).map_err(|error| unwritable(&path, &error))?;
        if !recording.packets.is_empty() {
            let path = place.join(format!("{name}.pcapng"));
            let mut file = Vec::new();
            // Into memory, where only a mistake of ours could fail.
            let written = recording.write_pcapng(&mut file).map_err(std::io::Error::other);
            written.and_then(|()| fs::write(&path, file)).map_err(|error| unwritable(&path, &error))?;
        }
    }
    Ok(())
}

/// Whether every check that was asked has this verdict.
pub fn all_passed(outcome: &Outcome) -> bool {
    outcome.asked.iter().all(|asked| asked.answer.verdict == Verdict::Pass)
}
