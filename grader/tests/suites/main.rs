//! Subjects x checks: the solutions earn everything, the stubs nothing, every variant passes, every mutant is caught by
//! the check that it names, and requirement, check and mutant name each other without a gap.
//!
//! One row is one subject; `cargo test -p grader --test suites -- udp::` runs those of one lab.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use grader::check::Suite;
use grader::compile::Compiler;
use grader::exit::Problem;
use grader::intake::Sources;
use grader::mutant::{self, Mutant, Variant};
use grader::report::{self, LabReport, Report, Style, VerdictName};
use grader::sandbox::Tier;
use grader::schedule::{self, Plan};
use grader::subject::Subject;
use grader::suites::SUITES;
use libtest_mimic::{Arguments, Failed, Trial};

mod chain;
mod house;

/// How many subjects are graded at once: most of the time they wait for a place in a lane.
const SUBJECTS_AT_ONCE: usize = 24;

fn main() -> ExitCode {
    if let Some(code) = grader::fork_server::become_fork_server_if_asked() {
        return code;
    }
    grader::child::end_all_on_signals();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(SUBJECTS_AT_ONCE);
    let mut trials = vec![Trial::test("mistakes::each_is_shown", chain::each_mistake_is_shown)];
    for suite in SUITES {
        match trials_of(suite) {
            Ok(of_lab) => trials.extend(of_lab),
            Err(problem) => {
                let said = problem.to_string();
                trials.push(Trial::test(format!("{}::readable", suite.lab), move || Err(said.into())));
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials_of(suite: &'static Suite) -> Result<Vec<Trial>, Problem> {
    let lab = suite.lab;
    let solution = Arc::new(mutant::solution(suite)?);
    let mut trials = vec![
        Trial::test(format!("{lab}::solution"), move || solution_earns_everything(suite)),
        Trial::test(format!("{lab}::stub"), move || stub_earns_nothing(suite)),
        Trial::test(format!("{lab}::points"), move || chain::points(suite)),
        Trial::test(format!("{lab}::chain"), move || chain::chain(suite)),
        Trial::test(format!("{lab}::handout"), move || chain::headings(suite)),
        Trial::test(format!("{lab}::manifests"), move || house::manifests(suite)),
        Trial::test(format!("{lab}::stub_is_fresh"), move || house::stub_is_fresh(suite)),
    ];
    for variant in mutant::variants(lab)? {
        let solution = Arc::clone(&solution);
        let name = format!("{lab}::variant::{}", variant.name);
        trials.push(Trial::test(name, move || variant_passes(suite, &variant, &solution)));
    }
    for mutant in mutant::mutants(lab)? {
        let solution = Arc::clone(&solution);
        let name = format!("{lab}::mutant::{}", mutant.name);
        trials.push(Trial::test(name, move || mutant_is_caught(suite, &mutant, &solution)));
    }
    Ok(trials)
}

fn compiler() -> Result<&'static Compiler, Failed> {
    static COMPILER: OnceLock<Result<Compiler, Problem>> = OnceLock::new();
    let tier = plan()?.tier;
    COMPILER.get_or_init(|| Compiler::prepare(tier)).as_ref().map_err(|problem| problem.to_string().into())
}

fn plan() -> Result<Plan, Failed> {
    static TIER: OnceLock<Result<Tier, Problem>> = OnceLock::new();
    match TIER.get_or_init(grader::doctor::tier) {
        Ok(tier) => Ok(Plan::new(*tier)),
        Err(problem) => Err(problem.to_string().into()),
    }
}

fn graded(subject: &Subject, plan: &Plan) -> Result<LabReport, Failed> {
    let outcome = schedule::run(subject, plan, compiler()?, &|_| ());
    Ok(LabReport::new(subject, subject.seed(), outcome))
}

/// A failed row: why, and the report as a student would read it.
fn failed(why: &str, lab: LabReport, tier: Tier) -> Failed {
    let mut report = Report::new(lab.subject.clone(), "cargo xtask grade ...".to_string(), tier);
    report.labs.push(lab);
    format!("{why}\n{}", report::text(&report, Style::default())).into()
}

fn solution_earns_everything(suite: &'static Suite) -> Result<(), Failed> {
    let subject = Subject::from_sources("solution", suite, mutant::solution(suite)?);
    everything_passes(&subject, &plan()?)
}

fn everything_passes(subject: &Subject, plan: &Plan) -> Result<(), Failed> {
    let lab = graded(subject, plan)?;
    let fine = lab.unbuilt.is_empty() && lab.missing.is_empty() && !lab.checks.is_empty();
    if fine && lab.checks.iter().all(|check| check.verdict == VerdictName::Pass) {
        return Ok(());
    }
    let why = if lab.checks.is_empty() { "there is no check to pass" } else { "every check must pass" };
    Err(failed(why, lab, plan.tier))
}

fn stub_earns_nothing(suite: &'static Suite) -> Result<(), Failed> {
    let subject = Subject::from_sources("stub", suite, mutant::stub(suite)?);
    let plan = plan()?;
    let lab = graded(&subject, &plan)?;
    let broke = lab.checks.iter().any(|check| check.verdict == VerdictName::Broke);
    if lab.points == 0 && !broke && lab.unbuilt.is_empty() && lab.missing.is_empty() {
        return Ok(());
    }
    Err(failed("a stub must build, earn nothing and break nothing down", lab, plan.tier))
}

fn variant_passes(suite: &'static Suite, variant: &Variant, solution: &Arc<Sources>) -> Result<(), Failed> {
    let subject = variant.subject(suite, solution)?;
    everything_passes(&subject, &Plan { plain: variant.plain, ..plan()? })
}

/// Asks a mutant every check that starts its program: the others cannot tell it from the solution.
fn mutant_is_caught(suite: &'static Suite, mutant: &Mutant, solution: &Arc<Sources>) -> Result<(), Failed> {
    let subject = mutant.subject(suite, solution)?;
    let plan = Plan { program: Some(mutant.program.clone()), ..plan()? };
    let lab = graded(&subject, &plan)?;
    if !lab.unbuilt.is_empty() {
        return Err(failed("the mutant must compile", lab, plan.tier));
    }
    let caught =
        |name: &str| lab.checks.iter().any(|check| check.id == name && check.verdict == VerdictName::Fail);
    if !caught(&mutant.caught_by) {
        let why = format!("{} must fail, for: {}", mutant.caught_by, mutant.requirement);
        return Err(failed(&why, lab, plan.tier));
    }
    if let Some(words) = mutant.shows.as_ref().filter(|words| !shown(&lab, &mutant.caught_by, words)) {
        let why = format!("the finding of {} must show: {words}", mutant.caught_by);
        return Err(failed(&why, lab, plan.tier));
    }
    let may_fail =
        |name: &str| name == mutant.caught_by || mutant.also.iter().any(|also| also == name || also == "*");
    let surprise = lab.checks.iter().find(|check| match check.verdict {
        VerdictName::Pass | VerdictName::Blocked => false,
        VerdictName::Fail => !may_fail(&check.id),
        VerdictName::Broke => true,
    });
    match surprise.map(|check| check.id.clone()) {
        None => Ok(()),
        Some(name) => Err(failed(&format!("{name} must pass, or stand in `also`"), lab, plan.tier)),
    }
}

/// Whether a check's finding names this mistake, or says these words beside its evidence.
fn shown(lab: &LabReport, check: &str, words: &str) -> bool {
    let mut findings = lab.checks.iter().filter(|of| of.id == check).filter_map(|of| of.finding.as_ref());
    findings.any(|finding| {
        finding.mistake.as_deref() == Some(words)
            || finding.likely.iter().chain(&finding.notes).any(|said| said.contains(words))
    })
}
