//! Robust and bonus checks of the lab `pipes`.

mod failures;

use nix::sys::signal::Signal;

use failures::nobody_left;

use super::fork::{HARMLESS, stop, until_blocked};
use crate::bench::{Bench, Process, ProcessInfo, Stdin, Stdout};
use crate::check;
use crate::check::Check;
use crate::family::Family;
use crate::recording::Act;
use crate::suites::pipes::{on_stdout, open_ends, run, stages};
use crate::verdict::{Because, Stop, ensure};

/// The rubric, in teaching order.
pub const CHECKS: &[Check] = &[
    check!(
        words_like_options_belong_to_a_stage,
        "pipes.0",
        Robust,
        3,
        ["pipeline"],
        "Does every word belong to a stage, and does a failed write of the last stage show?"
    )
    .after("one_stage_is_run")
    .handout("What the program must do"),
    check!(
        signals_do_not_end_the_wait,
        "pipes.0",
        Robust,
        3,
        ["pipeline"],
        "Does the program go on waiting when signals come that it need not care about?"
    )
    .long()
    .after("one_stage_is_run")
    .handout("How it ends")
    .recorder(),
    check!(
        parent_closes_its_ends,
        "pipes.4",
        Robust,
        4,
        ["pipeline"],
        "Does the program itself close every end of the pipes between the stages?"
    )
    .after("one_stage_is_run")
    .handout("A pipe"),
    check!(
        stages_have_no_other_descriptors,
        "pipes.4",
        Robust,
        4,
        ["pipeline"],
        "Has every stage the descriptors 0, 1 and 2, and no other?"
    )
    .after("one_stage_is_run")
    .handout("fork, dup2, exec"),
    check!(
        stages_run_at_the_same_time,
        "pipes.5",
        Robust,
        4,
        ["pipeline"],
        "Do 8 MiB pass through three stages?"
    )
    .after("two_and_three_stages_are_joined")
    .handout("A pipe"),
    check!(
        sigpipe_kills_the_writer,
        "pipes.5",
        Robust,
        4,
        ["pipeline"],
        "Does `yes | head -n 1` end because SIGPIPE kills `yes`?"
    )
    .after("two_and_three_stages_are_joined")
    .handout("What survives exec: SIGPIPE")
    .recorder(),
    check!(
        program_waits_for_every_stage,
        "pipes.5",
        Robust,
        4,
        ["pipeline"],
        "Does the program end when every stage has ended by itself, and not before?"
    )
    .long()
    .after("two_and_three_stages_are_joined")
    .handout("How it ends")
    .recorder(),
    check!(
        stopped_stage_has_not_ended,
        "pipes.5",
        Robust,
        3,
        ["pipeline"],
        "Does the program go on waiting when its stages are only stopped?"
    )
    .after("two_and_three_stages_are_joined")
    .handout("How it ends")
    .recorder(),
    check!(
        last_stage_gives_the_status,
        "pipes.6",
        Robust,
        4,
        ["pipeline"],
        "Is the exit status that of the last stage, whichever ends last?"
    )
    .after("one_stage_is_run")
    .handout("How it ends"),
    check!(
        killed_last_stage_is_128_and_the_signal,
        "pipes.6",
        Robust,
        3,
        ["pipeline"],
        "Is the exit status 128 plus the signal when a signal killed the last stage?"
    )
    .after("one_stage_is_run")
    .handout("How it ends"),
    check!(
        failures::missing_command_is_127,
        "pipes.7",
        Robust,
        3,
        ["pipeline"],
        "Does a command that does not exist give one message and 127, and do the others go on?"
    )
    .after("one_stage_is_run")
    .handout("How it ends")
    .recorder(),
    check!(
        failures::command_that_cannot_be_executed_is_126,
        "pipes.7",
        Robust,
        2,
        ["pipeline"],
        "Does a command that may not be executed give one message and 126?"
    )
    .after("one_stage_is_run")
    .handout("How it ends"),
    check!(
        failures::every_failure_of_exec_is_said,
        "pipes.7",
        Robust,
        2,
        ["pipeline"],
        "Does a command that cannot be run for another reason give one message too?"
    )
    .after("one_stage_is_run")
    .handout("How it ends"),
    check!(
        failures::refused_pipe_is_reported,
        "pipes.7",
        Robust,
        2,
        ["pipeline"],
        "Does the program end with status 1 when the system refuses a pipe?"
    )
    .after("two_and_three_stages_are_joined")
    .handout("How it ends")
    .recorder(),
    check!(
        failures::refused_fork_leaves_nothing_behind,
        "pipes.7",
        Robust,
        2,
        ["pipeline"],
        "When a fork is refused, do the stages that run end, and are they reaped?"
    )
    .after("two_and_three_stages_are_joined")
    .handout("How it ends")
    .recorder(),
    check!(
        empty_stage_is_refused,
        "pipes.8",
        Robust,
        3,
        ["pipeline"],
        "Is an empty stage refused before anything is run?"
    )
    .handout("How it ends")
    .recorder(),
];

