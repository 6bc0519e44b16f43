//! One program on the bench, with its ladder drawn while it runs: for students who want to watch a program at work.
//!
//! `cargo xtask trace udp udp-server --peer` starts the server, waits until it is ready, and lets the lab's client talk
//! to it. The programs run exactly as in a check: isolated, recorded, in a network of their own.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::ask::Ask;
use crate::bench::{Bench, Process, Stdin, describe};
use crate::check::{Check, Level, Network};
use crate::child::{self, Streams};
use crate::compile::{Compiler, Unbuilt};
use crate::exit::{Exit, Problem};
use crate::fork_server::Role;
use crate::grade::known_lab;
use crate::ladder::Live;
use crate::report::{escape, escape_lines};
use crate::sandbox::cgroup::Group;
use crate::subject::Subject;
use crate::verdict::Stop;
use crate::{doctor, intake, sandbox, schedule, turn};

/// How much of our own stdin a traced program may read.
const INPUT_LIMIT: u64 = 16 << 20;

/// What `trace` takes.
#[derive(Args)]
pub struct TraceArguments {
    /// The lab.
    lab: String,
    /// The program to watch.
    program: String,
    /// Whose programs: a directory of labs or one lab's directory; yours in labs/ unless given.
    #[arg(long, value_name = "PATH", default_value = "labs")]
    of: PathBuf,
    /// Start the lab's other program against it: the client of a server, the server of a client.
    #[arg(long)]
    peer: bool,
    /// End it after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
    /// Arguments of the program, after `--`. What is piped into this command is the program's stdin.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// What the arena of a trace is asked.
#[derive(Serialize, Deserialize)]
struct TraceAsk {
    ask: Ask,
    program: String,
    arguments: Vec<String>,
    peer: Option<String>,
    seconds: u64,
    input: Option<Vec<u8>>,
}

/// Runs the program and its peer, and draws what they do.
pub fn trace(arguments: TraceArguments) -> Result<Exit, Problem> {
    let suite = known_lab(&arguments.lab)?;
    if !suite.programs.contains(&arguments.program.as_str()) {
        let what = format!("the lab {} has no program {}", suite.lab, arguments.program);
        return Err(Problem::usage(what, format!("its programs are {}", suite.programs.join(", "))));
    }
    let peer = if arguments.peer { Some(peer_of(suite.programs, &arguments.program)?) } else { None };
    let tier = doctor::tier()?;
    let mut labs = intake::take(&arguments.of, Some(suite.lab))?.labs;
    let sources = labs.remove(suite.lab).ok_or_else(|| {
        let what = format!("there is no lab {} in {}", suite.lab, arguments.of.display());
        Problem::usage(what, "name another place with --of, for example --of solutions")
    })?;
    let subject = Subject::from_sources("trace", suite, sources);
    let compiler = Compiler::prepare(tier)?;
    let mut programs = std::collections::BTreeMap::new();
    for program in std::iter::once(&arguments.program).chain(&peer) {
        if !subject.programs.contains_key(program) {
            let what = format!("{} has no src/bin/{program}.rs", arguments.of.display());
            return Err(Problem::usage(what, "write it first, or name another place with --of"));
        }
        match compiler.launch(&subject, program) {
            Ok(launch) => programs.insert(program.clone(), launch),
            Err(Unbuilt::Finding(words)) => {
                eprintln!("{}", escape_lines(&words).join("\n"));
                return Ok(Exit::Findings);
            }
            Err(Unbuilt::Broke(breakdown)) => return Err(Problem::breakdown(&breakdown)),
        };
    }
    let group = Group::for_arena();
    let ask = Ask {
        lab: suite.lab.to_string(),
        check: "trace".to_string(),
        programs,
        seed: subject.seed(),
        tier,
        trace: true,
        record: false,
        uid: schedule::next_uid(),
        group: group.as_ref().map(Group::entry),
    };
    let input = own_input();
    let seconds = u64::from(arguments.seconds);
    let spec =
        TraceAsk { ask, program: arguments.program, arguments: arguments.arguments, peer, seconds, input };
    let spec = serde_json::to_vec(&spec).unwrap_or_default();
    let limit = Duration::from_secs(seconds + 30);
    let _turn = turn::take(tier).map_err(|breakdown| Problem::breakdown(&breakdown))?;
    let ended = child::output(Role::TraceArena, &spec, Streams::Inherited, limit, 0)
        .map_err(|stopped| Problem::breakdown(&stopped.breakdown("the arena of this trace")))?;
    Ok(if ended.status.success() { Exit::Passed } else { Exit::Breakdown })
}

/// What was piped into this command, if anything was.
fn own_input() -> Option<Vec<u8>> {
    use std::io::IsTerminal;
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return None;
    }
    let mut input = Vec::new();
    stdin.lock().take(INPUT_LIMIT).read_to_end(&mut input).ok()?;
    Some(input)
}

