//! Checks of `fork-many`: many children, born in one order and ending in the other.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::signals::{HARMLESS, meet_signals, stop, until_blocked};
use super::{limit_without_effect, process_limit};
use crate::bench::{Bench, Ended, Process};
use crate::family::{Family, status_pairs};
use crate::recorder::CallKind;
use crate::recording::{Act, Outcome};
use crate::suites::fork::{CLOCK_SLACK_MS, since};
use crate::verdict::{Because, Stop, ensure};

/// What a parent of many waits for.
const EVERY_CHILD: &str = "the parent ends when every child was reaped";
/// How long hundreds of processes may take.
const LONG: Duration = Duration::from_secs(40);
/// How long a storm pauses at most.
const A_WHILE: Duration = Duration::from_millis(200);

pub(super) fn fork_refused_in_the_middle(bench: &mut Bench) -> Result<(), Stop> {
    let start = bench.program("fork-many").arguments(&["--children", "12", "--interval-ms", "200"]);
    let mut program = start.limits(|limits| limits.processes = 7).start()?;
    let ended = program.end_with_orphans().because("those that were born end, and so does their parent")?;
    let recording = bench.recording()?.clone();
    let family = Family::of(&recording, program.who());
    let born = family.children();
    let refused = family.refused_forks(program.who());
    if born.len() == 12 || (refused > 0 && born.is_empty()) {
        return Err(limit_without_effect().into());
    }
    let because =
        "where the system refuses a process, asking on does not help; those that were born must be reaped";
    ensure(refused == 1, "no fork after the one that was refused", format!("{refused} forks were refused"))
        .with(|unexplained| process_limit(ended.explain(unexplained)))
        .because(because)?;
    let left: Vec<&str> = born
        .iter()
        .filter(|child| family.reaped(program.who(), child.name).is_none())
        .map(|child| child.name)
        .collect();
    let observed = format!("{} of {} were not reaped: {}", left.len(), born.len(), left.join(", "));
    ensure(left.is_empty(), format!("each of the {} children reaped", born.len()), observed)
        .with(|unexplained| process_limit(ended.explain(unexplained)))
        .because(because)?;
    ended.expect_status(1).with(process_limit).because("not every child could be made: that is a failure")?;
    let said = !ended.stderr.trim_ascii().is_empty();
    ensure(said, "the reason on stderr", "nothing on stderr").because("a failure says its reason on stderr")
}

pub(super) fn every_child_is_reaped(bench: &mut Bench) -> Result<(), Stop> {
    let count = bench.random().range(5, 8);
    each_is_reaped(bench, &["--children", &count.to_string(), "--interval-ms", "1000"], count, 1000)?;
    each_is_reaped(bench, &[], 4, 2000)
}

/// Runs the program and expects so many children, which end an interval apart, the last to be born first.
fn each_is_reaped(bench: &Bench, arguments: &[&str], count: i64, interval_ms: u64) -> Result<(), Stop> {
    let mut program = bench.start("fork-many", arguments)?;
    let ended = program.end_with_orphans().because("the parent ends when every child was reaped")?;
    let recording = bench.recording()?.clone();
    let family = Family::of(&recording, program.who());
    let (children, all) = (family.children(), family.members().len() - 1);
    let observed = match all == children.len() {
        true => format!("{all} children"),
        false => format!("{} children and {} grandchildren", children.len(), all - children.len()),
    };
    ensure(children.len() == count as usize && all == children.len(), format!("{count} children"), observed)
        .with(|unexplained| {
            let unexplained = ended.explain(unexplained);
            if all > children.len() {
                unexplained.likely("a child stays in the loop that makes children")
            } else {
                unexplained
            }
        })
        .because("the parent makes each child, and a child makes none")?;

    for (child, number) in children.iter().zip(1..) {
        let died =
            family.death(child.name).map_or(0, |death| since(child.birth.enter.seen, death.enter.seen));
        let sleep = interval_ms * (count as u64 - number + 1);
        let observed = format!("it ended after {died} ms");
        ensure(
            died + CLOCK_SLACK_MS >= sleep && died <= sleep + 900,
            format!("child {number} ends after {sleep} ms"),
            observed,
        )
        .with(|unexplained| ended.explain(unexplained))
        .because("child k of N sleeps N-k+1 intervals")?;
    }
    let lines = children.iter().rev().zip((1..=count).rev());
    let expected: String = lines
        .map(|(child, number)| format!("({}, {})\n", child.pid.unwrap_or_default(), number << 8))
        .collect();
    ended
        .expect_stdout(expected)
        .because("wait reports each child once, whichever ends first, with the code that it exited with")?;
    let left = children.iter().filter(|child| family.reaped(program.who(), child.name).is_none()).count();
    ensure(left == 0, "no zombie left when the parent ends", format!("{left} were not waited for"))
        .with(|unexplained| ended.explain(unexplained))
        .because("each child needs one wait")?;
    ended.expect_status(0).because("a program that has finished its work ends with status 0")
}

