//! Core checks of the lab `pipes`: what a shell does with `|`, done without a shell.

use std::os::unix::fs::PermissionsExt;

use crate::bench::{Bench, Ended, Process, Stdin, quote};
use crate::check;
use crate::check::Suite;
use crate::family::{Child, Family};
use crate::recording::{Act, Object, Recording};
use crate::verdict::{Because, Breakdown, Stop, Unexplained, ensure};

/// The rubric, in teaching order.
pub const SUITE: Suite = Suite {
    lab: "pipes",
    programs: &["pipeline"],
    checks: &[
        check!(
            courses_example_counts_names,
            "pipes.1",
            Core,
            12,
            ["pipeline"],
            "With no argument, is it `ls ~ | grep \"^d\" | wc -l`?"
        )
        .handout("What the program must do")
        .plain(),
        check!(
            one_stage_is_run,
            "pipes.2",
            Core,
            6,
            ["pipeline"],
            "Is a single command run with the program's own stdin and stdout?"
        )
        .handout("fork, dup2, exec"),
        check!(
            two_and_three_stages_are_joined,
            "pipes.2",
            Core,
            10,
            ["pipeline"],
            "Does each stage read what the one before it wrote?"
        )
        .after("one_stage_is_run")
        .handout("A pipe"),
        check!(ten_stages_are_joined, "pipes.2", Core, 6, ["pipeline"], "Do ten stages work as three do?")
            .after("two_and_three_stages_are_joined")
            .handout("A pipe"),
        check!(
            words_reach_the_command_unchanged,
            "pipes.2",
            Core,
            6,
            ["pipeline"],
            "Does every word but `|` reach its command as it is?"
        )
        .after("one_stage_is_run")
        .handout("What the program must do"),
        check!(
            stages_are_children_joined_by_pipes,
            "pipes.3",
            Core,
            10,
            ["pipeline"],
            "Is every stage a direct child, joined to the next by a pipe, with no shell anywhere?"
        )
        .handout("fork, dup2, exec")
        .recorder(),
    ],
};

/// Directories that every machine has, with many names in them: what `~` is for the check.
const HOMES: [&str; 3] = ["/usr/bin", "/usr/lib", "/usr/share"];

fn courses_example_counts_names(bench: &mut Bench) -> Result<(), Stop> {
    for home in HOMES {
        let ended = end(bench.program("pipeline").variable("HOME", home).start()?)?;
        let (begin, contain) = names_with_d(home)?;
        let shown = String::from_utf8_lossy(&ended.stdout).trim().to_string();
        let expected = format!("{begin}, which is what `ls ~ | grep \"^d\" | wc -l` prints with HOME={home}");
        ensure(shown == begin.to_string(), expected, on_stdout(&shown))
            .with(|unexplained| {
                let unexplained = ended.explain(unexplained);
                match shown.parse() == Ok(contain) {
                    true => unexplained.likely("all names with a d in them were counted: grep wants ^d"),
                    false => unexplained,
                }
            })
            .because("`ls` of the home directory, the names that begin with d, counted")?;
        ended.expect_status(0).because("every stage ended well, the last one too")?;
    }
    Ok(())
}

/// What should have been one number, as a student can read it.
pub(crate) fn on_stdout(shown: &str) -> String {
    let lines = shown.lines().count();
    match shown.lines().next() {
        Some(first) if lines > 1 => format!("{lines} lines on stdout, the first of them {first:?}"),
        _ => format!("{} on stdout", quote(shown.as_bytes())),
    }
}

/// How many names in `directory` begin with a d, and how many have one, as `ls` shows them.
fn names_with_d(directory: &str) -> Result<(usize, usize), Breakdown> {
    let entries = std::fs::read_dir(directory)
        .map_err(|error| Breakdown::system(format!("cannot read {directory}"), error))?;
    let names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let shown = || names.iter().filter(|name| !name.starts_with('.'));
    Ok((
        shown().filter(|name| name.starts_with('d')).count(),
        shown().filter(|name| name.contains('d')).count(),
    ))
}

fn one_stage_is_run(bench: &mut Bench) -> Result<(), Stop> {
    let input = bench.random().bytes(3000);
    let copied = run(bench, &["cat"], Some(&input))?;
    copied.expect_stdout(&input).because("stdin and stdout of the only stage are the program's own")?;
    copied.expect_status(0).because("the program ends like its last stage")
}

