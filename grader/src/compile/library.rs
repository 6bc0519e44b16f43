//! The compiler, and the libraries that a lab's programs may link: labkit and what it depends on, built once by cargo
//! from the lockfile, copied aside and only read from then on.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::exit::{Problem, shown};
use crate::house;
use crate::subject::{hash_file, hex};

/// The compiler and what it links.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Library {
    /// The real compiler, not rustup's stand-in, which takes milliseconds a call.
    pub rustc: PathBuf,
    /// What it calls itself.
    pub version: String,
    /// A hash of the compiler and the libraries.
    pub key: String,
    /// The directory of the libraries.
    pub place: PathBuf,
    /// `-L` and `--extern` for each library that a program may name.
    pub link_arguments: Vec<String>,
}

/// Finds the compiler and the libraries, and builds them where they are missing or out of date.
pub fn prepare_library() -> Result<Library, Problem> {
    let tools = Tools::find()?;
    let key = library_key(&tools)?;
    let place = house::state().join("library").join(&key);
    let list = place.join("library.json");
    if let Some(library) = fs::read(&list).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        return Ok(library);
    }
    let built = build(&tools)?;
    let library = Library {
        version: version_of(&tools.rustc)?,
        rustc: tools.rustc,
        link_arguments: keep(&place, &built)?,
        key,
        place: place.clone(),
    };
    let text = serde_json::to_vec_pretty(&library).unwrap_or_default();
    write_whole(&list, &text).map_err(|error| cannot_keep(&list, &error))?;
    Ok(library)
}

struct Tools {
    cargo: PathBuf,
    rustc: PathBuf,
}

impl Tools {
    /// Cargo says in CARGO which toolchain runs this very program; otherwise the rustc in PATH says where it lives.
    fn find() -> Result<Self, Problem> {
        if let Some(cargo) = std::env::var_os("CARGO").map(PathBuf::from) {
            let rustc = cargo.with_file_name("rustc");
            if cargo.is_file() && rustc.is_file() {
                return Ok(Self { cargo, rustc });
            }
        }
        let asked = Command::new("rustc").args(["--print", "sysroot"]).current_dir(house::root()).output();
        let sysroot = match asked {
            Ok(output) if output.status.success() => {
                String::from_utf8_lossy(&output.stdout).trim().to_string()
            }
            _ => {
                let next = "install Rust: https://rustup.rs, or your system's rustc and cargo";
                return Err(Problem::machine("no rustc in PATH", next));
            }
        };
        let rustc = Path::new(&sysroot).join("bin/rustc");
        let cargo = rustc.with_file_name("cargo");
        Ok(Self { cargo: if cargo.is_file() { cargo } else { PathBuf::from("cargo") }, rustc })
    }
}

