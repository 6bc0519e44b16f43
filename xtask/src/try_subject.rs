//! `try`: grades mutants and variants of a lab and shows what a student would read.

use std::sync::Arc;

use grader::compile::Compiler;
use grader::exit::{Exit, Problem};
use grader::grade::known_lab;
use grader::report::{self, LabReport, Report, Style, VerdictName};
use grader::schedule::{self, Plan};
use grader::subject::Subject;
use grader::{doctor, mutant};

/// Grades the named subjects of a lab, or all its mutants.
pub fn try_subjects(lab: &str, names: &[String], only: &[String], brief: bool) -> Result<Exit, Problem> {
    let suite = known_lab(lab)?;
    let solution = Arc::new(mutant::solution(suite)?);
    let mut subjects: Vec<Subject> = Vec::new();
    let mutants = mutant::mutants(lab)?;
    let variants = mutant::variants(lab)?;
    if names.is_empty() {
        for mutant in &mutants {
            subjects.push(mutant.subject(suite, &solution)?);
        }
    }
    for name in names {
        if name == "solution" {
            subjects.push(Subject::from_sources("solution", suite, mutant::solution(suite)?));
        } else if name == "stub" {
            subjects.push(Subject::from_sources("stub", suite, mutant::stub(suite)?));
        } else if let Some(mutant) = mutants.iter().find(|mutant| mutant.name == *name) {
            subjects.push(mutant.subject(suite, &solution)?);
        } else if let Some(variant) = variants.iter().find(|variant| variant.name == *name) {
            subjects.push(variant.subject(suite, &solution)?);
        } else {
            let all =
                mutants.iter().map(|mutant| &mutant.name).chain(variants.iter().map(|variant| &variant.name));
            let all: Vec<&str> = all.map(String::as_str).collect();
            let what = format!("the lab {lab} has no mutant or variant {name}");
            return Err(Problem::usage(
                what,
                format!("name `solution`, `stub` or one of {}", all.join(", ")),
            ));
        }
    }
    let plan = Plan { only: only.to_vec(), ..Plan::new(doctor::tier()?) };
    let compiler = Compiler::prepare(plan.tier)?;
    let reports: Vec<LabReport> = std::thread::scope(|scope| {
        let threads: Vec<_> = subjects
            .iter()
            .map(|subject| {
                let (plan, compiler) = (&plan, &compiler);
                scope.spawn(move || {
                    let outcome = schedule::run(subject, plan, compiler, &|_| ());
                    LabReport::new(subject, subject.seed(), outcome)
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    for lab_report in reports {
        let failed: Vec<String> = lab_report
            .checks
            .iter()
            .filter(|check| check.verdict != VerdictName::Pass)
            .map(|check| format!("{} ({:?})", check.id, check.verdict).to_lowercase())
            .collect();
        println!(
            "== {} / {}: {}/{}; {}",
            lab_report.lab,
            lab_report.subject,
            lab_report.points,
            lab_report.max,
            failed.join(", ")
        );
        if !brief {
            let mut report = Report::new(
                lab_report.subject.clone(),
                format!("cargo xtask try {lab} {}", lab_report.subject),
                plan.tier,
            );
            report.labs.push(lab_report);
            println!("{}", report::text(&report, Style::default()));
        }
    }
    Ok(Exit::Passed)
}
