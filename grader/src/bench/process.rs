//! A program on the bench: how it is started, what it writes, and how it ends.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::bytes::{difference, quote, show};
use super::core::Core;
use super::procfs::{self, ProcessInfo};
use super::{sockets, tcp};
use crate::ask::Tier;
use crate::recorder::{Injection, Started};
use crate::recording::Recording;
use crate::sandbox::{self, Limits, Plan, Report};
use crate::verdict::{Breakdown, Expected, Stop, Unexplained, ensure};

/// More output than this is not kept; more than four times this ends the program.
const KEPT: usize = 4 << 20;

/// What a program reads from its standard input.
#[derive(Clone, Debug, Default)]
pub enum Stdin {
    /// Nothing: the end of the stream at once.
    #[default]
    Empty,
    /// These bytes, then the end of the stream.
    Bytes(Vec<u8>),
    /// Nothing, and no end either, until the check feeds it.
    Silent,
}

/// Where a program's standard output goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdout {
    /// Into a pipe that the bench reads.
    #[default]
    Pipe,
    /// Into a regular file, which the bench reads as it grows.
    File,
    /// Into a full disk: every write fails with ENOSPC.
    Full,
    /// Into a pipe that nobody reads any more: every write fails with EPIPE.
    Closed,
}

/// A program about to be started.
pub struct Start<'a> {
    core: &'a Rc<Core>,
    program: String,
    arguments: Vec<String>,
    host: &'static str,
    stdin: Stdin,
    stdout: Stdout,
    limits: Limits,
    environment: Vec<(String, String)>,
    ignored_signals: Vec<i32>,
    names: Vec<(IpAddr, String)>,
}

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

/// How a program ended and all that it wrote.
#[derive(Clone, Debug)]
pub struct Ended {
    who: String,
    core_notes: Vec<String>,
    /// What it was started with, as a command line.
    pub command: String,
    /// The raw wait status and what it used.
    pub report: Report,
    /// All that it (and its children so far) wrote to stdout.
    pub stdout: Vec<u8>,
    /// All that it wrote to stderr.
    pub stderr: Vec<u8>,
}

/// One output of a program.
#[derive(Default)]
pub struct Output {
    reader: Option<File>,
    /// What came so far.
    pub bytes: Vec<u8>,
    /// How much came so far, kept or not.
    pub total: usize,
}

/// The standard streams of one program, moved by the bench whenever it waits.
pub struct Streams {
    /// The program's name on the bench.
    pub who: String,
    pub stdout: Output,
    pub stderr: Output,
    stdin: Option<File>,
    feed: Vec<u8>,
    fed: usize,
    /// Whether stdin ends after that.
    ends: bool,
    /// Bytes moved in any direction.
    pub moved: u64,
    init: OwnedFd,
    tier: Tier,
}

impl<'a> Start<'a> {
    pub(super) fn new(core: &'a Rc<Core>, program: &str) -> Self {
        Self {
            core,
            program: program.to_string(),
            arguments: Vec::new(),
            host: "a",
            stdin: Stdin::default(),
            stdout: Stdout::default(),
            limits: Limits::default(),
            environment: Vec::new(),
            ignored_signals: Vec::new(),
            names: Vec::new(),
        }
    }

