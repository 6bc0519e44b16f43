//! Core checks of the lab `fork`: what the course's own programs do.

use crate::bench::Bench;
use crate::check;
use crate::check::Suite;
use crate::family::{Child, Family, status_pairs};
use crate::recording::{Act, Disposition, Outcome, Recording};
use crate::verdict::{Because, Expected, Stop, Unexplained, ensure};

/// The rubric, in teaching order.
pub const SUITE: Suite = Suite {
    lab: "fork",
    programs: &["fork-nowait", "fork-wait", "fork-zombie", "fork-reap", "fork-many"],
    checks: &[
        check!(
            orphan_goes_on_alone,
            "fork.1",
            Core,
            10,
            ["fork-nowait"],
            "Does the child go on when its parent has ended without waiting?"
        )
        .handout("The parent that does not wait: an orphan")
        .plain()
        .skip_idle(),
        check!(
            parent_waits_and_reports,
            "fork.2",
            Core,
            10,
            ["fork-wait"],
            "Does the parent wait for its child and print what wait says?"
        )
        .handout("Waiting: wait and the status")
        .plain()
        .skip_idle(),
        check!(
            options_set_count_and_interval,
            "fork.2",
            Core,
            5,
            ["fork-wait"],
            "Do --count and --interval-ms set how often and how fast the child ticks?"
        )
        .after("parent_waits_and_reports")
        .handout("What each program must do")
        .skip_idle(),
        check!(
            zombie_until_the_parent_waits,
            "fork.3",
            Core,
            10,
            ["fork-zombie"],
            "Is the ended child a zombie until its busy parent waits?"
        )
        .handout("Zombies")
        .plain()
        .skip_idle(),
        check!(
            ignored_sigchld_leaves_no_zombie,
            "fork.4",
            Core,
            10,
            ["fork-reap"],
            "With SIGCHLD ignored, is there never a zombie, and nobody to wait for?"
        )
        .handout("SIGCHLD and its two ways of being ignored")
        .plain()
        .skip_idle(),
        check!(
            each_process_does_its_part,
            "fork.5",
            Core,
            5,
            ["fork-nowait", "fork-wait", "fork-zombie", "fork-reap"],
            "Is there one fork, and does each of the two processes print its own lines?"
        )
        .handout("One call that returns twice")
        .skip_idle(),
        check!(
            parent_waits_by_waiting,
            "fork.5",
            Core,
            5,
            ["fork-wait"],
            "Does the parent wait by wait, without sleeping and without asking again and again?"
        )
        .after("parent_waits_and_reports")
        .handout("Waiting: wait and the status")
        .plain()
        .skip_idle(),
    ],
};

/// A program may plan its ticks from a moment shortly before the recorded fork.
pub(crate) const CLOCK_SLACK_MS: u64 = 20;

fn orphan_goes_on_alone(bench: &mut Bench) -> Result<(), Stop> {
    let mut program = bench.start("fork-nowait", &[])?;
    let ended = program.end_with_orphans().because("the child ends when it has printed its lines")?;
    let because = "the parent says that it exits and is gone; its child goes on without it";
    ended.expect_stdout(format!("parent is exiting...\n{}", ticks("child", 5))).because(because)?;
    ended.expect_status(0).because("a program that has finished its work ends with status 0")?;

    let recording = bench.recording()?.clone();
    let family = Family::of(&recording, program.who());
    let child = only_child(&family, program.who())?;
    let born = child.birth.enter.seen;
    let parent_lived = family.death(program.who()).map_or(u64::MAX, |death| since(born, death.enter.seen));
    ensure(
        parent_lived < 2000,
        "the parent ends at once",
        "the parent was still there when its child ticked",
    )
    .with(|unexplained| match family.reaped(program.who(), child.name) {
        Some(_) => unexplained.likely("the parent waits for its child before it ends"),
        None => unexplained,
    })
    .because("a parent that does not wait ends at once, and its child becomes an orphan")?;
    lived(&family, &child, 5, 2000)?;
    ends_well(&family, &child)
}

/// Expects that the child ended by itself with status 0, where no pair tells of it.
fn ends_well(family: &Family<'_>, child: &Child<'_>) -> Result<(), Stop> {
    let observed = match family.death(child.name).map(|event| &event.act) {
        Some(Act::Exit { code }) => format!("it ended with status {code}"),
        Some(Act::Killed { signal }) => format!("it was killed by signal {signal}"),
        _ => "it did not end".to_string(),
    };
    ensure(observed == "it ended with status 0", "the child ends with status 0", observed)
        .because("a child that has done its part ends with status 0, though nobody may ask")
}

