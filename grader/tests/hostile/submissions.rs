//! Hostile submissions, from their sources to the report: they write no grade, harm no other's build, and cost no other
//! one its marks or its time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use libtest_mimic::{Failed, Trial};

pub fn tests() -> Vec<Trial> {
    vec![
        super::arena::test("output_forges_nothing_in_any_format", output_forges_nothing),
        super::arena::test("build_gets_at_nothing_and_poisons_no_other", build_poisons_no_other),
        super::arena::test("honest_submission_beside_hostile_ones", honest_beside_hostile),
    ]
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

fn start(lab: &Path, arguments: &[&str]) -> std::io::Result<Child> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grader"));
    command.arg("grade").arg(lab).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

fn grade(lab: &Path, arguments: &[&str]) -> std::io::Result<Output> {
    start(lab, arguments)?.wait_with_output()
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

fn output_forges_nothing() -> Result<(), Failed> {
    let submission = Submission::new(FORGER, FORGER)?;
    let record = submission.directory.path().join("recordings");
    let record = record.to_str().ok_or("a path")?;
    let json = grade(&submission.lab(), &["--format", "json", "--record", record])?;
    let text = grade(&submission.lab(), &["--ladder", "all"])?;
    for (what, output) in [("json", &json), ("text", &text)] {
        let said = String::from_utf8(output.stdout.clone())? + &String::from_utf8(output.stderr.clone())?;
        if output.status.code() != Some(1) || is_obeyed(&said) {
            return Err(format!("{what}, {}: {said:?}", output.status).into());
        }
    }
    let report: serde_json::Value = serde_json::from_slice(&json.stdout)?;
    let lab = &report["labs"][0];
    let passed =
        lab["checks"].as_array().ok_or("no checks")?.iter().filter(|check| check["verdict"] != "fail");
    let passed: Vec<_> =
        passed.filter(|check| check["verdict"] != "blocked").map(|check| &check["id"]).collect();
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

fn build_poisons_no_other() -> Result<(), Failed> {
    let only = ["--only", "client_prints_the_answer", "--only", "server_answers_the_next_number"];
    let json = [&only[..], &["--format", "json"]].concat();
    for (turn, source) in BUILDS.into_iter().enumerate() {
        let own = format!("{source}\n// {turn} {}\n", std::process::id());
        let output = grade(&Submission::new(&own, &own)?.lab(), &json)?;
        let said = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
        // The fault is the submission's, and costs it alone.
        if output.status.code() != Some(1) || said.contains("root:x:") || is_obeyed(&said) {
            return Err(format!("{source}: {}: {said}", output.status).into());
        }
    }
    let output = grade(&Submission::honest("after hostile builds")?.lab(), &json)?;
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

fn honest_beside_hostile() -> Result<(), Failed> {
    let full = |output: &Output| -> Result<(), Failed> {
        let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let lab = &report["labs"][0];
        let lost =
            lab["checks"].as_array().ok_or("no checks")?.iter().filter(|check| check["verdict"] != "pass");
        let lost: Vec<_> = lost.collect();
        if lost.is_empty() { Ok(()) } else { Err(format!("lost: {lost:#?}").into()) }
    };
    let start_of = Instant::now();
    full(&grade(&Submission::honest("alone")?.lab(), &["--format", "json"])?)?;
    let alone = start_of.elapsed();
    let submissions = GREEDY
        .iter()
        .map(|source| Submission::new(&format!("{source}\n// {}\n", std::process::id()), source))
        .collect::<Result<Vec<_>, _>>()?;
    let only = ["--format", "json", "--only", "server_answers_the_next_number", "--repeat", "50"];
    let mut hostile = submissions
        .iter()
        .map(|submission| start(&submission.lab(), &only))
        .collect::<Result<Vec<_>, _>>()?;
    let start_of = Instant::now();
    let beside = grade(&Submission::honest("beside hostile ones")?.lab(), &["--format", "json"]);
    let took = start_of.elapsed();
    for grader in &mut hostile {
        grader.kill()?;
        grader.wait()?;
    }
    full(&beside?)?;
    // Four graders share the processors, and greed gets none of them more than its part.
    if took > alone * 12 + std::time::Duration::from_secs(10) {
        return Err(format!("{alone:?} alone, {took:?} beside hostile submissions").into());
    }
    Ok(())
}
