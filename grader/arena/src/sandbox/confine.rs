//! Confines the compiler: a submission's sources may make it read any file that it can reach (`include_str!`), and
//! compute for ever. So a child of the fork server is an arena for one compiler run, asked on stdin and answering on
//! stdout.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Output};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, geteuid};
use serde::{Deserialize, Serialize};

use super::cgroup::{Bounds, Entry};
use super::tree::{Place, spawn_in};
use super::{Bound, Limits, Plan, enter_arena, landlock_version};
use crate::sandbox::Tier;
use crate::verdict::Breakdown;

/// One run of a compiler.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompilePlan {
    /// How to isolate.
    pub tier: Tier,
    /// The uid and gid that a root grader gives the compiler.
    pub uid: u32,
    /// The compiler's executable.
    pub program: PathBuf,
    /// Its arguments, `argv[0]` left out.
    pub arguments: Vec<OsString>,
    /// Its environment; TMPDIR, which is `out`, is added.
    pub env: Vec<(OsString, OsString)>,
    /// Where it runs: a directory of the grader's for this run alone, with the sources. It may read there.
    pub directory: PathBuf,
    /// What else it may read: the toolchain, the libraries. `/usr` is always there.
    pub readable: Vec<PathBuf>,
    /// The one directory in which it may write, below `directory`; it exists and is empty.
    pub out: PathBuf,
    /// Its bounds.
    pub limits: CompileLimits,
    /// The control group to run in; it must be there until [`CompilePlan::result`].
    pub group: Option<Entry>,
}

/// Bounds of one run of a compiler, and of all that it starts.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CompileLimits {
    /// Wall-clock seconds.
    pub seconds: u64,
    /// Resident memory in bytes.
    pub memory: u64,
    /// Size of one file that it writes, in bytes.
    pub file_size: u64,
    /// Bytes of its messages that are kept; beyond a hundred times as many it is ended.
    pub messages: usize,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { seconds: 120, memory: 1 << 30, file_size: 256 << 20, messages: 64 << 10 }
    }
}

impl CompileLimits {
    /// The bounds of its control group.
    pub fn group(&self) -> Bounds {
        Bounds::of(&self.of_a_program())
    }

    fn of_a_program(&self) -> Limits {
        Limits {
            processes: PROCESSES,
            descriptors: (1024, 4096),
            memory: ADDRESS_SPACE,
            resident: self.memory,
            file_size: self.file_size,
            cpu: self.seconds,
        }
    }
}

/// Address space of the compiler: it maps far more than it touches.
const ADDRESS_SPACE: u64 = 8 << 30;
const PROCESSES: u64 = 128;
/// See [`CompileLimits::messages`].
const ENDLESS: usize = 100;
const PERIOD_MS: u16 = 100;

/// How a compiler ended.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// As it would have been without confinement.
    pub status: ExitStatus,
    /// What it said on stdout and stderr.
    pub messages: String,
    /// The bound that ended it, if one did. Display says it in a student's words.
    pub bound: Option<Bound>,
}

/// What the confined side answers.
#[derive(Serialize, Deserialize)]
enum Answer {
    Compiled { status: i32, messages: String, bound: Option<Bound> },
    Broke(Breakdown),
}

impl CompilePlan {
    /// What to ask a child that confines it. Its stdout is for [`CompilePlan::result`].
    pub fn ask(&self) -> Result<Vec<u8>, Breakdown> {
        if geteuid().is_root() && !self.keeps_root() {
            give(&self.directory, self.uid)
                .map_err(|error| Breakdown::system("cannot give the compiler its directory", error))?;
        }
        serde_json::to_vec(self).map_err(|error| Breakdown::system("cannot ask for a compiler", error))
    }

    /// What its output means. What the compiler left behind belongs to the grader from now on; whatever is not a plain
    /// file is removed.
    pub fn result(&self, output: &Output) -> Result<Compiled, Breakdown> {
        self.take_back().map_err(|error| Breakdown::system("cannot collect what was compiled", error))?;
        match serde_json::from_slice(&output.stdout) {
            Ok(Answer::Compiled { status, messages, bound }) => {
                Ok(Compiled { status: ExitStatus::from_raw(status), messages, bound })
            }
            Ok(Answer::Broke(breakdown)) => Err(breakdown),
            Err(_) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let what = format!("the compiler's sandbox ended with {}: {said}", output.status);
                Err(Breakdown::new(what, "grade again"))
            }
        }
    }

    /// Whether a root grader's compiler must stay root: without namespaces nothing can be mounted, so a toolchain in root's
    /// own home is closed to everybody else.
    fn keeps_root(&self) -> bool {
        let paths = self.readable.iter().map(|path| path.join("file"));
        let mut paths = paths.chain([self.program.clone(), self.directory.clone()]);
        self.tier == Tier::C && !paths.all(|path| reachable(&path))
    }

    fn take_back(&self) -> io::Result<()> {
        let owner = geteuid().is_root().then_some(0);
        for entry in fs::read_dir(&self.out)? {
            let path = entry?.path();
            let meta = fs::symlink_metadata(&path)?;
            if meta.is_dir() {
                fs::remove_dir_all(&path)?;
            } else if !meta.is_file() || meta.nlink() != 1 {
                fs::remove_file(&path)?;
            } else if owner.is_some() {
                lchown(&path, owner, owner)?;
            }
        }
        if owner.is_some() { lchown(&self.out, owner, owner) } else { Ok(()) }
    }
}

/// Whether every directory above `path` lets any user through, so that another uid can reach it.
pub fn reachable(path: &Path) -> bool {
    path.ancestors().skip(1).all(|above| {
        fs::metadata(above).map(|found| found.permissions().mode() & 0o001 != 0).unwrap_or(false)
    })
}

