//! The command line: what can be asked for, and its help. `cargo xtask` puts the project's own commands beside these.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::exit::{Exit, Problem};
use crate::grade::{Request, grade, take, unwritable};
use crate::report::{self, CheckReport, Style, VerdictName};
use crate::schedule::Plan;
use crate::styles::StylesArguments;
use crate::trace::TraceArguments;
use crate::{doctor, explain, list};

/// What every command's help ends with.
pub const EXIT_CODES: &str = "Exit codes: 0 all passed, 1 something is wrong with a program, 2 wrong usage or an unusable \
submission, 69 this machine lacks something (see doctor), 70 the grader itself broke down (no points are lost).";

#[derive(Parser)]
#[command(name = "grader", version, about = "Grades a submission of Socklab's labs.", after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: GraderCommand,
}

/// The commands of the grader.
#[derive(Subcommand)]
pub enum GraderCommand {
    /// Grade a submission: build its programs, run every check, explain what went wrong.
    #[command(after_help = GRADE_HELP)]
    Grade(GradeArguments),
    /// Watch a program at work: run it on the bench, recorded, and draw what it does while it does it.
    #[command(after_help = TRACE_HELP)]
    Trace(TraceArguments),
    /// Measure the servers of the lab `servers` side by side: clients served while one is silent, memory, processes and
    /// threads.
    Styles(StylesArguments),
    /// Say what this machine can do for grading, what it lacks, and the command that mends it.
    Doctor,
    /// List labs, their programs and their checks with points and requirement.
    List {
        /// Only this lab.
        lab: Option<String>,
    },
    /// Explain a check: its question, its requirement and where the handout teaches it.
    Explain {
        /// The check, as reports name it.
        check: String,
    },
}

const TRACE_HELP: &str = "Examples:
  cargo xtask trace udp udp-server --peer          your server, asked by your client
  cargo xtask trace tcp tcp-client --of solutions --peer
  cargo xtask trace fork fork-wait -- --count 2 --interval-ms 300
  echo hello | cargo xtask trace tcp upload-client --of solutions --peer";

const GRADE_HELP: &str = "Examples:
  cargo xtask grade labs/udp                       grade your udp lab
  cargo xtask grade labs                           grade all labs
  cargo xtask grade labs/udp --only answers_plus_one
  cargo xtask grade homework.tar.gz --format json --output report.json
  cargo xtask grade --with udp-server='/usr/bin/python3 -u server.py'

With several labs only what did not pass is shown; with one lab every check is.
Exit codes: 0 all passed, 1 something is wrong with a program, 2 wrong usage or an unusable submission,
69 this machine lacks something (see doctor), 70 the grader itself broke down (no points are lost).";

/// What `grade` takes.
#[derive(Args)]
pub struct GradeArguments {
    /// A directory of labs (labs, solutions), one lab's directory (labs/udp), or a .tar, .tar.gz or .zip of either.
    #[arg(required_unless_present = "with")]
    path: Option<PathBuf>,
    /// Grade only this lab.
    #[arg(long, value_name = "LAB")]
    lab: Option<String>,
    /// Ask only this check, without those that it builds on. May be given several times.
    #[arg(long, value_name = "CHECK")]
    only: Vec<String>,
    /// Grade any executable in a program's place, e.g. udp-server='/usr/bin/python3 -u server.py': it, the files and
    /// directories among its arguments and /usr are visible to it, and only checks that need no other program are asked.
    #[arg(long, value_name = "PROGRAM=COMMAND", value_parser = program_and_command)]
    with: Vec<(String, String)>,
    /// Where random values come from; without it they come from what is graded, so that grading again asks the same.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// How many checks run at once (16 for each processor unless given).
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// The form of the report.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write the report to this file instead of stdout.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Ask every check so many times; the first answer that is no pass counts.
    #[arg(long, value_name = "TIMES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Which checks show what happened, drawn as a ladder of system calls and packets.
    #[arg(long, value_enum, default_value_t = LadderOf::Failed)]
    ladder: LadderOf,
    /// Keep what was recorded of each check in this directory.
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
}

/// The forms of a report.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a person.
    Text,
    /// For a program; grader/report.schema.json describes it.
    Json,
}

/// Which checks show their ladder.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LadderOf {
    /// Every check.
    All,
    /// Checks that failed.
    Failed,
    /// None.
    None,
}

fn program_and_command(text: &str) -> Result<(String, String), String> {
    let (program, command) = text.split_once('=').ok_or("give it as PROGRAM='command line'")?;
    Ok((program.to_string(), command.to_string()))
}

