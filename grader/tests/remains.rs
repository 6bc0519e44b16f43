//! What remains of graders that ended or were killed: nothing. This process adopts whatever loses its parent, so that
//! nothing can hide from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use grader::bench::Random;
use grader::sandbox::cgroup;
use libtest_mimic::{Arguments, Failed, Trial};
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

/// How long the kernel may take to end what a killed grader has started.
const PATIENCE: Duration = Duration::from_secs(10);
/// Labs whose solutions are graded, and of each a check that costs little.
const LABS: [(&str, &str); 2] =
    [("sockets", "no_argument_is_any_interface"), ("endianness", "shows_the_listing")];

fn main() -> ExitCode {
    nix::sys::prctl::set_child_subreaper(true).expect("Linux 3.4");
    let mut arguments = Arguments::from_args();
    // Each looks at all children of this process.
    arguments.test_threads = Some(1);
    let tests = vec![
        Trial::test("two_thousand_checks_leave_nothing_behind", two_thousand_checks),
        Trial::test("killed_grader_leaves_nothing_running", killed_grader),
        Trial::test("killed_fork_server_costs_nobody_a_check", killed_fork_server),
    ];
    libtest_mimic::run(&arguments, tests).exit_code()
}

/// A place of our own: a copy of the solution, and the directory for the grader's temporary files.
struct Place {
    directory: tempfile::TempDir,
    temporary: PathBuf,
    mounts: String,
}

impl Place {
    fn new() -> std::io::Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir()?;
        let temporary = directory.path().join("tmp");
        fs::create_dir(&temporary)?;
        for open in [directory.path(), &temporary] {
            fs::set_permissions(open, fs::Permissions::from_mode(0o755))?;
        }
        for (lab, _) in LABS {
            let source = directory.path().join("labs").join(lab).join("src");
            copy(&grader::house::solutions().join(lab).join("src"), &source)?;
        }
        Ok(Self { directory, temporary, mounts: fs::read_to_string("/proc/self/mountinfo")? })
    }

    fn grade(&self, arguments: &[&str]) -> std::io::Result<Child> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grader"));
        command
            .arg("grade")
            .arg(self.directory.path().join("labs"))
            .args(["--format", "json"])
            .args(arguments);
        command
            .env("TMPDIR", &self.temporary)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn()
    }

    /// Makes every program of the first lab one that was never built.
    fn make_new(&self, word: &str) -> std::io::Result<()> {
        for entry in fs::read_dir(self.directory.path().join("labs").join(LABS[0].0).join("src/bin"))? {
            let path = entry?.path();
            let text = fs::read_to_string(&path)?;
            let text = text.split("\n// made new").next().unwrap_or_default();
            fs::write(&path, format!("{text}\n// made new: {word}\n"))?;
        }
        Ok(())
    }

    /// Fails unless no process is left, and no mount.
    fn is_clean(&self) -> Result<(), Failed> {
        nothing_runs()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        if mounts == self.mounts {
            Ok(())
        } else {
            Err(format!("mounts were {}, are {mounts}", self.mounts).into())
        }
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Reaps whom this process has adopted until there is nobody.
fn nothing_runs() -> Result<(), Failed> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
            Err(Errno::ECHILD) => return Ok(()),
            Ok(WaitStatus::StillAlive) if Instant::now() > deadline => {
                return Err(format!("these are left: {:?}", children()).into());
            }
            Ok(WaitStatus::StillAlive) => look_again(),
            Ok(_) => {}
            Err(error) => return Err(error.to_string().into()),
        }
    }
}

fn look_again() {
    let _ = nix::poll::poll(&mut [], 5_u16);
}

fn children() -> Vec<String> {
    let line = |pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        format!("{pid}: {}", String::from_utf8_lossy(&words).replace('\0', " "))
    };
    children_of(std::process::id()).iter().map(line).collect()
}

fn children_of(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().flat_map(str::parse).collect::<Vec<_>>()).collect()
}

/// What a grader or its fork server holds: resident memory in KiB, and descriptors.
#[derive(Clone, Copy, Debug)]
struct Held {
    memory: u64,
    descriptors: usize,
}

fn held(pid: u32) -> Option<Held> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let memory = memory.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(Held { memory, descriptors: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() })
}

/// Fails where a process, by samples of its life, holds more in the last quarter than in the second: the first builds and
/// warms up.
fn holds_no_more(who: &str, samples: &[Held]) -> Result<(), Failed> {
    let quarter = samples.len() / 4;
    let most =
        |from: usize, to: usize, of: fn(&Held) -> u64| samples[from..to].iter().map(of).max().unwrap_or(0);
    let memory = |held: &Held| held.memory;
    let descriptors = |held: &Held| held.descriptors as u64;
    let (before, after) = (most(quarter, 2 * quarter, memory), most(3 * quarter, samples.len(), memory));
    if quarter < 2 || after > before + 4096 {
        return Err(format!("the {who}'s memory: {before} KiB, then {after} KiB").into());
    }
    let (before, after) =
        (most(quarter, 2 * quarter, descriptors), most(3 * quarter, samples.len(), descriptors));
    if after > before + 8 {
        return Err(format!("the {who}'s descriptors: {before}, then {after}").into());
    }
    Ok(())
}

