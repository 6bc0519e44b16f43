//! A program about to be started, with all that can be set before it is.

use std::net::IpAddr;
use std::rc::Rc;

use nix::sys::signal::Signal;

use super::Process;
use super::streams::{Ends, Stdin, Stdout, Streams, pipe};
use crate::bench::core::Core;
use crate::sandbox::{Limits, Plan};
use crate::verdict::{Breakdown, Stop};

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

impl<'a> Start<'a> {
    pub(in crate::bench) fn new(core: &'a Rc<Core>, program: &str) -> Self {
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
        let (stdin, stdin_writer) = self.stdin.open()?;
        let (stdout, stdout_reader) = self.stdout.open()?;
        let (stderr_reader, stderr) = pipe()?;
        let ends = Ends { stdin: stdin_writer, stdout: stdout_reader, stderr: stderr_reader };
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
        let streams = Streams::new(&who, ends, self.stdin, init, core.arena.tier);
        core.streams.borrow_mut().push(streams);
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
