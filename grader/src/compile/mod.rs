//! Builds a subject's programs: one direct `rustc` line each, against libraries that were built once and are only read.
//!
//! A shared cargo target directory gave most of a class the first student's binary (freshness goes by time stamps), so
//! no cargo runs here. A program is kept under a hash of everything that went into it: sources, compiler, libraries
//! and flags. What is not in the hash is not laid out for the compiler either.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::ask::Launch;
use crate::child::{self, Streams};
use crate::exit::{Problem, shown};
use crate::fork_server::Role;
use crate::house;
use crate::intake::Sources;
use crate::sandbox::cgroup::Group;
use crate::sandbox::{CompileLimits, CompilePlan, Compiled, Tier};
use crate::schedule::next_uid;
use crate::subject::{Origin, Subject, hash_file, hex, root_file};
use crate::verdict::Breakdown;

mod library;
mod stage;

pub use library::{Library, prepare_library};
pub use stage::Stage;

/// The uid that a compiler takes under a root grader: none that a program of a submission ever has. Without namespaces each
/// has its own, by which its processes are found and ended.
const COMPILER_UID: u32 = 65_300;
/// How long a confined compiler is waited for. Its own limit is shorter; this one is for a sandbox that hangs.
const COMPILE_LIMIT: Duration = Duration::from_secs(200);
/// How much a confined compiler may answer.
const ANSWER_LIMIT: usize = 4 << 20;
/// How many programs are kept before those that were not used for a while are removed.
const KEPT_BUILDS: usize = 2_000;
/// What the directory of a build in progress begins with.
const WORK: &str = ".work-";
/// How old such a directory is when its build cannot be in progress any more: its grader was killed.
const ABANDONED: Duration = Duration::from_secs(3600);
/// How long a program is kept at least after it was last used.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// What every program is compiled with: cargo's dev profile without debug information, overflow checked.
const FLAGS: [&str; 12] = [
    "--edition=2024",
    "-Cembed-bitcode=no",
    "-Cdebuginfo=0",
    "-Cdebug-assertions=on",
    "-Coverflow-checks=on",
    "-Cstrip=debuginfo",
    "--cap-lints=allow",
    "--error-format=human",
    "--color=never",
    "--diagnostic-width=110",
    "-Ccodegen-units=1",
    "-Copt-level=0",
];

/// Why a program could not be built.
#[derive(Clone, Debug)]
pub enum Unbuilt {
    /// The program does not compile: the compiler's own words.
    Finding(String),
    /// The grader or the machine failed.
    Broke(Breakdown),
}

impl From<Breakdown> for Unbuilt {
    fn from(breakdown: Breakdown) -> Self {
        Self::Broke(breakdown)
    }
}

/// Builds programs; shared by all threads of a run.
pub struct Compiler {
    library: Library,
    builds: PathBuf,
    stage: Stage,
    tier: Tier,
}

impl Compiler {
    /// Finds the compiler, builds the libraries once and makes room for programs.
    pub fn prepare(tier: Tier) -> Result<Self, Problem> {
        house::make_open_dir(&house::state())?;
        Self::keeping_in(house::state().join("builds"), tier)
    }

    /// The same, with programs kept in `builds`.
    pub fn keeping_in(builds: PathBuf, tier: Tier) -> Result<Self, Problem> {
        house::make_open_dir(&builds)?;
        prune(&builds);
        Ok(Self { library: prepare_library()?, stage: Stage::new(&builds)?, builds, tier })
    }

    /// What `rustc` calls itself.
    pub fn version(&self) -> &str {
        &self.library.version
    }

    /// How to start `program` of `subject`, which it must have; builds it where needed.
    pub fn launch(&self, subject: &Subject, program: &str) -> Result<Launch, Unbuilt> {
        match &subject.programs[program] {
            Origin::Sources(sources) => {
                let root = root_file(sources, program)
                    .ok_or_else(|| Unbuilt::Finding(format!("there is no src/bin/{program}.rs")))?;
                let other_roots: Vec<String> = subject
                    .suite
                    .programs
                    .iter()
                    .filter(|other| **other != program)
                    .filter_map(|other| root_file(sources, other))
                    .collect();
                self.rust(subject.suite.lab, program, &root, sources, &other_roots)
            }
            Origin::File(path) => self.file(subject.suite.lab, program, path),
            Origin::Command(words) => Ok(self.stage.command(words)?),
        }
    }

