//! Bad input and a poor machine: each gets a clear error that names the thing and the next step, and the right status.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::assert::OutputAssertExt;
use grader::check::Suite;
use grader::suites::SUITES;
use nix::sys::signal::SigHandler;
use predicates::prelude::*;
use predicates::str::contains;
use rstest::rstest;

fn grader() -> Command {
    Command::new(env!("CARGO_BIN_EXE_grader"))
}

fn grade(path: &Path) -> Command {
    let mut command = grader();
    command.arg("grade").arg(path);
    command
}

/// A lab that has checks.
fn a_suite() -> &'static Suite {
    SUITES.iter().find(|suite| !suite.checks.is_empty()).expect("a lab has checks")
}

/// A submission of that lab which is the stub.
fn a_submission() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().expect("a directory");
    let suite = a_suite();
    let lab = place.path().join(suite.lab);
    for (path, text) in grader::mutant::stub(suite).expect("the stub is there").files {
        let path = lab.join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("make it");
        fs::write(path, text).expect("write it");
    }
    (place, lab)
}

fn first_program(lab: &Path) -> PathBuf {
    lab.join(format!("src/bin/{}.rs", a_suite().programs[0]))
}

/// What a refusal looks like: the thing, the next step, status 2, and no panic.
fn refused(mut command: Command, names: &str, next: &str) {
    command
        .assert()
        .code(2)
        .stderr(contains(names).and(contains("next:")).and(contains(next)).and(contains("panicked").not()));
}

#[test]
fn no_such_directory() {
    refused(grade(Path::new("/no/such/place")), "/no/such/place", "name a directory");
}

#[test]
fn no_lab_in_the_directory() {
    let place = tempfile::tempdir().expect("a directory");
    refused(grade(place.path()), "no lab in", "udp");
}

#[test]
fn a_file_that_is_no_archive() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("essay.txt");
    fs::write(&path, "text").expect("write it");
    refused(grade(&path), "essay.txt", ".zip");
}

#[rstest]
#[case("essay.zip")]
#[case("essay.tar")]
#[case("essay.tar.gz")]
fn a_broken_archive(#[case] name: &str) {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join(name);
    fs::write(&path, [0x5a; 700]).expect("write it");
    refused(grade(&path), name, "pack it again");
}

#[test]
fn unknown_lab_and_check() {
    let (place, lab) = a_submission();
    let mut command = grade(place.path());
    command.args(["--lab", "nonesuch"]);
    refused(command, "there is no lab nonesuch", "udp");
    let mut command = grade(&lab);
    command.args(["--only", "nonesuch"]);
    refused(command, "there is no check nonesuch", "list");
    let mut command = grader();
    command.args(["explain", "nonesuch"]);
    refused(command, "there is no check nonesuch", "list");
    let mut command = grader();
    command.args(["list", "nonesuch"]);
    refused(command, "there is no lab nonesuch", "udp");
}

#[test]
fn a_lab_without_one_of_its_programs_is_graded_all_the_same() {
    let (place, lab) = a_submission();
    fs::remove_file(first_program(&lab)).expect("remove it");
    let names = format!("{}: the program {} is missing", a_suite().lab, a_suite().programs[0]);
    grade(place.path()).assert().code(2).stdout(contains(names.clone()).and(contains("0/")));
    grade(place.path()).args(["--format", "json"]).assert().code(2).stderr(contains(names));
}

#[test]
fn a_file_that_is_not_utf_8() {
    let (place, lab) = a_submission();
    fs::write(first_program(&lab), [b'f', b'n', 0xff]).expect("write it");
    grade(place.path()).assert().code(2).stdout(contains("is not UTF-8 text (byte 2)"));
}

