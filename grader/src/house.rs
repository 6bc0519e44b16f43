//! Where this checkout keeps what the grader needs: the labs, the solutions, and a place for what it builds.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::exit::Problem;

/// The checkout's root directory.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// The handout and stub of every lab.
pub fn labs() -> PathBuf {
    root().join("labs")
}

/// The reference programs of every lab, their mutants and variants.
pub fn solutions() -> PathBuf {
    root().join("solutions")
}

/// Where built libraries and programs are kept between runs.
pub fn state() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let target = if target.is_absolute() { target } else { root().join(target) };
    target.join("socklab")
}

/// Makes a directory that the uid of an arena may pass through, whatever the umask is.
pub fn make_open_dir(path: &Path) -> Result<(), Problem> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755))).map_err(|error| {
        Problem::machine(
            format!("cannot make {}: {error}", path.display()),
            "free some space there, or set CARGO_TARGET_DIR to a directory that you may write",
        )
    })
}
