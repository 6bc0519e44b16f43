//! `pipeline`: runs commands joined by pipes, as a shell does for `ls ~ | grep "^d" | wc -l`, without a shell.
//!
//! Each stage is a child of this program. Between two stages lies a pipe: the left one's stdout is its write end, the
//! right one's stdin its read end. A reader meets the end of its input only when *no* process has the write end open
//! any more, so everybody closes what it does not use.

use std::ffi::OsString;
use std::process::ExitCode;

// solution:
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stdin, dup2_stdout, execvp, fork, pipe2};
use std::ffi::CString;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
// :solution

const USAGE: &str = "usage: pipeline [CMD [ARG]... ['|' CMD [ARG]...]...]";

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    // solution: todo!("split {words:?} into stages and run them; where a stage is empty, print: {USAGE}")
    match run(words) {
        Ok(status) => ExitCode::from(status),
        Err(problem) => {
            // Nobody is left to be told when even stderr cannot be written.
            let _ = writeln!(io::stderr(), "{}", problem.message);
            ExitCode::from(problem.status)
        }
    }
    // :solution
}
// solution:

/// Why the program ends without the last stage's status.
struct Problem {
    message: String,
    status: u8,
}

impl Problem {
    /// The command line makes no sense.
    fn usage(problem: &str) -> Self {
        Self { message: format!("{problem}\n{USAGE}"), status: 2 }
    }

    /// The system refused `operation`.
    fn refused(operation: &str, errno: Errno) -> Self {
        Self { message: format!("pipeline: cannot {operation}: {}", errno.desc()), status: 1 }
    }
}

/// Runs the stages that `words` stand for and returns the exit status of the last one.
fn run(words: Vec<OsString>) -> Result<u8, Problem> {
    let words = if words.is_empty() { course_example()? } else { words };
    let stages = split(words)?;

    // Whoever started this program may have it ignore SIGCHLD; then no child would leave a status.
    // SAFETY: no handler is installed, so no code of ours will run at an unexpected moment.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }
        .map_err(|errno| Problem::refused("reset SIGCHLD", errno))?;

    let mut children = Vec::new();
    let started = start(&stages, &mut children);

    // Also after a refusal: the stages that run are awaited, so that none is left behind as a zombie.
    let mut last_status = 0;
    for child in children {
        last_status = wait_for(child)?;
    }
    started.map(|()| last_status)
}

/// The words of `ls ~ | grep "^d" | wc -l`. A shell puts the home directory in the place of `~` and drops the quotes.
fn course_example() -> Result<Vec<OsString>, Problem> {
    let Some(home) = std::env::var_os("HOME") else {
        return Err(Problem { message: "pipeline: HOME is not set".to_string(), status: 1 });
    };
    Ok(vec!["ls".into(), home, "|".into(), "grep".into(), "^d".into(), "|".into(), "wc".into(), "-l".into()])
}

/// One stage: the command and its arguments, in the form in which the system takes them.
type Stage = Vec<CString>;

/// Splits the words at every `|` that stands alone. A stage without a command is a usage error.
fn split(words: Vec<OsString>) -> Result<Vec<Stage>, Problem> {
    let mut stages = vec![Stage::new()];
    for word in words {
        if word == "|" {
            stages.push(Stage::new());
        } else if let Some(stage) = stages.last_mut() {
            let word =
                CString::new(word.into_vec()).map_err(|_| Problem::usage("an argument holds a zero byte"))?;
            stage.push(word);
        }
    }
    if stages.iter().any(Vec::is_empty) {
        return Err(Problem::usage("a stage is empty"));
    }
    Ok(stages)
}

/// Starts every stage, from left to right, each joined to the next by a pipe. `children` receives those that were born,
/// also when the rest had to be given up.
fn start(stages: &[Stage], children: &mut Vec<Pid>) -> Result<(), Problem> {
    // The read end of the pipe that the stage before writes to; none for the first stage: it keeps our stdin.
    let mut input: Option<OwnedFd> = None;
    for (position, stage) in stages.iter().enumerate() {
        let is_last = position + 1 == stages.len();
        let (next_input, output) = if is_last {
            (None, None)
        } else {
            // Close-on-exec: whatever happens, no command is handed an end of a pipe beyond its stdin and stdout.
            let (read_end, write_end) =
                pipe2(OFlag::O_CLOEXEC).map_err(|errno| Problem::refused("make a pipe", errno))?;
            (Some(read_end), Some(write_end))
        };

        // SAFETY: this process has one thread only, so the child's copy of the memory holds no lock that nobody frees.
        match unsafe { fork() }.map_err(|errno| Problem::refused("fork", errno))? {
            ForkResult::Child => {
                // The reading end of our own output belongs to the next stage. Kept here, it would hide from us that
                // the next stage has gone.
                drop(next_input);
                become_stage(stage, input, output);
            }
            ForkResult::Parent { child } => children.push(child),
        }

        // The parent uses neither end. A write end kept here would keep the next stage waiting for ever.
        drop(output);
        drop(input);
        input = next_input;
    }
    Ok(())
}

/// In the child: turns this process into the stage. Comes back only by ending the process.
fn become_stage(stage: &Stage, input: Option<OwnedFd>, output: Option<OwnedFd>) -> ! {
    let Err(errno) = redirect(input, output).and_then(|()| execvp(&stage[0], stage));
    let _ = writeln!(io::stderr(), "pipeline: cannot run {}: {}", stage[0].to_string_lossy(), errno.desc());
    // As a shell does: 127 for a command that is not there, 126 for one that cannot be run. This process must not go
    // on: it would run the parent's code a second time.
    std::process::exit(if errno == Errno::ENOENT { 127 } else { 126 })
}

/// Puts the ends of the pipes in the place of stdin and stdout and hands the command a SIGPIPE that works.
fn redirect(input: Option<OwnedFd>, output: Option<OwnedFd>) -> Result<(), Errno> {
    // The original descriptors are closed as `input` and `output` go out of scope. They are never 0 or 1: Rust's
    // start-up code opens /dev/null in the place of a standard stream that is closed.
    if let Some(read_end) = input {
        dup2_stdin(read_end)?;
    }
    if let Some(write_end) = output {
        dup2_stdout(write_end)?;
    }

    // A Rust program ignores SIGPIPE, and what is ignored or blocked stays so through exec. `yes | head -n 1` ends only
    // because SIGPIPE kills `yes`.
    // SAFETY: no handler is installed, so no code of ours will run at an unexpected moment.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
    SigSet::from(Signal::SIGPIPE).thread_unblock()
}

/// Blocks until `child` has ended and returns its status as a shell shows it: 128 and the signal if it was killed.
fn wait_for(child: Pid) -> Result<u8, Problem> {
    loop {
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(code as u8),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as u8),
            // A signal was handled, or the child did something else than to end: go on waiting.
            Err(Errno::EINTR) | Ok(_) => {}
            Err(errno) => return Err(Problem::refused(&format!("wait for process {child}"), errno)),
        }
    }
}
// :solution