fn two_and_three_stages_are_joined(bench: &mut Bench) -> Result<(), Stop> {
    let word = bench.random().word(12);
    let because = "the stdout of a stage is the write end of a pipe, the stdin of the next is its read end";
    let two = run(bench, &["echo", &word, "|", "tr", "a-z", "A-Z"], None)?;
    two.expect_stdout(format!("{}\n", word.to_uppercase())).because(because)?;
    two.expect_status(0).because("the program ends like its last stage")?;
    let three = run(bench, &["echo", &word, "|", "tr", "a-z", "A-Z", "|", "rev"], None)?;
    let reversed: String = word.to_uppercase().chars().rev().collect();
    three.expect_stdout(format!("{reversed}\n")).because(because)?;
    three.expect_status(0).because("the program ends like its last stage")?;

    let input = bench.random().bytes(5000);
    let copied = run(bench, &["cat", "|", "cat", "|", "cat"], Some(&input))?;
    copied
        .expect_stdout(&input)
        .because("bytes pass through a pipe unchanged, in order, from our stdin to our stdout")
}

fn ten_stages_are_joined(bench: &mut Bench) -> Result<(), Stop> {
    let input = bench.random().bytes(70_000);
    let mut line = vec!["cat"];
    line.extend(["|", "cat"].repeat(9));
    let copied = run(bench, &line, Some(&input))?;
    copied
        .expect_stdout(&input)
        .because("each of the nine pipes joins two stages, and every unused end is closed")?;
    copied.expect_status(0).because("the program ends like its last stage")
}

fn words_reach_the_command_unchanged(bench: &mut Bench) -> Result<(), Stop> {
    let word = bench.random().word(6);
    let words = [
        "a|b",
        "||",
        "| ",
        " |",
        "$HOME",
        "*",
        "~",
        "two words",
        "'quoted'",
        "",
        "-n",
        "--",
        "\\",
        "caf\u{e9}",
        &word,
    ];
    let mut line = vec!["printf", "<%s>"];
    line.extend(words);
    line.extend(["|", "cat"]);
    let ended = run(bench, &line, None)?;
    let expected: String = words.iter().map(|word| format!("<{word}>")).collect();
    ended
        .expect_stdout(expected)
        .because("only a word that is exactly | separates; every other word belongs to its stage as it is")?;
    ended.expect_status(0).because("the program ends like its last stage")?;

    // What it is handed beside its words.
    let start = bench.program("pipeline").arguments(&["printenv", "MARK"]).variable("MARK", &word);
    let printed = end(start.start()?)?;
    printed
        .expect_stdout(format!("{word}\n"))
        .with(|unexplained| unexplained.note(format!("MARK={word} stood in its environment")))
        .because("a command gets the environment of the program, as a shell's commands get the shell's")
}

fn stages_are_children_joined_by_pipes(bench: &mut Bench) -> Result<(), Stop> {
    let line = ["tr", "a", "b", "|", "tr", "b", "c", "|", "tr", "c", "d"];
    let start = bench.program("pipeline").arguments(&line).stdin(Stdin::Bytes(b"abc\n".to_vec()));
    let mut program = start.start()?;
    let ended = program.end_with_orphans().with(|unexplained| open_ends(&program, unexplained));
    let ended = ended.because("every stage sees the end of its input")?;
    ended.expect_stdout("ddd\n").because("each stage reads what the one before it wrote")?;
    let recording = bench.recording()?.clone();
    let family = Family::of(&recording, program.who());
    no_shell(&family, &program)?;

    let stages = stages(&family, program.who(), "tr");
    let everywhere = family.members().iter().filter(|who| became(&family, who, "tr")).count();
    let observed = match everywhere > stages.len() {
        true => format!("{} direct children, and {} further down", stages.len(), everywhere - stages.len()),
        false => format!("{} direct children", stages.len()),
    };
    ensure(
        stages.len() == 3 && everywhere == 3,
        "three stages, each a direct child of the program",
        observed,
    )
    .with(|unexplained| ended.explain(unexplained))
    .because("the program forks once for each stage, and the child becomes the stage by exec")?;

    let pipes = pipes_of(&recording, &family);
    // Each by what it wrote and read, for the stages may have been born in any order.
    let outputs: Vec<Option<&Object>> = stages.iter().map(|stage| family.first_used(stage.name, 1)).collect();
    let inputs: Vec<Option<&Object>> = stages.iter().map(|stage| family.first_used(stage.name, 0)).collect();
    let joined = outputs.iter().flatten().filter(|output| inputs.contains(&Some(output))).count();
    ensure(
        joined == 2,
        "two pipes, each from one stage's stdout to the next one's stdin",
        format!("{joined} such"),
    )
    .with(|unexplained| {
        ended.explain(unexplained).likely("the program carries the bytes from one stage to the next")
    })
    .because("both ends of a pipe are handed to the stages; then the kernel carries the bytes")?;
    let made = outputs.iter().flatten().filter(|output| pipes.contains(output)).count();
    ensure(made >= 2, "the stages are joined by pipes that the program made", "by something else")
        .with(|unexplained| ended.explain(unexplained))
        .because("pipe is the simplest means of communication between processes on one host")
}

