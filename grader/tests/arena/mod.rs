//! Runs trials in arenas: the test program starts itself once for each trial and tier, as it is and, under root, also as
//! an ordinary user.

#![expect(dead_code, reason = "each test program uses its own part")]

pub mod docker;

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock};

use grader::sandbox::Tier;
use grader::sandbox::cgroup::Entry;
use grader::sandbox::{self, Arena, Limits, Plan, Report, Tree};
use grader::verdict::Breakdown;
use libtest_mimic::{Arguments, Failed};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

/// The uids of arenas that root starts, and of the ordinary users that the trials also run as: one for each trial, since
/// without namespaces the limit of processes counts all of the user's.
const DEDICATED: u32 = 59_000;
const ORDINARY: u32 = 60_000;
/// The trials that count processes. Where all run as one user without namespaces, the others stand aside for them.
const COUNTING: &[&str] = &["processes_are_limited", "threads_are_limited"];
/// The variable that tells a trial of the control group to run in.
pub const GROUP: &str = "TRIAL_GROUP";

/// A function to run in an arena; it panics where it fails.
#[derive(Clone, Copy)]
pub struct Trial {
    /// Its name.
    pub name: &'static str,
    /// What it tries.
    pub run: fn(Arena),
}

/// Every tier.
pub const EVERYWHERE: &[Tier] = &[Tier::A, Tier::B, Tier::C];
/// The tiers that have namespaces.
pub const NAMESPACES: &[Tier] = &[Tier::A, Tier::B];
/// The tier that has a /proc of its own, too.
pub const FULL: &[Tier] = &[Tier::A];

/// Trials and the tiers in which they make sense.
pub type Group<'a> = (&'a [Tier], &'a [Trial]);

/// Runs every trial in the full tier; call it from `main`.
pub fn main(trials: &[Trial]) -> ExitCode {
    main_in(&[(FULL, trials)])
}

