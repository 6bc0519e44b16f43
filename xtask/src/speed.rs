//! `speed`: measures grading against other ways to do the same job, paired in one run: every contestant runs once in
//! each round, so that a machine that is slower for a while is slower for all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use grader::compile::{Compiler, Unbuilt};
use grader::doctor::{self, find_in_path};
use grader::exit::{Exit, Problem};
use grader::subject::{Origin, Subject};
use grader::{house, mutant, suites};
use nix::sys::resource::{UsageWho, getrusage};

/// The lab and program of the job.
const LAB: &str = "tcp";
const PROGRAM: &str = "tcp-server";
/// The labs that the course begins with.
const FIRST_LABS: [&str; 5] = ["endianness", "udp", "tcp", "fork", "multicast"];
/// How many checks the job has.
const CHECKS: usize = 10;

/// One way to do something, measured round by round.
struct Contestant {
    name: String,
    command: Box<dyn FnMut() -> Command>,
    wall: Vec<f64>,
    cpu: Vec<f64>,
}

impl Contestant {
    fn new(name: &str, command: impl FnMut() -> Command + 'static) -> Self {
        Self { name: name.to_string(), command: Box::new(command), wall: Vec::new(), cpu: Vec::new() }
    }

    /// Runs it once; what it prints is shown only where it fails.
    fn run(&mut self) -> Result<(), Problem> {
        let mut command = (self.command)();
        command.stdin(Stdio::null());
        let (start, before) = (Instant::now(), children_cpu());
        let output = command
            .output()
            .map_err(|error| Problem::usage(format!("{}: {error}", self.name), "install it"))?;
        self.wall.push(start.elapsed().as_secs_f64());
        self.cpu.push((children_cpu() - before).as_secs_f64());
        if output.status.success() {
            return Ok(());
        }
        let words = [output.stdout, output.stderr].concat();
        let what = format!("{} failed ({}): {}", self.name, output.status, String::from_utf8_lossy(&words));
        Err(Problem::usage(what, "run it by hand"))
    }
}

/// The processor time of all children that have ended, and of theirs.
fn children_cpu() -> Duration {
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(Duration::ZERO, |usage| {
        let micros = |time: nix::sys::time::TimeVal| (time.tv_sec() * 1_000_000 + time.tv_usec()) as u64;
        Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time()))
    })
}

/// Measures and prints.
pub fn speed(rounds: u32) -> Result<Exit, Problem> {
    let compiler = Compiler::prepare(doctor::tier()?)?;
    let suite =
        suites::of(LAB).ok_or_else(|| Problem::usage("the lab tcp is not there", "use a whole checkout"))?;
    let solution = Arc::new(mutant::solution(suite)?);
    let subject = Subject::from_sources("solution", suite, mutant::solution(suite)?);
    let server = built(compiler.launch(&subject, PROGRAM))?;
    let checks: Vec<&str> = suite
        .all()
        .filter(|check| check.programs == [PROGRAM])
        .map(|check| check.name)
        .take(CHECKS)
        .collect();
    let place =
        tempfile::tempdir().map_err(|error| Problem::machine(error.to_string(), "free some space"))?;

    let mut checking = job(&checks, &server, place.path())?;
    measure(&mut checking, rounds)?;
    println!("{} checks of a server that is built: start it, Hello!, Hi!, half-close, end", checks.len());
    table(&checking);

    let mut editing = edit(&checks, place.path(), &solution)?;
    measure(&mut editing, rounds)?;
    println!("\nedit to verdict: one source changed, then the same checks");
    table(&editing);

    let mut compiling = compile(compiler, place.path(), &solution)?;
    measure(&mut compiling, rounds)?;
    println!("\ncompile one program that was never built");
    table(&compiling);

    let five = place.path().join("five");
    FIRST_LABS.iter().try_for_each(|lab| lay(lab, &five))?;
    let of = |path: &Path| own_command(&["grade", &path.to_string_lossy()]);
    let mut whole = vec![
        Contestant::new("grade all solutions", of(&house::solutions())),
        Contestant::new("grade the first five labs", of(&five)),
    ];
    measure(&mut whole, rounds.min(3))?;
    println!("\nwhole labs, every check, programs cached");
    table(&whole);

    Ok(verdict(&[
        ("ten checks, wall, against check50 --dev", ratio(&checking, "check50 --dev", wall), 0.5),
        ("ten checks, wall, against cargo nextest", ratio(&checking, "cargo nextest", wall), 0.7),
        ("ten checks, processor time, against pytest", ratio(&checking, "pytest", cpu), 0.5),
        ("edit to verdict, wall, against cargo test", ratio(&editing, "cargo test", wall), 1.0),
        ("compile, processor time, against raw rustc", ratio(&compiling, "raw rustc", cpu), 1.2),
        ("all labs, seconds of wall time", Some(median(&whole[0].wall)), 6.0),
        ("five labs, seconds of wall time", Some(median(&whole[1].wall)), 3.0),
    ]))
}