/// Makes a tree of files belong to `uid`, so that it can be read there whatever the grader's umask is.
fn give(path: &Path, uid: u32) -> io::Result<()> {
    lchown(path, Some(uid), Some(uid))?;
    if !fs::symlink_metadata(path)?.is_dir() {
        return Ok(());
    }
    fs::read_dir(path)?.try_for_each(|entry| give(&entry?.path(), uid))
}

/// The whole life of a child that confines a compiler: reads a [`CompilePlan`] from stdin, writes the answer to stdout.
pub fn confine() -> ExitCode {
    let mut ask = Vec::new();
    let plan =
        io::stdin().read_to_end(&mut ask).and_then(|_| Ok(serde_json::from_slice::<CompilePlan>(&ask)?));
    let plan = plan.map_err(|error| Breakdown::system("the compiler's sandbox understands nothing", error));
    let answer = plan.and_then(|plan| run(&plan)).unwrap_or_else(Answer::Broke);
    let written = serde_json::to_vec(&answer).map_err(io::Error::from);
    let written = written.and_then(|bytes| io::stdout().write_all(&bytes));
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(plan: &CompilePlan) -> Result<Answer, Breakdown> {
    let keep_uid = plan.keeps_root();
    if keep_uid && geteuid().is_root() && landlock_version() == 0 {
        return Err(Breakdown::new(
            format!(
                "this machine has neither namespaces nor Landlock to keep a compiler from root's files, and {} can only \
                 be used by root",
                plan.program.display()
            ),
            "install the toolchain where every user can read it, or run `cargo xtask doctor`, which says what allows \
             namespaces",
        ));
    }
    // While root is still root: the toolchain may lie below a home that the compiler's own uid cannot enter.
    let paths = plan.readable.iter().chain([&plan.directory, &plan.out]);
    let trees = paths.filter_map(|path| Some((path.clone(), open_tree(path)?))).collect();
    let arena = enter_arena(plan.tier, plan.uid, plan.group.as_ref())?;
    let (messages, writer) = nix::unistd::pipe().map_err(|error| Breakdown::system("pipe", error))?;
    let null =
        fs::File::open("/dev/null").map_err(|error| Breakdown::system("cannot open /dev/null", error))?;
    let stdout = writer.try_clone().map_err(|error| Breakdown::system("dup", error))?;
    let mut argv = vec![plan.program.clone().into_os_string()];
    argv.extend(plan.arguments.iter().cloned());
    let mut env = plan.env.clone();
    env.retain(|(name, _)| name != "TMPDIR");
    env.push(("TMPDIR".into(), plan.out.clone().into_os_string()));
    let whole = Plan {
        arena,
        program: plan.program.clone(),
        argv,
        env,
        readable: plan.readable.clone(),
        stdio: [null.into(), stdout, writer],
        limits: plan.limits.of_a_program(),
        net_raw: false,
        ignored_signals: Vec::new(),
        traced_calls: Vec::new(),
        names: Vec::new(),
        wait_for_orphans: false,
    };
    let place = Place {
        trees,
        directory: Some(plan.directory.clone()),
        writable: Some(plan.out.clone()),
        no_sockets: true,
        keep_uid,
    };
    let tree = spawn_in(whole, place)?;
    tree.release()?;
    let (messages, bound) = relay(&tree, messages, plan.limits)?;
    let _ = waitpid(Pid::from_raw(tree.init_pid), Some(WaitPidFlag::__WALL));
    let report =
        tree.report()?.ok_or_else(|| Breakdown::new("init ended without a report", "grade again"))?;
    let messages = String::from_utf8_lossy(&messages).into_owned();
    Ok(Answer::Compiled { status: report.status, messages, bound: bound.or(report.bound) })
}

/// Reads the compiler's messages until it ends or must be ended.
fn relay(
    tree: &super::Tree,
    messages: OwnedFd,
    limits: CompileLimits,
) -> Result<(Vec<u8>, Option<Bound>), Breakdown> {
    let deadline = Instant::now() + Duration::from_secs(limits.seconds);
    let mut messages = fs::File::from(messages);
    let (mut kept, mut read, mut chunk) = (Vec::new(), 0, vec![0; 64 << 10]);
    loop {
        let mut ready = [PollFd::new(messages.as_fd(), PollFlags::POLLIN)];
        poll(&mut ready, PollTimeout::from(PERIOD_MS)).map_err(|error| Breakdown::system("poll", error))?;
        if ready[0].any() == Some(true) {
            let length = messages.read(&mut chunk).map_err(|error| Breakdown::system("read", error))?;
            if length == 0 {
                return Ok((kept, None));
            }
            read += length;
            kept.extend_from_slice(&chunk[..length.min(limits.messages.saturating_sub(kept.len()))]);
        }
        let bound = if read > limits.messages.saturating_mul(ENDLESS) {
            Bound::Output(read as u64)
        } else if Instant::now() >= deadline {
            Bound::Time(limits.seconds)
        } else {
            continue;
        };
        tree.kill();
        return Ok((kept, Some(bound)));
    }
}

/// A mount of its own of what lies at `path`, if this process may make one: only root may.
fn open_tree(path: &Path) -> Option<OwnedFd> {
    if !path.is_dir() {
        return None;
    }
    let path = std::ffi::CString::new(fs::canonicalize(path).ok()?.as_os_str().as_bytes()).ok()?;
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_RECURSIVE as u32;
    // SAFETY: `path` is a C string that lives through the call.
    let tree = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    // SAFETY: the call has just made this descriptor.
    (tree >= 0).then(|| unsafe { OwnedFd::from_raw_fd(tree as i32) })
}