fn parent_waits_and_reports(bench: &mut Bench) -> Result<(), Stop> {
    let mut program = bench.start("fork-wait", &[])?;
    let ended = program.end_with_orphans().because("the parent ends when its child has ended")?;
    let recording = bench.recording()?.clone();
    let family = Family::of(&recording, program.who());
    let child = only_child(&family, program.who())?;
    let pid = child.pid.unwrap_or_default();
    let because = "wait blocks until the child has ended, and tells its number and its raw status";
    ended
        .expect_stdout(format!("{}({pid}, 0)\nparent is exiting...\n", ticks("child", 5)))
        .with(|unexplained| wrong_pair(unexplained, &ended.stdout, pid, 0))
        .because(because)?;
    ended.expect_status(0).because("the parent ends with status 0, whatever became of the child")
}

fn options_set_count_and_interval(bench: &mut Bench) -> Result<(), Stop> {
    let (count, interval) = (bench.random().range(2, 4), bench.random().range(311, 689));
    let arguments = ["--count", &count.to_string(), "--interval-ms", &interval.to_string()];
    let mut program = bench.start("fork-wait", &arguments)?;
    let ended = program.end_with_orphans().because("the parent ends when its child has ended")?;
    let recording = bench.recording()?.clone();
    let family = Family::of(&recording, program.who());
    let child = only_child(&family, program.who())?;
    let pid = child.pid.unwrap_or_default();
    ended
        .expect_stdout(format!("{}({pid}, 0)\nparent is exiting...\n", ticks("child", count)))
        .because("the child prints one line for each of the --count ticks, numbered from 0")?;
    lived(&family, &child, count as u64, interval as u64)
}

fn zombie_until_the_parent_waits(bench: &mut Bench) -> Result<(), Stop> {
    let mut program = bench.start("fork-zombie", &[])?;
    let ended = program.end_with_orphans().because("the parent ends when it has ticked and waited")?;
    let recording = bench.recording()?.clone();
    let family = Family::of(&recording, program.who());
    let child = only_child(&family, program.who())?;
    let pid = child.pid.unwrap_or_default();
    let expected = format!("child exits...\n{}({pid}, 0)\nparent is exiting...\n", ticks("parent", 5));
    ended
        .expect_stdout(expected)
        .with(|unexplained| wrong_pair(unexplained, &ended.stdout, pid, 0))
        .because("the child ends at once, its parent ticks, and only then reads the child's status")?;
    ended.expect_status(0).because("a program that has finished its work ends with status 0")?;

    let born = child.birth.enter.seen;
    let child_lived = family.death(child.name).map_or(u64::MAX, |death| since(born, death.enter.seen));
    ensure(child_lived < 2000, "the child ends at once", "the child still ran when its parent ticked")
        .because("the child ends before its parent asks for its status")?;
    let Some(reaped) = family.reaped(program.who(), child.name) else {
        return ensure(false, "a wait that takes the child's status", "no wait ever took it")
            .with(|unexplained| unexplained.likely("the pair is made up, not read from wait"))
            .because("a child that has ended stays in the process table until its parent reads its status");
    };
    took("the parent's wait takes the child's status", born, reaped.exit.seen, 5, 2000).because(
        "the parent ticks first: until then the child is a zombie, and reading its status is what ends that",
    )
}