/// The program that talks with `program`: the names of a pair differ only in their last word.
fn peer_of(programs: &[&str], program: &str) -> Result<String, Problem> {
    let stem = |name: &str| name.rsplit_once('-').map(|(stem, _)| stem.to_string());
    let other = programs.iter().find(|other| **other != program && stem(other) == stem(program));
    let pair = ["server", "client", "sender", "receiver"];
    let talks = |name: &str| pair.iter().any(|role| name.ends_with(role));
    match other.filter(|other| talks(other) && talks(program)) {
        Some(other) if !program.ends_with("-server") || other.ends_with("-client") => Ok(other.to_string()),
        _ => {
            let what = format!("no other program of this lab talks with {program}");
            Err(Problem::usage(what, "leave --peer out"))
        }
    }
}

/// The whole life of a trace's arena: what it draws goes to its stdout, which is the reader's.
pub fn arena() -> ExitCode {
    let mut text = String::new();
    let asked = std::io::stdin().read_to_string(&mut text).ok();
    let Some(asked) = asked.and_then(|_| serde_json::from_str::<TraceAsk>(&text).ok()) else {
        return ExitCode::FAILURE;
    };
    match run(&asked) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Breakdown(breakdown)) => {
            eprintln!("{}: {}", escape(&breakdown.what), breakdown.next);
            ExitCode::FAILURE
        }
        Err(Stop::Finding(finding)) => {
            let observed = finding.observed.unwrap_or_default();
            eprintln!("{}: {}", escape(&finding.expected.unwrap_or_default()), escape(&observed));
            ExitCode::SUCCESS
        }
    }
}

fn run(asked: &TraceAsk) -> Result<(), Stop> {
    let check = Check::new("trace", "", Level::Core, 0, &[], "", |_| Ok(()));
    let check = match asked.ask.lab.as_str() {
        // Groups and raw packets need a link.
        "multicast" | "raw" => check.network(Network::Pair).net_raw(),
        _ => check,
    };
    let arena = sandbox::enter_arena(asked.ask.tier, asked.ask.uid, asked.ask.group.as_ref())?;
    let bench = Bench::new(arena, &check, asked.ask.programs.clone(), asked.ask.seed, true)?;
    // Without a recorder there is nothing to draw: this says so.
    drop(bench.recording()?);
    // A server or receiver is ready before anybody talks to it.
    let waits = |name: &str| name.ends_with("server") || name.ends_with("receiver");
    let mut order = vec![asked.program.as_str()];
    order.extend(asked.peer.as_deref());
    order.sort_by_key(|name| !waits(name));
    let mut live = Live::new();
    let mut started = Vec::new();
    for name in order {
        let mut start = bench.program(name);
        if name == asked.program {
            start = start.arguments(&asked.arguments);
            if let Some(input) = asked.input.clone().filter(|input| !input.is_empty()) {
                start = start.stdin(Stdin::Bytes(input));
            }
        }
        let process = start.start()?;
        let waited = waits(name) && asked.peer.is_some();
        started.push(process);
        if waited {
            let ready = || is_ready(&bench, &started, &mut live).then_some(());
            // A server that never gets ready is shown all the same.
            let _ = bench.until_within(Duration::from_secs(5), "a server that is ready", ready);
        }
    }
    let all_ended = || {
        draw(&bench, &mut live);
        started.iter().all(|process| bench.recorder().tree_ended(process.who())).then_some(())
    };
    let _ = bench.until_within(Duration::from_secs(asked.seconds), "the programs' end", all_ended);
    draw(&bench, &mut live);
    epilogue(&bench, &started, &mut live);
    bench.finish();
    Ok(())
}

/// Whether the first program is bound or joined, or has ended without.
fn is_ready(bench: &Bench, started: &[Process], live: &mut Live) -> bool {
    draw(bench, live);
    let recording = bench.recorder().recording();
    started.iter().all(|process| {
        recording.of(process.who()).any(|event| {
            event.outcome.ok()
                && matches!(
                    event.act,
                    crate::recording::Act::Listen { .. }
                        | crate::recording::Act::Bind { asked: Some(_), .. }
                        | crate::recording::Act::Exit { .. }
                )
        })
    })
}

/// Prints the rows that are new.
fn draw(bench: &Bench, live: &mut Live) {
    let lines = live.new_lines(&bench.recorder().recording());
    print(&lines);
}

fn print(lines: &[String]) {
    let mut out = std::io::stdout().lock();
    for line in lines {
        // A reader that has gone away is no reason to fail: the programs end with us.
        let _ = writeln!(out, "{}", escape(line));
    }
    let _ = out.flush();
}

/// How the programs stand, what they printed, and what they left behind.
fn epilogue(bench: &Bench, started: &[Process], live: &mut Live) {
    let recording = bench.so_far();
    let mut lines = live.pending_lines(&recording);
    lines.push(String::new());
    for process in started {
        let standing = match bench.recorder().report(process.who()) {
            Some(report) => format!("ended: {}", describe(&report)),
            None => recording.standing(process.who()).unwrap_or_else(|| "is still running".to_string()),
        };
        lines.push(format!("{} {standing}", process.who()));
        for (name, bytes) in [("stdout", process.stdout()), ("stderr", process.stderr())] {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            lines.extend(text.lines().take(40).map(|line| format!("  {name}: {line}")));
        }
    }
    lines.extend(recording.ledger());
    print(&lines);
}