#[test]
fn links_and_pipes_and_directories_in_src() {
    let (place, lab) = a_submission();
    std::os::unix::fs::symlink("/etc/passwd", lab.join("src/bin/link.rs")).expect("link");
    nix::unistd::mkfifo(&lab.join("src/bin/pipe.rs"), nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    grade(place.path()).assert().code(2).stdout(
        contains("link.rs is a symbolic link: only regular files are graded")
            .and(contains("pipe.rs is a named pipe"))
            .and(contains("root:").not()),
    );
    fs::remove_dir_all(lab.join("src")).expect("remove it");
    std::os::unix::fs::symlink("/etc", lab.join("src")).expect("link");
    grade(place.path()).assert().code(2).stdout(contains("src is a symbolic link: it must be a directory"));
    fs::remove_dir_all(&lab).expect("remove it");
    std::os::unix::fs::symlink("/etc", &lab).expect("link");
    grade(place.path())
        .assert()
        .code(2)
        .stdout(contains("is a symbolic link: put the directory itself there"));
}

#[test]
fn fifty_megabytes_of_source() {
    let (place, lab) = a_submission();
    fs::write(lab.join("src/bin/large.rs"), vec![b'/'; 50 << 20]).expect("write it");
    grade(place.path()).assert().code(2).stdout(contains("large.rs is larger than 1024 KiB"));
    fs::remove_file(lab.join("src/bin/large.rs")).expect("remove it");
    for part in 0..50 {
        fs::write(lab.join(format!("src/bin/part{part}.rs")), vec![b'/'; 1 << 20]).expect("write it");
    }
    grade(place.path()).assert().code(2).stdout(contains("more than 4 MiB of source"));
}

#[test]
fn one_bad_lab_does_not_cost_the_others() {
    let (place, _) = a_submission();
    let other = SUITES.iter().find(|suite| suite.lab != a_suite().lab).expect("a second lab");
    fs::create_dir(place.path().join(other.lab)).expect("make it");
    grade(place.path()).assert().code(2).stdout(
        contains(format!("{}: ", other.lab))
            .and(contains("has no directory `src`"))
            .and(contains(a_suite().checks[0].name)),
    );
}

#[rstest]
#[case(&["--with", "nonesuch=/bin/true"], "there is no program nonesuch", "udp-server")]
#[case(&["--with", "udp-server=/no/such/command"], "there is no command /no/such/command", "existing executable")]
#[case(&["--with", "udp-server=no-such-command-in-path"], "there is no command no-such", "existing executable")]
#[case(&["--with", "udp-server=/etc/passwd"], "/etc/passwd is not executable", "chmod +x")]
#[case(&["--with", "udp-server="], "the command is empty", "python3")]
#[case(&["--with", "udp-server='/bin/true"], "a quote is not closed", "close it")]
#[case(&["--with", "udp-server=/bin/true", "--lab", "tcp"], "there is no program udp-server", "tcp-server")]
fn with_what_cannot_be_run(#[case] arguments: &[&str], #[case] names: &str, #[case] next: &str) {
    let mut command = grader();
    command.arg("grade").args(arguments);
    refused(command, names, next);
}

#[test]
fn an_output_that_cannot_be_written() {
    let (_place, lab) = a_submission();
    let mut command = grade(&lab);
    command.args(["--output", "/no/such/place/report.txt"]);
    refused(command, "cannot write /no/such/place/report.txt", "name a place");
    let mut command = grade(&lab);
    command.args(["--only", a_suite().checks[0].name, "--output", "/dev/full"]);
    refused(command, "cannot write /dev/full: No space left", "free some space");
    let mut command = grade(&lab);
    command.args(["--only", a_suite().checks[0].name]);
    command.stdout(fs::File::options().write(true).open("/dev/full").expect("open it"));
    refused(command, "cannot write the report to stdout", "--output");
    let mut command = grade(&lab);
    command.args(["--only", a_suite().checks[0].name, "--record", "/proc/recordings"]);
    refused(command, "cannot write /proc/recordings", "name a place");
}

#[test]
fn no_c_linker() {
    let (place, lab) = a_submission();
    let text = fs::read_to_string(first_program(&lab)).expect("read it");
    fs::write(first_program(&lab), format!("{text}// {}\n", place.path().display())).expect("write it");
    grade(&lab).env("PATH", "/no/such/place").assert().code(70).stdout(
        contains("rustc finds no linker `cc`")
            .and(contains("apt install gcc"))
            .and(contains("none are lost")),
    );
}

#[test]
fn no_crates_and_no_network() {
    let (place, lab) = a_submission();
    grade(&lab)
        .env("CARGO_HOME", place.path().join("cargo"))
        .env("CARGO_TARGET_DIR", place.path().join("target"))
        .env("CARGO_NET_OFFLINE", "true")
        .assert()
        .code(69)
        .stderr(contains("the libraries of the labs are not downloaded").and(contains("cargo fetch")));
}

#[test]
fn no_user_namespaces() {
    // A user namespace whose own limit on further ones is 0, where one can be made at all.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" doctor";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", script, env!("CARGO_BIN_EXE_grader")]);
    let tier = contains("isolation tier C: no user namespaces").and(contains("next: "));
    command.assert().stdout(tier.and(contains("packets cannot be captured")));
}

#[test]
fn two_runs_at_once_in_one_fresh_checkout() {
    let (place, lab) = a_submission();
    let start = || {
        let mut command = grade(&lab);
        command.env("CARGO_TARGET_DIR", place.path().join("target")).args(["--format", "json"]);
        command.stdout(std::process::Stdio::piped()).spawn().expect("start it")
    };
    let (one, other) = (start(), start());
    for run in [one, other] {
        run.wait_with_output().expect("wait for it").assert().code(1).stdout(contains("\"broke\"").not());
    }
}

#[test]
fn a_program_that_does_not_compile_is_a_finding() {
    let (_place, lab) = a_submission();
    fs::write(first_program(&lab), "fn main() { let port: u16 = \"\x1b[31m5000\"; }\n").expect("write it");
    grade(&lab).assert().code(1).stdout(
        contains("does not compile")
            .and(contains("mismatched types"))
            .and(contains("src/bin/"))
            .and(contains("\x1b").not()),
    );
}

#[rstest]
#[case(&["--help"], "doctor")]
#[case(&["grade", "--help"], "Examples:")]
#[case(&["list", "--help"], "Only this lab")]
#[case(&["explain", "--help"], "The check")]
#[case(&["doctor", "--help"], "mends")]
fn every_command_has_help(#[case] arguments: &[&str], #[case] says: &str) {
    grader().args(arguments).assert().success().stdout(contains(says));
}

#[test]
fn explain_names_the_requirement_and_the_way_to_run_it() {
    let check = a_suite().checks[0];
    grader().args(["explain", check.name]).assert().success().stdout(
        contains(check.question)
            .and(contains(check.requirement))
            .and(contains(format!("--only {}", check.name))),
    );
}

#[test]
fn archives_are_taken_like_directories() {
    let (place, lab) = a_submission();
    let name = a_suite().lab;
    for (archive, flags) in [("hand-in.tar", "-cf"), ("hand-in.tar.gz", "-czf")] {
        let path = place.path().join(archive);
        let packed = Command::new("tar").arg(flags).arg(&path).arg("-C").arg(place.path()).arg(name).status();
        assert!(packed.expect("start tar").success());
        grade(&path).args(["--only", a_suite().checks[0].name]).assert().code(1).stdout(contains(name));
    }
    drop(lab);
}

/// The parent of a process, as /proc says.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// A process and all that it started, directly or not.
fn family_of(ancestor: u32) -> Vec<u32> {
    let all: Vec<u32> = fs::read_dir("/proc")
        .expect("/proc is there")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    let descends =
        |pid: &u32| std::iter::successors(Some(*pid), |pid| parent_of(*pid)).any(|pid| pid == ancestor);
    all.into_iter().filter(descends).collect()
}

#[rstest]
#[case(nix::sys::signal::Signal::SIGINT)]
#[case(nix::sys::signal::Signal::SIGTERM)]
#[case(nix::sys::signal::Signal::SIGKILL)]
fn whoever_ends_the_grader_ends_all_of_it(#[case] signal: nix::sys::signal::Signal) {
    let (_place, lab) = a_submission();
    // A program that never ends, so that there is something to end whenever the signal comes.
    fs::write(first_program(&lab), "fn main() { loop { std::thread::park(); } }\n").expect("write it");
    let mut grader = grade(&lab);
    // Whoever runs the tests may have them ignore a signal.
    set_disposition(&mut grader, signal, SigHandler::SigDfl);
    let mut grader = grader.stdout(std::process::Stdio::null()).spawn().expect("start it");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    // The grader, its fork server, an arena, an init and a program.
    let pid = grader.id();
    let mut family = family_of(pid);
    while family.len() < 5 && std::time::Instant::now() < deadline {
        std::thread::yield_now();
        family = family_of(grader.id());
    }
    assert!(family.len() >= 5, "it started nothing: {family:?}");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(grader.id() as i32), signal).expect("signal it");
    let status = grader.wait().expect("wait for it");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(signal as i32));
    let lives = |pid: &&u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
    };
    while family.iter().any(|pid| lives(&pid)) && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(family.iter().find(lives), None, "something outlived the grader");
    if signal != nix::sys::signal::Signal::SIGKILL {
        let groups = grader::sandbox::cgroup::left_by(pid);
        assert!(groups.is_empty(), "control groups outlived the grader: {groups:?}");
    }
}

