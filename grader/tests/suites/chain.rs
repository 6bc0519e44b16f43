//! Requirement, check and mutant: each names the others, and none stands alone.

use std::collections::BTreeSet;

use grader::check::{Check, Level, Suite};
use grader::explain::{Requirement, requirements};
use grader::mutant::{self, Mutant};
use grader::recording::mistakes::{ALWAYS, SOMETIMES};
use grader::suites::SUITES;
use libtest_mimic::Failed;

/// How many mutants show that a requirement is really asked for.
const MUTANTS_PER_REQUIREMENT: usize = 2;

/// Turns what is wrong into a failed row.
pub fn verdict(wrong: &[String]) -> Result<(), Failed> {
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// Core and robust checks make 100 points, bonus checks at most 20 more.
pub fn points(suite: &'static Suite) -> Result<(), Failed> {
    let sum = |bonus: bool| -> u32 {
        suite.all().filter(|check| (check.level == Level::Bonus) == bonus).map(|check| check.points).sum()
    };
    let mut wrong = Vec::new();
    if sum(false) != 100 {
        wrong.push(format!("core and robust checks are worth {} points, not 100", sum(false)));
    }
    if sum(true) > 20 {
        wrong.push(format!("bonus checks are worth {} points, more than 20", sum(true)));
    }
    if let Some(check) = suite.all().find(|check| check.points == 0) {
        wrong.push(format!("{} is worth nothing", check.name));
    }
    if let Some(check) = suite.checks.iter().find(|check| check.level != Level::Core) {
        wrong.push(format!("{} is not core: it belongs into hidden/{}.rs", check.name, suite.lab));
    }
    verdict(&wrong)
}

/// Every requirement of the handout has its checks and mutants, and the other way round.
pub fn chain(suite: &'static Suite) -> Result<(), Failed> {
    let rows = requirements(suite.lab);
    let mutants = mutant::mutants(suite.lab)?;
    let mut wrong = Vec::new();
    if rows.is_empty() {
        let form = format!("| {}.1 | core | ... |", suite.lab);
        wrong.push(format!("labs/{}/README.md has no table of requirements ({form})", suite.lab));
    }
    for (at, row) in rows.iter().enumerate() {
        of_requirement(suite, row, at, &mutants, &mut wrong);
    }
    let mut names = BTreeSet::new();
    for check in suite.all() {
        if !names.insert(check.name) {
            wrong.push(format!("two checks are called {}", check.name));
        }
        of_check(suite, check, &rows, &mutants, &mut wrong);
    }
    let mut names = BTreeSet::new();
    for mutant in &mutants {
        if !names.insert(&mutant.name) {
            wrong.push(format!("two mutants are called {}", mutant.name));
        }
        of_mutant(suite, mutant, &rows, &mut wrong);
    }
    verdict(&wrong)
}

fn of_requirement(
    suite: &'static Suite,
    row: &Requirement,
    at: usize,
    mutants: &[Mutant],
    wrong: &mut Vec<String>,
) {
    let number = &row.number;
    if *number != format!("{}.{at}", suite.lab) {
        wrong.push(format!("requirement {number}: the table must count from .0 without a gap"));
    }
    if !suite.all().any(|check| check.requirement == number) {
        wrong.push(format!("requirement {number}: no check asks for it"));
    }
    let count = mutants.iter().filter(|mutant| mutant.requirement == *number).count();
    if count < MUTANTS_PER_REQUIREMENT {
        wrong.push(format!("requirement {number}: {count} mutants, want {MUTANTS_PER_REQUIREMENT}"));
    }
}

fn of_check(
    suite: &'static Suite,
    check: &Check,
    rows: &[Requirement],
    mutants: &[Mutant],
    wrong: &mut Vec<String>,
) {
    let name = check.name;
    match rows.iter().find(|row| row.number == check.requirement) {
        None => wrong.push(format!("check {name}: the handout has no requirement {}", check.requirement)),
        Some(row) if row.level != format!("{:?}", check.level).to_lowercase() => {
            wrong.push(format!("check {name}: the handout says that {} is {}", row.number, row.level));
        }
        Some(_) => {}
    }
    if !mutants.iter().any(|mutant| mutant.caught_by == name) {
        wrong.push(format!("check {name}: no mutant shows that it can fail"));
    }
    if let Some(before) = check.after.filter(|before| suite.find(before).is_none()) {
        wrong.push(format!("check {name}: it comes after {before}, which does not exist"));
    }
    if let Some(program) = check.programs.iter().find(|program| !suite.programs.contains(program)) {
        wrong.push(format!("check {name}: the lab has no program {program}"));
    }
    if check.programs.is_empty() {
        wrong.push(format!("check {name}: it names no program"));
    }
}

fn of_mutant(suite: &'static Suite, mutant: &Mutant, rows: &[Requirement], wrong: &mut Vec<String>) {
    let name = &mutant.name;
    if !rows.iter().any(|row| row.number == mutant.requirement) {
        wrong.push(format!("mutant {name}: the handout has no requirement {}", mutant.requirement));
    }
    match suite.find(&mutant.caught_by) {
        None => wrong.push(format!("mutant {name}: there is no check {}", mutant.caught_by)),
        Some(check) if check.requirement != mutant.requirement => wrong.push(format!(
            "mutant {name}: it breaks {}, but {} asks for {}",
            mutant.requirement, check.name, check.requirement
        )),
        Some(check) if !check.programs.contains(&mutant.program.as_str()) => {
            wrong.push(format!("mutant {name}: {} does not start {}", check.name, mutant.program));
        }
        Some(_) => {}
    }
    let is_named = |words: &str| ALWAYS.iter().chain(SOMETIMES).any(|rule| rule.name == words);
    if let Some(words) = mutant.shows.as_ref().filter(|words| !words.contains(' ') && !is_named(words)) {
        wrong.push(format!("mutant {name}: no mistake is called {words}"));
    }
    for also in mutant.also.iter().filter(|also| *also != "*" && suite.find(also).is_none()) {
        wrong.push(format!("mutant {name}: there is no check {also}"));
    }
}

/// Every mistake that is recognised from a recording alone is shown by a mutant, and taught by a handout.
pub fn each_mistake_is_shown() -> Result<(), Failed> {
    let mut wrong = Vec::new();
    let mut shown = BTreeSet::new();
    for suite in SUITES {
        shown.extend(mutant::mutants(suite.lab)?.into_iter().filter_map(|mutant| mutant.shows));
        for name in suite.all().flat_map(|check| check.mistakes) {
            if !SOMETIMES.iter().any(|rule| rule.name == *name) {
                wrong.push(format!(
                    "lab {}: a check looks for {name}, and no such mistake is known",
                    suite.lab
                ));
            }
        }
    }
    for rule in ALWAYS.iter().chain(SOMETIMES) {
        if !shown.contains(rule.name) {
            wrong.push(format!("no mutant has shows = {:?}", rule.name));
        }
        if let Some((lab, heading)) = rule.handout {
            if !headings_of(lab)?.iter().any(|known| known == heading) {
                wrong.push(format!("{}: labs/{lab}/README.md has no heading {heading:?}", rule.name));
            }
        }
    }
    verdict(&wrong)
}

fn headings_of(lab: &str) -> Result<Vec<String>, Failed> {
    let path = grader::house::labs().join(lab).join("README.md");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let heading =
        |line: &str| line.starts_with('#').then(|| line.trim_start_matches('#').trim().replace('`', ""));
    Ok(text.lines().filter_map(heading).collect())
}

/// Every check names a heading of the handout.
pub fn headings(suite: &'static Suite) -> Result<(), Failed> {
    let headings = headings_of(suite.lab)?;
    let wrong: Vec<String> = suite
        .all()
        .filter(|check| !headings.iter().any(|heading| *heading == check.handout.replace('`', "")))
        .map(|check| match check.handout {
            "" => format!("check {}: it names no heading of the handout", check.name),
            named => format!("check {}: labs/{}/README.md has no heading {named:?}", check.name, suite.lab),
        })
        .collect();
    verdict(&wrong)
}
