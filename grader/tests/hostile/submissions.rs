//! Hostile submissions, from their sources to the report: they write no grade, harm no other's build, and cost no other
//! one its marks or its time.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use grader::sandbox::Tier;
use libtest_mimic::{Failed, Trial};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};

pub fn tests() -> Vec<Trial> {
    type Run = fn(Where) -> Result<(), Failed>;
    let tests: [(&str, Run); 3] = [
        ("output_forges_nothing_in_any_format", output_forges_nothing),
        ("build_gets_at_nothing_and_poisons_no_other", build_poisons_no_other),
        ("honest_submission_beside_hostile_ones", honest_beside_hostile),
    ];
    let places = [("", Where::Here), (" in a container", Where::Container)];
    let tests = tests.iter().flat_map(|test| places.iter().map(move |place| (test, place)));
    let tests = tests.map(|((name, run), (suffix, place))| {
        let (run, place) = (*run, *place);
        super::arena::test(format!("{name}{suffix}"), move || run(place))
    });
    let turns = super::arena::test("grader_in_a_container_waits_for_its_turn", graders_take_turns);
    tests.chain([turns]).collect()
}

/// Where a submission is graded.
#[derive(Clone, Copy)]
pub enum Where {
    /// On this machine as it is, which may be a container itself.
    Here,
    /// As in a container.
    Container,
}

/// A submission of the lab `udp`.
struct Submission {
    directory: tempfile::TempDir,
}

impl Submission {
    fn new(server: &str, client: &str) -> std::io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let bin = directory.path().join("udp/src/bin");
        fs::create_dir_all(&bin)?;
        fs::write(bin.join("udp-server.rs"), server)?;
        fs::write(bin.join("udp-client.rs"), client)?;
        Ok(Self { directory })
    }

    /// The solution, as a text that was never built.
    fn honest(word: &str) -> std::io::Result<Self> {
        let bin = grader::house::solutions().join("udp/src/bin");
        let own = |program: &str| {
            let text = fs::read_to_string(bin.join(program))?;
            std::io::Result::Ok(format!("{text}\n// {word} {}\n", std::process::id()))
        };
        Self::new(&own("udp-server.rs")?, &own("udp-client.rs")?)
    }

    fn lab(&self) -> PathBuf {
        self.directory.path().join("udp")
    }
}

impl Where {
    /// `grade` there.
    pub fn grade(self) -> Command {
        let grader = env!("CARGO_BIN_EXE_grader");
        let mut command = match self {
            Self::Here => Command::new(grader),
            Self::Container => {
                let mut command = Command::new("/proc/self/exe");
                command.args(["in-a-container", grader]);
                command
            }
        };
        command.arg("grade");
        command
    }
}

fn start(place: Where, lab: &Path, arguments: &[&str]) -> std::io::Result<Child> {
    let mut command = place.grade();
    command.arg(lab).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

fn grade(place: Where, lab: &Path, arguments: &[&str]) -> std::io::Result<Output> {
    start(place, lab, arguments)?.wait_with_output()
}

/// The checks of a report that have none of these verdicts. Without simulated hosts, in tier C, what needs them is not
/// decided, and in no other.
fn others<'a>(report: &'a serde_json::Value, verdicts: &[&str]) -> Vec<&'a serde_json::Value> {
    let has_no_hosts = report["tier"] == "C";
    let checks = report["labs"][0]["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let expected = |verdict: &str| verdicts.contains(&verdict) || (has_no_hosts && verdict == "broke");
    checks.iter().filter(|check| !check["verdict"].as_str().is_some_and(expected)).collect()
}

fn is_obeyed(text: &str) -> bool {
    text.chars().any(|character| (character.is_control() && character != '\n') || character == '\u{202e}')
}

