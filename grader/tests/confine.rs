//! The compiler's confinement: what honest sources need is there, what hostile ones ask for is not, and each limit is
//! named.

#[path = "arena/docker.rs"]
#[expect(dead_code, reason = "only its filter is needed here")]
mod docker;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use grader::child::{self, Streams};
use grader::fork_server::Role;
use grader::sandbox::Tier;
use grader::sandbox::cgroup::{self, Bounds, Group};
use grader::sandbox::{Bound, CompilePlan, Compiled};
use grader::verdict::Breakdown;
use libtest_mimic::{Arguments, Failed, Trial};

/// The first uid of compilers: not the ordinary user's, and not those of the other tests' arenas. Each has its own, since
/// without namespaces everything of the uid is ended with it.
const UID: u32 = 60_500;
static TURN: AtomicU32 = AtomicU32::new(0);

fn main() -> ExitCode {
    if let Some(code) = grader::fork_server::become_fork_server_if_asked() {
        return code;
    }
    if std::env::args().nth(1).is_some_and(|word| word == WITHOUT_LANDLOCK) {
        return compile_without_landlock();
    }
    let trials: &[(&str, fn())] = &[
        ("honest_program_compiles_and_runs", honest_program_compiles_and_runs),
        ("c_program_compiles_and_runs", c_program_compiles_and_runs),
        ("error_keeps_its_words", error_keeps_its_words),
        ("files_of_the_machine_are_not_there", files_of_the_machine_are_not_there),
        ("compiler_is_not_root_without_need", compiler_is_not_root_without_need),
        ("root_is_no_compiler_without_landlock", root_is_no_compiler_without_landlock),
        ("environment_is_empty", environment_is_empty),
        ("sources_cannot_be_written", sources_cannot_be_written),
        ("there_is_no_network", there_is_no_network),
        ("time_is_limited", time_is_limited),
        ("memory_is_limited", memory_is_limited),
        ("control_group_bounds_memory", control_group_bounds_memory),
        ("messages_are_limited", messages_are_limited),
        ("file_size_is_limited", file_size_is_limited),
        ("links_left_behind_are_removed", links_left_behind_are_removed),
    ];
    let root = nix::unistd::geteuid().is_root();
    let groups = cgroup::describe().and_then(|words| words.contains("memory").then_some(()).ok_or(words));
    let trials = trials.iter().map(|(name, run)| {
        let run = *run;
        // What this machine lacks is named as ignored, not failed.
        let lacked = match *name {
            "control_group_bounds_memory" => groups.as_ref().err().map(String::as_str),
            "compiler_is_not_root_without_need" | "root_is_no_compiler_without_landlock" if !root => {
                Some("only root can try it")
            }
            "compiler_is_not_root_without_need" if grader::sandbox::landlock_version() == 0 => {
                Some("no Landlock")
            }
            _ => None,
        };
        let name = lacked.map_or(name.to_string(), |reason| format!("{name} ({reason})"));
        let test = Trial::test(name, move || {
            run();
            Ok::<(), Failed>(())
        });
        test.with_ignored_flag(lacked.is_some())
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// The directory of one submission: sources and an empty `out`.
struct Bed {
    directory: tempfile::TempDir,
}

impl Bed {
    /// Under root it lies where only root can go.
    fn new(source: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("src/bin")).unwrap();
        fs::create_dir(directory.path().join("out")).unwrap();
        fs::write(directory.path().join("src/bin/program.rs"), source).unwrap();
        fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o700)).unwrap();
        Self { directory }
    }

    fn out(&self) -> PathBuf {
        self.directory.path().join("out")
    }

    fn plan(&self, program: &Path, arguments: &[&str], readable: Vec<PathBuf>) -> CompilePlan {
        CompilePlan {
            tier: tiers()[0],
            uid: UID + TURN.fetch_add(1, Ordering::Relaxed),
            program: program.to_path_buf(),
            arguments: arguments.iter().map(Into::into).collect(),
            env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
            directory: self.directory.path().to_path_buf(),
            readable,
            out: self.out(),
            limits: Default::default(),
            group: None,
        }
    }

    fn rustc(&self, edit: impl FnOnce(&mut CompilePlan)) -> Compiled {
        let sysroot = sysroot();
        let arguments = ["src/bin/program.rs", "--edition=2024", "-o", "out/program", "-Cdebuginfo=0"];
        let mut plan = self.plan(&sysroot.join("bin/rustc"), &arguments, vec![sysroot.clone()]);
        edit(&mut plan);
        run(&plan)
    }

    fn shell(&self, script: &str, edit: impl FnOnce(&mut CompilePlan)) -> Compiled {
        let mut plan = self.plan(Path::new("/bin/sh"), &["-c", script], Vec::new());
        edit(&mut plan);
        run(&plan)
    }
}

