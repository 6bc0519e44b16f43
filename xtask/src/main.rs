//! The front door of Socklab: `cargo xtask grade` and its likes are the grader's own commands; beside them stand those
//! that keep the project itself.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use grader::cli::{EXIT_CODES, GraderCommand, finish};
use grader::exit::{Exit, Problem};

mod flake;
mod new_lab;
mod speed;
mod stubs;
mod tidy;
mod try_subject;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    about = "Grades the labs and keeps the project."
)]
#[command(after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Grader(GraderCommand),
    /// Write the stubs in labs/ anew from the solutions: what stands between `// solution:` and `// :solution` is
    /// replaced by the line that the first of them gives.
    Stubs {
        /// Write nothing; fail where a stub is not what its solution makes.
        #[arg(long)]
        check: bool,
        /// Only this lab.
        #[arg(long)]
        lab: Option<String>,
    },
    /// Check what no compiler checks: lengths, sleeps, open ends, dead links, lists of labs.
    Tidy,
    /// Lay out a new lab: manifests, handout, solution, stub and suites.
    NewLab {
        /// The lab's name.
        name: String,
        /// Its programs.
        #[arg(required = true)]
        programs: Vec<String>,
    },
    /// Grade the solutions again and again on a busy machine and show every verdict that changes.
    Flake {
        /// How often.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        runs: u32,
        /// How many busy loops run beside it.
        #[arg(long, default_value_t = 16)]
        load: usize,
        /// Only this lab.
        #[arg(long)]
        lab: Option<String>,
    },
    /// Measure grading against other ways to do the same ten TCP checks, paired in one run, and what it must keep to.
    Speed {
        /// How many rounds; every contestant runs once in each.
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
    },
    /// Build one file as a program and nothing else.
    #[command(hide = true)]
    BuildOne {
        /// The lab.
        lab: String,
        /// The program.
        program: String,
        /// Its source.
        file: PathBuf,
        /// Where to keep it.
        builds: PathBuf,
    },
    /// Grade a lab's mutants and variants and show what a student would read: all of them, or those named.
    Try {
        /// The lab.
        lab: String,
        /// Mutants or variants, `solution` or `stub`; all mutants unless given.
        names: Vec<String>,
        /// Ask only this check.
        #[arg(long)]
        only: Vec<String>,
        /// Show nothing but one line a subject.
        #[arg(long)]
        brief: bool,
    },
}

fn main() -> ExitCode {
    if let Some(code) = grader::fork_server::become_fork_server_if_asked() {
        return code;
    }
    grader::child::end_all_on_signals();
    let code = finish(run(Cli::parse().command));
    grader::child::end_fork_server();
    code
}

fn run(command: Command) -> Result<Exit, Problem> {
    match command {
        Command::Grader(command) => grader::cli::run(command),
        Command::Stubs { check, lab } => stubs::stubs(check, lab.as_deref()),
        Command::Tidy => tidy::tidy(),
        Command::NewLab { name, programs } => new_lab::new_lab(&name, &programs),
        Command::Flake { runs, load, lab } => flake::flake(runs, load, lab),
        Command::BuildOne { lab, program, file, builds } => speed::build_one(&lab, &program, file, builds),
        Command::Speed { rounds } => speed::speed(rounds),
        Command::Try { lab, names, only, brief } => try_subject::try_subjects(&lab, &names, &only, brief),
    }
}