    fn file(&self, lab: &str, program: &str, path: &Path) -> Result<Launch, Unbuilt> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => {
                let text = read(path)?;
                let root = format!("src/bin/{program}.rs");
                let mut sources = Sources::default();
                sources.files.insert(root.clone(), text);
                self.rust(lab, program, &root, &sources, &[])
            }
            Some("c") => self.c(program, path),
            Some("py") => {
                let words =
                    ["/usr/bin/python3".to_string(), "-u".to_string(), path.to_string_lossy().into_owned()];
                Ok(self.stage.command(&words)?)
            }
            _ => {
                let what = format!("{} is neither .rs, .c nor .py", shown(path));
                Err(Breakdown::new(what, "name a program of one of these kinds").into())
            }
        }
    }

    /// Builds one Rust program. `other_roots` are the roots of the lab's other programs, which usually play no part in
    /// this one: the program is then found again although another program changed.
    fn rust(
        &self,
        lab: &str,
        program: &str,
        root: &str,
        sources: &Sources,
        other_roots: &[String],
    ) -> Result<Launch, Unbuilt> {
        let own = self.key(lab, program, sources, other_roots);
        let whole = self.key(lab, program, sources, &[]);
        for key in [&own, &whole] {
            let kept = self.builds.join(key).join(program);
            if found(&kept) {
                return Ok(self.stage.binary(program, &kept)?);
            }
        }
        let work = self.work_directory()?;
        for (path, text) in &sources.files {
            lay(work.path(), path, text)?;
        }
        let mut externs = Vec::new();
        if sources.files.contains_key("src/lib.rs") {
            let name = lab.replace('-', "_");
            let rlib = format!("lib{name}.rlib");
            self.rustc(work.path(), lab, "src/lib.rs", &name, &["--crate-type=rlib", "--emit=link"], &[])?;
            fs::rename(work.path().join("out").join(&rlib), work.path().join(&rlib)).map_err(broke)?;
            externs.push(format!("--extern={name}={rlib}"));
        }
        let crate_name = program.replace('-', "_");
        self.rustc(
            work.path(),
            lab,
            root,
            &crate_name,
            &["--crate-type=bin", "--emit=link,dep-info"],
            &externs,
        )?;
        let binary = work.path().join("out").join(crate_name);
        let inputs = fs::read_to_string(binary.with_extension("d")).map_err(broke)?;
        let inputs: BTreeSet<&str> = inputs.split([' ', ':', '\n']).collect();
        let shared = other_roots.iter().any(|other| inputs.contains(other.as_str()));
        let kept = self.keep(if shared { &whole } else { &own }, program, &binary)?;
        Ok(self.stage.binary(program, &kept)?)
    }

    fn key(&self, lab: &str, program: &str, sources: &Sources, without: &[String]) -> String {
        let mut hash = Sha256::new();
        for part in ["1", lab, program, &self.library.key, &FLAGS.join(" ")] {
            hash_file(&mut hash, "", part);
        }
        for (path, text) in sources.files.iter().filter(|(path, _)| !without.contains(path)) {
            hash_file(&mut hash, path, text);
        }
        hex(&hash.finalize()[..16])
    }

    /// A directory that is gone when the build ends. It lies beside the builds, so that the result can be moved.
    fn work_directory(&self) -> Result<tempfile::TempDir, Breakdown> {
        tempfile::Builder::new().prefix(WORK).tempdir_in(&self.builds).map_err(|error| {
            Breakdown::new(
                format!("cannot make a directory in {}: {error}", shown(&self.builds)),
                "free some space there, or set CARGO_TARGET_DIR to a directory that you may write",
            )
        })
    }

    /// What the compiler is told.
    fn arguments<'a>(
        &'a self,
        root: &'a str,
        crate_name: &'a str,
        emit: &[&'a str],
        externs: &'a [String],
    ) -> Vec<&'a str> {
        let mut arguments = vec![root, "--crate-name", crate_name, "--out-dir=out"];
        arguments.extend(emit);
        arguments.extend(FLAGS);
        arguments.extend(self.library.link_arguments.iter().chain(externs).map(String::as_str));
        arguments
    }

    /// The compiler's line for one program of our own, to be run outside the sandbox: what `speed` measures against.
    pub fn raw_line(&self, root: &str, crate_name: &str) -> Command {
        let mut command = Command::new(&self.library.rustc);
        command.args(self.arguments(root, crate_name, &["--crate-type=bin", "--emit=link,dep-info"], &[]));
        command
    }

    fn rustc(
        &self,
        directory: &Path,
        lab: &str,
        root: &str,
        crate_name: &str,
        emit: &[&str],
        externs: &[String],
    ) -> Result<(), Unbuilt> {
        let arguments = self.arguments(root, crate_name, emit, externs);
        let environment = [
            ("CARGO_PKG_NAME", lab),
            ("CARGO_PKG_VERSION", env!("CARGO_PKG_VERSION")),
            ("CARGO_CRATE_NAME", crate_name),
        ];
        self.run_confined(directory, &self.library.rustc, &arguments, &environment)
    }

    /// Runs a compiler on sources that nobody has read: in the sandbox, with the toolchain and the libraries in sight and
    /// nothing else, and one empty directory to write to.
    fn run_confined(
        &self,
        directory: &Path,
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<(), Unbuilt> {
        let out = directory.join("out");
        let _ = fs::remove_dir_all(&out);
        fs::create_dir(&out).map_err(broke)?;
        let temporary = out.to_string_lossy().into_owned();
        let path = std::env::var("PATH").unwrap_or_default();
        let environment =
            environment.iter().copied().chain([("PATH", path.as_str()), ("TMPDIR", &temporary)]);
        let toolchain = self.library.rustc.ancestors().nth(2).map(Path::to_path_buf);
        let limits = CompileLimits::default();
        let group = Group::new(limits.group());
        let plan = CompilePlan {
            tier: self.tier,
            uid: if self.tier == Tier::C { next_uid() } else { COMPILER_UID },
            program: program.to_path_buf(),
            arguments: arguments.iter().map(OsString::from).collect(),
            env: environment.map(|(name, value)| (name.into(), value.into())).collect(),
            directory: directory.to_path_buf(),
            readable: toolchain.into_iter().chain([self.library.place.clone()]).collect(),
            out,
            limits,
            group: group.as_ref().map(Group::entry),
        };
        let output = child::output(Role::Compiler, &plan.ask()?, Streams::Piped, COMPILE_LIMIT, ANSWER_LIMIT)
            .map_err(|stopped| stopped.breakdown("the compiler"))?;
        judge(&plan.result(&output)?)
    }

    fn c(&self, program: &str, path: &Path) -> Result<Launch, Unbuilt> {
        let text = read(path)?;
        let mut hash = Sha256::new();
        hash_file(&mut hash, "c", program);
        hash_file(&mut hash, "", &text);
        let key = hex(&hash.finalize()[..16]);
        let kept = self.builds.join(&key).join(program);
        if found(&kept) {
            return Ok(self.stage.binary(program, &kept)?);
        }
        let work = self.work_directory()?;
        lay(work.path(), "program.c", &text)?;
        let cc = crate::doctor::find_in_path("cc").ok_or_else(no_linker)?;
        let arguments = ["-O1", "-pthread", "-o", "out/program", "program.c"];
        self.run_confined(work.path(), &cc, &arguments, &[])?;
        let kept = self.keep(&key, program, &work.path().join("out/program"))?;
        Ok(self.stage.binary(program, &kept)?)
    }

    /// Moves a finished program to its place in one step: whoever finds it there finds it whole.
    fn keep(&self, key: &str, program: &str, built: &Path) -> Result<PathBuf, Breakdown> {
        let place = self.builds.join(key);
        let kept = place.join(program);
        let step = || -> std::io::Result<()> {
            let open = fs::Permissions::from_mode(0o755);
            fs::create_dir_all(&place)?;
            fs::set_permissions(&place, open.clone())?;
            fs::set_permissions(built, open)?;
            fs::rename(built, &kept)
        };
        step().map_err(broke)?;
        Ok(kept)
    }
}