/// Runs every trial in the tiers of its group; call it from `main`.
pub fn main_in(groups: &[Group<'_>]) -> ExitCode {
    main_with(groups, Vec::new())
}

/// The same, with tests that run in no arena.
pub fn main_with(groups: &[Group<'_>], outside: Vec<libtest_mimic::Trial>) -> ExitCode {
    if let Some(code) = grader::fork_server::become_fork_server_if_asked() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, arena, name, tier, uid] = arguments.as_slice() {
        if arena == "arena" {
            let mut trials = groups.iter().flat_map(|(_, trials)| trials.iter());
            let trial = trials.find(|trial| trial.name == *name).expect("a known trial");
            let tier = match tier.as_str() {
                "A" => Tier::A,
                "B" => Tier::B,
                _ => {
                    docker::imitate();
                    Tier::C
                }
            };
            let uid = uid.parse().expect("a uid");
            let group = group();
            (trial.run)(sandbox::enter_arena(tier, uid, group.as_ref()).expect("an arena"));
            return ExitCode::SUCCESS;
        }
    }
    // What this machine lacks is named as ignored, not failed.
    let has = grader::probe::probe().expect("this machine can be probed").tier;
    let lacks = |tier: Tier| tier != Tier::C && (has == Tier::C || (has == Tier::B && tier == Tier::A));
    let root = nix::unistd::geteuid().is_root();
    let users: &[bool] = if root { &[false, true] } else { &[false] };
    let mut ordinary = ORDINARY..;
    let mut tests = outside;
    for (tiers, trials) in groups {
        for (trial, tier, user) in trials.iter().flat_map(|trial| {
            tiers.iter().flat_map(move |tier| users.iter().map(move |user| (trial, tier, user)))
        }) {
            let lacked = lacks(*tier);
            let counts = !root && *tier == Tier::C && COUNTING.contains(&trial.name);
            let user = if *user { ordinary.next() } else { None };
            let (name, tier) = (trial.name, format!("{tier:?}"));
            let who = if user.is_some() { " (ordinary user)" } else { "" };
            let title = format!("{name} in {tier}{who}");
            let run = move || execute(name, &tier, user);
            let test = if counts { test_alone(title, run) } else { test(title, run) };
            tests.push(test.with_ignored_flag(lacked));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

/// Held for reading by every test, for writing by one that must be alone.
static TURN: RwLock<()> = RwLock::new(());

/// A test that may run beside others.
pub fn test(
    name: impl Into<String>,
    run: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> libtest_mimic::Trial {
    libtest_mimic::Trial::test(name, move || {
        let _turn = TURN.read().unwrap_or_else(PoisonError::into_inner);
        run()
    })
}

fn test_alone(
    name: String,
    run: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> libtest_mimic::Trial {
    libtest_mimic::Trial::test(name, move || {
        let _turn = TURN.write().unwrap_or_else(PoisonError::into_inner);
        run()
    })
}

/// Whether Landlock here keeps signals and abstract sockets within a program (Linux 6.12).
pub fn landlock_has_scopes() -> bool {
    sandbox::landlock_version() >= 6
}

/// The control group that this trial was told to run in.
pub fn group() -> Option<Entry> {
    std::env::var(GROUP).ok().map(|entry| serde_json::from_str(&entry).expect("a group"))
}

/// Runs a trial in an arena that is in a control group.
pub fn execute_in(group: &Entry, name: &str, tier: Tier) -> Result<(), Failed> {
    let mut command = command(name, &format!("{tier:?}"));
    command.env(GROUP, serde_json::to_string(group)?);
    judge(&mut command)
}

fn execute(name: &str, tier: &str, uid: Option<u32>) -> Result<(), Failed> {
    let mut command = command(name, tier);
    if let Some(uid) = uid {
        use std::os::unix::process::CommandExt;
        command.uid(uid).gid(uid);
    }
    judge(&mut command)
}

/// The command that runs a trial in an arena.
pub fn command(name: &str, tier: &str) -> Command {
    // In tier C everything of the uid is killed at the end: no other arena may have it then.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let uid = DEDICATED + (std::process::id() + NEXT.fetch_add(1, Ordering::Relaxed)) % 1000;
    // Another uid may not reach this file where it lies, but may execute what is running.
    let mut command = Command::new("/proc/self/exe");
    command.args(["arena", name, tier, &uid.to_string()]).stdin(Stdio::null()).env("RUST_BACKTRACE", "0");
    command
}

fn judge(command: &mut Command) -> Result<(), Failed> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{}\n{text}", output.status).into())
}

/// A started program with its output pipes.
pub struct Started {
    pub tree: Tree,
    output: OwnedFd,
    errors: OwnedFd,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    pub status: i32,
    pub report: Report,
    pub output: String,
    pub errors: String,
}

/// Runs a shell script to its end.
pub fn shell(arena: Arena, script: &str) -> Ended {
    run(arena, |_| (), script)
}

/// The same, with an edited plan.
pub fn run(arena: Arena, edit: impl FnOnce(&mut Plan), script: &str) -> Ended {
    start(arena, edit, script).end()
}

/// Starts a shell script.
pub fn start(arena: Arena, edit: impl FnOnce(&mut Plan), script: &str) -> Started {
    start_program(arena, edit, Path::new("/bin/sh"), &["sh", "-c", script])
}

/// Starts a program and releases it.
pub fn start_program(arena: Arena, edit: impl FnOnce(&mut Plan), program: &Path, argv: &[&str]) -> Started {
    let (output, output_writer) = nix::unistd::pipe().unwrap();
    let (errors, errors_writer) = nix::unistd::pipe().unwrap();
    let mut plan = Plan {
        arena,
        program: program.to_path_buf(),
        argv: argv.iter().map(Into::into).collect(),
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        readable: Vec::new(),
        stdio: [std::fs::File::open("/dev/null").unwrap().into(), output_writer, errors_writer],
        limits: Limits::default(),
        net_raw: false,
        ignored_signals: Vec::new(),
        traced_calls: Vec::new(),
        names: Vec::new(),
        wait_for_orphans: false,
    };
    edit(&mut plan);
    let tree = sandbox::spawn(plan).expect("a tree");
    tree.release().unwrap();
    Started { tree, output, errors }
}

impl Started {
    /// Reads until the output begins with `text`.
    pub fn wait_for_output(&self, text: &str) {
        let mut seen = Vec::new();
        let mut byte = [0];
        while !seen.ends_with(text.as_bytes()) {
            assert_eq!(nix::unistd::read(self.output.as_fd(), &mut byte).unwrap(), 1, "no {text:?}");
            seen.push(byte[0]);
        }
    }

    /// Waits for the end of the tree.
    pub fn end(self) -> Ended {
        let Self { tree, output, errors } = self;
        let [output, errors] = [output, errors].map(read_all);
        waitpid(Pid::from_raw(tree.init_pid), None).unwrap();
        let report = tree.report().unwrap().unwrap();
        Ended { status: report.status, report, output, errors }
    }

    /// Waits for a program that cannot be started.
    pub fn breakdown(self) -> Breakdown {
        waitpid(Pid::from_raw(self.tree.init_pid), None).unwrap();
        self.tree.report().unwrap_err()
    }
}

fn read_all(pipe: OwnedFd) -> String {
    let mut bytes = Vec::new();
    std::fs::File::from(pipe).read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
