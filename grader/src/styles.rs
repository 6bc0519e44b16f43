//! The four server styles side by side, in figures: how many clients are served in a second while one client stays
//! silent, what a client costs in memory, and how many processes and threads there are.
//!
//! The servers run in an arena, isolated but not recorded: a recorder would slow down most what makes most calls.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::ask::Ask;
use crate::bench::{Bench, Process, TcpPeer};
use crate::check::{Check, Level};
use crate::child::{self, Streams};
use crate::compile::{Compiler, Unbuilt};
use crate::exit::{Exit, Problem};
use crate::fork_server::Role;
use crate::grade::{known_lab, unwritable};
use crate::report::escape_lines;
use crate::sandbox::cgroup::Group;
use crate::subject::Subject;
use crate::verdict::{Because, Stop};
use crate::{cli, doctor, intake, sandbox, schedule, turn};

/// The lab whose servers are measured.
const LAB: &str = "servers";
/// For how long clients are served one after another.
const SERVING: Duration = Duration::from_secs(1);
/// How long a client waits for its answer before it counts as not served.
const PATIENCE: Duration = Duration::from_millis(700);
/// How many clients are connected at once when memory, processes and threads are counted.
const CROWD: usize = 32;
const BAR: usize = 40;

/// What `styles` takes.
#[derive(Args)]
pub struct StylesArguments {
    /// Whose servers: a directory of labs or one lab's directory; yours in labs/ unless given.
    #[arg(default_value = "labs")]
    path: PathBuf,
    /// Write the chart as SVG to this file too.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// The figures of one server.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Figures {
    server: String,
    /// Clients served per second, one after another, while another client is silent.
    served: f64,
    /// Memory for each further client, in bytes (proportional set size of all processes).
    memory: u64,
    /// Processes with 33 clients connected.
    processes: usize,
    /// Threads of all of them.
    threads: u32,
}

/// Builds the four servers, measures them and draws the chart.
pub fn styles(arguments: StylesArguments) -> Result<Exit, Problem> {
    let suite = known_lab(LAB)?;
    let tier = doctor::tier()?;
    let sources = intake::take(&arguments.path, Some(LAB))?.labs.remove(LAB).ok_or_else(|| {
        let what = format!("there is no lab {LAB} in {}", arguments.path.display());
        Problem::usage(what, "name another place, for example `cargo xtask styles solutions`")
    })?;
    let subject = Subject::from_sources("styles", suite, sources);
    let compiler = Compiler::prepare(tier)?;
    let mut programs = BTreeMap::new();
    for program in subject.programs.keys() {
        match compiler.launch(&subject, program) {
            Ok(launch) => drop(programs.insert(program.clone(), launch)),
            Err(Unbuilt::Finding(words)) => eprintln!("{}", escape_lines(&words).join("\n")),
            Err(Unbuilt::Broke(breakdown)) => return Err(Problem::breakdown(&breakdown)),
        }
    }
    let group = Group::for_arena();
    let ask = Ask {
        lab: LAB.to_string(),
        check: "styles".to_string(),
        programs,
        seed: 0,
        tier,
        trace: false,
        record: false,
        uid: schedule::next_uid(),
        group: group.as_ref().map(Group::entry),
    };
    let figures = measured(&ask)?;
    cli::print(&chart(&figures))?;
    if let Some(path) = arguments.svg {
        std::fs::write(&path, svg(&figures)).map_err(|error| unwritable(&path, &error))?;
    }
    let works = figures.len() == suite.programs.len();
    Ok(if works { Exit::Passed } else { Exit::Findings })
}

/// Has an arena measure, and takes its figures.
fn measured(ask: &Ask) -> Result<Vec<Figures>, Problem> {
    let spec = serde_json::to_vec(ask).unwrap_or_default();
    let _turn = turn::take(ask.tier).map_err(|breakdown| Problem::breakdown(&breakdown))?;
    let output =
        child::output(Role::StylesArena, &spec, Streams::Piped, Duration::from_secs(120), 1 << 20)
            .map_err(|stopped| Problem::breakdown(&stopped.breakdown("the arena of this measurement")))?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        escape_lines(&String::from_utf8_lossy(&output.stderr)).iter().for_each(|line| eprintln!("{line}"));
        Problem::machine("the servers could not be measured", "run `cargo xtask doctor`, then try again")
    })
}