/// Has a command ignore a signal from its start, or not.
fn set_disposition(command: &mut Command, signal: nix::sys::signal::Signal, handler: SigHandler) {
    let set = move || {
        // SAFETY: neither of the two dispositions runs code. SIGKILL has only one, and needs none.
        let _ = unsafe { nix::sys::signal::signal(signal, handler) };
        Ok(())
    };
    // SAFETY: between fork and exec it makes one system call.
    unsafe { std::os::unix::process::CommandExt::pre_exec(command, set) };
}

#[test]
fn signal_that_was_ignored_before_ends_nothing() {
    use nix::sys::signal::Signal::{SIGHUP, SIGTERM};
    let (_place, lab) = a_submission();
    fs::write(first_program(&lab), "fn main() { loop { std::thread::park(); } }\n").expect("write it");
    let mut grader = grade(&lab);
    set_disposition(&mut grader, SIGHUP, SigHandler::SigIgn);
    let mut grader = grader.stdout(std::process::Stdio::null()).spawn().expect("start it");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while family_of(grader.id()).len() < 5 && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    let pid = nix::unistd::Pid::from_raw(grader.id() as i32);
    // Of two signals that wait, the one of the smaller number comes first.
    nix::sys::signal::kill(pid, SIGHUP).expect("signal it");
    nix::sys::signal::kill(pid, SIGTERM).expect("signal it");
    let status = grader.wait().expect("wait for it");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(SIGTERM as i32));
}
