//! What you can run yourself: `cargo test -p pipes`. The grader asks these questions and more.

use assert_cmd::Command;
use predicates::prelude::*;
use rstest::rstest;
use std::time::Duration;

/// `pipeline`, in your copy or in the reference, with one argument for each word of `line`.
fn pipeline(line: &str) -> Command {
    let path = option_env!("CARGO_BIN_EXE_pipeline")
        .or(option_env!("CARGO_BIN_EXE_pipeline-solution"))
        .expect("cargo tells the tests where it has put the program");
    let mut command = Command::new(path);
    // A directory in PATH that may not be searched makes execvp(3) say EACCES of a name that is nowhere.
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command.args(line.split_whitespace()).timeout(Duration::from_secs(20));
    command
}

#[test]
fn the_courses_example_counts_names_that_begin_with_d() {
    let home = std::env::temp_dir().join(format!("pipes-visible-{}", std::process::id()));
    std::fs::create_dir_all(&home).expect("a directory can be made");
    for name in ["data", "diary", "letters", "red"] {
        std::fs::write(home.join(name), "").expect("a file can be made");
    }
    let assert = pipeline("").env("HOME", &home).assert();
    std::fs::remove_dir_all(&home).expect("the directory can be removed");
    assert.success().stdout(predicate::function(|text: &str| text.trim() == "2"));
}

#[rstest]
#[case("cat")]
#[case("cat | cat")]
#[case("cat | cat | cat")]
#[case("cat | cat | cat | cat | cat | cat | cat | cat | cat | cat")]
fn bytes_pass_unchanged_through_any_number_of_stages(#[case] line: &str) {
    pipeline(line).write_stdin("first\nsecond\n").assert().success().stdout("first\nsecond\n");
}

#[test]
fn every_stage_sees_the_end_of_its_input() {
    pipeline("echo one two | tr o 0 | cat").assert().success().stdout("0ne tw0\n");
}

#[test]
fn stages_run_at_the_same_time() {
    let assert = pipeline("head -c 8388608 /dev/zero | cat | wc -c").assert().success();
    assert.stdout(predicate::function(|text: &str| text.trim() == "8388608"));
}

#[test]
fn a_writer_dies_of_sigpipe_when_its_reader_has_gone() {
    pipeline("yes | head -n 1").assert().success().stdout("y\n");
}

#[test]
fn a_bar_inside_a_word_separates_nothing() {
    pipeline("echo a|b").assert().success().stdout("a|b\n");
}

#[rstest]
#[case("true | false", 1)]
#[case("false | true", 0)]
#[case("true | no-such-command", 127)]
#[case("true | /etc/passwd", 126)]
#[case("no-such-command | true", 0)]
fn the_last_stage_decides_the_exit_status(#[case] line: &str, #[case] status: i32) {
    pipeline(line).assert().code(status);
}

#[test]
fn a_killed_last_stage_is_128_and_the_signal() {
    pipeline("").args(["sh", "-c", "kill -TERM $$"]).assert().code(128 + 15).stdout("");
}

#[rstest]
#[case("|")]
#[case("echo a |")]
#[case("| echo a")]
#[case("echo a | | cat")]
fn an_empty_stage_is_refused_and_nothing_is_run(#[case] line: &str) {
    pipeline(line).assert().code(2).stdout("").stderr(predicate::str::is_empty().not());
}
