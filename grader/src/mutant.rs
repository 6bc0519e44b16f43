//! Mutants and variants: what shows that a check can fail, and that a correct program in another style passes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::check::Suite;
use crate::exit::{Problem, shown};
use crate::house;
use crate::intake::Sources;
use crate::subject::{Origin, Subject, root_file};

/// A reference solution with one deliberate mistake.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// What the mistake is, in kebab case.
    pub name: String,
    /// The requirement that it breaks, such as `udp.2`.
    pub requirement: String,
    /// The program that it changes.
    pub program: String,
    /// The mistake's number in the catalogue of real mistakes.
    pub mistake: Option<String>,
    /// The file in `src/bin` that is changed, where that is a module of the program and not its root.
    pub module: Option<String>,
    /// What is replaced: a text that occurs exactly once in the program's source.
    pub find: Option<String>,
    /// What replaces it.
    pub replace: Option<String>,
    /// Further replacements.
    #[serde(default)]
    pub edits: Vec<Edit>,
    /// A whole file, below the solution's directory, that takes the program's place.
    pub whole: Option<PathBuf>,
    /// The check that must fail.
    pub caught_by: String,
    /// What the finding must show: the name of a likely mistake, or words of its notes.
    pub shows: Option<String>,
    /// Checks that may fail too.
    #[serde(default)]
    pub also: Vec<String>,
}

/// One replacement.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// A text that occurs exactly once.
    pub find: String,
    /// What replaces it.
    pub replace: String,
}

/// Correct programs in another style or language.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// What is different about them, in kebab case.
    pub name: String,
    /// Whether they do only what the course's programs do, without any option: then they are asked only the core
    /// checks that start programs without options.
    #[serde(default)]
    pub plain: bool,
    /// Program and file; programs that are not named are the solution's.
    pub programs: BTreeMap<String, PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MutantFile {
    #[serde(default)]
    mutant: Vec<Mutant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VariantFile {
    #[serde(default)]
    variant: Vec<Variant>,
}

/// The mutants of a lab.
pub fn mutants(lab: &str) -> Result<Vec<Mutant>, Problem> {
    let path = house::solutions().join(lab).join("mutants.toml");
    Ok(read::<MutantFile>(&path)?.map_or_else(Vec::new, |file| file.mutant))
}

/// The variants of a lab.
pub fn variants(lab: &str) -> Result<Vec<Variant>, Problem> {
    let path = house::solutions().join(lab).join("variants.toml");
    Ok(read::<VariantFile>(&path)?.map_or_else(Vec::new, |file| file.variant))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, Problem> {
    match fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text)
            .map(Some)
            .map_err(|error| Problem::usage(format!("{}: {error}", shown(path)), "mend the file")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(Problem::usage(format!("cannot read {}: {error}", shown(path)), "make it readable"))
        }
    }
}

/// The reference solution of a lab.
pub fn solution(suite: &'static Suite) -> Result<Sources, Problem> {
    taken(house::solutions(), suite)
}

/// The stub of a lab.
pub fn stub(suite: &'static Suite) -> Result<Sources, Problem> {
    taken(house::labs(), suite)
}

fn taken(directory: PathBuf, suite: &'static Suite) -> Result<Sources, Problem> {
    let path = directory.join(suite.lab);
    let mut submission = crate::intake::take(&path, Some(suite.lab))?;
    let sources = submission.labs.remove(suite.lab).unwrap_or_default();
    match sources.refused.first() {
        Some(refused) => Err(Problem::usage(refused.clone(), "mend it")),
        None => Ok(sources),
    }
}

impl Mutant {
    /// The mutant as a subject: its program changed, the others the solution's.
    pub fn subject(&self, suite: &'static Suite, solution: &Arc<Sources>) -> Result<Subject, Problem> {
        let mut programs = all_of(suite, solution);
        let origin = self.origin(suite, solution).map_err(|reason| {
            let file = house::solutions().join(suite.lab).join("mutants.toml");
            Problem::usage(
                format!("mutant {}/{}: {reason}", suite.lab, self.name),
                format!("mend {}", shown(&file)),
            )
        })?;
        programs.insert(self.program.clone(), origin);
        Ok(Subject::new(self.name.clone(), suite, programs, Vec::new(), false))
    }

    fn origin(&self, suite: &'static Suite, solution: &Arc<Sources>) -> Result<Origin, String> {
        if !suite.programs.contains(&self.program.as_str()) {
            return Err(format!("the lab has no program {}", self.program));
        }
        let mut edits = self.edits.clone();
        match (&self.whole, &self.find, &self.replace) {
            (Some(file), None, None) if edits.is_empty() => {
                return existing(&house::solutions().join(suite.lab).join(file));
            }
            (None, Some(find), Some(replace)) => {
                edits.insert(0, Edit { find: find.clone(), replace: replace.clone() });
            }
            (None, None, None) if !edits.is_empty() => {}
            _ => return Err("give either find and replace, or edits, or whole".to_string()),
        }
        let path = match &self.module {
            Some(module) => format!("src/bin/{module}"),
            None => root_file(solution, &self.program).ok_or("the solution lacks the program")?,
        };
        let mut sources = Sources::clone(solution);
        let text = sources.files.get_mut(&path).ok_or("the solution lacks the program")?;
        for edit in edits {
            match text.matches(edit.find.as_str()).count() {
                1 => *text = text.replacen(edit.find.as_str(), &edit.replace, 1),
                0 => return Err(format!("does not apply: {path} has no {:?}", edit.find)),
                count => return Err(format!("is ambiguous: {path} has {count} times {:?}", edit.find)),
            }
        }
        Ok(Origin::Sources(Arc::new(sources)))
    }
}

impl Variant {
    /// The variant as a subject. A plain one consists of its own programs alone.
    pub fn subject(&self, suite: &'static Suite, solution: &Arc<Sources>) -> Result<Subject, Problem> {
        let mut programs = if self.plain { BTreeMap::new() } else { all_of(suite, solution) };
        for (program, file) in &self.programs {
            let origin = if suite.programs.contains(&program.as_str()) {
                existing(&house::solutions().join(suite.lab).join(file))
            } else {
                Err(format!("the lab has no program {program}"))
            };
            let origin = origin.map_err(|reason| {
                let list = house::solutions().join(suite.lab).join("variants.toml");
                let what = format!("variant {}/{}: {reason}", suite.lab, self.name);
                Problem::usage(what, format!("mend {}", shown(&list)))
            })?;
            programs.insert(program.clone(), origin);
        }
        Ok(Subject::new(self.name.clone(), suite, programs, Vec::new(), self.plain))
    }
}

fn existing(path: &Path) -> Result<Origin, String> {
    if path.is_file() {
        Ok(Origin::File(path.to_path_buf()))
    } else {
        Err(format!("there is no {}", shown(path)))
    }
}

fn all_of(suite: &'static Suite, solution: &Arc<Sources>) -> BTreeMap<String, Origin> {
    suite
        .programs
        .iter()
        .map(|program| (program.to_string(), Origin::Sources(Arc::clone(solution))))
        .collect()
}
