//! What being recorded does to a check: the recording is the same each time, and it costs little.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use grader::check::Check;
use grader::compile::Compiler;
use grader::recording::{Act, Event, Recording};
use grader::report::VerdictName;
use grader::sandbox::Tier;
use grader::schedule::{self, Plan};
use grader::subject::Subject;
use grader::verdict::Verdict;
use grader::{child, doctor, mutant, suites};
use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::resource::{UsageWho, getrusage};

/// Programs that do the same in every run, and checks that see them end: a recording ends with its check.
const PAIRS: &[(&str, &str)] = &[
    ("udp", "server_ends_after_one_answer"),
    ("udp", "client_prints_the_answer"),
    ("tcp", "server_ends_with_its_client"),
    ("tcp", "client_says_hello"),
    ("fork", "parent_waits_and_reports"),
    ("multicast", "receiver_prints_the_datagram"),
    ("raw", "answer_is_printed"),
];
/// How often each is recorded.
const RUNS: u32 = 50;
/// How much more a check may cost because it is recorded.
const COST: Duration = Duration::from_millis(15);

fn main() -> ExitCode {
    if let Some(code) = grader::fork_server::become_fork_server_if_asked() {
        return code;
    }
    child::end_all_on_signals();
    let mut arguments = Arguments::from_args();
    // The costs are compared in one run, undisturbed by another trial.
    arguments.test_threads = Some(1);
    let mut trials: Vec<Trial> = PAIRS
        .iter()
        .map(|(lab, check)| {
            Trial::test(format!("{lab}::{check}_is_recorded_alike"), move || recorded_alike(lab, check))
        })
        .collect();
    trials.push(Trial::test("a_recorded_check_costs_little_more", costs_little_more));
    trials.push(Trial::test("many_recorded_checks_cost_little_more", many_cost_little_more));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// One check of a lab's solution, asked as often as one likes.
struct Question {
    subject: Subject,
    compiler: Compiler,
    check: &'static Check,
    tier: Tier,
}

impl Question {
    fn new(lab: &str, check: &str) -> Result<Self, Failed> {
        let suite = suites::of(lab).ok_or("no such lab")?;
        let tier = doctor::tier()?;
        let subject = Subject::from_sources("solution", suite, mutant::solution(suite)?);
        let check = suite.find(check).ok_or("no such check")?;
        let question = Self { subject, compiler: Compiler::prepare(tier)?, check, tier };
        // The first time builds.
        question.ask(true)?;
        Ok(question)
    }

    /// Asks it; the recording, where there is one, and how long it took.
    fn ask(&self, trace: bool) -> Result<(Option<Recording>, Duration), Failed> {
        let only = vec![self.check.name.to_string()];
        let plan = Plan { only, record: trace, trace, ..Plan::new(self.tier) };
        let start = Instant::now();
        let outcome = schedule::run(&self.subject, &plan, &self.compiler, &|_| ());
        let took = start.elapsed();
        let answer = outcome.asked.into_iter().next().ok_or("nothing was asked")?.answer;
        match answer.verdict {
            Verdict::Pass => Ok((answer.recording, took)),
            other => Err(format!("{:?}: {other:?}", VerdictName::Fail).into()),
        }
    }
}

/// What each process did, without what differs from run to run: times, ports, numbers of processes, and how often
/// somebody was woken.
fn canonical(recording: &Recording) -> Vec<(String, Vec<String>)> {
    let words = |event: &Event| {
        let kind = format!("{:?}", event.act);
        let kind = kind.split([' ', '{', '(']).next().unwrap_or_default().to_string();
        format!("{kind} {} {}", event.fd.unwrap_or(-1), event.outcome.ok())
    };
    let known = |event: &&Event| !matches!(event.act, Act::SignalDelivered { .. });
    let of = |who: String| {
        let acts = recording.of(&who).filter(known).map(words).collect();
        (who, acts)
    };
    recording.processes().into_iter().map(of).collect()
}

fn recorded_alike(lab: &str, check: &str) -> Result<(), Failed> {
    let question = Question::new(lab, check)?;
    let mut first = None;
    for run in 0..RUNS {
        let recording = question.ask(true)?.0.ok_or("it was not recorded")?;
        if !recording.recorded {
            return Err("this machine does not record: see `cargo xtask doctor`".into());
        }
        let mut now = canonical(&recording);
        now.sort();
        match &first {
            None => first = Some(now),
            Some(first) if *first == now => {}
            Some(first) => return Err(format!("run {run}: {now:#?}\nand not {first:#?}").into()),
        }
    }
    Ok(())
}

/// In processor time, which a busy machine does not lengthen; the least of several.
fn costs_little_more() -> Result<(), Failed> {
    let question = Question::new("udp", "client_prints_the_answer")?;
    let mut least = [Duration::MAX; 2];
    for _ in 0..25 {
        for (place, trace) in [(0, false), (1, true)] {
            let before = children_cpu()?;
            question.ask(trace)?;
            // What its children used is known when it has ended.
            child::end_fork_server();
            least[place] = least[place].min(children_cpu()?.saturating_sub(before));
        }
    }
    let [plain, recorded] = least;
    println!("a check costs {plain:?}, and recorded {recorded:?}");
    if !plain.is_zero() && recorded <= plain + COST {
        Ok(())
    } else {
        Err(format!("{plain:?}, recorded {recorded:?}").into())
    }
}

/// The processor time of all children that have ended, and of theirs.
fn children_cpu() -> Result<Duration, Failed> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros =
        [usage.user_time(), usage.system_time()].map(|time| time.tv_sec() * 1_000_000 + time.tv_usec());
    Ok(Duration::from_micros(micros.iter().sum::<i64>() as u64))
}

fn many_cost_little_more() -> Result<(), Failed> {
    let question = Question::new("udp", "client_prints_the_answer")?;
    let many = |trace| -> Result<Duration, Failed> {
        let start = Instant::now();
        std::thread::scope(|scope| {
            let asked: Vec<_> = (0..64).map(|_| scope.spawn(|| question.ask(trace).map(|_| ()))).collect();
            asked.into_iter().try_for_each(|one| one.join().map_err(|_| Failed::from("a thread panicked"))?)
        })?;
        Ok(start.elapsed())
    };
    // The shortest of several: what the work takes where little disturbs it.
    let mut shortest = [Duration::MAX; 2];
    for _ in 0..5 {
        for (place, trace) in [(0, false), (1, true)] {
            shortest[place] = shortest[place].min(many(trace)?);
        }
    }
    let [plain, recorded] = shortest;
    println!("64 checks at once take {plain:?}, and recorded {recorded:?}");
    if recorded <= 2 * plain { Ok(()) } else { Err(format!("{plain:?}, recorded {recorded:?}").into()) }
}
