//! Takes a submission in: a directory, a tar archive (plain or gzipped) or a zip archive becomes a set of source texts.
//!
//! Only regular files that end in `.rs` below `<lab>/src/` are taken. Links, devices and pipes are refused and never
//! followed or opened for good; sizes and counts are bounded; a submission's manifests, build scripts and settings are
//! never read, only listed. What is refused costs its own lab alone: the other labs are graded all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use crate::exit::{Problem, shown};
use crate::house;
use crate::suites::SUITES;

mod archive;

/// The largest source file, in bytes.
const FILE_LIMIT: u64 = 1 << 20;
/// The largest sum of one lab's sources, in bytes.
const LAB_LIMIT: u64 = 4 << 20;
/// The most source files of one lab.
const COUNT_LIMIT: usize = 200;
/// The most entries that are looked at in one directory tree or archive.
const ENTRY_LIMIT: usize = 20_000;
/// How deep directories below `src` may nest.
const DEPTH_LIMIT: usize = 8;
/// The longest name of a file or directory, as file systems have it.
const NAME_LIMIT: usize = 255;
/// The most refusals, and the most ignored files, that are listed.
const LIST_LIMIT: usize = 200;
/// Files that cargo would obey and the grader does not.
const IGNORED: [&str; 7] = [
    "Cargo.toml",
    "Cargo.lock",
    "build.rs",
    ".cargo",
    "rust-toolchain",
    "rust-toolchain.toml",
    "clippy.toml",
];

/// What was taken in.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    /// The labs that were found, by name.
    pub labs: BTreeMap<String, Sources>,
    /// Files that cargo would have obeyed and that were not read.
    pub ignored: Vec<String>,
}

/// The source texts of one lab.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Path below the lab's directory (`src/bin/udp-server.rs`) and text.
    pub files: BTreeMap<String, String>,
    /// What was refused, a sentence fragment each; a lab with any of these is not graded.
    pub refused: Vec<String>,
}

impl Sources {
    /// Takes one file, or notes why not.
    fn take(&mut self, path: &str, shown_path: &str, bytes: Vec<u8>) {
        let total: u64 = self.files.values().map(|text| text.len() as u64).sum();
        let below =
            |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
        if self.files.contains_key(path) {
            self.refused.push(format!("{shown_path} appears twice"));
        } else if self.files.keys().any(|known| below(known, path) || below(path, known)) {
            self.refused.push(format!("{shown_path} is a file and also a directory of others"));
        } else if self.files.len() >= COUNT_LIMIT {
            self.refuse_once(format!("{}: more than {COUNT_LIMIT} source files", lab_part(shown_path)));
        } else if total + bytes.len() as u64 > LAB_LIMIT {
            let limit = LAB_LIMIT >> 20;
            self.refuse_once(format!("{}: more than {limit} MiB of source", lab_part(shown_path)));
        } else {
            match String::from_utf8(bytes) {
                Ok(text) => drop(self.files.insert(path.to_string(), text)),
                Err(error) => self.refused.push(format!(
                    "{shown_path} is not UTF-8 text (byte {}): save it as UTF-8",
                    error.utf8_error().valid_up_to()
                )),
            }
        }
    }

    fn refuse_once(&mut self, what: String) {
        if !self.refused.contains(&what) {
            self.refused.push(what);
        }
    }
}

fn lab_part(path: &str) -> &str {
    path.split_once("/src").map_or(path, |(lab, _)| lab)
}

/// Takes in `path`; `lab` narrows it to one lab and lets a directory of any name be that lab.
pub fn take(path: &Path, lab: Option<&str>) -> Result<Submission, Problem> {
    let found = fs::metadata(path).map_err(|error| {
        Problem::usage(
            format!("cannot open {}: {error}", shown(path)),
            "name a directory of labs (labs, solutions), one lab's directory (labs/udp) or an archive of either",
        )
    })?;
    let mut submission = if found.is_dir() { from_directory(path, lab)? } else { archive::take(path, lab)? };
    if let Some(lab) = lab {
        submission.labs.retain(|name, _| name == lab);
    }
    if submission.labs.is_empty() {
        return Err(no_lab(path, lab));
    }
    submission.ignored.sort();
    submission.ignored.dedup();
    shorten(&mut submission.ignored);
    submission.labs.values_mut().for_each(|sources| shorten(&mut sources.refused));
    Ok(submission)
}

/// Says how many are left out of a list that nobody would read.
fn shorten(list: &mut Vec<String>) {
    if list.len() > LIST_LIMIT {
        let left = list.len() - LIST_LIMIT;
        list.truncate(LIST_LIMIT);
        list.push(format!("... and {left} more"));
    }
}

fn no_lab(path: &Path, lab: Option<&str>) -> Problem {
    let what = match lab {
        Some(lab) => format!("no lab {lab} in {}", shown(path)),
        None => format!("no lab in {}", shown(path)),
    };
    let names: Vec<&str> = SUITES.iter().map(|suite| suite.lab).collect();
    Problem::usage(
        what,
        format!("a lab is a directory of this name with a `src` directory in it: {}", names.join(", ")),
    )
}

fn is_lab(name: &str) -> bool {
    crate::suites::of(name).is_some()
}