/// Lays the solution of a lab into a submission.
fn lay(lab: &str, submission: &Path) -> Result<(), Problem> {
    let solution = mutant::solution(grader::grade::known_lab(lab)?)?;
    for (path, text) in &solution.files {
        let path = submission.join(lab).join(path);
        let laid = fs::create_dir_all(path.parent().unwrap_or(&path)).and_then(|()| fs::write(&path, text));
        laid.map_err(|error| grader::grade::unwritable(&path, &error))?;
    }
    Ok(())
}

fn built(launch: Result<grader::ask::Launch, Unbuilt>) -> Result<PathBuf, Problem> {
    match launch {
        Ok(launch) => Ok(launch.executable),
        Err(Unbuilt::Finding(words)) => Err(Problem::usage(words, "mend the solution")),
        Err(Unbuilt::Broke(breakdown)) => Err(Problem::machine(breakdown.what, breakdown.next)),
    }
}

fn own_command(arguments: &[&str]) -> impl FnMut() -> Command + use<> {
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    move || {
        let mut command = Command::new("/proc/self/exe");
        command.args(&arguments);
        command
    }
}

fn only(path: &Path, checks: &[&str]) -> Vec<String> {
    let mut arguments =
        vec!["grade".to_string(), path.to_string_lossy().into_owned(), "--lab".to_string(), LAB.to_string()];
    arguments.extend(checks.iter().flat_map(|check| ["--only".to_string(), check.to_string()]));
    arguments
}

/// Ours, and every other way that is installed, in the checkout or in `place`: check50 looks through the directory in
/// which it is started, and takes no large one.
fn job(checks: &[&str], server: &Path, place: &Path) -> Result<Vec<Contestant>, Problem> {
    let benches = house::root().join("grader/benches");
    let arguments = only(&house::solutions(), checks);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut contestants = vec![Contestant::new("socklab", own_command(&arguments))];
    let mut other = |name: &str, program: PathBuf, arguments: Vec<String>| {
        let directory = if name.starts_with("cargo") { house::root() } else { place.to_path_buf() };
        let server = server.to_path_buf();
        let mut port = 20_000;
        contestants.push(Contestant::new(name, move || {
            port += CHECKS as u16;
            let mut command = Command::new(&program);
            command.args(&arguments).current_dir(&directory);
            command.env("SERVER", &server).env("PORT", port.to_string()).env_remove("RUSTFLAGS");
            command
        }));
    };
    let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let words = |text: &str| text.split(' ').map(str::to_string).collect::<Vec<_>>();
    let package = format!("{LAB}-solution");
    other(
        "cargo test",
        cargo.clone(),
        words(&format!("test --quiet --offline --package {package} --test visible")),
    );
    if find_in_path("cargo-nextest").is_some() {
        other(
            "cargo nextest",
            cargo,
            words(&format!("nextest run --offline --package {package} --test visible")),
        );
    }
    if let Some(bash) = find_in_path("bash") {
        other("polling shell script", bash, vec![benches.join("poll.sh").to_string_lossy().into_owned()]);
    }
    if let Some(pytest) = find_in_path("pytest") {
        let file = benches.join("test_hi.py").to_string_lossy().into_owned();
        other("pytest", pytest, vec!["-q".into(), "-p".into(), "no:cacheprovider".into(), file]);
    }
    if let Some(check50) = find_in_path("check50") {
        let directory = benches.join("check50").to_string_lossy().into_owned();
        other("check50 --dev", check50, vec!["--dev".into(), directory]);
    }
    Ok(contestants)
}

/// Ours against `cargo test`, each after one source was changed.
fn edit(
    checks: &[&str],
    place: &Path,
    solution: &Arc<grader::intake::Sources>,
) -> Result<Vec<Contestant>, Problem> {
    let submission = place.join("edited");
    let root = format!("src/bin/{PROGRAM}.rs");
    lay(LAB, &submission)?;
    let arguments = only(&submission, checks);
    let text = solution.files.get(&root).cloned().unwrap_or_default();
    let (edited, mut turn) = (submission.join(LAB).join(&root), 0);
    let ours = Contestant::new("socklab", move || {
        turn += 1;
        // A changed byte that changes nothing: what was built before is of no use.
        let _ = fs::write(&edited, format!("{text}\n// {} {turn}\n", std::process::id()));
        let mut command = Command::new("/proc/self/exe");
        command.args(&arguments);
        command
    });
    let original = house::solutions().join(LAB).join(&root);
    let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let theirs = Contestant::new("cargo test", move || {
        let touched =
            fs::File::open(&original).and_then(|file| file.set_modified(std::time::SystemTime::now()));
        drop(touched);
        let mut command = Command::new(&cargo);
        command.args(["test", "--quiet", "--offline", "--package", &format!("{LAB}-solution")]);
        command.current_dir(house::root()).env_remove("RUSTFLAGS");
        command
    });
    Ok(vec![ours, theirs])
}

