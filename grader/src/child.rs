//! Child processes of the grader: bounded in time and output, and gone when the grader goes.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::verdict::Breakdown;

/// What must not outlive the grader.
struct Ours {
    children: BTreeSet<i32>,
    directories: Vec<PathBuf>,
}

static OURS: Mutex<Ours> = Mutex::new(Ours { children: BTreeSet::new(), directories: Vec::new() });

fn ours() -> MutexGuard<'static, Ours> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has a directory removed when a signal ends the grader.
pub fn remove_at_end(directory: &Path) {
    ours().directories.push(directory.to_path_buf());
}

/// From now on SIGINT, SIGTERM and SIGHUP end the grader with everything that it started. Call it while there is only
/// one thread.
pub fn end_all_on_signals() {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    if signals.thread_block().is_err() {
        return;
    }
    std::thread::spawn(move || {
        let Ok(signal) = signals.wait() else { return };
        // The lock is kept: no child can be added after this.
        let ours = ours();
        for pid in &ours.children {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        for directory in &ours.directories {
            let _ = std::fs::remove_dir_all(directory);
        }
        eprintln!("\nended by {signal}: nothing is left running");
        let _ = nix::sys::signal::raise(signal);
        let _ = signals.thread_unblock();
        std::process::abort();
    });
}

/// Why a child's output is not to be had.
pub enum Stopped {
    /// It could not be started or read.
    System(std::io::Error),
    /// It took longer than it may.
    TooLong(Duration),
    /// It wrote more than it may.
    TooMuch(usize),
}

impl Stopped {
    /// The breakdown that this is; `who` says what was started.
    pub fn breakdown(&self, who: &str) -> Breakdown {
        match self {
            Self::System(error) => Breakdown::system(format!("cannot run {who}"), error),
            Self::TooLong(limit) => {
                let what = format!("{who} took more than {} s and was ended", limit.as_secs());
                Breakdown::new(what, "grade again while the machine is less busy")
            }
            Self::TooMuch(limit) => {
                Breakdown::new(format!("{who} wrote more than {limit} bytes"), "grade this check alone")
            }
        }
    }
}

fn pid_of(child: &Child) -> Pid {
    // The kernel's pids are positive numbers of this type; std shows them as unsigned.
    Pid::from_raw(child.id() as i32)
}

/// A child that is killed and reaped when it is dropped.
struct Guard {
    child: Child,
}

impl Guard {
    fn start(command: &mut Command) -> std::io::Result<Self> {
        let mut ours = ours();
        let child = command.spawn()?;
        ours.children.insert(pid_of(&child).as_raw());
        Ok(Self { child })
    }

    /// Waits for its end; from then on its pid means nothing.
    fn reap(&mut self) -> std::io::Result<ExitStatus> {
        nix::sys::wait::waitid(
            nix::sys::wait::Id::Pid(pid_of(&self.child)),
            nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT,
        )?;
        ours().children.remove(&pid_of(&self.child).as_raw());
        self.child.wait()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.reap();
    }
}

/// Runs a command whose stdout and stderr are piped (and stdin, if there is `input`) to its end. Of stderr only the
/// first `keep` bytes are kept; a stdout that is longer is an error. Its signal mask is empty.
pub fn output(
    mut command: Command,
    input: Option<&[u8]>,
    limit: Duration,
    keep: usize,
) -> Result<Output, Stopped> {
    let deadline = Instant::now() + limit;
    let mut guard = Guard::start(&mut command).map_err(Stopped::System)?;
    if let (Some(input), Some(mut pipe)) = (input, guard.child.stdin.take()) {
        // A child that ends before it has read everything shows that by its answer.
        let _ = pipe.write_all(input);
    }
    let mut pipes = [
        guard.child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Pipe>),
        guard.child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Pipe>),
    ];
    let mut texts = [Vec::new(), Vec::new()];
    while pipes.iter().any(Option::is_some) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Stopped::TooLong(limit));
        }
        let ready = ready_pipes(&pipes, left).map_err(|error| Stopped::System(error.into()))?;
        for at in ready {
            let mut chunk = [0; 16 << 10];
            let Some(pipe) = &mut pipes[at] else { continue };
            match pipe.read(&mut chunk) {
                Ok(0) => pipes[at] = None,
                Ok(count) if at == 0 && texts[0].len() + count > keep => return Err(Stopped::TooMuch(keep)),
                Ok(count) => {
                    let room = keep.saturating_sub(texts[at].len());
                    texts[at].extend_from_slice(&chunk[..count.min(room)]);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Stopped::System(error)),
            }
        }
    }
    let status = guard.reap().map_err(Stopped::System)?;
    let [stdout, stderr] = texts;
    Ok(Output { status, stdout, stderr })
}

trait Pipe: Read + AsFd {}
impl<T: Read + AsFd> Pipe for T {}

/// Which of the pipes have something to read or have ended.
fn ready_pipes(pipes: &[Option<Box<dyn Pipe>>; 2], left: Duration) -> nix::Result<Vec<usize>> {
    let open: Vec<usize> = (0..2).filter(|at| pipes[*at].is_some()).collect();
    let mut waiting: Vec<PollFd<'_>> =
        pipes.iter().flatten().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)).collect();
    let timeout = PollTimeout::try_from(left.min(Duration::from_secs(60))).unwrap_or(PollTimeout::MAX);
    match poll(&mut waiting, timeout) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(error) => return Err(error),
    }
    let ready = waiting.iter().map(|waited| waited.any().unwrap_or(false));
    Ok(open.into_iter().zip(ready).filter(|(_, ready)| *ready).map(|(at, _)| at).collect())
}
