//! A program on the bench while it runs. How it is started, its streams, and how it ended: see the modules.

mod ended;
mod start;
mod streams;

use std::net::SocketAddr;
use std::rc::Rc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::bytes::quote;
use super::core::Core;
use super::procfs::{self, ProcessInfo};
use super::{sockets, tcp};
use crate::recorder::{Injection, Started};
use crate::recording::Recording;
use crate::sandbox::{self, Report};
use crate::verdict::{Breakdown, Expected, Stop, ensure};

pub use ended::{Ended, describe, describe_status};
pub use start::Start;
pub use streams::{Stdin, Stdout, Streams};

/// A program that was started.
pub struct Process {
    core: Rc<Core>,
    started: Started,
    /// Where the address of a server that was waited for is kept.
    local: Option<SocketAddr>,
    host: &'static str,
    /// How much of stdout has been read line by line.
    lines_read: usize,
}

impl Process {
    /// Its name on the bench and in the recording.
    pub fn who(&self) -> &str {
        &self.started.who
    }

    /// Its pid as the bench sees it.
    pub fn pid(&self) -> i32 {
        self.started.pid
    }

    /// The address that it listens on or is bound to, once that was waited for; a wildcard address is given as the
    /// loopback address of its family, where it can be asked.
    pub fn local(&self) -> SocketAddr {
        let local = self.local.expect("the check waits for the server first");
        let ip = local.ip().to_canonical();
        let ip = match ip {
            std::net::IpAddr::V4(v4) if v4.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
            // A dual-stack socket serves IPv4 too, and IPv4 is what the handout asks for at least.
            std::net::IpAddr::V6(v6) if v6.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
            other => other,
        };
        SocketAddr::new(ip, local.port())
    }

    /// The address exactly as it is bound.
    pub fn bound(&self) -> SocketAddr {
        self.local.expect("the check waits for the server first")
    }

    /// Feeds its standard input, which is [`Stdin::Silent`], with more; after the `last` piece it ends.
    pub fn feed(&self, bytes: &[u8], last: bool) {
        let mut streams = self.core.streams.borrow_mut();
        if let Some(own) = streams.iter_mut().find(|streams| streams.who == self.started.who) {
            own.feed(bytes, last);
        }
    }

    /// Whether it has taken all that it was fed with out of the pipe.
    pub fn has_read_its_input(&self) -> bool {
        self.with_streams(Streams::are_read)
    }

    /// Waits until it is bound to a UDP port (`port`, or any).
    pub fn until_bound(&mut self, port: Option<u16>) -> Expected<SocketAddr> {
        let expected = match port {
            Some(port) => format!("{} bound to UDP port {port}", self.who()),
            None => format!("{} bound to a UDP port", self.who()),
        };
        let core = self.core.clone();
        let found = core.wait(&[], || {
            let all = sockets::list(&core, self.host, sockets::Which::Udp).ok()?;
            let own = all.iter().filter(|socket| !socket.tcp && self.holds(socket.inode));
            let mut bound = own.filter(|socket| socket.local.port() != 0);
            bound
                .find(|socket| port.is_none_or(|port| socket.local.port() == port))
                .map(|socket| socket.local)
        });
        self.remember(found.map_err(|late| core.late(late, expected)))
    }

    /// Waits until it listens on a TCP port (`port`, or any).
    pub fn until_listening(&mut self, port: Option<u16>) -> Expected<SocketAddr> {
        let expected = match port {
            Some(port) => format!("{} listening on TCP port {port}", self.who()),
            None => format!("{} listening on a TCP port", self.who()),
        };
        let core = self.core.clone();
        let found = core.wait(&[], || tcp::listening(&core, self.host, port, |inode| self.holds(inode)));
        self.remember(found.map_err(|late| core.late(late, expected)))
    }

    fn remember(&mut self, found: Expected<SocketAddr>) -> Expected<SocketAddr> {
        if let Ok(local) = &found {
            self.local = Some(*local);
        }
        found
    }