fn ignored_sigchld_leaves_no_zombie(bench: &mut Bench) -> Result<(), Stop> {
    let mut program = bench.start("fork-reap", &[])?;
    let ended = program.end_with_orphans().because("the parent ends when it has ticked and waited")?;
    let expected =
        format!("child exits...\n{}no child to wait for\nparent is exiting...\n", ticks("parent", 5));
    let recording = bench.recording()?.clone();
    let family = Family::of(&recording, program.who());
    let child = only_child(&family, program.who())?;
    let ignored_at = ignores_sigchld(&recording, program.who());
    ended
        .expect_stdout(expected)
        .with(|unexplained| match (ignored_at, status_pairs(&ended.stdout).first()) {
            (None, Some(_)) => unexplained.likely(
                "SIGCHLD was never ignored explicitly: its default action does nothing, but zombies stay",
            ),
            _ => unexplained,
        })
        .because("where SIGCHLD is ignored no status is kept, so wait finds nobody")?;
    ended
        .expect_status(0)
        .because("that nobody is left to wait for is what this program shows, not a failure")?;

    let before_fork = ignored_at.is_some_and(|seq| seq < child.birth.seq);
    let observed = match ignored_at {
        None => "SIGCHLD was never set to be ignored",
        Some(_) => "SIGCHLD was set to be ignored after the fork",
    };
    ensure(before_fork, "SIGCHLD ignored (SIG_IGN or SA_NOCLDWAIT) before the fork", observed)
        .because("the child may have ended before the parent runs again, and would be a zombie")?;

    let nobody = family.events(program.who()).filter(|event| matches!(event.act, Act::Reap { .. }));
    let nobody = nobody.filter(|event| event.outcome == Outcome::Err(libc::ECHILD)).last();
    let Some(nobody) = nobody else {
        return ensure(false, "a wait that fails with ECHILD", "no such wait")
            .because("the line \"no child to wait for\" is what wait found out");
    };
    took("that wait fails", child.birth.enter.seen, nobody.exit.seen, 5, 2000)
        .because("the parent ticks first and waits then")?;
    ends_well(&family, &child)
}

fn each_process_does_its_part(bench: &mut Bench) -> Result<(), Stop> {
    let child_ticks = ["child is running... 0", "child is running... 1"];
    let parent_ticks = ["parent is running... 0", "parent is running... 1"];
    let exits = ["parent is exiting..."];
    one_part_each(bench, "fork-nowait", &child_ticks, &exits)?;
    one_part_each(bench, "fork-wait", &child_ticks, &["(PID, STATUS)", exits[0]])?;
    let parts = [parent_ticks[0], parent_ticks[1], "(PID, STATUS)", exits[0]];
    one_part_each(bench, "fork-zombie", &["child exits..."], &parts)?;
    let parts = [parent_ticks[0], parent_ticks[1], "no child to wait for", exits[0]];
    one_part_each(bench, "fork-reap", &["child exits..."], &parts)
}

/// Runs one of the programs and expects one plain fork, and that the child and the parent print these lines.
fn one_part_each(
    bench: &Bench,
    program: &str,
    child_lines: &[&str],
    parent_lines: &[&str],
) -> Result<(), Stop> {
    let mut process = bench.start(program, &["--count", "2", "--interval-ms", "200"])?;
    let ended = process.end_with_orphans().because("both processes end by themselves")?;
    let recording = bench.recording()?.clone();
    let family = Family::of(&recording, process.who());
    let child = only_child(&family, process.who())?;
    let plain = matches!(child.birth.act, Act::Fork { vfork: false, exit_signal: libc::SIGCHLD, .. });
    ensure(
        plain,
        "a child made by fork (or by clone with SIGCHLD)",
        format!("a child made by {}", child.birth.call),
    )
    .with(|unexplained| ended.explain(unexplained))
    .because("fork gives the child its own copy of memory, and its parent a SIGCHLD when it ends")?;
    ensure(!family.makes_threads(), "two processes with one thread each", "a thread was made")
        .with(|unexplained| ended.explain(unexplained))
        .because("fork copies only the calling thread: this lab's programs have one")?;

    let because =
        "fork returns 0 in the child and the child's number in the parent: each then goes its own way";
    for (role, who, expected) in [("child", child.name, child_lines), ("parent", process.who(), parent_lines)]
    {
        let printed: Vec<String> = family.lines_of(who).into_iter().map(|line| masked(line.text)).collect();
        ensure(
            printed == expected,
            format!("the {role} prints {expected:?}"),
            format!("the {role} prints {printed:?}"),
        )
        .with(|unexplained| ended.explain(unexplained))
        .because(because)?;
    }
    Ok(())
}