/// Whether a program was built before; it counts as used now.
fn found(kept: &Path) -> bool {
    let used = || fs::File::open(kept.parent().unwrap_or(kept))?.set_modified(SystemTime::now());
    // Someone else's cache may be read-only: the program is good all the same.
    kept.is_file() && used().map_or(true, |()| true)
}

/// Removes programs that were not used for a day, where many are kept, and what killed graders had in work.
fn prune(builds: &Path) {
    let Ok(entries) = fs::read_dir(builds) else { return };
    let (work, kept): (Vec<PathBuf>, Vec<PathBuf>) =
        entries.flatten().map(|entry| entry.path()).partition(|path| is_work(path));
    let crowded = kept.len() > KEPT_BUILDS;
    let old = work.iter().map(|path| (path, ABANDONED));
    let unused = kept.iter().filter(|_| crowded).map(|path| (path, KEPT_FOR));
    for (entry, limit) in old.chain(unused) {
        let used = fs::metadata(entry).and_then(|found| found.modified());
        let age = used.ok().and_then(|used| used.elapsed().ok()).unwrap_or_default();
        if age > limit {
            let _ = fs::remove_dir_all(entry);
        }
    }
}

fn is_work(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(WORK))
}

fn broke(error: std::io::Error) -> Breakdown {
    Breakdown::system("cannot keep what was built", error)
}