    /// Whether one of its processes holds the socket or pipe of that inode.
    pub fn holds(&self, inode: u64) -> bool {
        self.processes().iter().any(|process| procfs::inodes(process.pid).contains(&inode))
    }

    /// Waits until `fact` can be read off the recording; `expected` says what that is. Without a recorder it is a
    /// breakdown.
    pub fn until<T>(
        &self,
        expected: &str,
        mut fact: impl FnMut(&Recording, &str) -> Option<T>,
    ) -> Expected<T> {
        if !self.core.recorder.recording().recorded {
            return Err(super::no_recorder().into());
        }
        self.core
            .wait(&[], || fact(&self.core.recorder.recording(), self.who()))
            .map_err(|late| self.core.late(late, expected))
    }

    /// What it wrote to stdout so far.
    pub fn stdout(&self) -> Vec<u8> {
        self.core.pump();
        self.with_streams(|streams| streams.stdout.bytes.clone())
    }

    /// What it wrote to stderr so far.
    pub fn stderr(&self) -> Vec<u8> {
        self.core.pump();
        self.with_streams(|streams| streams.stderr.bytes.clone())
    }

    /// Its next whole line on stdout, without the newline.
    pub fn line(&mut self) -> Expected<String> {
        let from = self.lines_read;
        let found = self.core.wait(&[], || {
            self.with_streams(|streams| {
                let rest = streams.stdout.bytes.get(from..)?;
                let end = rest.iter().position(|byte| *byte == b'\n')?;
                Some(rest[..end].to_vec())
            })
        });
        match found {
            Ok(line) => {
                self.lines_read += line.len() + 1;
                Ok(String::from_utf8_lossy(&line).into_owned())
            }
            Err(late) => {
                let rest = self.with_streams(|streams| streams.stdout.bytes[from..].to_vec());
                let unexplained = self.core.late(late, "a line on stdout");
                Err(unexplained.note(format!("on stdout stands so far, without a newline: {}", quote(&rest))))
            }
        }
    }

    /// Expects its next line on stdout to be exactly this.
    pub fn expect_line(&mut self, expected: &str) -> Expected {
        let observed =
            self.line().map_err(|unexplained| unexplained.note(format!("expected was {expected:?}")))?;
        let unmet =
            ensure(observed == expected, format!("the line {expected:?}"), format!("the line {observed:?}"));
        unmet.map_err(|unexplained| self.core.notes(unexplained.sent(self.command())))
    }

    /// Expects its next line on stdout to announce the address to which it was found to be bound. There is more than one
    /// spelling of an IPv6 address (`0:0:0:0:0:0:0:1` is `::1`), and a socket for both families calls an IPv4 one
    /// `::ffff:127.0.0.1`.
    pub fn expect_announced(&mut self) -> Expected {
        let bound = SocketAddr::new(self.bound().ip().to_canonical(), self.bound().port());
        let expected = format!("Listening on {bound}");
        let observed =
            self.line().map_err(|unexplained| unexplained.note(format!("expected was {expected:?}")))?;
        let said = observed.strip_prefix("Listening on ").and_then(|said| said.parse::<SocketAddr>().ok());
        let same =
            said.is_some_and(|said| (said.ip().to_canonical(), said.port()) == (bound.ip(), bound.port()));
        let unmet = ensure(same, format!("the line {expected:?}"), format!("the line {observed:?}"));
        unmet.map_err(|unexplained| self.core.notes(unexplained.sent(self.command())))
    }

    /// Waits until the program itself has ended (its orphans may go on).
    pub fn end(&mut self) -> Expected<Ended> {
        let core = self.core.clone();
        let report = core
            .wait(&[], || core.recorder.report(self.who()))
            .map_err(|late| core.late(late, format!("{} ends by itself", self.who())).sent(self.command()))?;
        Ok(self.ended(report))
    }

    /// Waits until the program and every process that it made have ended.
    pub fn end_with_orphans(&mut self) -> Expected<Ended> {
        let core = self.core.clone();
        let over =
            || core.recorder.tree_ended(self.who()).then(|| core.recorder.report(self.who())).flatten();
        let report = core.wait(&[], over).map_err(|late| {
            core.late(late, format!("{} and all its processes end", self.who())).sent(self.command())
        })?;
        Ok(self.ended(report))
    }

