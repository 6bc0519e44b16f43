//! `flake`: grades the solutions again and again on a machine that is busy with other things. A correct program that
//! fails once in a while is the worst mistake that a grader can make.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use grader::exit::{Exit, Problem};
use grader::grade::{Request, grade, known_lab, take};
use grader::report::VerdictName;
use grader::schedule::Plan;
use grader::{doctor, house};

/// Grades the solutions `runs` times beside `load` busy loops and prints every check that did not pass every time.
pub fn flake(runs: u32, load: usize, lab: Option<String>) -> Result<Exit, Problem> {
    lab.as_deref().map(known_lab).transpose()?;
    let request = Request { path: Some(house::solutions()), lab, ..Request::default() };
    let tier = doctor::tier()?;
    let busy = AtomicBool::new(true);
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    let outcome = std::thread::scope(|scope| {
        for _ in 0..load {
            scope.spawn(|| {
                while busy.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let outcome = (0..runs).try_for_each(|run| {
            let start = Instant::now();
            // Other random values each time: a flake may hide in some of them.
            let plan = Plan { seed: Some(u64::from(run) + 1), ..Plan::new(tier) };
            let taken = take(&request, &[])?;
            let report = grade(taken, &plan, None, "cargo xtask grade solutions".to_string())?;
            let mut missed = 0;
            for check in report.labs.iter().flat_map(|lab| &lab.checks) {
                let counts = counts.entry(format!("{} {}", check.requirement, check.id)).or_default();
                counts.add(check.verdict, run);
                missed += usize::from(check.verdict != VerdictName::Pass);
            }
            let seconds = start.elapsed().as_secs_f64();
            println!("run {:>3} of {runs}: {missed} not passed, {seconds:.1} s", run + 1);
            Ok(())
        });
        busy.store(false, Ordering::Relaxed);
        outcome
    });
    outcome?;
    let unsteady: Vec<_> = counts.iter().filter(|(_, counts)| counts.passed < runs).collect();
    println!("\n{} checks, {runs} runs beside {load} busy loops", counts.len());
    for (name, counts) in &unsteady {
        println!("  {name}: {counts}");
    }
    if unsteady.is_empty() {
        println!("no verdict ever changed: every check passed every time");
        return Ok(Exit::Passed);
    }
    println!("next: find out why, with `cargo xtask grade solutions --only CHECK --seed SEED --repeat 20`");
    Ok(Exit::Findings)
}

#[derive(Default)]
struct Counts {
    passed: u32,
    failed: u32,
    blocked: u32,
    broke: u32,
    seeds: Vec<u32>,
}

impl Counts {
    fn add(&mut self, verdict: VerdictName, run: u32) {
        match verdict {
            VerdictName::Pass => self.passed += 1,
            VerdictName::Fail => self.failed += 1,
            VerdictName::Blocked => self.blocked += 1,
            VerdictName::Broke => self.broke += 1,
        }
        if verdict != VerdictName::Pass {
            self.seeds.push(run + 1);
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { passed, failed, blocked, broke, seeds } = self;
        write!(
            out,
            "passed {passed}, failed {failed}, blocked {blocked}, broke {broke}; with seeds {seeds:?}"
        )
    }
}
