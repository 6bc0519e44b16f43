//! Robust and bonus checks of the lab `fork`.

mod many;
mod signals;

pub(in crate::hidden) use signals::{HARMLESS, stop, until_blocked};

use crate::bench::{Bench, Ended, Process, Stdout};
use crate::check;
use crate::check::Check;
use crate::family::{Family, Line, status_pairs};
use crate::suites::fork::{CLOCK_SLACK_MS, longest, only_child, since};
use crate::verdict::{Because, Breakdown, Stop, Unexplained, ensure};

/// The rubric, in teaching order.
pub const CHECKS: &[Check] = &[
    check!(
        malformed_options_are_refused,
        "fork.0",
        Robust,
        3,
        ["fork-nowait", "fork-wait", "fork-zombie", "fork-reap", "fork-many"],
        "Are malformed options refused before anything is done?"
    )
    .handout("What each program must do"),
    check!(
        full_disk_is_an_error,
        "fork.0",
        Robust,
        3,
        ["fork-nowait", "fork-wait", "fork-zombie", "fork-reap", "fork-many"],
        "Does a program whose output cannot be written end with status 1?"
    )
    .handout("The calls")
    .skip_idle(),
    check!(
        lines_are_out_at_once,
        "fork.0",
        Robust,
        3,
        ["fork-nowait", "fork-wait", "fork-zombie", "fork-reap"],
        "Is every line out when it happens, also when stdout is a file?"
    )
    .handout("One call that returns twice")
    .skip_idle(),
    check!(
        exit_code_is_in_the_second_byte,
        "fork.6",
        Robust,
        4,
        ["fork-wait"],
        "Is STATUS the raw wait status: 768 for exit code 3?"
    )
    .after("parent_waits_and_reports")
    .handout("Waiting: wait and the status")
    .skip_idle(),
    check!(
        signals::killed_child_shows_its_signal,
        "fork.6",
        Robust,
        3,
        ["fork-wait"],
        "Is STATUS the signal's number when a signal killed the child?"
    )
    .after("parent_waits_and_reports")
    .handout("Waiting: wait and the status")
    .recorder(),
    check!(
        signals::stopped_child_has_not_ended,
        "fork.6",
        Robust,
        3,
        ["fork-wait"],
        "Does the parent go on waiting when its child is only stopped?"
    )
    .after("parent_waits_and_reports")
    .handout("Waiting: wait and the status")
    .recorder(),
    check!(
        many::ends_by_signals_are_reported,
        "fork.6",
        Robust,
        2,
        ["fork-many"],
        "Does fork-many report children that signals killed, and go on waiting for one that is only stopped?"
    )
    .after("every_child_is_reaped")
    .handout("Waiting: wait and the status")
    .recorder(),
    check!(
        every_line_appears_once,
        "fork.7",
        Robust,
        4,
        ["fork-nowait", "fork-wait", "fork-zombie", "fork-reap"],
        "Does every line appear exactly once when stdout is a file?"
    )
    .handout("One call that returns twice")
    .skip_idle(),
    check!(
        refused_fork_is_reported,
        "fork.8",
        Robust,
        3,
        ["fork-nowait", "fork-wait", "fork-zombie", "fork-reap"],
        "Does a program end with status 1 and a reason when fork is refused?"
    )
    .handout("What each program must do")
    .recorder(),
    check!(
        many::fork_refused_in_the_middle,
        "fork.8",
        Robust,
        4,
        ["fork-many"],
        "When a fork is refused, are those reaped that were born, and no more made?"
    )
    .after("every_child_is_reaped")
    .handout("Many children")
    .skip_idle(),
    check!(
        signals::signals_do_not_end_the_wait,
        "fork.9",
        Robust,
        3,
        ["fork-wait"],
        "Does the parent go on waiting when signals come that it need not care about?"
    )
    .after("parent_waits_and_reports")
    .handout("Signals while you sleep or wait")
    .recorder(),
    check!(
        signals::signals_do_not_shorten_an_interval,
        "fork.9",
        Robust,
        2,
        ["fork-zombie"],
        "Does a program sleep its whole interval when signals come?"
    )
    .long()
    .after("zombie_until_the_parent_waits")
    .handout("Signals while you sleep or wait")
    .recorder(),
    check!(
        signals::no_program_sleeps_short,
        "fork.9",
        Robust,
        2,
        ["fork-nowait", "fork-wait", "fork-reap", "fork-many"],
        "Do the other programs sleep their whole intervals, too?"
    )
    .long()
    .handout("Signals while you sleep or wait")
    .recorder(),
    check!(
        many::every_child_is_reaped,
        "fork.10",
        Robust,
        4,
        ["fork-many"],
        "Is every child reaped and reported, in the order in which they end?"
    )
    .handout("Many children")
    .skip_idle(),
    check!(
        many::exit_codes_wrap_at_256,
        "fork.10",
        Robust,
        2,
        ["fork-many"],
        "Does child 257 end with code 1, and is each of 258 children reported once?"
    )
    .long()
    .after("every_child_is_reaped")
    .handout("Many children"),
    check!(
        many::many_children_in_a_storm_of_signals,
        "fork.11",
        Bonus,
        10,
        ["fork-many"],
        "Are 200 children all reaped while signals rain down on their parent?"
    )
    .long()
    .after("every_child_is_reaped")
    .handout("Signals while you sleep or wait")
    .recorder(),
];