    fn ended(&self, report: Report) -> Ended {
        self.core.pump();
        let said =
            String::from_utf8_lossy(&self.stderr()).lines().take(4).map(str::to_string).collect::<Vec<_>>();
        let core_notes = said.iter().map(|line| format!("{} said on stderr: {line}", self.who())).collect();
        Ended {
            who: self.who().to_string(),
            core_notes,
            command: self.command(),
            report,
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }

    /// Whether the program itself still runs.
    pub fn is_running(&self) -> bool {
        self.core.recorder.report(self.who()).is_none()
    }

    /// Expects that it still runs.
    pub fn expect_running(&self) -> Expected {
        ensure(self.is_running(), format!("{} still runs", self.who()), "it has ended")
            .map_err(|unexplained| self.core.notes(unexplained))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), Breakdown> {
        match kill(Pid::from_raw(self.pid()), signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(error) => Err(Breakdown::system(format!("cannot send {signal} to {}", self.who()), error)),
        }
    }

    /// Sends a signal to one of its processes.
    pub fn signal_to(&self, process: &ProcessInfo, signal: Signal) -> Result<(), Breakdown> {
        match kill(Pid::from_raw(process.pid), signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(error) => Err(Breakdown::system(format!("cannot send {signal} to {}", process.name), error)),
        }
    }

    /// Ends it and everything that it started, at once.
    pub fn kill(&self) {
        self.core.recorder.expect_end(self.who());
        sandbox::kill(self.core.arena.tier, &self.started.init);
    }

    /// Its processes as they are now: the program first, then every descendant, zombies included.
    pub fn processes(&self) -> Vec<ProcessInfo> {
        procfs::tree(self.started.pid, self.started.init_pid)
    }

    /// The largest resident set that one of its present processes has had, in bytes.
    pub fn peak_resident(&self) -> u64 {
        let peaks = self.processes().into_iter().filter_map(|process| procfs::peak_resident(process.pid));
        peaks.max().unwrap_or(0)
    }

    /// The program's own process as it is now; `None` once it has gone.
    pub fn info(&self) -> Option<ProcessInfo> {
        procfs::info(self.started.pid)
    }

    /// Waits until `fact` holds for its processes (looked at after every recorded event, and every few milliseconds).
    pub fn until_processes<T>(
        &self,
        expected: &str,
        mut fact: impl FnMut(&[ProcessInfo]) -> Option<T>,
    ) -> Expected<T> {
        self.core.wait_watching(|| fact(&self.processes())).map_err(|late| {
            let now: Vec<String> = self.processes().iter().map(ToString::to_string).collect();
            self.core.late(late, expected).note(format!("its processes now: {}", now.join("; ")))
        })
    }

    /// Its open descriptors, with what each refers to, as in /proc/PID/fd.
    pub fn descriptors(&self) -> Vec<(i32, String)> {
        procfs::descriptors(self.started.pid)
    }

    /// The open descriptors of one of its processes.
    pub fn descriptors_of(&self, process: &ProcessInfo) -> Vec<(i32, String)> {
        procfs::descriptors(process.pid)
    }

    /// Injects into its system calls from now on.
    pub fn inject(&self, injection: Injection) -> Result<(), Stop> {
        Ok(self.core.recorder.inject(self.who(), injection)?)
    }

    /// The command line it was started with, in the student's terms.
    pub fn command(&self) -> String {
        let commands = self.core.commands.borrow();
        let found = commands.iter().find(|(who, _)| who == self.who());
        found.map(|(_, command)| command.clone()).unwrap_or_default()
    }

    fn with_streams<T>(&self, look: impl FnOnce(&Streams) -> T) -> T {
        let streams = self.core.streams.borrow();
        look(streams.iter().find(|streams| streams.who == self.who()).expect("a started program has streams"))
    }
}