    /// Adds arguments.
    pub fn arguments<S: AsRef<str>>(mut self, arguments: &[S]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| argument.as_ref().to_string()));
        self
    }

    /// Starts it on the host of that name instead of `a`.
    pub fn on(mut self, host: &'static str) -> Self {
        self.host = host;
        self
    }

    /// What it reads.
    pub fn stdin(mut self, stdin: Stdin) -> Self {
        self.stdin = stdin;
        self
    }

    /// Where it writes.
    pub fn stdout(mut self, stdout: Stdout) -> Self {
        self.stdout = stdout;
        self
    }

    /// Its bounds.
    pub fn limits(mut self, edit: impl FnOnce(&mut Limits)) -> Self {
        edit(&mut self.limits);
        self
    }

    /// Sets a variable of its environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_string(), value.to_string()));
        self
    }

    /// A signal that is ignored when it starts.
    pub fn ignoring(mut self, signal: Signal) -> Self {
        self.ignored_signals.push(signal as i32);
        self
    }

    /// Adds a name to its hosts file; a name may have several addresses.
    pub fn named(mut self, address: IpAddr, name: &str) -> Self {
        self.names.push((address, name.to_string()));
        self
    }

    /// Starts it. It runs from here on; nothing is waited for.
    pub fn start(self) -> Result<Process, Stop> {
        let core = self.core;
        assert!(
            !core.plain.get() || !self.arguments.iter().any(|argument| argument.starts_with("--")),
            "a check marked plain starts {} with options",
            self.program
        );
        let launch = core.programs.get(&self.program).ok_or_else(|| {
            let next = "add it to the submission, or name its command with --with";
            Breakdown::new(format!("this submission has no program {}", self.program), next)
        })?;
        let who = self.name();
        let (stdin, feeder) = self.open_stdin()?;
        let (stdout, stdout_reader) = self.open_stdout()?;
        let (stderr_reader, stderr) = pipe()?;
        let environment = self.environment();
        let mut argv: Vec<std::ffi::OsString> = launch.argv.iter().map(Into::into).collect();
        argv.extend(self.arguments.iter().map(Into::into));
        let plan = Plan {
            arena: core.arena,
            program: launch.executable.clone(),
            argv,
            env: environment,
            readable: launch.readable.clone(),
            stdio: [stdin, stdout, stderr],
            limits: self.limits,
            net_raw: core.setup.net_raw,
            ignored_signals: self.ignored_signals.clone(),
            traced_calls: Vec::new(),
            names: self.names.clone(),
            wait_for_orphans: true,
        };
        let host = core.host(self.host);
        let started = core.recorder.spawn(&who, plan, host.namespace())?;
        let init =
            started.init.try_clone().map_err(|error| Breakdown::system("cannot copy a descriptor", error))?;
        let feed = if let Stdin::Bytes(bytes) = &self.stdin { bytes.clone() } else { Vec::new() };
        core.streams.borrow_mut().push(Streams {
            who: who.clone(),
            stdout: Output { reader: stdout_reader, ..Output::default() },
            stderr: Output { reader: Some(stderr_reader), ..Output::default() },
            stdin: feeder,
            feed,
            fed: 0,
            ends: matches!(self.stdin, Stdin::Bytes(_)),
            moved: 0,
            init,
            tier: core.arena.tier,
        });
        core.commands.borrow_mut().push((who, command_line(&self.program, &self.arguments)));
        Ok(Process { core: core.clone(), started, local: None, host: host.name, lines_read: 0 })
    }

    fn name(&self) -> String {
        let mut named = self.core.named.borrow_mut();
        let count = named.entry(self.program.clone()).or_insert(0);
        *count += 1;
        if *count == 1 { self.program.clone() } else { format!("{}#{count}", self.program) }
    }

    fn environment(&self) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
        let base = [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/tmp"), ("LANG", "C.UTF-8")];
        let mut all: Vec<(String, String)> =
            base.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        for (name, value) in &self.environment {
            all.retain(|(known, _)| known != name);
            all.push((name.clone(), value.clone()));
        }
        all.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    fn open_stdin(&self) -> Result<(OwnedFd, Option<File>), Breakdown> {
        match &self.stdin {
            Stdin::Empty => Ok((open("/dev/null", false)?, None)),
            Stdin::Silent | Stdin::Bytes(_) => {
                // The program's own end blocks, as a shell's would: only ours must not.
                let (reader, writer) = new_pipe()?;
                set_nonblocking(&writer)?;
                Ok((reader, Some(File::from(writer))))
            }
        }
    }

    fn open_stdout(&self) -> Result<(OwnedFd, Option<File>), Breakdown> {
        match self.stdout {
            Stdout::Pipe => {
                let (reader, writer) = pipe()?;
                Ok((writer, Some(reader)))
            }
            Stdout::Closed => Ok((pipe()?.1, None)),
            Stdout::Full => Ok((open("/dev/full", true)?, None)),
            Stdout::File => {
                let file = tempfile::NamedTempFile::new()
                    .map_err(|error| Breakdown::system("cannot create a temporary file", error))?;
                let reader = file.reopen().map_err(|error| Breakdown::system("cannot open a file", error))?;
                Ok((OwnedFd::from(file.into_file()), Some(reader)))
            }
        }
    }
}