/// Runs a pipeline to its end, with `input` or with none.
pub(crate) fn run(bench: &Bench, line: &[&str], input: Option<&[u8]>) -> Result<Ended, Stop> {
    let stdin = input.map_or(Stdin::Empty, |input| Stdin::Bytes(input.to_vec()));
    end(bench.program("pipeline").arguments(line).stdin(stdin).start()?)
}

/// Waits for the end of a pipeline; where it does not come, says which open ends keep its stages waiting.
fn end(mut program: Process) -> Result<Ended, Stop> {
    let ended = program.end();
    ended
        .with(|unexplained| open_ends(&program, unexplained))
        .because("when every stage has seen the end of its input and has ended, the program ends")
}

/// Adds whose descriptors keep which stage from seeing the end of its input.
pub(crate) fn open_ends(program: &Process, mut unexplained: Unexplained) -> Unexplained {
    let processes = program.processes();
    let called = |number: usize| match number {
        0 => "the program itself".to_string(),
        stage => format!("child {stage} ({})", processes[stage].name),
    };
    let ends: Vec<(usize, i32, String)> = (0..processes.len())
        .flat_map(|number| {
            let descriptors = program.descriptors_of(&processes[number]).into_iter();
            descriptors.map(move |(fd, target)| (number, fd, target))
        })
        .filter(|(_, _, target)| target.starts_with("pipe:"))
        .collect();
    for (reader, _, pipe) in ends.iter().filter(|(number, fd, _)| *number > 0 && *fd == 0) {
        let writers: Vec<String> = ends
            .iter()
            .filter(|(number, fd, target)| target == pipe && writes(processes[*number].pid, *fd))
            .map(|(number, fd, _)| format!("{fd} of {}", called(*number)))
            .collect();
        if !writers.is_empty() {
            let fact = "sees no end of its input, for the write end of that pipe is open as descriptor";
            unexplained = unexplained.note(format!("{} {fact} {}", called(*reader), writers.join(", and ")));
        }
    }
    unexplained
}

/// Whether a descriptor is open for writing, as the permissions of its entry in /proc show.
fn writes(pid: i32, fd: i32) -> bool {
    let entry = std::fs::symlink_metadata(format!("/proc/{pid}/fd/{fd}"));
    entry.is_ok_and(|entry| entry.permissions().mode() & 0o200 != 0)
}

/// Expects that nobody in the family became a shell.
fn no_shell(family: &Family<'_>, program: &Process) -> Result<(), Stop> {
    const SHELLS: [&str; 7] = ["sh", "bash", "dash", "zsh", "ksh", "busybox", "ash"];
    for who in family.members() {
        // How the program itself was started is not its own doing.
        let own = usize::from(who == program.who());
        for (path, argv) in family.execs(who).into_iter().skip(own) {
            let name = path.rsplit('/').next().unwrap_or_default();
            ensure(!SHELLS.contains(&name), "no shell is started", format!("{path} was: {argv:?}"))
                .with(|unexplained| unexplained.sent(program.command()))
                .because("the program does the shell's work itself, with pipe, fork, dup and exec")?;
        }
    }
    Ok(())
}

/// The program's direct children that became `command`, in order of birth.
pub(crate) fn stages<'a>(family: &Family<'a>, program: &'a str, command: &str) -> Vec<Child<'a>> {
    let children = family.children_of(program).into_iter();
    children.filter(|child| became(family, child.name, command)).collect()
}

fn became<'a>(family: &Family<'a>, who: &'a str, command: &str) -> bool {
    family.execs(who).iter().any(|(path, _)| path.rsplit('/').next() == Some(command))
}

/// The pipes that members of the family made.
fn pipes_of<'a>(recording: &'a Recording, family: &Family<'_>) -> Vec<&'a Object> {
    let members = family.members();
    let own = recording.events.iter().filter(|event| members.contains(&event.who.as_str()));
    own.filter_map(|event| match &event.act {
        Act::Pipe { object, .. } if event.outcome.ok() => Some(object),
        _ => None,
    })
    .collect()
}