/// The whole life of the arena: measures each server and writes the figures to stdout.
pub fn arena() -> ExitCode {
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text).ok();
    let Some(ask) = read.and_then(|_| serde_json::from_str::<Ask>(&text).ok()) else {
        return ExitCode::FAILURE;
    };
    match measure_all(&ask) {
        Ok(figures) => match serde_json::to_writer(std::io::stdout(), &figures) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn measure_all(ask: &Ask) -> Result<Vec<Figures>, String> {
    let check = Check::new("styles", "", Level::Core, 0, &[], "", |_| Ok(()));
    let bench = sandbox::enter_arena(ask.tier, ask.uid, ask.group.as_ref())
        .and_then(|arena| Bench::new(arena, &check, ask.programs.clone(), ask.seed, ask.trace))
        .map_err(|breakdown| breakdown.what)?;
    let mut all = Vec::new();
    let order = ["iterative-server", "forking-server", "threaded-server", "select-server"];
    for server in order.iter().filter(|server| ask.programs.contains_key(**server)) {
        match measure(&bench, server) {
            Ok(figures) => all.push(figures),
            Err(Stop::Breakdown(breakdown)) => return Err(breakdown.what),
            Err(Stop::Finding(finding)) => {
                let observed = finding.observed.unwrap_or_default();
                eprintln!("{server} cannot be measured: {}", escape_lines(&observed).join(" "));
            }
        }
    }
    bench.finish();
    Ok(all)
}

fn measure(bench: &Bench, server: &str) -> Result<Figures, Stop> {
    let mut process = bench.tcp_server(server, &[], 5000)?;
    let connect = || bench.tcp_connect(process.local()).because("clients connect to the server");
    let silent = connect()?;
    let start = Instant::now();
    let mut served = 0_u32;
    while start.elapsed() < SERVING {
        let client = connect()?;
        if !is_served(&client) {
            break;
        }
        served += 1;
    }
    let served = f64::from(served) / start.elapsed().as_secs_f64();
    let before = memory(&process);
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        let client = connect()?;
        // Whoever is not served any more still is a client that is connected.
        if served > 0.0 {
            let _ = client.send(b"add 1\n");
            let _ = client.receive_within(PATIENCE);
        }
        crowd.push(client);
    }
    let memory = memory(&process).saturating_sub(before) / CROWD as u64;
    let all = process.processes();
    let (processes, threads) = (all.len(), all.iter().map(|process| process.threads).sum());
    drop((silent, crowd));
    process.kill();
    let _ = process.end_with_orphans();
    Ok(Figures { server: server.to_string(), served, memory, processes, threads })
}

/// Asks once and waits for the answer.
fn is_served(client: &TcpPeer) -> bool {
    if client.send(b"add 1\n").is_err() || client.receive_within(PATIENCE).is_none() {
        return false;
    }
    let _ = client.send(b"quit\n");
    true
}

/// Memory of all processes of a server; pages that several of them share count only in part (proc(5), smaps_rollup).
fn memory(process: &Process) -> u64 {
    let of = |pid: i32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    process.processes().iter().map(|process| of(process.pid)).sum()
}

/// The figures as a table and a chart for a terminal.
fn chart(all: &[Figures]) -> String {
    let most = all.iter().map(|figures| figures.served).fold(1.0, f64::max);
    let mut text = format!(
        "{:18} {:>10} {:>12} {:>10} {:>8}\n",
        "server", "served/s", "KiB/client", "processes", "threads"
    );
    for figures in all {
        let memory = figures.memory as f64 / 1024.0;
        let _ = writeln!(
            text,
            "{:18} {:>10.0} {memory:>12.1} {:>10} {:>8}",
            figures.server, figures.served, figures.processes, figures.threads
        );
    }
    text.push_str("\nclients served in a second, one after another, while another client stays silent\n");
    for figures in all {
        let bar = "#".repeat((figures.served / most * BAR as f64).round() as usize);
        let _ = writeln!(text, "{:18} |{bar} {:.0}", figures.server, figures.served);
    }
    let _ = writeln!(
        text,
        "\nMemory, processes and threads: with {} clients connected ({CROWD} of them answered, one silent).",
        CROWD + 1
    );
    text
}

/// The chart as SVG.
fn svg(all: &[Figures]) -> String {
    let most = all.iter().map(|figures| figures.served).fold(1.0, f64::max);
    let height = 60 + 40 * all.len();
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"14\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"20\" y=\"28\">Clients \
         served in a second while another client stays silent</text>\n"
    );
    for (figures, row) in all.iter().zip(0..) {
        let (y, width) = (50 + 40 * row, figures.served / most * 240.0);
        let _ = write!(
            text,
            "<text x=\"20\" y=\"{}\">{}</text>\n<rect x=\"160\" y=\"{y}\" width=\"{width:.1}\" height=\"24\" \
             fill=\"#3b6ea5\"/>\n<text x=\"{:.1}\" y=\"{}\">{:.0} ({:.0} KiB a client, {} processes, {} \
             threads)</text>\n",
            y + 17,
            figures.server,
            168.0 + width,
            y + 17,
            figures.served,
            figures.memory as f64 / 1024.0,
            figures.processes,
            figures.threads
        );
    }
    text.push_str("</svg>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Vec<Figures> {
        let of = |server: &str, served, memory| Figures {
            server: server.to_string(),
            served,
            memory,
            processes: 1,
            threads: 1,
        };
        vec![of("iterative-server", 0.0, 0), of("select-server", 5000.0, 2048)]
    }

    #[test]
    fn the_longest_bar_belongs_to_whoever_serves_most() {
        let text = chart(&two());
        assert!(text.contains(&format!("select-server      |{} 5000", "#".repeat(BAR))), "{text}");
        assert!(text.contains("iterative-server   | 0"), "{text}");
    }

    #[test]
    fn the_chart_has_a_bar_for_each_server() {
        assert_eq!(svg(&two()).matches("<rect x=").count(), 2);
    }
}
