//! A program that is asked must be the one that its own sources make. With a shared cargo target directory 38 of 40
//! submissions, unpacked first and built one after another, got the first one's binary, silently.

use std::fs::{self, FileTimes};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime};

use grader::compile::{Compiler, Unbuilt};
use grader::intake;
use grader::subject::Subject;
use grader::suites;
use libtest_mimic::{Arguments, Failed, Trial};

const SUBMISSIONS: usize = 40;

/// Lays a submission whose program prints its own id. The files carry one time stamp, as unpacking gives them.
fn unpack(place: &Path, id: usize, stamp: SystemTime, round: u32) {
    let directory = place.join(format!("student-{id}/udp/src/bin"));
    fs::create_dir_all(&directory).expect("make a submission");
    for program in ["udp-server", "udp-client"] {
        let path = directory.join(format!("{program}.rs"));
        let text = format!(
            "fn main() {{ println!(\"{program} of {id:02} in round {round} at {}\"); }}\n",
            place.display()
        );
        fs::write(&path, text).expect("write a source");
        let file = fs::File::options().write(true).open(&path).expect("open a source");
        file.set_times(FileTimes::new().set_modified(stamp)).expect("set the time stamp");
    }
}

fn says(compiler: &Compiler, place: &Path, id: usize) -> String {
    let path = place.join(format!("student-{id}"));
    let mut submission = intake::take(&path, None).expect("take it in");
    let sources = submission.labs.remove("udp").expect("the lab is there");
    let suite = suites::of("udp").expect("the suite is there");
    let subject = Subject::from_sources("submission", suite, sources);
    let launch = match compiler.launch(&subject, "udp-server") {
        Ok(launch) => launch,
        Err(Unbuilt::Finding(words)) => panic!("does not compile: {words}"),
        Err(Unbuilt::Broke(breakdown)) => panic!("{breakdown:?}"),
    };
    let output = Command::new(launch.executable).output().expect("run it");
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

fn all_are_their_own(compiler: &Compiler, place: &Path, round: u32, at_once: usize) {
    std::thread::scope(|scope| {
        for first in 0..at_once {
            scope.spawn(move || {
                for id in (first..SUBMISSIONS).step_by(at_once) {
                    let wanted = format!("udp-server of {id:02} in round {round} at {}", place.display());
                    assert_eq!(says(compiler, place, id), wanted);
                }
            });
        }
    });
}

fn every_binary_carries_its_own_submissions_id() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let compiler = Compiler::keeping_in(place.path().join("builds"), grader::doctor::tier()?)?;
    let stamp = SystemTime::now() - Duration::from_secs(86_400);
    for id in 0..SUBMISSIONS {
        unpack(place.path(), id, stamp, 1);
    }
    all_are_their_own(&compiler, place.path(), 1, 1);
    // The same paths and time stamps with other texts, as a second hand-in gives them.
    for id in 0..SUBMISSIONS {
        unpack(place.path(), id, stamp, 2);
    }
    all_are_their_own(&compiler, place.path(), 2, 2);
    Ok(())
}

/// A submission's library and modules are part of its programs, and so is another program's file that it includes.
fn a_program_is_built_anew_when_anything_it_is_made_of_changes() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let compiler = Compiler::keeping_in(place.path().join("builds"), grader::doctor::tier()?)?;
    let bin = place.path().join("student-0/udp/src/bin");
    fs::create_dir_all(&bin)?;
    let server =
        "#[path = \"udp-client.rs\"] mod other; fn main() { println!(\"{} {}\", udp::WORD, other::WORD); }";
    fs::write(bin.join("udp-server.rs"), server)?;
    for word in ["one", "two"] {
        let client = format!("pub const WORD: &str = \"{word}\"; #[expect(dead_code)] pub fn main() {{}}");
        fs::write(bin.join("udp-client.rs"), client)?;
        fs::write(bin.join("../lib.rs"), format!("pub const WORD: &str = \"lib {word}\";"))?;
        assert_eq!(says(&compiler, place.path(), 0), format!("lib {word} {word}"));
    }
    Ok(())
}

fn main() -> ExitCode {
    if let Some(code) = grader::fork_server::become_fork_server_if_asked() {
        return code;
    }
    let trials = vec![
        Trial::test(
            "every_binary_carries_its_own_submissions_id",
            every_binary_carries_its_own_submissions_id,
        ),
        Trial::test(
            "a_program_is_built_anew_when_anything_it_is_made_of_changes",
            a_program_is_built_anew_when_anything_it_is_made_of_changes,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
