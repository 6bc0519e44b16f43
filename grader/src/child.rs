//! Child processes of the grader: forked by the [fork server](crate::fork_server), bounded in time and output, and gone
//! when the grader goes.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, Shutdown, SockFlag, SockType, recv, sendmsg, shutdown,
    socketpair,
};
use nix::unistd::{Pid, pipe2};

use crate::fork_server::{FORK_SERVER, Role};
use crate::verdict::Breakdown;

/// What must not outlive the grader.
struct Ours {
    server: Option<Server>,
    directories: Vec<PathBuf>,
}

/// The running fork server, and the grader's end of its control socket.
struct Server {
    child: Child,
    control: OwnedFd,
}

static OURS: Mutex<Ours> = Mutex::new(Ours { server: None, directories: Vec::new() });

fn ours() -> MutexGuard<'static, Ours> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has a directory removed when a signal ends the grader.
pub fn remove_at_end(directory: &Path) {
    ours().directories.push(directory.to_path_buf());
}

/// From now on SIGINT, SIGTERM and SIGHUP end the grader with everything that it started; whichever of them was ignored
/// (by nohup, or by a shell in the background) still is. Call it while there is only one thread.
pub fn end_all_on_signals() {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        if !is_ignored(signal) {
            signals.add(signal);
        }
    }
    if signals.thread_block().is_err() {
        return;
    }
    std::thread::spawn(move || {
        let Ok(signal) = signals.wait() else { return };
        // The lock is kept: nothing can be started after this.
        let ours = ours();
        if let Some(server) = &ours.server {
            // Its children ask to die with it.
            let _ = kill(pid_of(&server.child), Signal::SIGKILL);
        }
        crate::sandbox::cgroup::remove_all();
        for directory in &ours.directories {
            let _ = std::fs::remove_dir_all(directory);
        }
        eprintln!("\nended by {signal}: nothing is left running");
        let _ = nix::sys::signal::raise(signal);
        let _ = signals.thread_unblock();
        std::process::abort();
    });
}

fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal as i32 - 1)) != 0
}

/// Ends the fork server, which has no child any more, and waits for its end: what it used counts as used by the grader.
pub fn end_fork_server() {
    if let Some(server) = ours().server.take() {
        server.end();
    }
}

/// Why a child's output is not to be had.
pub enum Stopped {
    /// It could not be started or read.
    System(io::Error),
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

impl Server {
    fn start() -> io::Result<Self> {
        let (control, other_end) = line()?;
        let child = Command::new("/proc/self/exe")
            .arg(FORK_SERVER)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::from(other_end))
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { child, control })
    }

    /// Asks for a child of that role with these for stdin, stdout, stderr and line.
    fn ask(&self, role: Role, files: &[OwnedFd; 4]) -> nix::Result<()> {
        let numbers = files.each_ref().map(AsRawFd::as_raw_fd);
        let rights = [ControlMessage::ScmRights(&numbers)];
        let name = [role as u8];
        let flags = MsgFlags::MSG_NOSIGNAL;
        sendmsg::<()>(self.control.as_raw_fd(), &[IoSlice::new(&name)], &rights, flags, None).map(drop)
    }

    fn end(mut self) {
        drop(self.control);
        let _ = self.child.wait();
    }
}

/// Has the fork server, which is started if there is none, fork a child.
fn ask_for(role: Role, files: &[OwnedFd; 4]) -> io::Result<()> {
    let mut ours = ours();
    if let Some(server) = &ours.server {
        match server.ask(role, files) {
            Ok(()) => return Ok(()),
            // Somebody killed it: a new one is to be had.
            Err(_) => ours.server.take().into_iter().for_each(Server::end),
        }
    }
    let server = ours.server.insert(Server::start()?);
    Ok(server.ask(role, files)?)
}

/// Two ends that carry whole messages.
fn line() -> nix::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
}

/// The grader's end of a child's line. Dropping it ends the child, if it runs, and waits for its end.
struct Line(OwnedFd);