fn words_like_options_belong_to_a_stage(bench: &mut Bench) -> Result<(), Stop> {
    let because = "the program has no options: every argument belongs to a stage";
    let echoed = run(bench, &["echo", "--count", "0", "|", "cat", "-"], None)?;
    echoed.expect_stdout("--count 0\n").because(because)?;
    let command = run(bench, &["--count", "3"], None)?;
    command.expect_status(127).because(because)?;
    command.expect_stderr_names(&["--count"]).because("one message names the command that cannot be run")?;
    command.expect_stdout("").because("the program prints nothing of its own on stdout")?;

    let start = bench.program("pipeline").arguments(&["echo", "lost"]).stdout(Stdout::Full);
    let lost = start.start()?.end().because("`echo` ends when its write fails")?;
    lost.expect_status(1)
        .with(|unexplained| unexplained.note("its stdout was a full disk: `echo` ends with status 1"))
        .because("the program ends like its last stage, which could not write its output")
}

fn signals_do_not_end_the_wait(bench: &mut Bench) -> Result<(), Stop> {
    let code = bench.random().range(3, 99);
    let script = format!("read word; exit {code}");
    let mut program = bench.start("pipeline", &["sleep", "0.4", "|", "sh", "-c", &script])?;
    until_stages(&program, 2)?;
    for _ in 0..2 {
        until_blocked(bench, &program)?;
        for signal in HARMLESS {
            program.signal(signal)?;
        }
    }
    let ended = program.end().because("both stages end by themselves")?;
    ended
        .expect_status(i32::try_from(code).unwrap_or_default())
        .with(|unexplained| unexplained.note("SIGCHLD, SIGCONT, SIGWINCH and SIGURG were sent to it"))
        .because("a signal that the program handles or that is ignored by default does not end its wait")
}

fn parent_closes_its_ends(bench: &mut Bench) -> Result<(), Stop> {
    let program = waiting_stages(bench)?;
    let mut held = Vec::new();
    let closed =
        program.until_processes("no end of a pipe between the stages open in the program itself", |now| {
            let stages = now.iter().skip(1).flat_map(|stage| program.descriptors_of(stage));
            let pipes: Vec<String> =
                stages.map(|(_, target)| target).filter(|target| target.starts_with("pipe:")).collect();
            held = program.descriptors();
            held.retain(|(number, target)| *number > 2 && pipes.contains(target));
            held.is_empty().then_some(())
        });
    let held: Vec<String> = held.iter().map(|(number, target)| format!("{number} ({target})")).collect();
    closed
        .with(|unexplained| unexplained.note(format!("it still holds the descriptors {}", held.join(", "))))
        .because("as long as the program has a write end open, the stage that reads never sees the end of its input")
}

fn stages_have_no_other_descriptors(bench: &mut Bench) -> Result<(), Stop> {
    let program = waiting_stages(bench)?;
    let mut found = Vec::new();
    let stderr = |open: &[(i32, String)]| open.iter().find(|(number, _)| *number == 2).cloned();
    let own_stderr = stderr(&program.descriptors());
    let clean = program.until_processes(
        "each stage with the descriptors 0, 1 and 2 alone, and 2 the program's own",
        |now| {
            found = now.iter().skip(1).map(|stage| program.descriptors_of(stage)).collect();
            let own = |stage: &Vec<(i32, String)>| {
                stage.iter().map(|(number, _)| *number).eq(0..=2) && stderr(stage) == own_stderr
            };
            (found.len() == 3 && found.iter().all(own)).then_some(())
        },
    );
    clean
        .with(|mut unexplained| {
            for (stage, number) in found.iter().zip(1..) {
                let all: Vec<String> =
                    stage.iter().map(|(number, target)| format!("{number} {target}")).collect();
                unexplained = unexplained.note(format!("a stage ({number}) has {}", all.join(", ")));
            }
            unexplained
        })
        .because("after dup2 the original is closed, and so is every end that belongs to another stage")
}

