//! Checks of what `pipeline` does when a command cannot be run, or the system refuses a pipe or a process.

use crate::bench::{Bench, Ended, Process, Stdin, describe};
use crate::family::Family;
use crate::recording::{Act, Event, Outcome, Recording};
use crate::suites::pipes::{open_ends, run};
use crate::verdict::{Because, Breakdown, Stop, ensure};

pub(super) fn missing_command_is_127(bench: &mut Bench) -> Result<(), Stop> {
    let name = format!("no-{}", bench.random().word(8));
    let lines: [(&[&str], i32, &str); 4] = [
        (&[&name], 127, ""),
        (&["echo", "unread", "|", &name], 127, ""),
        (&[&name, "|", "wc", "-c"], 0, "0\n"),
        (&["echo", "unread", "|", &name, "|", "wc", "-c"], 0, "0\n"),
    ];
    for (line, status, output) in lines {
        let mut program = bench.start("pipeline", line)?;
        let ended = program
            .end_with_orphans()
            .with(|unexplained| open_ends(&program, unexplained))
            .because("a command that cannot be run holds nobody up")?;
        ended
            .expect_stdout(output)
            .because("the other stages run; the missing one reads and writes nothing")?;
        ended.expect_status(status).because("a missing command counts as a stage that ended with 127")?;
        one_message(&ended, &name)?;
        nobody_left(bench, &program, &ended)?;
    }
    missing_in_path(bench)
}

/// Expects one message, which names the command.
fn one_message(ended: &Ended, name: &str) -> Result<(), Stop> {
    let text = String::from_utf8_lossy(&ended.stderr);
    let count = text.lines().filter(|line| line.contains(name)).count();
    let expected = format!("one message on stderr that names {name}");
    ensure(count == 1, expected, format!("{count} such messages"))
        .with(|unexplained| ended.explain(unexplained))
        .because("whoever reads the message must know which command it was; a second one comes from a child that went on")
}

/// Expects that the program has waited for each of its children.
pub(super) fn nobody_left(bench: &Bench, program: &Process, ended: &Ended) -> Result<(), Stop> {
    let recording = bench.recording()?.clone();
    let family = Family::of(&recording, program.who());
    let children = family.children();
    let left = children.iter().filter(|child| family.reaped(program.who(), child.name).is_none()).count();
    ensure(left == 0, format!("each of {} children waited for", children.len()), format!("{left} were not"))
        .with(|unexplained| ended.explain(unexplained))
        .because("a child that nobody waits for is left behind as a zombie")
}

/// A name without a slash is looked up in PATH, and nowhere else.
fn missing_in_path(bench: &Bench) -> Result<(), Stop> {
    let start = bench.program("pipeline").arguments(&["echo"]).variable("PATH", "/nonexistent");
    let ended = start.start()?.end().because("a command that cannot be run holds nobody up")?;
    let fact = "its PATH was /nonexistent, so there is no `echo`";
    let noted = |ended: &Ended| ended.expect_status(127).with(|unexplained| unexplained.note(fact));
    noted(&ended).because("a command without a slash is looked up in PATH")?;
    one_message(&ended, "echo")
}

pub(super) fn command_that_cannot_be_executed_is_126(bench: &mut Bench) -> Result<(), Stop> {
    for command in ["/etc/passwd", "/tmp"] {
        let ended = run(bench, &["echo", "unread", "|", command], None)?;
        ended
            .expect_status(126)
            .because("a command that is there but may not be executed (EACCES) counts as 126")?;
        one_message(&ended, command)?;
    }
    Ok(())
}

pub(super) fn every_failure_of_exec_is_said(bench: &mut Bench) -> Result<(), Stop> {
    let word = bench.random().word(12);
    let cases = [
        // A file in the place of a directory: ENOTDIR.
        format!("/etc/passwd/{word}"),
        // More symbolic links than a path may have: ELOOP.
        format!("/proc/self/../{}exe", "self/../".repeat(48)),
        // A name longer than any file's: ENAMETOOLONG.
        format!("/{word}{}", "x".repeat(300)),
    ];
    for command in &cases {
        let ended = run(bench, &["echo", "unread", "|", command], None)?;
        let like_a_shell = matches!(ended.code(), Some(126 | 127));
        ensure(like_a_shell, "pipeline ends with status 126 or 127", describe(&ended.report))
            .with(|unexplained| ended.explain(unexplained))
            .because("a command that cannot be run counts as a stage that ended with 126 or 127")?;
        // Whoever shortens a long name still names it.
        one_message(&ended, &command[..20.min(command.len())])?;
    }
    Ok(())
}