impl Line {
    /// Waits for the child's end.
    fn status(&self) -> io::Result<ExitStatus> {
        let mut status = [0; 4];
        loop {
            match recv(self.0.as_raw_fd(), &mut status, MsgFlags::empty()) {
                Ok(4) => return Ok(ExitStatus::from_raw(i32::from_ne_bytes(status))),
                Err(Errno::EINTR) => {}
                Ok(_) => return Err(io::Error::other("the fork server has ended, or could not fork")),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if shutdown(self.0.as_raw_fd(), Shutdown::Write).is_ok() {
            let _ = self.status();
        }
    }
}

/// Where a child's stdout and stderr go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// To whoever asked for the child.
    Piped,
    /// Where the grader's own go.
    Inherited,
}

/// Runs a child of that role, which is asked `input`, to its end. Of stderr only the first `keep` bytes are kept; a
/// stdout that is longer is an error.
pub fn output(
    role: Role,
    input: &[u8],
    streams: Streams,
    limit: Duration,
    keep: usize,
) -> Result<Output, Stopped> {
    let deadline = Instant::now() + limit;
    let (line, mut pipes) = start(role, input, streams).map_err(Stopped::System)?;
    let mut texts = [Vec::new(), Vec::new()];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Stopped::TooLong(limit));
        }
        let ready = ready(&pipes, &line, left).map_err(|error| Stopped::System(error.into()))?;
        if ready.contains(&LINE) {
            break;
        }
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
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Stopped::System(error)),
            }
        }
    }
    let status = line.status().map_err(Stopped::System)?;
    let [stdout, stderr] = texts;
    Ok(Output { status, stdout, stderr })
}

/// Starts a child and gives it its input; comes back with its line and the pipes from it.
fn start(role: Role, input: &[u8], streams: Streams) -> io::Result<(Line, [Option<File>; 2])> {
    let (line, line_end) = line()?;
    let (stdin_end, stdin) = pipe2(OFlag::O_CLOEXEC)?;
    let (pipes, stdout_end, stderr_end) = match streams {
        Streams::Piped => {
            let (stdout, stdout_end) = pipe2(OFlag::O_CLOEXEC)?;
            let (stderr, stderr_end) = pipe2(OFlag::O_CLOEXEC)?;
            ([Some(File::from(stdout)), Some(File::from(stderr))], stdout_end, stderr_end)
        }
        Streams::Inherited => {
            let stdout = io::stdout().as_fd().try_clone_to_owned()?;
            ([None, None], stdout, io::stderr().as_fd().try_clone_to_owned()?)
        }
    };
    let line = Line(line);
    // Our copies go at once: the other ends close when the child's do.
    ask_for(role, &[stdin_end, stdout_end, stderr_end, line_end])?;
    // A child that ends before it has read everything shows that by its answer.
    let _ = File::from(stdin).write_all(input);
    Ok((line, pipes))
}

/// What [`ready`] calls the line.
const LINE: usize = 2;

/// Which of the pipes have something to read or have ended, or, when all have, whether the line has.
fn ready(pipes: &[Option<File>; 2], line: &Line, left: Duration) -> nix::Result<Vec<usize>> {
    let open = pipes.iter().enumerate().filter_map(|(at, pipe)| Some((at, pipe.as_ref()?.as_fd())));
    let mut awaited: Vec<(usize, BorrowedFd<'_>)> = open.collect();
    if awaited.is_empty() {
        awaited.push((LINE, line.0.as_fd()));
    }
    let mut polled: Vec<PollFd<'_>> =
        awaited.iter().map(|(_, descriptor)| PollFd::new(*descriptor, PollFlags::POLLIN)).collect();
    let timeout = PollTimeout::try_from(left.min(Duration::from_secs(60))).unwrap_or(PollTimeout::MAX);
    match poll(&mut polled, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error),
    }
    let ready = awaited.iter().zip(&polled).filter(|(_, polled)| polled.any().unwrap_or(false));
    Ok(ready.map(|((at, _), _)| *at).collect())
}