/// `cat | cat | cat` that waits for an input which does not come.
fn waiting_stages(bench: &Bench) -> Result<Process, Stop> {
    let start = bench.program("pipeline").arguments(&["cat", "|", "cat", "|", "cat"]);
    let program = start.stdin(Stdin::Silent).start()?;
    until_stages(&program, 3)?;
    Ok(program)
}

/// Waits until so many children of the program have become commands.
fn until_stages(program: &Process, count: usize) -> Result<(), Stop> {
    let own_name = |now: &[ProcessInfo]| now.first().map(|process| process.name.clone()).unwrap_or_default();
    let running = program.until_processes(&format!("{count} stages that run at the same time"), |now| {
        let own = own_name(now);
        (now.iter().skip(1).filter(|process| process.name != own).count() == count).then_some(())
    });
    running.because("every stage is a process of its own, and all of them run at the same time")
}

fn stages_run_at_the_same_time(bench: &mut Bench) -> Result<(), Stop> {
    let input = bench.random().bytes(8 << 20);
    let counted = run(bench, &["cat", "|", "cat", "|", "wc", "-c"], Some(&input))?;
    let shown = String::from_utf8_lossy(&counted.stdout).trim().to_string();
    ensure(shown == input.len().to_string(), input.len().to_string(), on_stdout(&shown))
        .with(|unexplained| counted.explain(unexplained))
        .because("a pipe holds 64 KiB: more only passes when the reader runs beside the writer")?;
    counted.expect_status(0).because("the program ends like its last stage")
}

fn sigpipe_kills_the_writer(bench: &mut Bench) -> Result<(), Stop> {
    let because =
        "a write into a pipe that nobody reads kills by SIGPIPE, if that is at its default and not blocked";
    let one = bench.program("pipeline").arguments(&["yes", "|", "head", "-n", "1"]);
    // The first one writes to a stage that never reads, and dies when that one has died.
    let line = ["yes", "|", "yes", "|", "head", "-n", "1"];
    let two = bench.program("pipeline").arguments(&line).ignoring(Signal::SIGPIPE);
    for (start, count) in [(one, 1), (two, 2)] {
        let mut program = start.start()?;
        let ended = program
            .end_with_orphans()
            .with(|unexplained| open_ends(&program, unexplained))
            .because(because)?;
        ended.expect_stdout("y\n").because("`head` takes the first line and ends")?;
        ended.expect_status(0).because("the program ends like its last stage")?;
        let recording = bench.recording()?.clone();
        let family = Family::of(&recording, program.who());
        let writers = stages(&family, program.who(), "yes");
        for number in 0..count {
            let death = writers.get(number).and_then(|yes| family.death(yes.name)).map(|event| &event.act);
            let observed = match death {
                Some(Act::Killed { signal }) => format!("killed by signal {signal}"),
                Some(Act::Exit { code }) => format!("it ended with status {code}"),
                _ => "it never ran".to_string(),
            };
            let killed = matches!(death, Some(Act::Killed { signal: libc::SIGPIPE }));
            ensure(killed, "`yes` killed by SIGPIPE (13)", observed)
                .with(|unexplained| {
                    let likely = "SIGPIPE is ignored in the stage: exec hands on what is ignored, and every Rust program ignores it";
                    ended.explain(unexplained).likely(likely)
                })
                .because(because)?;
        }
    }
    Ok(())
}

fn program_waits_for_every_stage(bench: &mut Bench) -> Result<(), Stop> {
    let mut program = bench.start("pipeline", &["sleep", "0.5", "|", "true"])?;
    let ended = program.end_with_orphans().because("both stages end by themselves")?;
    let recording = bench.recording()?.clone();
    let family = Family::of(&recording, program.who());
    let because = "a shell's prompt comes back when every stage has ended, and no stage is cut short";
    let sleepers = stages(&family, program.who(), "sleep");
    let Some(sleeper) = sleepers.first() else {
        return ensure(false, "the stage `sleep` is run", "it is not").because(because);
    };
    let killed = matches!(family.death(sleeper.name).map(|event| &event.act), Some(Act::Killed { .. }));
    // A runtime may send signals to its own threads, to preempt them for example.
    let others = |act: &Act| matches!(act, Act::Kill { target, .. } if target != program.who());
    let kills = family.events(program.who()).filter(|event| others(&event.act)).count();
    ensure(!killed && kills == 0, "the stages end by themselves", "a stage was sent a signal")
        .with(|unexplained| ended.explain(unexplained))
        .because(because)?;
    let reaped = family.reaped(program.who(), sleeper.name).is_some();
    ensure(reaped, "the program ends after `sleep 0.5`", "it ended while `sleep 0.5` still ran")
        .with(|unexplained| ended.explain(unexplained))
        .because(because)
}

