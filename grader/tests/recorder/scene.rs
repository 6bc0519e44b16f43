//! A recorder with programs under it, and the one place where the trials wait.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use grader::recorder::{Options, Recorder, Started};
use grader::recording::Recording;
use grader::sandbox::{Arena, Limits, Plan, Report};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const VARIABLE: &str = "RECORDER_TRIAL_PROGRAMS";
const PATIENCE: Duration = Duration::from_secs(20);

/// Builds the C programs, once for all trials; `None` where there is no compiler.
pub fn build_programs() -> Option<Option<tempfile::TempDir>> {
    if std::env::var_os(VARIABLE).is_some() {
        return Some(None);
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let binary = directory.path().join("programs");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorder/programs.c");
    let built = Command::new("cc").args(["-O1", "-pthread", "-o"]).arg(&binary).arg(source).status().ok()?;
    assert!(built.success(), "the programs of the trials do not compile");
    // SAFETY: this process still has one thread.
    unsafe { std::env::set_var(VARIABLE, binary) };
    Some(Some(directory))
}

/// A recorder and what its programs write.
pub struct Scene {
    arena: Arena,
    pub recorder: Recorder,
    host: File,
    outputs: Vec<(String, OwnedFd)>,
}

impl Scene {
    /// Real time.
    pub fn new(arena: Arena) -> Self {
        Self::with(arena, Options { trace: true, skip_idle: false })
    }

    /// Sleeping costs no time.
    pub fn skipping(arena: Arena) -> Self {
        Self::with(arena, Options { trace: true, skip_idle: true })
    }

    pub fn with(arena: Arena, options: Options) -> Self {
        let recorder = Recorder::start(options).expect("a recorder");
        let host = File::open("/proc/thread-self/ns/net").unwrap();
        Self { arena, recorder, host, outputs: Vec::new() }
    }

    /// Starts one of the C programs.
    pub fn start(&mut self, who: &str, arguments: &[&str]) -> Started {
        let path = PathBuf::from(std::env::var_os(VARIABLE).expect("the programs are built"));
        // Where the sandbox puts it: some of the programs execute themselves again.
        self.start_program(who, &path, &[&["/lab/programs"], arguments].concat(), |_| ())
    }

    /// Starts any program.
    pub fn start_program(
        &mut self,
        who: &str,
        program: &Path,
        argv: &[&str],
        edit: impl FnOnce(&mut Plan),
    ) -> Started {
        let (output, writer) = nix::unistd::pipe().unwrap();
        let errors = std::io::stderr().as_fd().try_clone_to_owned().unwrap();
        let mut plan = Plan {
            arena: self.arena,
            program: program.to_path_buf(),
            argv: argv.iter().map(Into::into).collect(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            readable: Vec::new(),
            stdio: [File::open("/dev/null").unwrap().into(), writer, errors],
            limits: Limits { processes: 512, ..Limits::default() },
            net_raw: false,
            ignored_signals: Vec::new(),
            traced_calls: Vec::new(),
            names: Vec::new(),
            wait_for_orphans: false,
        };
        edit(&mut plan);
        self.outputs.push((who.to_string(), output));
        self.recorder.spawn(who, plan, self.host.as_fd()).expect("a started program")
    }

    /// Waits until `fact` holds.
    pub fn until<T>(&self, what: &str, mut fact: impl FnMut(&Recorder) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(value) = fact(&self.recorder) {
                return value;
            }
            if start.elapsed() > PATIENCE {
                self.print();
                eprintln!("{}", self.states());
                panic!("never: {what}");
            }
            let mut set = [PollFd::new(self.recorder.changed(), PollFlags::POLLIN)];
            poll(&mut set, PollTimeout::from(20_u8)).unwrap();
            let _ = nix::unistd::read(self.recorder.changed(), &mut [0; 8]);
        }
    }

    /// Waits until the recording has something.
    pub fn until_recorded(&self, what: &str, mut fact: impl FnMut(&Recording) -> bool) {
        self.until(what, |recorder| fact(&recorder.recording()).then_some(()));
    }

    /// Waits until a program's whole tree has ended.
    pub fn end(&self, who: &str) -> Report {
        self.until(&format!("{who} ends"), |recorder| {
            recorder.tree_ended(who).then(|| recorder.report(who)).flatten()
        })
    }

    /// What a program wrote; its tree must have ended.
    pub fn output(&mut self, who: &str) -> String {
        let place = self.outputs.iter().position(|(name, _)| name == who).expect("a started program");
        let mut text = String::new();
        File::from(self.outputs.remove(place).1).read_to_string(&mut text).unwrap();
        text
    }

    /// Shows the whole recording, for a trial that fails.
    pub fn print(&self) {
        for event in &self.recorder.recording().events {
            eprintln!(
                "{:4} {:>14} {}.{} {:15} {:?} -> {:?} {:?} x{}",
                event.seq,
                event.enter.real % 100_000_000_000 / 1000,
                event.who,
                event.thread,
                event.call,
                event.act,
                event.outcome,
                event.injected,
                event.restarts
            );
        }
    }

    /// The states of all processes below this one, for a trial that hangs.
    fn states(&self) -> String {
        let tree = Command::new("ps").args(["-eLo", "ppid,pid,tid,stat,wchan:24,comm"]).output();
        tree.map_or_else(|error| error.to_string(), |tree| String::from_utf8_lossy(&tree.stdout).into_owned())
    }

    /// Fails with the recording.
    pub fn expect(&self, holds: bool, what: &str) {
        if !holds {
            self.print();
            panic!("expected: {what}");
        }
    }
}