/// Why the second number of a pair is what it is.
const RAW_STATUS: &str =
    "STATUS is the raw wait status: the exit code in the second byte, the signal that killed it in the first";
/// The four programs that fork once, with what they print for `--count 2`.
const FORK_ONCE: [(&str, &str); 4] = [
    ("fork-nowait", "parent is exiting...\nchild is running... 0\nchild is running... 1\n"),
    ("fork-wait", "child is running... 0\nchild is running... 1\n(PID, 0)\nparent is exiting...\n"),
    (
        "fork-zombie",
        "child exits...\nparent is running... 0\nparent is running... 1\n(PID, 0)\nparent is exiting...\n",
    ),
    (
        "fork-reap",
        "child exits...\nparent is running... 0\nparent is running... 1\nno child to wait for\nparent is exiting...\n",
    ),
];

fn malformed_options_are_refused(bench: &mut Bench) -> Result<(), Stop> {
    let works = bench.run("fork-wait", &["--count", "1", "--interval-ms", "1", "--exit-code", "255"])?;
    works
        .expect_status(0)
        .because("an exit code of 255 is in range, and so are a count and an interval of 1")?;
    let wait: [&[&str]; 4] =
        [&["--exit-code", "256"], &["--exit-code", "-1"], &["--count", "two"], &["--interval-ms"]];
    bench.refuses_each("fork-wait", &wait)?;
    let nowait: [&[&str]; 3] = [&["--interval-ms", "0"], &["--exit-code", "3"], &["--count", "1.5"]];
    bench.refuses_each("fork-nowait", &nowait)?;
    bench.refuses_each("fork-zombie", &[&["--count", "0"], &["--interval-ms", "2x"]])?;
    let reap: [&[&str]; 2] = [&["--count", "1", "2"], &["--count", "-1"]];
    bench.refuses_each("fork-reap", &reap)?;
    let many: [&[&str]; 3] = [&["--children", "0"], &["--children", "2x"], &["--interval-ms", "-1"]];
    bench.refuses_each("fork-many", &many)
}

fn full_disk_is_an_error(bench: &mut Bench) -> Result<(), Stop> {
    for program in ["fork-nowait", "fork-wait", "fork-zombie", "fork-reap"] {
        cannot_write(bench, program, &["--count", "1", "--interval-ms", "100"])?;
    }
    cannot_write(bench, "fork-many", &["--children", "2", "--interval-ms", "100"])
}

fn cannot_write(bench: &Bench, program: &str, arguments: &[&str]) -> Result<(), Stop> {
    let start = bench.program(program).arguments(arguments).stdout(Stdout::Full);
    let ended = start.start()?.end_with_orphans().because("a program that cannot write its lines ends")?;
    ended
        .expect_status(1)
        .with(|unexplained| unexplained.note("its stdout was a full disk: every write fails with ENOSPC"))
        .because("a line that was lost is a failure, and a failure ends with status 1")
}

fn lines_are_out_at_once(bench: &mut Bench) -> Result<(), Stop> {
    for (program, _) in FORK_ONCE {
        let start = bench.program(program).arguments(&["--count", "2", "--interval-ms", "2400"]);
        let mut process = start.stdout(Stdout::File).start()?;
        process.end_with_orphans().because("both processes end by themselves")?;
        let recording = bench.recording()?.clone();
        let family = Family::of(&recording, process.who());
        let child = only_child(&family, process.who())?;
        let ticking = family.members().into_iter().flat_map(|member| family.lines_of(member));
        let ticking: Vec<_> = ticking.filter(|line| line.text.contains(" is running... ")).collect();
        ensure(ticking.len() == 2, "two lines of the ticking process", format!("{} lines", ticking.len()))
            .with(|unexplained| unexplained.sent(process.command()))
            .because("the ticking process prints --count lines")?;
        paced(&ticking, child.birth.enter.seen, 2400)?;
    }
    Ok(())
}

fn exit_code_is_in_the_second_byte(bench: &mut Bench) -> Result<(), Stop> {
    let other = bench.random().range(4, 254);
    for code in [3, other, 255] {
        let arguments = ["--count", "1", "--interval-ms", "100", "--exit-code", &code.to_string()];
        let mut program = bench.start("fork-wait", &arguments)?;
        let ended = program.end_with_orphans().because("the parent ends when its child has ended")?;
        expect_report(bench, &program, &ended, ("child is running... 0\n", code << 8), RAW_STATUS)?;
    }
    Ok(())
}