/// The grader's own executable: everything after the check for being an arena.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    finish(run(cli.command))
}

/// Ends a command: prints its problem, if it has one, and gives its exit code.
pub fn finish(result: Result<Exit, Problem>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        Err(problem) => {
            eprintln!("{problem}");
            problem.exit.into()
        }
    }
}

/// Runs one of the grader's commands.
pub fn run(command: GraderCommand) -> Result<Exit, Problem> {
    match command {
        GraderCommand::Grade(arguments) => run_grade(arguments),
        GraderCommand::Styles(arguments) => crate::styles::styles(arguments),
        GraderCommand::Trace(arguments) => crate::trace::trace(arguments),
        GraderCommand::Doctor => {
            let (text, exit) = doctor::report();
            print(&text).map(|()| exit)
        }
        GraderCommand::List { lab } => print(&list::list(lab.as_deref())?).map(|()| Exit::Passed),
        GraderCommand::Explain { check } => print(&explain::explain(&check)?).map(|()| Exit::Passed),
    }
}

fn run_grade(arguments: GradeArguments) -> Result<Exit, Problem> {
    let output = arguments.output.as_deref().map(open_output).transpose()?;
    let command = base_command(&arguments);
    let request = Request { path: arguments.path, lab: arguments.lab, with: arguments.with };
    // This machine is probed while the submission is taken in.
    let (taken, tier) = std::thread::scope(|scope| {
        let probing = scope.spawn(doctor::tier);
        let taken = take(&request, &arguments.only);
        (taken, probing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let taken = taken?;
    let plan = Plan {
        only: arguments.only,
        seed: arguments.seed,
        record: arguments.record.is_some() || arguments.ladder == LadderOf::All,
        repeat: arguments.repeat,
        ..Plan::new(tier?)
    };
    if let Some(jobs) = arguments.jobs {
        crate::lanes::limit_checks(usize::from(jobs));
    }
    let mut report = grade(taken, &plan, arguments.record.as_deref(), command)?;
    let keeps = |check: &CheckReport| match arguments.ladder {
        LadderOf::All => true,
        LadderOf::Failed => check.verdict != VerdictName::Pass,
        LadderOf::None => false,
    };
    let checks = report.labs.iter_mut().flat_map(|lab| &mut lab.checks);
    checks.filter(|check| !keeps(check)).for_each(|check| check.ladder = None);
    let text = match arguments.format {
        Format::Json => report.json(),
        Format::Text => {
            let colour =
                output.is_none() && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let passes = report.labs.len() == 1 || arguments.ladder == LadderOf::All;
            report::text(&report, Style { colour, passes })
        }
    };
    if arguments.format == Format::Json || output.is_some() {
        report.problems().iter().for_each(|problem| eprintln!("error: {}", report::escape(problem)));
    }
    match output {
        None => print(&text)?,
        Some((path, mut file)) => {
            file.write_all(text.as_bytes()).map_err(|error| unwritable(&path, &error))?
        }
    }
    Ok(report.exit())
}

/// Opens the output before anything is graded: a place that cannot be written must not cost a grading.
fn open_output(path: &std::path::Path) -> Result<(PathBuf, std::fs::File), Problem> {
    let file = std::fs::OpenOptions::new().create(true).write(true).truncate(true).open(path);
    file.map(|file| (path.to_path_buf(), file)).map_err(|error| unwritable(path, &error))
}

/// The command that grades the same again, up to the choice of checks.
fn base_command(arguments: &GradeArguments) -> String {
    let mut words = vec!["cargo xtask grade".to_string()];
    words.extend(
        arguments
            .path
            .as_ref()
            .filter(|_| arguments.with.is_empty())
            .map(|path| quoted(&path.to_string_lossy())),
    );
    words.extend(
        arguments.with.iter().map(|(program, command)| format!("--with {program}={}", quoted(command))),
    );
    words.extend(arguments.lab.as_ref().map(|lab| format!("--lab {lab}")));
    words.extend(arguments.seed.map(|seed| format!("--seed {seed}")));
    words.join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_alphanumeric() || "/._-+=:,@".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Prints to stdout; a reader that has gone away (`| head`) is no problem, a full disk is.
pub fn print(text: &str) -> Result<(), Problem> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            let what = format!("cannot write the report to stdout: {error}");
            Err(Problem::usage(what, "free some space, or name another place with --output"))
        }
        _ => Ok(()),
    }
}