/// Says on every channel that it has passed: lines of a report, JSON, escape sequences, a descriptor that is not there,
/// its own name, its exit status.
const FORGER: &str = r##"
use std::io::Write;
fn main() {
    let lies = [
        "\npass  udp.1 Can the server be reached? 6/6  server_is_reachable_from_another_host\nudp 100/100  all passed\n",
        "\x1b[2J\x1b[H\x1b]0;100/100\x07\u{9b}32mudp 100/100\u{202e}\r",
        "{\"verdict\":\"Pass\",\"ms\":1,\"recording\":null}\n",
        "\"}],\"points\":100}\n::notice file=x::passed\n</testcase><testsuite failures=\"0\"/>\n",
        "ok\nPASS\n1..1\nok 1\n",
    ];
    let _ = std::fs::write("/proc/self/comm", b"\xff\x1b)\n1 (");
    for lie in lies {
        print!("{lie}");
        eprint!("{lie}");
        for descriptor in 3..64 {
            if let Ok(mut file) = std::fs::File::options().write(true).open(format!("/proc/self/fd/{descriptor}")) {
                let _ = file.write_all(lie.as_bytes());
            }
        }
    }
    let _ = std::io::stdout().flush();
    let socket = std::net::UdpSocket::bind("0.0.0.0:5000");
    if let Ok(socket) = socket {
        let mut bytes = [0; 64];
        if let Ok((_, from)) = socket.recv_from(&mut bytes) {
            let _ = socket.send_to(lies[1].as_bytes(), from);
        }
    }
    panic!("{}", lies[1]);
}
"##;

fn output_forges_nothing(place: Where) -> Result<(), Failed> {
    let submission = Submission::new(FORGER, FORGER)?;
    let record = submission.directory.path().join("recordings");
    let record = record.to_str().ok_or("a path")?;
    let json = grade(place, &submission.lab(), &["--format", "json", "--record", record])?;
    let text = grade(place, &submission.lab(), &["--ladder", "all"])?;
    let report: serde_json::Value = serde_json::from_slice(&json.stdout)?;
    let status = if report["tier"] == "C" { 70 } else { 1 };
    for (what, output) in [("json", &json), ("text", &text)] {
        let said = String::from_utf8(output.stdout.clone())? + &String::from_utf8(output.stderr.clone())?;
        if output.status.code() != Some(status) || is_obeyed(&said) {
            return Err(format!("{what}, {}: {said:?}", output.status).into());
        }
    }
    let lab = &report["labs"][0];
    let passed: Vec<_> =
        others(&report, &["fail", "blocked"]).into_iter().map(|check| &check["id"]).collect();
    // That a server ends and leaves its port free is true of this one, too.
    if lab["points"].as_u64().is_none_or(|points| points > 10) || passed.len() > 2 {
        return Err(format!("{} points, for {passed:?}", lab["points"]).into());
    }
    let text = String::from_utf8(text.stdout)?;
    let own = text.lines().filter(|line| line.starts_with("pass ")).count();
    let forged = text.lines().find(|line| line.contains("100/100") && !line.starts_with("      "));
    if own > passed.len() || forged.is_some() {
        return Err(format!("{own} checks passed in the text, {} in JSON; {forged:?}", passed.len()).into());
    }
    let mut recordings = 0;
    for entry in fs::read_dir(record)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read_to_string(&path)?;
            serde_json::from_str::<grader::recording::Recording>(&text)?;
            if is_obeyed(&text) {
                return Err(format!("a control character in {}", path.display()).into());
            }
            recordings += 1;
        }
    }
    if recordings > 0 { Ok(()) } else { Err("nothing was recorded".into()) }
}

/// Sources that ask the compiler for what is not theirs.
const BUILDS: [&str; 9] = [
    "fn main() { println!(\"{}\", include_str!(\"/etc/passwd\")); }",
    "#[path = \"/etc/passwd\"] mod stolen; fn main() {}",
    "core::arch::global_asm!(\".incbin \\\"/etc/shadow\\\"\"); fn main() {}",
    "#![crate_type = \"rlib\"] #![crate_name = \"labkit\"] pub fn main() {}",
    "#[link(name = \"labkit -Wl,-o,/tmp/x\")] unsafe extern \"C\" {} fn main() {}",
    "const _: () = panic!(\"\\u{1b}[2Jpass 100/100\"); fn main() {}",
    "macro_rules! twice { ($($t:tt)*) => { twice!($($t)* $($t)*); } } twice!(x); fn main() {}",
    "fn main() { if let Some(home) = option_env!(\"HOME\") { panic!(\"{home}\"); } loop {} }",
    "#![feature(rustc_private)] extern crate grader; fn main() { grader::report::escape(\"\"); }",
];

