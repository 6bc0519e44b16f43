//! Checks of programs that are sent signals, or whose child is: a signal ends no wait, and a stop is no end.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{RAW_STATUS, expect_report};
use crate::bench::{Bench, PATIENCE, Process, ProcessInfo};
use crate::family::{Family, Line};
use crate::recorder::{CallKind, Injection};
use crate::recording::{Act, Event, Outcome};
use crate::suites::fork::{CLOCK_SLACK_MS, SLEEPS_BEFORE, only_child, since};
use crate::verdict::{Because, Breakdown, Stop, ensure};

/// Signals whose default action is to do nothing.
pub(in crate::hidden) const HARMLESS: [Signal; 4] =
    [Signal::SIGCHLD, Signal::SIGCONT, Signal::SIGWINCH, Signal::SIGURG];

pub(super) fn killed_child_shows_its_signal(bench: &mut Bench) -> Result<(), Stop> {
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let mut program = bench.start("fork-wait", &["--count", "1", "--interval-ms", "60000"])?;
        let child = its_child(bench, &program, 60_000)?;
        program.signal_to(&child, signal)?;
        let ended = program.end_with_orphans().because("a child that was killed has ended: wait tells it")?;
        expect_report(bench, &program, &ended, ("", signal as i64), RAW_STATUS)?;
    }
    Ok(())
}

pub(super) fn stopped_child_has_not_ended(bench: &mut Bench) -> Result<(), Stop> {
    let mut program = bench.start("fork-wait", &["--count", "1", "--interval-ms", "60000"])?;
    let child = its_child(bench, &program, 60_000)?;
    until_blocked(bench, &program)?;
    stop(bench, &program, std::slice::from_ref(&child))?;
    program.signal_to(&child, Signal::SIGCONT)?;
    program.signal_to(&child, Signal::SIGKILL)?;
    let ended =
        program.end_with_orphans().because("the child was killed in the end, and the parent hears of it")?;
    expect_report(
        bench,
        &program,
        &ended,
        ("", 9),
        "a stopped child has not ended: wait tells of it when it has",
    )
}

pub(super) fn signals_do_not_end_the_wait(bench: &mut Bench) -> Result<(), Stop> {
    let mut program = bench.start("fork-wait", &["--count", "1", "--interval-ms", "60000"])?;
    let child = its_child(bench, &program, 60_000)?;
    until_blocked(bench, &program)?;
    rain_on(&program, &child)?;
    // A program that handles a signal may be waiting for the next time now.
    until_blocked(bench, &program)?;
    rain_on(&program, &child)?;
    program.signal_to(&child, Signal::SIGTERM)?;
    let ended = program.end_with_orphans().because("the parent ends when its child has ended")?;
    let rain = "SIGCHLD, SIGCONT, SIGWINCH and SIGURG were sent to parent and child, and in the end SIGTERM to the child";
    let because = "EINTR means that a signal was handled, no more: the program waits again";
    expect_report(bench, &program, &ended, ("", 15), because).map_err(|stop| noting(stop, rain))
}

/// Adds a fact to a finding.
fn noting(stop: Stop, fact: &str) -> Stop {
    match stop {
        Stop::Finding(mut finding) => {
            finding.notes.push(fact.to_string());
            Stop::Finding(finding)
        }
        other => other,
    }
}

pub(super) fn signals_do_not_shorten_an_interval(bench: &mut Bench) -> Result<(), Stop> {
    const INTERVAL_MS: u64 = 600;
    // A sleep proper meets them for certain; whoever sleeps by another call meets those that rain.
    meet_signals(bench, "fork-zombie", CallKind::Sleep, 2)?;
    let mut program =
        bench.start("fork-zombie", &["--count", "1", "--interval-ms", &INTERVAL_MS.to_string()])?;
    let child = its_child(bench, &program, INTERVAL_MS)?;
    until_blocked(bench, &program)?;
    rain_on(&program, &child)?;
    program.end_with_orphans().because("the parent ends when it has ticked and waited")?;
    whole_interval(bench, &program, INTERVAL_MS)
}