pub(super) fn ends_by_signals_are_reported(bench: &mut Bench) -> Result<(), Stop> {
    let mut program = bench.start("fork-many", &["--children", "3", "--interval-ms", "60000"])?;
    let children = program
        .until_processes("three children", |now| (now.len() == 4).then(|| now[1..].to_vec()))
        .because("the parent makes --children processes")?;
    until_blocked(bench, &program)?;
    stop(bench, &program, &children[..1])?;
    let because =
        "wait tells of every child that has ended, also by a signal, and a stopped one has not ended";
    let mut shown = Vec::new();
    for (child, signal) in children.iter().zip([Signal::SIGKILL, Signal::SIGTERM, Signal::SIGKILL]) {
        program.signal_to(child, Signal::SIGCONT)?;
        program.signal_to(child, signal)?;
        let line = program.line().because(because)?;
        let [(pid, status)] = status_pairs(line.as_bytes())[..] else {
            return ensure(false, "a line (PID, STATUS)", format!("the line {line:?}")).because(because);
        };
        let killed = format!("(PID, {}) once {signal} has killed a child", signal as i32);
        ensure(status == signal as i64, killed, format!("({pid}, {status})"))
            .with(|unexplained| match status & 0xff {
                0x7f => unexplained.likely("this status tells of a stop (WUNTRACED)"),
                _ => unexplained,
            })
            .because(because)?;
        shown.push(pid);
    }
    let ended = program.end_with_orphans().because(EVERY_CHILD)?;
    let recording = bench.recording()?.clone();
    let family = Family::of(&recording, program.who());
    let mut born: Vec<i64> = family.children().iter().filter_map(|child| child.pid).collect();
    born.sort_unstable();
    shown.sort_unstable();
    ensure(shown == born, format!("lines about {born:?}"), format!("about {shown:?}"))
        .with(|unexplained| ended.explain(unexplained))
        .because(because)?;
    ended.expect_status(0).because("the parent ends with status 0, whatever became of its children")
}

pub(super) fn exit_codes_wrap_at_256(bench: &mut Bench) -> Result<(), Stop> {
    let start = bench.program("fork-many").arguments(&["--children", "258", "--interval-ms", "1"]);
    let mut program = start.limits(|limits| limits.processes = 400).start()?;
    until_over(bench, &program, || {})?;
    let ended = program.end_with_orphans().because(EVERY_CHILD)?;
    expect_each_status_once(&ended, 258)?;
    ended.expect_status(0).because("a program that has finished its work ends with status 0")
}

pub(super) fn many_children_in_a_storm_of_signals(bench: &mut Bench) -> Result<(), Stop> {
    meet_signals(bench, "fork-many", CallKind::Wait, 20)?;
    let mut program = bench.start("fork-many", &["--children", "200", "--interval-ms", "2"])?;
    drop(bench.recording()?);
    let mut last = Instant::now();
    until_over(bench, &program, || {
        // A wait that a signal meets is what this is about. A fork that a signal meets begins anew, and never ends if
        // they come too fast: there they come once in a while.
        let Ok(recording) = bench.recording() else { return };
        let call =
            recording.events.iter().rev().find(|event| {
                event.who == program.who() && !matches!(event.act, Act::SignalDelivered { .. })
            });
        let waits =
            call.is_some_and(|call| matches!(call.act, Act::Reap { .. }) && call.outcome == Outcome::Pending);
        drop(recording);
        if waits || last.elapsed() > A_WHILE {
            last = Instant::now();
            for signal in HARMLESS {
                // A process that has just ended is no failure of the grader's.
                let _ = program.signal(signal);
            }
        }
    })?;
    let ended = program.end_with_orphans().because(EVERY_CHILD)?;
    expect_each_status_once(&ended, 200)?;
    ended.expect_status(0).because("a program that has finished its work ends with status 0")
}

/// Waits until the program has ended, which many processes take long for on a busy machine, and meanwhile acts.
fn until_over(bench: &Bench, program: &Process, mut act: impl FnMut()) -> Result<(), Stop> {
    let over = bench.until_within(LONG, "fork-many ends", || {
        act();
        (!program.is_running()).then_some(())
    });
    over.because(EVERY_CHILD)
}

/// Expects a line for each of `count` children, in any order, each with the code that is its number modulo 256.
fn expect_each_status_once(ended: &Ended, count: i64) -> Result<(), Stop> {
    let pairs = status_pairs(&ended.stdout);
    let mut pids: Vec<i64> = pairs.iter().map(|(pid, _)| *pid).collect();
    pids.sort_unstable();
    pids.dedup();
    let because = "wait must be called once for each child, however many end at the same time";
    let observed = format!("{} lines about {} children", pairs.len(), pids.len());
    let exact = pairs.len() == count as usize && pids.len() == pairs.len();
    ensure(exact, format!("{count} lines (PID, STATUS), each about another child"), observed)
        .with(|unexplained| ended.explain(unexplained))
        .because(because)?;
    let mut statuses: Vec<i64> = pairs.iter().map(|(_, status)| *status).collect();
    let mut expected: Vec<i64> = (1..=count).map(|number| (number % 256) << 8).collect();
    statuses.sort_unstable();
    expected.sort_unstable();
    let differs = statuses.iter().zip(&expected).find(|(shown, expected)| shown != expected);
    let (expected, shown) = differs.map_or((0, 0), |(shown, expected)| (*expected, *shown));
    ensure(differs.is_none(), format!("a status {expected}"), format!("{shown} in its place"))
        .with(|unexplained| ended.explain(unexplained))
        .because("child k ends with exit code k modulo 256, which is the second byte of its raw status")
}