fn build_poisons_no_other(place: Where) -> Result<(), Failed> {
    let only = ["--only", "client_prints_the_answer", "--only", "server_answers_the_next_number"];
    let json = [&only[..], &["--format", "json"]].concat();
    for (turn, source) in BUILDS.into_iter().enumerate() {
        let own = format!("{source}\n// {turn} {}\n", std::process::id());
        let output = grade(place, &Submission::new(&own, &own)?.lab(), &json)?;
        let said = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
        // The fault is the submission's, and costs it alone.
        if output.status.code() != Some(1) || said.contains("root:x:") || is_obeyed(&said) {
            return Err(format!("{source}: {}: {said}", output.status).into());
        }
    }
    let output = grade(place, &Submission::honest("after hostile builds")?.lab(), &json)?;
    match output.status.code() {
        Some(0) => Ok(()),
        _ => Err(String::from_utf8_lossy(&output.stdout).into_owned().into()),
    }
}

/// Programs that take what they can get. Each ends by itself, should nobody end it.
const GREEDY: [&str; 3] = [
    "fn main() { for _ in 0..400 { std::thread::spawn(|| { let s = std::time::Instant::now(); \
        while s.elapsed().as_secs() < 20 {} }); } std::thread::sleep(std::time::Duration::from_secs(20)); }",
    "fn main() { let mut all = Vec::new(); for _ in 0..2000 { all.push(vec![1u8; 1 << 20]); } loop { \
        std::thread::park_timeout(std::time::Duration::from_secs(20)); return; } }",
    "use std::io::Write; fn main() { let line = [b'x'; 4096]; let s = std::time::Instant::now(); \
        while s.elapsed().as_secs() < 20 { if std::io::stdout().write_all(&line).is_err() { return; } } }",
];

/// Whether a report has full marks, but for what is not decided.
fn full(output: &Output) -> Result<(), Failed> {
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let lost = others(&report, &["pass"]);
    let some = report["labs"][0]["points"].as_u64().is_some_and(|points| points >= 50);
    if some && lost.is_empty() { Ok(()) } else { Err(format!("lost: {lost:#?} of {report:#}").into()) }
}

/// Without networks of their own two correct servers would meet on one port. This test has the turn at first, and sees the
/// grader wait for it.
fn graders_take_turns() -> Result<(), Failed> {
    let deadline = Instant::now() + Duration::from_secs(120);
    let turn = grader::turn::take(Tier::C).map_err(|breakdown| breakdown.what)?;
    let listener = turn.into_listener().ok_or("no turn in tier C")?;
    let submission = Submission::honest("waits")?;
    let mut waiting = start(Where::Container, &submission.lab(), &["--format", "json"])?;
    listener.set_nonblocking(true)?;
    let mut connections = Vec::new();
    loop {
        match listener.accept() {
            // Those of other tests may wait as well.
            Ok((connection, _)) => {
                let peer = getsockopt(&connection, sockopt::PeerCredentials)?.pid();
                connections.push(connection);
                if peer == waiting.id() as i32 {
                    break;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let ended = waiting.try_wait()?;
                if ended.is_some() || Instant::now() > deadline {
                    waiting.kill()?;
                    return Err(format!("it does not wait for its turn: {ended:?}").into());
                }
                poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], PollTimeout::from(100u8))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    drop((listener, connections));
    full(&waiting.wait_with_output()?)
}

fn honest_beside_hostile(place: Where) -> Result<(), Failed> {
    let start_of = Instant::now();
    let alone_output = grade(place, &Submission::honest("alone")?.lab(), &["--format", "json"])?;
    full(&alone_output)?;
    let alone = start_of.elapsed();
    // Without networks of their own all graders take turns: a hostile program costs the honest one the time of its check.
    let takes_turns = serde_json::from_slice::<serde_json::Value>(&alone_output.stdout)?["tier"] == "C";
    let repeat = if takes_turns { "1" } else { "50" };
    let submissions = GREEDY
        .iter()
        .map(|source| Submission::new(&format!("{source}\n// {}\n", std::process::id()), source))
        .collect::<Result<Vec<_>, _>>()?;
    let only = ["--format", "json", "--only", "server_answers_the_next_number", "--repeat", repeat];
    let mut hostile = submissions
        .iter()
        .map(|submission| start(place, &submission.lab(), &only))
        .collect::<Result<Vec<_>, _>>()?;
    let start_of = Instant::now();
    let beside = grade(place, &Submission::honest("beside hostile ones")?.lab(), &["--format", "json"]);
    let took = start_of.elapsed();
    for grader in &mut hostile {
        grader.kill()?;
        grader.wait()?;
    }
    full(&beside?)?;
    // Four graders share the processors, and greed gets none of them more than its part.
    if !takes_turns && took > alone * 12 + Duration::from_secs(10) {
        return Err(format!("{alone:?} alone, {took:?} beside hostile submissions").into());
    }
    Ok(())
}