pub(super) fn no_program_sleeps_short(bench: &mut Bench) -> Result<(), Stop> {
    const INTERVAL_MS: u64 = 600;
    let (whole, half) = (INTERVAL_MS.to_string(), (INTERVAL_MS / 2).to_string());
    let mut started = Vec::new();
    for program in ["fork-nowait", "fork-wait", "fork-reap", "fork-many"] {
        meet_signals(bench, program, CallKind::Sleep, 2)?;
        let arguments = match program {
            "fork-many" => ["--children", "2", "--interval-ms", &half],
            _ => ["--count", "1", "--interval-ms", &whole],
        };
        started.push(bench.start(program, &arguments)?);
    }
    for program in &started {
        let sleeps = |event: &Event| matches!(event.act, Act::Sleep { .. } | Act::WaitReady { .. });
        let _ = bench.until_within(Duration::from_millis(500), "a program that sleeps", || {
            let recording = bench.recorder().recording();
            let mut events = recording.of_tree(program.who());
            events.any(|event| sleeps(event) && event.outcome == Outcome::Pending).then_some(())
        });
        for process in program.processes() {
            HARMLESS.iter().try_for_each(|signal| program.signal_to(&process, *signal))?;
        }
    }
    let Some(mut many) = started.pop() else { return Ok(()) };
    for program in &mut started {
        program.end_with_orphans().because("both processes end by themselves")?;
        whole_interval(bench, program, INTERVAL_MS)?;
    }
    let ended = many.end_with_orphans().because("the parent ends when every child was reaped")?;
    let recording = bench.recording()?.clone();
    let family = Family::of(&recording, many.who());
    let children = family.children();
    let lived: Vec<u64> = children
        .iter()
        .map(|child| {
            family.death(child.name).map_or(0, |death| since(child.birth.enter.seen, death.enter.seen))
        })
        .collect();
    let slept = children.len() == 2
        && lived[0] + CLOCK_SLACK_MS >= INTERVAL_MS
        && lived[1] + CLOCK_SLACK_MS >= INTERVAL_MS / 2;
    let expected = format!("two children that live {whole} and {half} ms");
    ensure(slept, expected, format!("{} children, that lived {lived:?} ms", children.len()))
        .with(|unexplained| ended.explain(unexplained).likely(SHORT))
        .because(WHOLE)
}

/// What makes an interval too short.
const SHORT: &str = "a sleep that a signal handler ended early was not gone on with";
/// Why it must not be.
const WHOLE: &str = "a signal does not shorten an interval: the program sleeps for the rest of the time";

/// Expects one line of the ticking process, an interval after the fork or later.
fn whole_interval(bench: &Bench, program: &Process, interval_ms: u64) -> Result<(), Stop> {
    let recording = bench.recording()?.clone();
    let family = Family::of(&recording, program.who());
    let born = only_child(&family, program.who())?.birth.enter.seen;
    let mut ticking: Vec<Line> =
        family.members().into_iter().flat_map(|member| family.lines_of(member)).collect();
    ticking.retain(|line| line.text.contains(" is running... "));
    let [line] = ticking.as_slice() else {
        return ensure(false, "one line of the ticking process", format!("{} lines", ticking.len()))
            .with(|unexplained| unexplained.sent(program.command()))
            .because("the ticking process prints --count lines");
    };
    let after = since(born, line.at);
    let expected = format!("{:?} at least {interval_ms} ms after the fork", line.text);
    ensure(after + CLOCK_SLACK_MS >= interval_ms, expected, format!("it came after {after} ms"))
        .with(|unexplained| {
            let rain = "SIGCHLD, SIGCONT, SIGWINCH and SIGURG were sent to it while it slept";
            unexplained.sent(program.command()).note(rain).likely(SHORT)
        })
        .because(WHOLE)
}

