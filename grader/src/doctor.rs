//! `doctor`: what this machine can do for grading, what it lacks, and the command that mends it.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use socket2::{Domain, Protocol, Socket, Type};

use crate::exit::{Exit, Problem};
use crate::house;
use crate::probe::{Probe, probe};
use crate::sandbox::Tier;

/// How to get a C linker.
pub const LINKER: &str = "on Debian or Ubuntu: sudo apt install gcc libc6-dev";
const NAMESPACES: &str = "Debian: sudo sysctl kernel.unprivileged_userns_clone=1; Ubuntu 23.10 and later: sudo sysctl \
kernel.apparmor_restrict_unprivileged_userns=0; Docker: --security-opt seccomp=unconfined --security-opt \
apparmor=unconfined --security-opt systempaths=unconfined";
const PROC: &str = "Docker: --security-opt systempaths=unconfined";
const PTRACE: &str =
    "sudo sysctl kernel.yama.ptrace_scope=1; Docker: --cap-add SYS_PTRACE, or a kernel of 4.8 or later";

const CAPTURE: &str = "grade as root of the container, which has CAP_NET_RAW, or allow namespaces";

/// How strongly programs can be isolated on this machine.
pub fn tier() -> Result<Tier, Problem> {
    let probe = probe().map_err(|what| Problem::machine(what, "run `cargo xtask doctor`"))?;
    if probe.tier == Tier::C {
        // Without networks of their own two checks could meet on one port.
        crate::lanes::limit_checks(1);
    }
    Ok(probe.tier)
}

/// What `doctor` prints, and the code that it ends with.
pub fn report() -> (String, Exit) {
    let findings = findings();
    let mut out = String::new();
    for Found { mark, what, next } in &findings {
        let word = match mark {
            Mark::Fine => "ok   ",
            Mark::Less => "less ",
            Mark::Lacks => "LACKS",
        };
        let _ = writeln!(out, "{word} {what}");
        if *mark != Mark::Fine {
            let _ = writeln!(out, "      next: {next}");
        }
    }
    let lacks = findings.iter().any(|found| found.mark == Mark::Lacks);
    (out, if lacks { Exit::Machine } else { Exit::Passed })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Fine,
    /// Grading works, with less.
    Less,
    Lacks,
}

struct Found {
    mark: Mark,
    what: String,
    next: &'static str,
}

impl Found {
    fn fine(what: impl Into<String>) -> Self {
        Self { mark: Mark::Fine, what: what.into(), next: "" }
    }

    fn less(what: impl Into<String>, next: &'static str) -> Self {
        Self { mark: Mark::Less, what: what.into(), next }
    }

    fn lacks(what: impl Into<String>, next: &'static str) -> Self {
        Self { mark: Mark::Lacks, what: what.into(), next }
    }
}

fn findings() -> Vec<Found> {
    let mut findings = Vec::new();
    findings.push(match Command::new("rustc").arg("--version").current_dir(house::root()).output() {
        Ok(output) if output.status.success() => Found::fine(String::from_utf8_lossy(&output.stdout).trim()),
        _ => Found::lacks("no rustc in PATH", "install Rust: https://rustup.rs"),
    });
    findings.push(if find_in_path("cc").is_some() {
        Found::fine("a C linker: cc")
    } else {
        Found::lacks("no C linker: no cc in PATH", LINKER)
    });
    match probe() {
        Ok(probe) => findings.extend(of_probe(&probe)),
        Err(what) => findings.push(Found::lacks(what, "run it again; if it stays so, report it")),
    }
    findings.push(Found::fine(groups()));
    findings.push(if Path::new("/usr/bin/python3").is_file() {
        Found::fine("Python 3: /usr/bin/python3")
    } else {
        let what = "no /usr/bin/python3: the project's own tests leave out the Python programs";
        Found::less(what, "on Debian or Ubuntu: sudo apt install python3")
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    findings.push(Found::fine(format!("{cores} processors")));
    findings
}

/// Whether memory and processes have a second bound. One is enough to grade with.
fn groups() -> String {
    match crate::sandbox::cgroup::describe() {
        Ok(words) => format!("control groups bound each check once more: {words}"),
        Err(reason) => format!(
            "no control groups ({reason}): the memory and the processes of programs are watched and limited, without the \
kernel's second bound, which only root or a delegated group has"
        ),
    }
}

/// What keeps programs in where there are no namespaces.
fn walls() -> String {
    let root = nix::unistd::geteuid().is_root();
    let uid = if root { "under another uid" } else { "as you" };
    let landlock = match (crate::sandbox::landlock_version(), root) {
        (0, true) => "without Landlock, which this kernel lacks",
        (0, false) => {
            "without Landlock, which this kernel lacks: NOTHING KEEPS THEM FROM YOUR FILES, grade nobody's but \
your own"
        }
        _ => "behind Landlock",
    };
    format!("{uid}, with a filter and limits, {landlock}")
}

/// What captures packets where the network is the machine's; in one of its own this is never refused.
fn packet_socket() -> std::io::Result<Socket> {
    Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))
}

fn of_probe(probe: &Probe) -> Vec<Found> {
    let mut findings = vec![match (&probe.no_namespaces, &probe.no_proc) {
        (Some(reason), _) => Found::less(
            format!(
                "isolation tier C: no user namespaces ({reason}). Programs run {}; checks run one after another, and \
those that need simulated hosts cannot be asked",
                walls()
            ),
            NAMESPACES,
        ),
        (None, Some(reason)) => Found::less(
            format!("isolation tier B: /proc cannot be mounted ({reason}); programs see none"),
            PROC,
        ),
        (None, None) => Found::fine("isolation tier A: every check in namespaces of its own"),
    }];
    if let (Some(_), Err(error)) = (&probe.no_namespaces, packet_socket()) {
        findings.push(Found::less(
            format!(
                "packets cannot be captured ({error}): checks that judge them cannot be asked, and `--record` keeps \
system calls alone"
            ),
            CAPTURE,
        ));
    }
    findings.push(match &probe.no_ptrace {
        None => Found::fine("system calls can be recorded"),
        Some(reason) => Found::less(
            format!("system calls cannot be recorded ({reason}): checks that judge them cannot be asked"),
            PTRACE,
        ),
    });
    findings
}

/// The executable of that name in PATH.
pub fn find_in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
}