/// The tiers that this machine has, the best one first.
fn tiers() -> Vec<Tier> {
    let all = [Tier::A, Tier::B, Tier::C];
    let best = grader::probe::probe().expect("this machine can be probed").tier;
    all.into_iter().skip_while(|tier| *tier != best).collect()
}

fn sysroot() -> PathBuf {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().into()
}

fn run(plan: &CompilePlan) -> Compiled {
    compile(plan).unwrap()
}

fn compile(plan: &CompilePlan) -> Result<Compiled, Breakdown> {
    let (ask, limit) = (plan.ask().unwrap(), Duration::from_secs(300));
    let Ok(output) = child::output(Role::Compiler, &ask, Streams::Piped, limit, 4 << 20) else {
        panic!("no compiler ran to its end");
    };
    plan.result(&output)
}

fn honest_program_compiles_and_runs() {
    for tier in tiers() {
        let bed = Bed::new("fn main() { println!(\"{}\", include_str!(\"program.rs\").len()); }");
        let compiled = bed.rustc(|plan| plan.tier = tier);
        assert!(compiled.status.success(), "{tier:?}: {compiled:?}");
        let output = Command::new(bed.out().join("program")).output().unwrap();
        assert_eq!(output.stdout, b"63\n");
    }
}

fn c_program_compiles_and_runs() {
    let bed = Bed::new("");
    fs::write(bed.directory.path().join("program.c"), "int main(void) { return 7; }").unwrap();
    let compiled = run(&bed.plan(Path::new("/usr/bin/cc"), &["-o", "out/program", "program.c"], Vec::new()));
    assert!(compiled.status.success(), "{compiled:?}");
    assert_eq!(Command::new(bed.out().join("program")).status().unwrap().code(), Some(7));
}

fn error_keeps_its_words() {
    let compiled = Bed::new("fn main() { undefined(); }").rustc(|_| ());
    assert_eq!((compiled.status.code(), compiled.bound), (Some(1), None));
    assert!(compiled.messages.contains("cannot find function `undefined`"), "{compiled:?}");
    assert!(compiled.messages.contains("src/bin/program.rs:1:13"), "{compiled:?}");
}

fn files_of_the_machine_are_not_there() {
    let own = std::env::current_exe().unwrap();
    let home = std::env::var("HOME").unwrap_or_default();
    let walled = |tier: &Tier| *tier != Tier::C || grader::sandbox::landlock_version() > 0;
    for tier in tiers().into_iter().filter(walled) {
        let bashrc = format!("{home}/.bashrc");
        let mut paths = vec!["/etc/shadow", "/etc/hostname", own.to_str().unwrap(), &bashrc];
        // In the others it is a made-up one.
        paths.extend((tier == Tier::C).then_some("/etc/passwd"));
        for path in paths {
            let source = format!("fn main() {{ include_bytes!({path:?}); }}");
            let compiled = Bed::new(&source).rustc(|plan| plan.tier = tier);
            assert_eq!(compiled.status.code(), Some(1), "{path}: {compiled:?}");
            assert!(compiled.messages.contains("couldn't read"), "{path}: {compiled:?}");
        }
    }
}

/// Without namespaces root's files are kept from it by its uid, or, where only root can use the toolchain, by Landlock.
fn compiler_is_not_root_without_need() {
    let uid = |readable: Vec<PathBuf>| {
        let bed = Bed::new("");
        let compiled = bed.shell("id -u", |plan| (plan.tier, plan.readable) = (Tier::C, readable));
        compiled.messages.trim().parse::<u32>().map_err(|_| compiled)
    };
    assert!(uid(Vec::new()).unwrap() >= UID);
    let private = private();
    assert_eq!(uid(vec![private.path().to_path_buf()]).unwrap(), 0);
}

/// What only root can enter.
fn private() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o700)).unwrap();
    directory
}

/// The word that makes this program try a compilation in tier C where Landlock is refused, and print why it breaks down.
const WITHOUT_LANDLOCK: &str = "without-landlock";

fn root_is_no_compiler_without_landlock() {
    let output = Command::new("/proc/self/exe").arg(WITHOUT_LANDLOCK).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("neither namespaces nor Landlock"), "{output:?}");
}