fn parent_waits_by_waiting(bench: &mut Bench) -> Result<(), Stop> {
    let mut program = bench.start("fork-wait", &[])?;
    program.end_with_orphans().because("the parent ends when its child has ended")?;
    let recording = bench.recording()?.clone();
    let family = Family::of(&recording, program.who());
    let child = only_child(&family, program.who())?;
    let because =
        "wait blocks until the child has ended: nothing has to be guessed and nothing is asked in vain";
    let Some(reaped) = family.reaped(program.who(), child.name) else {
        return ensure(false, "the parent calls wait or waitpid", "no wait took the child's status")
            .because(because);
    };
    let sleeps = family.sleeps(program.who(), child.birth.seq, reaped.seq);
    let observed = format!("the parent slept {} times before its wait", sleeps.len());
    ensure(sleeps.is_empty(), "the parent does not sleep before the child's status is read", observed)
        .with(|unexplained| unexplained.likely("a sleep in the place of waiting: too long, or too short"))
        .because(because)?;
    // One signal comes when the child ends; and one look before the first signal is allowed too.
    let empty = family.empty_waits(program.who());
    let observed = format!("{empty} times wait came back at once with nothing");
    ensure(empty <= 2, "at most one empty wait for each signal", observed)
        .with(|unexplained| {
            unexplained.likely("WNOHANG in a loop asks again and again and burns the processor")
        })
        .because(because)
}

/// Expects that the ticking child lived as long as its ticks take.
fn lived(family: &Family<'_>, child: &Child<'_>, ticks: u64, interval_ms: u64) -> Result<(), Stop> {
    let died = family.death(child.name).map_or(u64::MAX, |death| death.enter.seen);
    took("the child ends", child.birth.enter.seen, died, ticks, interval_ms).because(SLEEPS_BEFORE)
}

/// The lines that the ticking process prints.
fn ticks(who: &str, count: i64) -> String {
    (0..count).map(|number| format!("{who} is running... {number}\n")).collect()
}

/// The program's only child; a finding where there is none or more than one.
pub(crate) fn only_child<'a>(family: &Family<'a>, who: &'a str) -> Result<Child<'a>, Stop> {
    let born: Vec<Child<'a>> =
        family.members().into_iter().flat_map(|member| family.children_of(member)).collect();
    let observed = match born.len() {
        0 => "no process was made".to_string(),
        1 => "one process".to_string(),
        more => format!("{more} processes were made"),
    };
    let result = ensure(born.len() == 1, format!("{who} makes exactly one process by fork"), observed);
    result.because("one fork makes two processes out of one: the parent and its child")?;
    Ok(born[0])
}

/// Where the program set SIGCHLD to be ignored, if it did.
fn ignores_sigchld(recording: &Recording, who: &str) -> Option<u64> {
    let ignores = recording.of(who).find(|event| {
        let Act::SignalAction { signal: libc::SIGCHLD, handler, no_child_wait, .. } = event.act else {
            return false;
        };
        event.outcome.ok() && (handler == Disposition::Ignore || no_child_wait)
    });
    ignores.map(|event| event.seq)
}

/// `(4711, 768)` as `(PID, STATUS)`.
fn masked(text: String) -> String {
    if status_pairs(text.as_bytes()).is_empty() { text } else { "(PID, STATUS)".to_string() }
}

/// Adds what is wrong with a pair, where it can be told.
fn wrong_pair(unexplained: Unexplained, stdout: &[u8], pid: i64, status: i64) -> Unexplained {
    match status_pairs(stdout).first() {
        Some((0, _)) => unexplained.likely("0 is what fork returns in the child; the number comes from wait"),
        Some((shown, _)) if *shown != pid => {
            unexplained.likely(format!("{shown} is not the child's number: that is {pid}"))
        }
        Some((_, shown)) if *shown != status => {
            unexplained.likely(format!("{shown} is not the raw wait status {status}"))
        }
        _ => unexplained,
    }
}

/// When a line comes.
pub(crate) const SLEEPS_BEFORE: &str = "the ticking process sleeps --interval-ms before each line";

/// Expects that it took `ticks` intervals from `start` to `end`.
fn took(what: &str, start: u64, end: u64, ticks: u64, interval_ms: u64) -> Expected {
    let took = since(start, end);
    let shortest = ticks * interval_ms;
    let fits = took + CLOCK_SLACK_MS >= shortest && took <= ticks * longest(interval_ms);
    ensure(fits, format!("{what} {shortest} ms after the fork"), format!("it came after {took} ms"))
}

/// The longest that an interval may seem on an overloaded machine.
pub(crate) fn longest(interval_ms: u64) -> u64 {
    interval_ms + 1000.max(interval_ms / 2)
}

/// From one moment to another, in milliseconds.
pub(crate) fn since(start: u64, end: u64) -> u64 {
    end.saturating_sub(start) / 1_000_000
}