fn two_thousand_checks() -> Result<(), Failed> {
    let place = Place::new()?;
    let only: Vec<&str> = LABS.iter().flat_map(|(_, check)| ["--only", check]).collect();
    let mut grader = place.grade(&[&only[..], &["--repeat", "1000"]].concat())?;
    let (mut samples, mut server_samples) = (Vec::new(), Vec::new());
    let (pid, mut most_groups) = (grader.id(), 0);
    while grader.try_wait()?.is_none() {
        samples.extend(held(pid));
        server_samples.extend(children_of(pid).first().and_then(|server| held(*server)));
        most_groups = most_groups.max(cgroup::left_by(pid).len());
        let _ = nix::poll::poll(&mut [], 50_u16);
    }
    let output = grader.wait_with_output()?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    for lab in 0..LABS.len() {
        let passed = &report["labs"][lab]["checks"][0]["passed"];
        if *passed != serde_json::json!([1000, 1000]) {
            return Err(format!("not every repetition passed: {:#}", report["labs"][lab]).into());
        }
    }
    place.is_clean()?;
    let groups = cgroup::left_by(pid);
    if !groups.is_empty() || (most_groups == 0) != cgroup::describe().is_err() {
        return Err(format!("at most {most_groups} control groups at once, and left are {groups:?}").into());
    }
    let left: Vec<_> = fs::read_dir(&place.temporary)?.flatten().map(|entry| entry.file_name()).collect();
    if !left.is_empty() {
        return Err(format!("files are left: {left:?}").into());
    }
    holds_no_more("grader", &samples)?;
    holds_no_more("fork server", &server_samples)
}

/// What each check came to, and the points.
fn verdicts(report: &[u8]) -> Result<BTreeMap<String, String>, Failed> {
    let report: serde_json::Value = serde_json::from_slice(report)?;
    let checks = report["labs"][0]["checks"].as_array().ok_or("no checks")?;
    Ok(checks.iter().map(|check| (check["id"].to_string(), check["verdict"].to_string())).collect())
}

fn killed_grader() -> Result<(), Failed> {
    const KILLS: u64 = 20;
    let lab = ["--lab", LABS[0].0];
    let place = Place::new()?;
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(2_611);
    let mut random = Random::new(seed, "moments");
    let own = |turn: u64| format!("{} {turn}", std::process::id());
    place.make_new(&own(KILLS))?;
    let start = Instant::now();
    let whole = verdicts(&place.grade(&lab)?.wait_with_output()?.stdout)?;
    let life = start.elapsed();
    let (mut interrupted, mut left_behind) = (0, 0);
    for turn in 0..KILLS {
        place.make_new(&own(turn))?;
        // One moment in each twentieth of a life, from the compiler's start to the last check's end.
        let moment = life.mul_f64((turn as f64 + random.range(0, 1000) as f64 / 1000.0) / KILLS as f64);
        let mut grader = place.grade(&lab)?;
        let pid = grader.id();
        let deadline = Instant::now() + moment;
        while Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now()).as_millis().min(1000) as u16;
            let _ = nix::poll::poll(&mut [], left);
        }
        interrupted += u64::from(grader.try_wait()?.is_none());
        grader.kill()?;
        grader.wait()?;
        left_behind += cgroup::left_by(pid).len();
        let clean = place.is_clean();
        clean.map_err(|failed| {
            format!("killed after {moment:?} of {life:?}: {}", failed.message().unwrap_or("?"))
        })?;
        // The same programs, of which some may have been half built.
        let one =
            verdicts(&place.grade(&["--lab", LABS[0].0, "--only", LABS[0].1])?.wait_with_output()?.stdout)?;
        let groups = cgroup::left_by(pid);
        if !groups.is_empty() {
            return Err(format!("the next grader leaves control groups of a killed one: {groups:?}").into());
        }
        if one.values().any(|verdict| verdict != "\"pass\"") || one.is_empty() {
            return Err(format!("after a kill at {moment:?}: {one:?}").into());
        }
    }
    if left_behind == 0 && cgroup::describe().is_ok() {
        return Err(
            "no killed grader left a control group: nothing shows that the next one removes them".into()
        );
    }
    if interrupted < KILLS / 2 {
        return Err(format!("only {interrupted} of {KILLS} graders still ran when they were killed").into());
    }
    let again = verdicts(&place.grade(&lab)?.wait_with_output()?.stdout)?;
    if again != whole {
        return Err(format!("verdicts were {whole:?}, are {again:?}").into());
    }
    place.is_clean()
}

fn killed_fork_server() -> Result<(), Failed> {
    let place = Place::new()?;
    // Builds the programs: afterwards whoever has processes of its own below it is an arena.
    place.grade(&[])?.wait_with_output()?;
    let grader = place.grade(&[])?;
    let deadline = Instant::now() + PATIENCE;
    let arenas =
        |server: &u32| children_of(*server).into_iter().filter(|arena| !children_of(*arena).is_empty());
    let server = loop {
        match children_of(grader.id()).into_iter().find(|server| arenas(server).count() > 2) {
            Some(server) => break server,
            None if Instant::now() > deadline => return Err("no fork server had three arenas".into()),
            None => look_again(),
        }
    };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(server as i32), nix::sys::signal::Signal::SIGKILL)?;
    let output = grader.wait_with_output()?;
    if output.status.code() != Some(0) {
        return Err(String::from_utf8_lossy(&output.stdout).into_owned().into());
    }
    place.is_clean()
}