fn compile_without_landlock() -> ExitCode {
    docker::install(BTreeMap::from([(libc::SYS_landlock_create_ruleset, Vec::new())]), libc::ENOSYS);
    let (bed, private) = (Bed::new(""), private());
    let mut plan = bed.plan(Path::new("/bin/sh"), &["-c", "id -u"], vec![private.path().to_path_buf()]);
    plan.tier = Tier::C;
    println!("{:?}", compile(&plan));
    ExitCode::SUCCESS
}

fn environment_is_empty() {
    let bed = Bed::new("");
    let compiled = bed.shell("env | sort", |_| ());
    let variables: Vec<&str> = compiled.messages.lines().filter(|line| line.contains('=')).collect();
    let place = bed.directory.path().display();
    let (working_directory, temporary) = (format!("PWD={place}"), format!("TMPDIR={place}/out"));
    assert_eq!(variables, ["PATH=/usr/local/bin:/usr/bin:/bin", &working_directory, &temporary]);
}

fn sources_cannot_be_written() {
    let bed = Bed::new("");
    let compiled =
        bed.shell("echo x > src/bin/program.rs; echo y > new; echo z > out/fine; touch /usr/x", |_| ());
    let refused = |reason: &str| compiled.messages.matches(reason).count();
    assert_eq!(refused("Read-only") + refused("Permission denied"), 3, "{compiled:?}");
    assert_eq!(fs::read(bed.out().join("fine")).unwrap(), b"z\n");
}

fn there_is_no_network() {
    if !Path::new("/usr/bin/python3").exists() {
        return;
    }
    let script = "import socket\ntry: socket.socket()\nexcept PermissionError: print('refused')";
    let bed = Bed::new("");
    let compiled = run(&bed.plan(Path::new("/usr/bin/python3"), &["-I", "-c", script], Vec::new()));
    assert_eq!(compiled.messages, "refused\n");
}

fn time_is_limited() {
    let source = "const fn f() { let mut n = 0u64; loop { n = n.wrapping_add(1); if n == 1 << 60 { break } } }\n\
        #[expect(long_running_const_eval)] const _: () = f(); fn main() {}";
    let start = std::time::Instant::now();
    let compiled = Bed::new(source).rustc(|plan| plan.limits.seconds = 1);
    assert!(
        matches!(compiled.bound, Some(Bound::Time(1) | Bound::Processor(1))),
        "{compiled:?}: {}",
        compiled.messages
    );
    assert!(start.elapsed() < Duration::from_secs(10));
}

fn memory_is_limited() {
    if !Path::new("/usr/bin/python3").exists() {
        return;
    }
    let script = "a = []\nwhile True: a.append(bytearray(b'x') * (1 << 20))";
    let bed = Bed::new("");
    let mut plan = bed.plan(Path::new("/usr/bin/python3"), &["-I", "-c", script], Vec::new());
    plan.limits.memory = 128 << 20;
    assert_eq!(run(&plan).bound, Some(Bound::Memory(128 << 20)));
}

/// Where the watch would not act yet: the group's bounds are those of the plan, made small.
fn control_group_bounds_memory() {
    if !Path::new("/usr/bin/python3").exists() {
        return;
    }
    let script = "b'x' * (400 << 20)";
    let bed = Bed::new("");
    let mut plan = bed.plan(Path::new("/usr/bin/python3"), &["-I", "-c", script], Vec::new());
    let bounds = Bounds { arena: 64 << 20, programs: 64 << 20, ..plan.limits.group() };
    let group = Group::new(bounds).expect("groups can be made here");
    plan.group = Some(group.entry());
    assert_eq!(run(&plan).bound, Some(Bound::Memory(64 << 20)));
    plan.group = None;
    assert_eq!(run(&plan).bound, None, "the watch lets it be");
}

fn messages_are_limited() {
    let compiled = Bed::new("").shell("yes", |plan| plan.limits.messages = 1000);
    assert!(matches!(compiled.bound, Some(Bound::Output(_))), "{compiled:?}");
    assert_eq!(compiled.messages.len(), 1000);
}

fn file_size_is_limited() {
    let compiled =
        Bed::new("").shell("exec head -c 3M /dev/zero > out/large", |plan| plan.limits.file_size = 1 << 20);
    assert_eq!(compiled.bound, Some(Bound::FileSize(1 << 20)), "{compiled:?}");
}

fn links_left_behind_are_removed() {
    let bed = Bed::new("");
    let compiled =
        bed.shell("ln -s /etc/shadow out/link; mkfifo out/pipe; mkdir out/below; echo x > out/file", |_| ());
    assert!(compiled.status.success(), "{compiled:?}");
    let left: Vec<_> = fs::read_dir(bed.out()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["file"]);
}