fn read(path: &Path) -> Result<String, Breakdown> {
    fs::read_to_string(path).map_err(|error| Breakdown::system(format!("cannot read {}", shown(path)), error))
}

fn lay(directory: &Path, path: &str, text: &str) -> Result<(), Breakdown> {
    let file = directory.join(path);
    let step = || {
        if let Some(above) = file.parent() {
            fs::create_dir_all(above)?;
        }
        fs::write(&file, text)
    };
    step().map_err(broke)
}

/// Whether the compiler was content; and if not, whose fault that is.
fn judge(compiled: &Compiled) -> Result<(), Unbuilt> {
    if let Some(bound) = &compiled.bound {
        return Err(Unbuilt::Finding(format!("{}\nthe compiler was {bound}", compiled.messages)));
    }
    if compiled.status.success() {
        return Ok(());
    }
    let message = &compiled.messages;
    if message.contains("linker `cc` not found") {
        return Err(no_linker().into());
    }
    if message.contains("No space left on device") {
        return Err(Breakdown::new("the disk is full", "free some space, then grade again").into());
    }
    match compiled.status.code() {
        Some(1) => Err(Unbuilt::Finding(message.clone())),
        _ => Err(Unbuilt::Finding(format!("{message}\nthe compiler ended early: {}", compiled.status))),
    }
}

fn no_linker() -> Breakdown {
    Breakdown::new("rustc finds no linker `cc`", crate::doctor::LINKER)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    #[test]
    fn what_killed_graders_had_in_work_is_removed() -> std::io::Result<()> {
        let builds = tempfile::tempdir()?;
        for (name, hours) in [(".work-abandoned", 2), (".work-in-progress", 0), ("kept", 48)] {
            let path = builds.path().join(name);
            fs::create_dir(&path)?;
            fs::write(path.join("file"), "")?;
            fs::File::open(&path)?.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600))?;
        }
        super::prune(builds.path());
        let mut left: Vec<_> =
            fs::read_dir(builds.path())?.flatten().map(|entry| entry.file_name()).collect();
        left.sort();
        assert_eq!(left, [".work-in-progress", "kept"]);
        Ok(())
    }
}
