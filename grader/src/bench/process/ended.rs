//! How a program ended, in facts and in words.

use nix::sys::signal::Signal;

use crate::bench::bytes::{difference, quote, show};
use crate::sandbox::Report;
use crate::verdict::{Expected, Unexplained, ensure};

/// How a program ended and all that it wrote.
#[derive(Clone, Debug)]
pub struct Ended {
    pub(super) who: String,
    pub(super) core_notes: Vec<String>,
    /// What it was started with, as a command line.
    pub command: String,
    /// The raw wait status and what it used.
    pub report: Report,
    /// All that it (and its children so far) wrote to stdout.
    pub stdout: Vec<u8>,
    /// All that it wrote to stderr.
    pub stderr: Vec<u8>,
}

impl Ended {
    /// The exit code, where it ended by exit.
    pub fn code(&self) -> Option<i32> {
        libc::WIFEXITED(self.report.status).then(|| libc::WEXITSTATUS(self.report.status))
    }

    /// The signal that killed it, where one did.
    pub fn signal(&self) -> Option<i32> {
        libc::WIFSIGNALED(self.report.status).then(|| libc::WTERMSIG(self.report.status))
    }

    /// Whether it ended as it was told to by this signal: with status 0, or by the signal itself. A runtime that handles
    /// the signal for its program (Java's, a shell) says the latter by status 128 + signal.
    pub fn ended_as_told(&self, signal: Signal) -> bool {
        let number = signal as i32;
        matches!(self.code(), Some(code) if code == 0 || code == 128 + number)
            || self.signal() == Some(number)
    }

    /// Expects that it ended by exit with this code.
    pub fn expect_status(&self, code: i32) -> Expected {
        let expected = format!("{} ends with status {code}", self.who);
        ensure(self.code() == Some(code), expected, describe(&self.report))
            .map_err(|unexplained| self.explain(unexplained))
    }

    /// Expects exactly these bytes on stdout.
    pub fn expect_stdout(&self, expected: impl AsRef<[u8]>) -> Expected {
        let expected = expected.as_ref();
        if self.stdout == expected {
            return Ok(());
        }
        let text = std::str::from_utf8(expected)
            .is_ok_and(|text| text.chars().all(|c| !c.is_control() || c == '\n'));
        let shown = |bytes: &[u8]| if text && !expected.is_empty() { quote(bytes) } else { show(bytes) };
        let mut unexplained = Unexplained::new(
            format!("on stdout {}", shown(expected)),
            format!("on stdout {}", shown(&self.stdout)),
        );
        if let Some(difference) = difference(expected, &self.stdout) {
            unexplained = unexplained.note(difference);
        }
        Err(self.explain(unexplained))
    }

    /// Expects that stderr says all of these, such as the address a failure is about.
    pub fn expect_stderr_names(&self, words: &[&str]) -> Expected {
        let said = String::from_utf8_lossy(&self.stderr);
        let expected = format!("a message on stderr that names {}", words.join(" and "));
        let observed =
            if said.trim().is_empty() { "nothing on stderr".to_string() } else { quote(&self.stderr) };
        ensure(words.iter().all(|word| said.contains(word)), expected, observed)
            .map_err(|unexplained| unexplained.sent(self.command.clone()))
    }

    /// Adds how the program was started and what it said to a finding about it.
    pub fn explain(&self, unexplained: Unexplained) -> Unexplained {
        let status = format!("{} has ended: {}", self.who, describe(&self.report));
        let mut unexplained = unexplained.sent(self.command.clone()).note(status);
        for note in &self.core_notes {
            unexplained = unexplained.note(note.clone());
        }
        unexplained
    }
}

/// How a program ended, in words.
pub fn describe(report: &Report) -> String {
    match report.bound {
        Some(bound) => bound.to_string(),
        None => describe_status(report.status),
    }
}

/// A raw wait status in words.
pub fn describe_status(status: i32) -> String {
    if libc::WIFEXITED(status) {
        return match libc::WEXITSTATUS(status) {
            101 => "status 101 (a panic)".to_string(),
            code => format!("status {code}"),
        };
    }
    let number = libc::WTERMSIG(status);
    let name = Signal::try_from(number).map_or("an unknown signal", Signal::as_str);
    match number {
        libc::SIGSYS => "killed by SIGSYS: it made a system call that is not allowed here".to_string(),
        libc::SIGXCPU => "killed by SIGXCPU: it used up its processor time".to_string(),
        libc::SIGXFSZ => "killed by SIGXFSZ: it wrote a file that is too large".to_string(),
        libc::SIGPIPE => {
            "killed by SIGPIPE: it wrote to a pipe or connection whose reader was gone".to_string()
        }
        _ => format!("killed by {name} ({number})"),
    }
}