fn version_of(rustc: &Path) -> Result<String, Problem> {
    let output = Command::new(rustc).arg("--version").output().map_err(|error| {
        Problem::machine(format!("cannot start {}: {error}", shown(rustc)), "install the toolchain again")
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
}

/// A hash of all that the libraries are made of.
fn library_key(tools: &Tools) -> Result<String, Problem> {
    let mut hash = Sha256::new();
    let found = fs::metadata(&tools.rustc).map_err(|error| {
        Problem::machine(
            format!("cannot find {}: {error}", shown(&tools.rustc)),
            "install the toolchain again",
        )
    })?;
    let stamp = format!("{} {} {} {}", found.len(), found.mtime(), found.mtime_nsec(), found.ino());
    hash_file(&mut hash, &tools.rustc.to_string_lossy(), &stamp);
    hash_file(&mut hash, "place", &house::state().to_string_lossy());
    for path in ["Cargo.toml", "Cargo.lock", "grader/labkit/Cargo.toml", "grader/labkit/src/lib.rs"] {
        let text = fs::read_to_string(house::root().join(path)).map_err(|error| {
            Problem::machine(format!("cannot read {path}: {error}"), "run it in a whole checkout of Socklab")
        })?;
        hash_file(&mut hash, path, &text);
    }
    Ok(hex(&hash.finalize()[..16]))
}

/// Libraries by the name under which a program may use them, and the directory of those that they need in turn.
struct Built {
    named: BTreeMap<String, PathBuf>,
    all: Vec<PathBuf>,
}

/// The part of cargo's messages that says which files it made.
#[derive(Deserialize)]
struct Message {
    reason: String,
    target: Option<Target>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

fn build(tools: &Tools) -> Result<Built, Problem> {
    let mut output = run_cargo(tools, true)?;
    if !output.status.success() {
        output = run_cargo(tools, false)?;
    }
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(build_failed(&words));
    }
    let direct = direct_dependencies()?;
    let mut built = Built { named: BTreeMap::new(), all: Vec::new() };
    for line in output.stdout.split(|byte| *byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<Message>(line) else { continue };
        let Some(target) = message.target.filter(|_| message.reason == "compiler-artifact") else { continue };
        if !target.kind.iter().any(|kind| kind == "lib" || kind == "rlib") {
            continue;
        }
        for file in message.filenames {
            if file.extension().is_some_and(|extension| extension == "rlib") {
                let name = target.name.replace('-', "_");
                if direct.contains(&name) {
                    built.named.insert(name, file.clone());
                }
                built.all.push(file);
            }
        }
    }
    match direct.iter().find(|name| !built.named.contains_key(*name)) {
        Some(name) => {
            let next = "run `cargo build -p labkit` and look at its words";
            Err(Problem::machine(format!("cargo built no library {name}"), next))
        }
        None => Ok(built),
    }
}

fn run_cargo(tools: &Tools, offline: bool) -> Result<Output, Problem> {
    let mut command = Command::new(&tools.cargo);
    command.args(["build", "--package", "labkit", "--lib", "--locked", "--message-format=json", "--quiet"]);
    if offline {
        command.arg("--offline");
    }
    command.arg("--target-dir").arg(house::state().join("cargo")).current_dir(house::root());
    // What shapes a build is ours to say; where crates come from is the reader's.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let shapes = text.starts_with("CARGO_") || text.starts_with("RUST");
        let fetches =
            ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_SOURCE_", "RUSTUP_"];
        if shapes && !fetches.iter().any(|start| text.starts_with(start)) {
            command.env_remove(&name);
        }
    }
    command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("RUSTC", &tools.rustc);
    command.stdin(Stdio::null()).output().map_err(|error| {
        Problem::machine(
            format!("cannot start {}: {error}", shown(&tools.cargo)),
            "install cargo: https://rustup.rs",
        )
    })
}

fn build_failed(words: &str) -> Problem {
    let first = words.lines().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
    if words.contains("linker `cc` not found") {
        return Problem::machine("rustc finds no linker `cc`", crate::doctor::LINKER);
    }
    if ["download", "resolve host", "network", "connect", "offline"].iter().any(|word| words.contains(word)) {
        let next = "run `cargo fetch` once while this machine is online; from then on no network is needed";
        return Problem::machine(format!("the libraries of the labs are not downloaded: {first}"), next);
    }
    let next = "run `cargo build -p labkit` and mend what it says";
    Problem::machine(format!("cannot build the libraries of the labs: {first}"), next)
}

/// The names under which a program may use a library: labkit and what its manifest lists.
fn direct_dependencies() -> Result<Vec<String>, Problem> {
    #[derive(Deserialize)]
    struct Manifest {
        dependencies: BTreeMap<String, toml::Value>,
    }
    let path = house::root().join("grader/labkit/Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let manifest: Manifest = toml::from_str(&text)
        .map_err(|error| Problem::machine(format!("{}: {error}", shown(&path)), "mend the file"))?;
    let names = manifest.dependencies.into_keys().chain(["labkit".to_string()]);
    Ok(names.map(|name| name.replace('-', "_")).collect())
}

/// Copies the libraries aside, read-only, and says how to link them.
fn keep(place: &Path, built: &Built) -> Result<Vec<String>, Problem> {
    house::make_open_dir(&house::state())?;
    house::make_open_dir(&house::state().join("library"))?;
    house::make_open_dir(place)?;
    for file in &built.all {
        let bytes = fs::read(file).map_err(|error| cannot_keep(file, &error))?;
        let kept = place.join(file.file_name().unwrap_or_default());
        write_whole(&kept, &bytes).map_err(|error| cannot_keep(&kept, &error))?;
    }
    let mut arguments = vec![format!("-Ldependency={}", place.display())];
    for (name, file) in &built.named {
        let kept = place.join(file.file_name().unwrap_or_default());
        arguments.push(format!("--extern={name}={}", kept.display()));
    }
    Ok(arguments)
}

/// Writes a file so that whoever finds it under its name finds it whole, also when two runs write it at once.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(path);
    let file = tempfile::NamedTempFile::new_in(directory)?;
    fs::write(file.path(), bytes)?;
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o444))?;
    file.persist(path).map(drop).map_err(|failed| failed.error)
}

fn cannot_keep(path: &Path, error: &std::io::Error) -> Problem {
    Problem::machine(
        format!("cannot write {}: {error}", shown(path)),
        "free some space there, or set CARGO_TARGET_DIR to a directory that you may write",
    )
}