fn stopped_stage_has_not_ended(bench: &mut Bench) -> Result<(), Stop> {
    let code = bench.random().range(3, 99);
    let script = format!("read word; exit {code}");
    let mut program = bench.start("pipeline", &["sleep", "60", "|", "sh", "-c", &script])?;
    until_stages(&program, 2)?;
    until_blocked(bench, &program)?;
    let stages = program.processes().split_off(1);
    stop(bench, &program, &stages)?;
    let because = "a stopped stage has not ended: it goes on when somebody continues it";
    let likely = "waitpid was asked to tell of stops too (WUNTRACED), and a stop was taken for an end";
    ensure(program.is_running(), "pipeline waits for its stages to end", "it ended while they were stopped")
        .with(|unexplained| unexplained.sent(program.command()).likely(likely))
        .because(because)?;
    for stage in &stages {
        program.signal_to(stage, Signal::SIGCONT)?;
    }
    for sleeper in stages.iter().filter(|stage| stage.name == "sleep") {
        program.signal_to(sleeper, Signal::SIGTERM)?;
    }
    let ended = program.end_with_orphans().because("the second stage ends when the first one has ended")?;
    ended
        .expect_status(code as i32)
        .with(|unexplained| unexplained.note("both stages were stopped (SIGSTOP) and continued"))
        .because(because)?;
    nobody_left(bench, &program, &ended)
}

fn last_stage_gives_the_status(bench: &mut Bench) -> Result<(), Stop> {
    let (first, last) = (bench.random().range(3, 120), bench.random().range(129, 250));
    let (first_exits, last_exits) = (format!("exit {first}"), format!("exit {last}"));
    let slowly = format!("sleep 0.2; exit {first}");
    let because = "the last stage in the line decides, whichever ends first";
    let lines: [(&[&str], i64); 4] = [
        (&["sh", "-c", &last_exits], last),
        (&["sh", "-c", &first_exits, "|", "sh", "-c", &last_exits], last),
        (&["sh", "-c", &slowly, "|", "sh", "-c", &last_exits], last),
        (&["true", "|", "sh", "-c", &first_exits, "|", "true"], 0),
    ];
    for (line, status) in lines {
        run(bench, line, None)?.expect_status(status as i32).because(because)?;
    }
    Ok(())
}

fn killed_last_stage_is_128_and_the_signal(bench: &mut Bench) -> Result<(), Stop> {
    let because = "a shell shows 128 and the signal's number for a command that a signal killed";
    for (name, number) in [("TERM", 15), ("KILL", 9)] {
        let script = format!("kill -{name} $$");
        let killed = run(bench, &["true", "|", "sh", "-c", &script], None)?;
        killed.expect_status(128 + number).because(because)?;
        let first = run(bench, &["sh", "-c", &script, "|", "true"], None)?;
        first.expect_status(0).because("only the last stage's end counts")?;
    }
    Ok(())
}

fn empty_stage_is_refused(bench: &mut Bench) -> Result<(), Stop> {
    let lines: [&[&str]; 5] = [
        &["|"],
        &["echo", "a", "|"],
        &["|", "cat"],
        &["echo", "a", "|", "|", "cat"],
        &["echo", "a", "|", "cat", "|"],
    ];
    for line in lines {
        bench.refuses("pipeline", line)?;
    }
    let recording = bench.recording()?.clone();
    let born = recording
        .events
        .iter()
        .find(|event| matches!(&event.act, Act::Fork { child, .. } if !child.is_empty()));
    ensure(born.is_none(), "nothing is run", "a process was made before the empty stage was noticed")
        .because("a command line that makes no sense is refused as a whole")?;
    let works = run(bench, &["echo", "a", "|", "cat"], None)?;
    works.expect_stdout("a\n").because("a command line without an empty stage is run")
}
