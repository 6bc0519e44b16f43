//! The forking server with a signalfd: the parent polls it beside the listener, so signals are read like data.
//! It waits for the children that have ended, and ends those that have not when it is told to stop.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: forking-server [--host ADDR] [--port PORT]");
    let host = arguments.text("--host", "0.0.0.0");
    let port = arguments.number("--port", 0..=u16::MAX, 5000);
    arguments.finish();
    match run(&host, port) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{host}:{port}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(host: &str, port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((host, port))?;
    if port == 0 {
        writeln!(io::stdout(), "Listening on {}", listener.local_addr()?)?;
    }
    listener.set_nonblocking(true)?;
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT] {
        signals.add(signal);
    }
    signals.thread_block()?;
    let signal_fd = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let mut children: Vec<Pid> = Vec::new();
    let mut pause = false;
    loop {
        let accept = if pause { PollFlags::empty() } else { PollFlags::POLLIN };
        let timeout = if pause { PollTimeout::from(100u8) } else { PollTimeout::NONE };
        let mut both =
            [PollFd::new(signal_fd.as_fd(), PollFlags::POLLIN), PollFd::new(listener.as_fd(), accept)];
        poll(&mut both, timeout)?;
        pause = false;
        while let Some(signal) = signal_fd.read_signal()? {
            if signal.ssi_signo != Signal::SIGCHLD as u32 {
                for child in &children {
                    let _ = kill(*child, Signal::SIGKILL);
                }
                return Ok(());
            }
        }
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            match status {
                WaitStatus::StillAlive => break,
                status => children.retain(|child| Some(*child) != status.pid()),
            }
        }
        let client = match listener.accept() {
            Ok((client, _)) => client,
            Err(error) => {
                pause =
                    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EMFILE | Errno::ENFILE));
                continue;
            }
        };
        // SAFETY: there is one thread only.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                drop(listener);
                drop(signal_fd);
                signals.thread_unblock()?;
                client.set_nonblocking(false)?;
                let mut total = 0;
                return serve(client, &mut total);
            }
            Ok(ForkResult::Parent { child }) => children.push(child),
            Err(error) => drop(writeln!(io::stderr(), "cannot fork: {error}")),
        }
    }
}

fn serve(client: TcpStream, total: &mut i64) -> io::Result<()> {
    let mut lines = BufReader::new(&client);
    loop {
        let mut line = Vec::new();
        lines.by_ref().take(1025).read_until(b'\n', &mut line)?;
        let Some(text) = line.strip_suffix(b"\n") else {
            if line.len() == 1025 {
                (&client).write_all(b"error: too long\n")?;
            }
            return Ok(());
        };
        if text == b"quit" {
            return Ok(());
        }
        match number(text) {
            Some(number) => {
                *total = total.wrapping_add(number);
                (&client).write_all(format!("total {total}\n").as_bytes())?;
            }
            None => (&client).write_all(b"error: ?\n")?,
        }
    }
}

fn number(line: &[u8]) -> Option<i64> {
    let number = std::str::from_utf8(line).ok()?.strip_prefix("add ")?;
    let digits = number.strip_prefix('-').unwrap_or(number);
    (digits.len() <= 19 && digits.chars().all(|digit| digit.is_ascii_digit())).then(|| number.parse().ok())?
}
