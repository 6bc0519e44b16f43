//! Makes programs reachable for an arena. A root grader's arenas run under a uid of their own, which must be able to
//! pass through every directory above a program; in a private home it cannot, so programs are linked elsewhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ask::Launch;
use crate::exit::{Problem, shown};
use crate::house;
use crate::sandbox::reachable;
use crate::verdict::Breakdown;

/// A place for programs that arenas can reach.
pub struct Stage {
    /// `None` where programs can be reached where they are.
    directory: Option<tempfile::TempDir>,
}

impl Stage {
    /// A stage for programs that are kept in `builds`.
    pub fn new(builds: &Path) -> Result<Self, Problem> {
        let full = fs::canonicalize(builds).unwrap_or_else(|_| builds.to_path_buf());
        if !nix::unistd::geteuid().is_root() || reachable(&full.join("program")) {
            return Ok(Self { directory: None });
        }
        let made = tempfile::Builder::new().prefix("socklab-").tempdir().and_then(|directory| {
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o711))?;
            crate::child::remove_at_end(directory.path());
            Ok(directory)
        });
        made.map(|directory| Self { directory: Some(directory) }).map_err(|error| {
            let what = format!("cannot make a directory in {}: {error}", shown(&std::env::temp_dir()));
            Problem::machine(
                what,
                "free some space there, or set TMPDIR to a directory that any user can reach",
            )
        })
    }

    /// How to start a built program.
    pub fn binary(&self, program: &str, kept: &Path) -> Result<Launch, Breakdown> {
        let executable = self.reach(kept)?;
        Ok(Launch { executable, argv: vec![program.to_string()], readable: Vec::new() })
    }

    /// How to start a command line: its executable, and those of its words that are files or directories, are readable.
    pub fn command(&self, words: &[String]) -> Result<Launch, Breakdown> {
        let given = Path::new(&words[0]);
        let executable = match fs::canonicalize(given) {
            Ok(full) => self.reach(&full)?,
            Err(error) => return Err(Breakdown::system(format!("cannot find {}", shown(given)), error)),
        };
        let mut argv = vec![words[0].clone()];
        let mut readable = Vec::new();
        for word in &words[1..] {
            let path = Path::new(word);
            match fs::canonicalize(path) {
                Ok(full) if full.is_file() => {
                    let reached = self.reach(&full)?;
                    argv.push(reached.to_string_lossy().into_owned());
                    readable.push(reached);
                }
                // Such as the class path of Java.
                Ok(full) if full.is_dir() && reachable(&full) && may_be_shown(&full) => {
                    argv.push(full.to_string_lossy().into_owned());
                    readable.push(full);
                }
                _ => argv.push(word.clone()),
            }
        }
        Ok(Launch { executable, argv, readable })
    }

    /// Where an arena can reach `path`: there, or on the stage.
    fn reach(&self, path: &Path) -> Result<PathBuf, Breakdown> {
        let Some(stage) = &self.directory else { return Ok(path.to_path_buf()) };
        if reachable(path) {
            return Ok(path.to_path_buf());
        }
        let above = path.parent().unwrap_or(path).to_string_lossy();
        let label = crate::subject::hex(&<sha2::Sha256 as sha2::Digest>::digest(above.as_bytes())[..8]);
        let place = stage.path().join(label);
        let staged = place.join(path.file_name().unwrap_or_default());
        if !staged.exists() {
            house::make_open_dir(&place).map_err(|problem| Breakdown::new(problem.what, problem.next))?;
            // A copy is made by another process: a program that this one has open for writing while a thread starts
            // another process could not be executed for a moment (ETXTBSY).
            let linked = fs::hard_link(path, &staged).is_ok() || staged.exists();
            if !linked {
                let unfinished = place.join(format!(".{:?}", std::thread::current().id()));
                let copied = Command::new("cp").arg("--").arg(path).arg(&unfinished).status();
                let moved = copied.and_then(|_| fs::rename(&unfinished, &staged));
                moved.map_err(|error| Breakdown::system(format!("cannot copy {}", shown(path)), error))?;
            }
        }
        Ok(staged)
    }
}

/// Whether a directory that was named on a command line may be shown to the program, with all that lies below it: not
/// where that is the grader, its checkout, or the home or temporary files of whoever grades.
fn may_be_shown(directory: &Path) -> bool {
    const NEVER: [&str; 6] = ["/", "/home", "/root", "/tmp", "/var/tmp", "/run"];
    let variables = ["HOME", "TMPDIR"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    let private = [house::root(), house::state()].into_iter().chain(std::env::current_exe()).chain(variables);
    let private = private.chain(NEVER.map(PathBuf::from)).map(|path| fs::canonicalize(&path).unwrap_or(path));
    let holds_something_private = private.into_iter().any(|path| path.starts_with(directory));
    let within = |above: PathBuf| directory.starts_with(fs::canonicalize(&above).unwrap_or(above));
    let of_the_grader = within(house::root().join("grader")) || within(house::state());
    !holds_something_private && !of_the_grader && !directory.starts_with("/proc")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::may_be_shown;
    use crate::house;

    #[test]
    fn a_named_directory_is_shown_unless_it_holds_the_grader_or_a_home() {
        let classes = tempfile::tempdir().expect("a temporary directory");
        let full = fs::canonicalize(classes.path()).expect("it exists");
        assert!(may_be_shown(&full));
        assert!(may_be_shown(&house::labs()));
        for never in ["/", "/home", "/root", "/tmp", "/var", "/proc/self"] {
            assert!(!may_be_shown(Path::new(never)), "{never}");
        }
        let root = fs::canonicalize(house::root()).expect("the checkout exists");
        for above in root.ancestors() {
            assert!(!may_be_shown(above), "{}", above.display());
        }
        assert!(!may_be_shown(&root.join("grader/src/hidden")));
        let own = std::env::current_exe().expect("a test is a program");
        assert!(!may_be_shown(own.parent().expect("it lies in a directory")));
    }
}