/// Waits until a program has a child, and gives it. The program is one that runs for an interval or longer.
fn its_child(bench: &Bench, program: &Process, interval_ms: u64) -> Result<ProcessInfo, Stop> {
    let found = program.until_processes("a child of the program", |now| now.get(1).cloned());
    let recording = bench.recording()?.clone();
    let had_one = !Family::of(&recording, program.who()).children().is_empty();
    if found.is_ok() || !had_one || program.is_running() {
        return found.because("the program forks");
    }
    let mut own = recording.of(program.who());
    let start = own.next().map_or(0, |event| event.enter.seen);
    let lived = own.last().map_or(0, |event| since(start, event.enter.seen));
    let expected = format!("a program that runs for at least {interval_ms} ms");
    ensure(lived + CLOCK_SLACK_MS >= interval_ms, expected, format!("it ended after {lived} ms"))
        .with(|unexplained| unexplained.sent(program.command()))
        .because(SLEEPS_BEFORE)?;
    let what = "the program ended before the grader could act on its child";
    Err(Breakdown::new(what, "grade again when the machine is less busy").into())
}

/// Waits until a program's first process is blocked in a call that waits. Not every such call is recorded: one that sleeps
/// and makes no call meanwhile is blocked too. Who makes call after call is not waited for.
pub(in crate::hidden) fn until_blocked(bench: &Bench, program: &Process) -> Result<(), Stop> {
    const RESTLESS: usize = 500;
    let calls = || -> Result<usize, Stop> { Ok(bench.recording()?.of(program.who()).count()) };
    let (before, mut slept_at) = (calls()?, None);
    let blocked = bench.until_within(PATIENCE, "a program that waits", || {
        let made = calls().ok()?;
        let sleeps = program.info().is_none_or(|process| process.state == 'S');
        let still_sleeps = sleeps && slept_at.replace(made) == Some(made);
        if still_sleeps || made > before + RESTLESS {
            return Some(());
        }
        if !sleeps {
            slept_at = None;
        }
        let recording = bench.recording().ok()?;
        let signal = |event: &&Event| matches!(event.act, Act::SignalDelivered { .. });
        let last = recording.of(program.who()).filter(|event| !signal(event)).last()?;
        let waits = matches!(
            last.act,
            Act::Reap { .. } | Act::Sleep { .. } | Act::WaitReady { .. } | Act::Read { .. }
        );
        (waits && last.outcome == Outcome::Pending).then_some(())
    });
    drop(blocked);
    Ok(())
}

/// Lets the first calls of a kind that `program` makes meet signals, so many of each, wherever it handles them.
pub(in crate::hidden) fn meet_signals(
    bench: &Bench,
    program: &str,
    kind: CallKind,
    calls: u32,
) -> Result<(), Stop> {
    for signal in HARMLESS {
        bench.recorder().inject(program, Injection::Signal { kind, signal: signal as i32, calls })?;
    }
    Ok(())
}

/// Stops some of a program's processes, and waits until they were seen standing several times: whoever takes a stop for
/// an end does so meanwhile. Comes back where the program has ended, too.
pub(in crate::hidden) fn stop(
    bench: &Bench,
    program: &Process,
    processes: &[ProcessInfo],
) -> Result<(), Stop> {
    for process in processes {
        program.signal_to(process, Signal::SIGSTOP)?;
    }
    let mut looks = 0;
    let stopped = program.until_processes("processes stopped by SIGSTOP", |now| {
        // A recorded call stops a process for a moment too, so the signal must have been delivered.
        let delivered = Act::SignalDelivered { signal: Signal::SIGSTOP as i32 };
        let recording = bench.recorder().recording();
        let met = recording.of_tree(program.who()).filter(|event| event.act == delivered).count();
        let stands = |process: &ProcessInfo| {
            now.iter().any(|other| other.pid == process.pid && matches!(other.state, 'T' | 't'))
        };
        looks = if met >= processes.len() && processes.iter().all(stands) { looks + 1 } else { 0 };
        (looks == 5 || !program.is_running()).then_some(())
    });
    stopped.because("SIGSTOP stops any process")
}

/// Sends every harmless signal to a program and to its child.
fn rain_on(program: &Process, child: &ProcessInfo) -> Result<(), Stop> {
    for signal in HARMLESS {
        program.signal(signal)?;
        program.signal_to(child, signal)?;
    }
    Ok(())
}