fn open(path: &str, write: bool) -> Result<OwnedFd, Breakdown> {
    let opened = std::fs::OpenOptions::new().read(!write).write(write).open(path);
    opened.map(Into::into).map_err(|error| Breakdown::system(format!("cannot open {path}"), error))
}

/// A pipe whose reading end, the bench's, does not block.
fn pipe() -> Result<(File, OwnedFd), Breakdown> {
    let (reader, writer) = new_pipe()?;
    set_nonblocking(&reader)?;
    Ok((File::from(reader), writer))
}

fn new_pipe() -> Result<(OwnedFd, OwnedFd), Breakdown> {
    nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|error| Breakdown::system("cannot create a pipe", error))
}

fn set_nonblocking(fd: &OwnedFd) -> Result<(), Breakdown> {
    fcntl(fd.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
        .map(|_| ())
        .map_err(|error| Breakdown::system("cannot prepare a pipe", error))
}

impl Output {
    fn pump(&mut self) -> u64 {
        let Some(reader) = &mut self.reader else { return 0 };
        let mut buffer = [0; 65_536];
        let mut moved = 0;
        loop {
            match reader.read(&mut buffer) {
                // The end of a pipe is final; a file may still grow.
                Ok(0) => {
                    if reader.metadata().is_ok_and(|metadata| !metadata.is_file()) {
                        self.reader = None;
                    }
                    return moved;
                }
                Ok(count) => {
                    moved += count as u64;
                    self.total += count;
                    let room = KEPT.saturating_sub(self.bytes.len()).min(count);
                    self.bytes.extend_from_slice(&buffer[..room]);
                    if moved > KEPT as u64 {
                        return moved;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return moved,
            }
        }
    }
}

impl Streams {
    /// Moves what can be moved without waiting.
    pub fn pump(&mut self) {
        self.moved += self.stdout.pump() + self.stderr.pump();
        if self.stdout.total.max(self.stderr.total) > 4 * KEPT {
            sandbox::kill(self.tier, &self.init);
        }
        if let Some(stdin) = &mut self.stdin {
            while self.fed < self.feed.len() {
                match stdin.write(&self.feed[self.fed..]) {
                    Ok(count) => {
                        self.fed += count;
                        self.moved += count as u64;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                    // Nobody will read the rest.
                    Err(_) => {
                        self.stdin = None;
                        return;
                    }
                }
            }
            if self.ends {
                self.stdin = None;
            }
        }
    }

    /// Ends the program and everything that it started.
    pub fn kill(&self) {
        sandbox::kill(self.tier, &self.init);
    }

    /// Adds what is worth waking up for.
    pub fn watch<'fd>(&'fd self, set: &mut Vec<PollFd<'fd>>) {
        for output in [&self.stdout, &self.stderr] {
            if let Some(reader) = &output.reader {
                if reader.metadata().is_ok_and(|metadata| !metadata.is_file()) {
                    set.push(PollFd::new(reader.as_fd(), PollFlags::POLLIN));
                }
            }
        }
        if let Some(stdin) = &self.stdin {
            if self.fed < self.feed.len() {
                set.push(PollFd::new(stdin.as_fd(), PollFlags::POLLOUT));
            }
        }
    }
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
            own.feed.extend_from_slice(bytes);
            own.ends = last;
            own.pump();
        }
    }

    /// Whether it has taken all that it was fed with out of the pipe.
    pub fn has_read_its_input(&self) -> bool {
        let streams = self.core.streams.borrow();
        let own = streams.iter().find(|streams| streams.who == self.started.who);
        let Some(own) = own.filter(|own| own.fed == own.feed.len()) else { return false };
        let Some(stdin) = &own.stdin else { return true };
        let mut waiting: libc::c_int = 0;
        // SAFETY: FIONREAD writes one integer, and `waiting` is one.
        let asked = unsafe { libc::ioctl(stdin.as_raw_fd(), libc::FIONREAD, &raw mut waiting) };
        asked == 0 && waiting == 0
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

fn command_line(program: &str, arguments: &[String]) -> String {
    let plain = |word: &String| {
        if !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.,:/=!@%+".contains(c)) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    let words: Vec<String> =
        std::iter::once(program.to_string()).chain(arguments.iter().map(plain)).collect();
    words.join(" ")
}
