//! What you can run yourself: `cargo test -p fork`. The grader asks these questions and more.

use assert_cmd::Command;
use predicates::prelude::*;
use rstest::rstest;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

/// The path of a program of this lab, in your copy (`fork-wait`) or in the reference (`fork-wait-solution`).
macro_rules! path {
    ($name:literal) => {
        option_env!(concat!("CARGO_BIN_EXE_", $name))
            .or(option_env!(concat!("CARGO_BIN_EXE_", $name, "-solution")))
            .expect("cargo tells the tests where it has put the programs")
    };
}

/// The program at `path`, which must not run for ever.
fn program(path: &str) -> Command {
    let mut command = Command::new(path);
    command.timeout(Duration::from_secs(20));
    command
}

/// A line `(PID, STATUS)`, taken apart.
fn pid_and_status(line: &str) -> Option<(u32, u32)> {
    let (pid, status) = line.strip_prefix('(')?.strip_suffix(')')?.split_once(", ")?;
    Some((pid.parse().ok()?, status.parse().ok()?))
}

#[test]
fn the_orphan_goes_on_without_its_parent() {
    program(path!("fork-nowait"))
        .args(["--count", "2", "--interval-ms", "60"])
        .assert()
        .success()
        .stdout("parent is exiting...\nchild is running... 0\nchild is running... 1\n");
}

#[rstest]
#[case("0", 0)]
#[case("3", 768)]
#[case("255", 65280)]
fn the_parent_reads_the_raw_status(#[case] exit_code: &str, #[case] status: u32) {
    let expected = predicate::function(move |output: &str| {
        let lines: Vec<&str> = output.lines().collect();
        lines.len() == 4
            && lines[..2] == ["child is running... 0", "child is running... 1"]
            && pid_and_status(lines[2]).is_some_and(|(_, given)| given == status)
            && lines[3] == "parent is exiting..."
    });
    program(path!("fork-wait"))
        .args(["--count", "2", "--interval-ms", "20", "--exit-code", exit_code])
        .assert()
        .success()
        .stdout(expected);
}

#[test]
fn the_parent_of_a_zombie_reads_its_status_in_the_end() {
    let expected = predicate::function(|output: &str| {
        let lines: Vec<&str> = output.lines().collect();
        lines.len() == 5
            && lines[..3] == ["child exits...", "parent is running... 0", "parent is running... 1"]
            && pid_and_status(lines[3]).is_some_and(|(_, status)| status == 0)
            && lines[4] == "parent is exiting..."
    });
    let mut command = program(path!("fork-zombie"));
    command.args(["--count", "2", "--interval-ms", "60"]).assert().success().stdout(expected);
}

#[test]
fn the_ended_child_is_a_zombie_while_its_parent_ticks() {
    assert_eq!(last_sight_of_the_child(path!("fork-zombie")), Some('Z'), "want the state Z, as ps shows it");
}

#[test]
fn with_sigchld_ignored_no_zombie_is_left() {
    assert_eq!(
        last_sight_of_the_child(path!("fork-reap")),
        None,
        "want no child at all while the parent ticks"
    );
}

/// The state of the program's child when the parent has ticked for the first time; none where there is no child.
fn last_sight_of_the_child(path: &str) -> Option<char> {
    let mut parent = std::process::Command::new(path)
        .args(["--count", "2", "--interval-ms", "400"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let mut lines =
        BufReader::new(parent.stdout.take().expect("stdout is a pipe")).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("child exits..."));
    assert_eq!(lines.next().as_deref(), Some("parent is running... 0"));

    let children = format!("/proc/{0}/task/{0}/children", parent.id());
    let children = std::fs::read_to_string(children).expect("the parent still runs");
    let state = children.split_whitespace().next().map(|child| {
        let status = std::fs::read_to_string(format!("/proc/{child}/stat"))
            .expect("the child is in the process table");
        status.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).expect("a state follows the name")
    });
    lines.for_each(drop);
    assert!(parent.wait().expect("the program ends").success());
    state
}

#[test]
fn with_sigchld_ignored_wait_finds_nobody() {
    program(path!("fork-reap"))
        .args(["--count", "1", "--interval-ms", "60"])
        .assert()
        .success()
        .stdout("child exits...\nparent is running... 0\nno child to wait for\nparent is exiting...\n");
}

#[test]
fn every_child_is_reported_in_the_order_in_which_they_end() {
    let expected = predicate::function(|output: &str| {
        let statuses: Vec<_> =
            output.lines().map(|line| pid_and_status(line).map(|(_, status)| status)).collect();
        statuses == [Some(768), Some(512), Some(256)]
    });
    program(path!("fork-many"))
        .args(["--children", "3", "--interval-ms", "60"])
        .assert()
        .success()
        .stdout(expected);
}

#[rstest]
#[case(path!("fork-wait"), &["--exit-code", "256"])]
#[case(path!("fork-wait"), &["--count", "0"])]
#[case(path!("fork-nowait"), &["--interval-ms", "soon"])]
#[case(path!("fork-many"), &["--children"])]
#[case(path!("fork-reap"), &["--loud", "1"])]
fn malformed_options_are_refused(#[case] path: &str, #[case] arguments: &[&str]) {
    program(path).args(arguments).assert().code(2).stdout("").stderr(predicate::str::is_empty().not());
}