fn from_directory(path: &Path, lab: Option<&str>) -> Result<Submission, Problem> {
    let mut submission = Submission::default();
    let own_name = fs::canonicalize(path).ok().and_then(|full| Some(full.file_name()?.to_str()?.to_string()));
    let single = match (lab, own_name) {
        (Some(lab), _) if !path.join(lab).exists() => Some(lab.to_string()),
        (_, Some(name)) if is_lab(&name) => Some(name),
        _ => None,
    };
    note_ignored(path, &mut submission.ignored);
    if let Some(name) = single {
        if path.join("src").symlink_metadata().is_ok() {
            let sources = lab_directory(path, &name, &mut submission.ignored);
            submission.labs.insert(name, sources);
            return Ok(submission);
        }
    }
    for suite in SUITES {
        let directory = path.join(suite.lab);
        let Ok(found) = directory.symlink_metadata() else { continue };
        if found.is_dir() {
            let sources = lab_directory(&directory, suite.lab, &mut submission.ignored);
            submission.labs.insert(suite.lab.to_string(), sources);
        } else {
            let refused =
                vec![format!("{} is {}: put the directory itself there", shown(&directory), kind(&found))];
            submission.labs.insert(suite.lab.to_string(), Sources { files: BTreeMap::new(), refused });
        }
    }
    Ok(submission)
}

fn note_ignored(directory: &Path, ignored: &mut Vec<String>) {
    let ours = fs::canonicalize(directory)
        .is_ok_and(|full| [house::labs(), house::solutions()].iter().any(|place| full.starts_with(place)));
    for name in IGNORED {
        let path = directory.join(name);
        if path.symlink_metadata().is_ok() && !(ours && name == "Cargo.toml") {
            ignored.push(shown(&path));
        }
    }
}

fn lab_directory(directory: &Path, lab: &str, ignored: &mut Vec<String>) -> Sources {
    let mut sources = Sources::default();
    note_ignored(directory, ignored);
    let Ok(root) = File::open(directory) else {
        sources.refused.push(format!("cannot open {}", shown(directory)));
        return sources;
    };
    let root = OwnedFd::from(root);
    let start = directory.join("src");
    match start.symlink_metadata() {
        Ok(found) if found.is_dir() => {}
        Ok(found) => {
            sources.refused.push(format!("{} is {}: it must be a directory", shown(&start), kind(&found)));
            return sources;
        }
        Err(_) => {
            sources.refused.push(format!("{} has no directory `src`", shown(directory)));
            return sources;
        }
    }
    let mut walk = Walk { lab_directory: directory, root: &root, entries: 0, ignored };
    walk.directory(Path::new("src"), 0, &mut sources);
    debug_assert!(is_lab(lab));
    sources
}

/// A walk through one lab's `src`, which opens everything beneath the lab's directory and follows no link.
struct Walk<'a> {
    lab_directory: &'a Path,
    root: &'a OwnedFd,
    entries: usize,
    ignored: &'a mut Vec<String>,
}

impl Walk<'_> {
    fn directory(&mut self, below: &Path, depth: usize, sources: &mut Sources) {
        let directory = self.lab_directory.join(below);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) => return sources.refused.push(format!("cannot read {}: {error}", shown(&directory))),
        };
        let names: BTreeSet<_> = entries.flatten().map(|entry| entry.file_name()).take(ENTRY_LIMIT).collect();
        for name in names {
            self.entries += 1;
            let path = below.join(&name);
            let full = self.lab_directory.join(&path);
            if self.entries > ENTRY_LIMIT {
                return sources.refuse_once(format!("{}: too many files", shown(self.lab_directory)));
            }
            let Some(text_path) = path.to_str().filter(|path| !path.chars().any(char::is_control)) else {
                sources
                    .refused
                    .push(format!("{} has an odd name: use letters, digits, - and _", shown(&full)));
                continue;
            };
            match full.symlink_metadata() {
                Ok(found) if found.is_dir() && depth < DEPTH_LIMIT => {
                    self.directory(&path, depth + 1, sources)
                }
                Ok(found) if found.is_dir() => {
                    sources.refused.push(format!("{} nests too deeply", shown(&full)));
                }
                Ok(found) if !found.is_file() => sources.refused.push(format!(
                    "{} is {}: only regular files are graded, put a copy there",
                    shown(&full),
                    kind(&found)
                )),
                Ok(_) if !text_path.ends_with(".rs") => self.ignored.push(shown(&full)),
                Ok(_) => self.file(text_path, &full, sources),
                Err(error) => sources.refused.push(format!("cannot read {}: {error}", shown(&full))),
            }
        }
    }

    fn file(&self, path: &str, full: &Path, sources: &mut Sources) {
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        let opened = openat2(self.root, path, how).map(File::from);
        let read = opened.map_err(std::io::Error::from).and_then(|file| {
            let found = file.metadata()?;
            let mut bytes = Vec::new();
            if found.is_file() {
                file.take(FILE_LIMIT + 1).read_to_end(&mut bytes)?;
            }
            Ok(bytes)
        });
        match read {
            Ok(bytes) if bytes.len() as u64 > FILE_LIMIT => sources.refused.push(too_large(&shown(full))),
            Ok(bytes) => sources.take(path, &shown(full), bytes),
            Err(error) => sources.refused.push(format!("cannot read {}: {error}", shown(full))),
        }
    }
}

fn too_large(path: &str) -> String {
    format!("{path} is larger than {} KiB: a lab's program is a few pages", FILE_LIMIT >> 10)
}

fn kind(found: &fs::Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let kind = found.file_type();
    if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else if kind.is_dir() {
        "a directory"
    } else {
        "a file"
    }
}