/// Our build of one program against the bare compiler on the same line.
fn compile(
    compiler: Compiler,
    place: &Path,
    solution: &Arc<grader::intake::Sources>,
) -> Result<Vec<Contestant>, Problem> {
    let root = format!("src/bin/{PROGRAM}.rs");
    let raw = place.join("raw");
    let laid = fs::create_dir_all(raw.join("src/bin"))
        .and_then(|()| fs::create_dir_all(raw.join("out")))
        .and_then(|()| fs::write(raw.join(&root), solution.files.get(&root).map_or("", String::as_str)));
    laid.map_err(|error| grader::grade::unwritable(&raw, &error))?;
    let sources = Arc::clone(solution);
    let builds = place.join("builds").to_string_lossy().into_owned();
    let mut turn = 0;
    let submission = place.join("compiled.rs");
    let ours = Contestant::new("socklab", {
        let (root, submission) = (root.clone(), submission.clone());
        move || {
            turn += 1;
            let text = sources.files.get(&root).cloned().unwrap_or_default();
            let _ = fs::write(&submission, format!("{text}\n// {} {turn}\n", std::process::id()));
            let mut command = Command::new("/proc/self/exe");
            command.args(["build-one", LAB, PROGRAM]).arg(&submission).arg(&builds);
            command
        }
    });
    let theirs = Contestant::new("raw rustc", move || {
        let mut command = compiler.raw_line(&root, &PROGRAM.replace('-', "_"));
        command.current_dir(&raw);
        command
    });
    Ok(vec![ours, theirs])
}

/// Builds one file as a program, and nothing else: what `speed` measures of ours.
pub fn build_one(lab: &str, program: &str, file: PathBuf, builds: PathBuf) -> Result<Exit, Problem> {
    let suite = grader::grade::known_lab(lab)?;
    let compiler = Compiler::keeping_in(builds, doctor::tier()?)?;
    let programs = std::collections::BTreeMap::from([(program.to_string(), Origin::File(file))]);
    let subject = Subject::new("one".to_string(), suite, programs, Vec::new(), true);
    built(compiler.launch(&subject, program)).map(|_| Exit::Passed)
}

fn measure(contestants: &mut [Contestant], rounds: u32) -> Result<(), Problem> {
    for contestant in contestants.iter_mut() {
        // Once unmeasured: whatever is built or cached the first time.
        contestant.run()?;
        contestant.wall.clear();
        contestant.cpu.clear();
    }
    (0..rounds).try_for_each(|_| contestants.iter_mut().try_for_each(Contestant::run))
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn wall(contestant: &Contestant) -> &[f64] {
    &contestant.wall
}

fn cpu(contestant: &Contestant) -> &[f64] {
    &contestant.cpu
}

/// The median of the first contestant's figures, each divided by the named one's of the same round.
fn ratio(contestants: &[Contestant], name: &str, of: fn(&Contestant) -> &[f64]) -> Option<f64> {
    let other = contestants.iter().find(|contestant| contestant.name == name)?;
    let pairs = of(&contestants[0]).iter().zip(of(other));
    Some(median(&pairs.map(|(ours, theirs)| ours / theirs).collect::<Vec<_>>()))
}

fn table(contestants: &[Contestant]) {
    println!("  {:<24} {:>9} {:>9} {:>12} {:>12}", "", "wall s", "cpu s", "ours/wall", "ours/cpu");
    for contestant in contestants {
        let of = |figures| ratio(contestants, &contestant.name, figures).unwrap_or(f64::NAN);
        let (wall_s, cpu_s) = (median(&contestant.wall), median(&contestant.cpu));
        println!("  {:<24} {wall_s:>9.3} {cpu_s:>9.3} {:>12.2} {:>12.2}", contestant.name, of(wall), of(cpu));
    }
}

/// Prints what must hold and whether it does; what could not be measured here is said, and not held against anyone.
fn verdict(bounds: &[(&str, Option<f64>, f64)]) -> Exit {
    println!();
    let mut kept = true;
    for (what, figure, most) in bounds {
        match figure {
            Some(figure) if figure <= most => println!("kept    {what}: {figure:.2}, at most {most}"),
            Some(figure) => {
                kept = false;
                println!("MISSED  {what}: {figure:.2}, at most {most}");
            }
            None => println!("not run {what}: it is not installed"),
        }
    }
    if kept { Exit::Passed } else { Exit::Findings }
}