fn every_line_appears_once(bench: &mut Bench) -> Result<(), Stop> {
    for (program, expected) in FORK_ONCE {
        let start = bench.program(program).arguments(&["--count", "2", "--interval-ms", "200"]);
        let mut process = start.stdout(Stdout::File).start()?;
        let ended = process.end_with_orphans().because("both processes end by themselves")?;
        let pid =
            status_pairs(&ended.stdout).first().map_or_else(|| "PID".to_string(), |(pid, _)| pid.to_string());
        ended
            .expect_stdout(expected.replace("PID", &pid))
            .with(|unexplained| twice(unexplained, &ended))
            .because("each line is printed by one process, once, whatever stdout is")?;
    }
    Ok(())
}

/// Adds how a line came to be printed twice, where one was.
fn twice(unexplained: Unexplained, ended: &Ended) -> Unexplained {
    let text = String::from_utf8_lossy(&ended.stdout);
    let mut lines: Vec<&str> = text.lines().collect();
    let count = lines.len();
    lines.sort_unstable();
    lines.dedup();
    if lines.len() == count {
        return unexplained;
    }
    unexplained
        .likely("a line lay in a buffer when the process forked, or the child ran on into the parent's part")
}

fn refused_fork_is_reported(bench: &mut Bench) -> Result<(), Stop> {
    for (program, _) in FORK_ONCE {
        let start = bench.program(program).arguments(&["--count", "1", "--interval-ms", "100"]);
        let mut process = start.limits(|limits| limits.processes = 1).start()?;
        let ended = process.end_with_orphans().because("a program whose fork is refused ends")?;
        let recording = bench.recording()?.clone();
        if !Family::of(&recording, process.who()).children().is_empty() {
            return Err(limit_without_effect().into());
        }
        let because =
            "fork refused (EAGAIN at the process limit) is a failure like any other: reason, status 1";
        ended.expect_status(1).with(process_limit).because(because)?;
        let said = !ended.stderr.trim_ascii().is_empty();
        ensure(said, "the reason on stderr", "nothing on stderr")
            .with(|unexplained| process_limit(ended.explain(unexplained)))
            .because(because)?;
    }
    Ok(())
}

fn process_limit(unexplained: Unexplained) -> Unexplained {
    unexplained.note("the process limit (RLIMIT_NPROC) was so low that fork failed with EAGAIN")
}

fn limit_without_effect() -> Breakdown {
    Breakdown::new("the process limit has no effect on this machine", "run `cargo xtask doctor`")
}

/// Expects that each line came an interval after the one before, the first an interval after `start`. A late line is
/// the machine's doing, so only the shortest time counts for the whole, and twice the interval for each line.
fn paced(lines: &[Line], start: u64, interval_ms: u64) -> Result<(), Stop> {
    let mut before = start;
    for (line, number) in lines.iter().zip(1..) {
        let (since_start, gap) = (since(start, line.at), since(before, line.at));
        let paced = since_start + CLOCK_SLACK_MS >= number * interval_ms && gap <= longest(interval_ms);
        let expected = format!("{:?} {} ms after the fork", line.text, number * interval_ms);
        ensure(paced, expected, format!("it came after {since_start} ms, {gap} ms after what was before it"))
            .because(
                "the ticking process sleeps --interval-ms before each line, and each line is out at once",
            )?;
        before = line.at;
    }
    Ok(())
}

/// Expects of `fork-wait` the child's lines, the pair with the child's number and `status`, and its last line.
fn expect_report(
    bench: &Bench,
    program: &Process,
    ended: &Ended,
    (lines, status): (&str, i64),
    because: &str,
) -> Result<(), Stop> {
    let recording = bench.recording()?.clone();
    let family = Family::of(&recording, program.who());
    let pid = only_child(&family, program.who())?.pid.unwrap_or_default();
    ended
        .expect_stdout(format!("{lines}({pid}, {status})\nparent is exiting...\n"))
        .with(|unexplained| match status_pairs(&ended.stdout).first() {
            Some((_, shown)) if *shown == status >> 8 && status > 255 => unexplained
                .likely(format!("{shown} is the exit code itself; in the raw status it is the second byte")),
            Some((_, shown)) if shown & 0xff == 0x7f => {
                unexplained.likely("this status tells of a stop (WUNTRACED): a stopped child has not ended")
            }
            Some((_, shown)) if *shown != status => {
                unexplained.likely(format!("{shown} is not the raw wait status {status}"))
            }
            _ => unexplained,
        })
        .because(because)?;
    ended.expect_status(0).because("the parent ends with status 0, whatever became of the child")
}