pub(super) fn refused_pipe_is_reported(bench: &mut Bench) -> Result<(), Stop> {
    let start = bench.program("pipeline").arguments(&["cat", "|", "cat", "|", "cat"]);
    let mut program = start.limits(|limits| limits.descriptors = (4, 4)).start()?;
    let ended = program.end_with_orphans().because("without its pipes the pipeline cannot go on: it ends")?;
    // An interpreter may need a descriptor to start at all; what dies of that has not been refused a pipe.
    let refused =
        |event: &crate::recording::Event| matches!(event.act, Act::Pipe { .. } | Act::OpenPair { .. });
    let tried = bench.recording()?.of_tree(program.who()).any(refused);
    if !tried {
        let works = bench.run("pipeline", &["cat", "|", "cat", "|", "cat"])?;
        return works.expect_status(0).because("three stages that read nothing end with status 0");
    }
    let because = "a refused system call is a failure of the program itself: reason, status 1";
    let note = "it may have 4 descriptors only: beside 0, 1 and 2 there is no room for a pipe (EMFILE)";
    ended.expect_status(1).with(|unexplained| unexplained.note(note)).because(because)?;
    let said = !ended.stderr.trim_ascii().is_empty();
    ensure(said, "the reason on stderr", "nothing on stderr")
        .with(|unexplained| ended.explain(unexplained).note(note))
        .because(because)
}

pub(super) fn refused_fork_leaves_nothing_behind(bench: &mut Bench) -> Result<(), Stop> {
    let start = bench
        .program("pipeline")
        .arguments(&["cat", "|", "cat", "|", "cat", "|", "cat", "|", "cat", "|", "cat"]);
    let mut program = start.stdin(Stdin::Silent).limits(|limits| limits.processes = 4).start()?;
    let note = "the process limit (RLIMIT_NPROC) was so low that a fork in the middle failed with EAGAIN";
    // No stage ends while the first one waits for its input.
    let born = |recording: &Recording| Family::of(recording, program.who()).children().len();
    // Whoever has a thread for each stage is refused threads.
    let refused = |recording: &Recording| {
        let refusal = |event: &Event| {
            matches!(event.act, Act::Fork { .. } | Act::Thread { .. })
                && matches!(event.outcome, Outcome::Err(_))
        };
        recording.of_tree(program.who()).any(refusal)
    };
    bench
        .until("stages that run at the same time, until a fork is refused", || {
            let recording = bench.recorder().recording();
            (refused(&recording) || born(&recording) == 6 || !program.is_running()).then_some(())
        })
        .with(|unexplained| unexplained.sent(program.command()))
        .because("a pipe holds 64 KiB: more only passes when the reader runs beside the writer")?;
    let recording = bench.recording()?.clone();
    let forked = Family::of(&recording, program.who()).refused_forks(program.who()) > 0;
    let born = born(&recording);
    if born == 6 {
        let what = "the process limit has no effect on this machine";
        return Err(Breakdown::new(what, "run `cargo xtask doctor`").into());
    }
    if born == 0 && !forked {
        // An interpreter may need threads to start at all; what dies of that has not been refused a fork.
        let works = bench.run("pipeline", &["cat", "|", "cat", "|", "cat"])?;
        return works.expect_status(0).because("three stages that read nothing end with status 0");
    }
    program.feed(b"", true);
    let ended = program
        .end_with_orphans()
        .with(|unexplained| open_ends(&program, unexplained))
        .because("the stages that run see the end of their input, and end")?;
    let because = "a refused system call is a failure of the program itself: reason, status 1";
    ended.expect_status(1).with(|unexplained| unexplained.note(note)).because(because)?;
    let said = !ended.stderr.trim_ascii().is_empty();
    ensure(said, "the reason on stderr", "nothing on stderr")
        .with(|unexplained| ended.explain(unexplained).note(note))
        .because(because)?;
    nobody_left(bench, &program, &ended)
}
