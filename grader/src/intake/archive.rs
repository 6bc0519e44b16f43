//! Archives: tar, plain or gzipped, and zip. Nothing is unpacked to disk; the texts are kept, and everything that could
//! mean two things (one name twice, a file that is also a directory, a link) is refused.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use crate::exit::{Problem, shown};

use super::{DEPTH_LIMIT, ENTRY_LIMIT, FILE_LIMIT, IGNORED, NAME_LIMIT, Submission, is_lab, too_large};

/// The most bytes that a tar archive may unpack to; somebody's `target` may be among them.
const UNPACKED_LIMIT: u64 = 256 << 20;
/// The most bytes of Rust sources that are read from an archive before it is known which of them count.
const KEPT_LIMIT: u64 = 64 << 20;
/// The most bytes of attributes that may stand before one file.
const ATTRIBUTES_LIMIT: u64 = 64 << 10;
/// The largest zip archive: its list of files is read whole.
const ZIP_LIMIT: u64 = 64 << 20;
/// The longest path in an archive.
const PATH_LIMIT: usize = 1024;

/// An archive's entries as they are read, before it is known where in it the labs are.
struct Entry {
    path: PathBuf,
    regular: bool,
    bytes: Option<Vec<u8>>,
}

/// Takes in an archive.
pub fn take(path: &Path, lab: Option<&str>) -> Result<Submission, Problem> {
    let name = path.to_string_lossy().to_lowercase();
    let file = File::open(path).map_err(|error| {
        Problem::usage(format!("cannot open {}: {error}", shown(path)), "name a file that you may read")
    })?;
    let entries = if name.ends_with(".zip") {
        zip_entries(file)
    } else if name.ends_with(".tar") {
        tar_entries(file)
    } else if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
        tar_entries(flate2::read::GzDecoder::new(file))
    } else {
        let what = format!("{} is neither a directory nor an archive", shown(path));
        return Err(Problem::usage(
            what,
            "name a directory, or an archive that ends in .tar, .tar.gz or .zip",
        ));
    };
    let entries = entries.map_err(|reason| {
        Problem::usage(
            format!("cannot unpack {}: {reason}", shown(path)),
            "pack it again and look into it by hand",
        )
    })?;
    Ok(sort_entries(entries, lab))
}

/// Headers are read raw, one by one: the crate would read the long names and attributes that stand before a file whole,
/// whatever their length.
fn tar_entries(reader: impl Read) -> Result<Vec<Entry>, String> {
    let mut entries = Entries::default();
    let mut archive = tar::Archive::new(reader.take(UNPACKED_LIMIT));
    let mut name = None;
    for entry in archive.entries().map_err(|error| error.to_string())?.raw(true) {
        let mut entry = entry.map_err(|error| error.to_string())?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() {
            let mut bytes = read_most(&mut entry, PATH_LIMIT as u64 + 2)?;
            bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
            name = Some(bytes);
        } else if kind.is_pax_local_extensions() {
            name = path_of_attributes(&read_most(&mut entry, ATTRIBUTES_LIMIT)?)?.or(name);
        } else if kind.is_dir() || kind.is_pax_global_extensions() || kind.is_gnu_longlink() {
            name = name.filter(|_| kind.is_gnu_longlink());
        } else {
            let bytes = name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
            let path = PathBuf::from(OsString::from_vec(bytes));
            let regular = kind.is_file();
            let bytes = if regular { read_source(&path, &mut entry)? } else { None };
            entries.push(Entry { path, regular, bytes })?;
        }
    }
    Ok(entries.list)
}

/// The path among the attributes that stand before a file (pax(1)).
fn path_of_attributes(bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut path = None;
    for attribute in tar::PaxExtensions::new(bytes) {
        let attribute = attribute.map_err(|error| error.to_string())?;
        match attribute.key_bytes() {
            b"path" => path = Some(attribute.value_bytes().to_vec()),
            b"size" => return Err("it holds a file of an extended size".to_string()),
            _ => {}
        }
    }
    Ok(path)
}

fn zip_entries(file: File) -> Result<Vec<Entry>, String> {
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    if size > ZIP_LIMIT {
        return Err(format!("it is larger than {} MiB: pack sources only", ZIP_LIMIT >> 20));
    }
    let mut archive = zip::ZipArchive::new(&file).map_err(|error| error.to_string())?;
    let mut entries = Entries::default();
    if let Some(name) = twice(&file, &archive).map_err(|error| error.to_string())? {
        return Err(format!("it holds {} twice", shown(Path::new(&name))));
    }
    for index in 0..archive.len().min(ENTRY_LIMIT + 1) {
        let mut entry = archive.by_index(index).map_err(|error| error.to_string())?;
        if entry.is_dir() {
            continue;
        }
        let path = PathBuf::from(entry.name());
        let regular = entry.is_file() && entry.unix_mode().is_none_or(|mode| mode & 0o170_000 != 0o120_000);
        let bytes = if regular { read_source(&path, &mut entry)? } else { None };
        entries.push(Entry { path, regular, bytes })?;
    }
    Ok(entries.list)
}

/// A name that an archive lists twice: its readers would not agree on which file that is. The crate shows the last.
fn twice(file: &File, archive: &zip::ZipArchive<&File>) -> std::io::Result<Option<String>> {
    const HEADER: usize = 46;
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(archive.central_directory_start()))?;
    let mut names = BTreeSet::new();
    for _ in 0..ENTRY_LIMIT {
        let mut header = [0; HEADER];
        if reader.read_exact(&mut header).is_err() || header[..4] != *b"PK\x01\x02" {
            break;
        }
        let length = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let mut name = vec![0; usize::from(length(28))];
        reader.read_exact(&mut name)?;
        reader.seek_relative(i64::from(length(30)) + i64::from(length(32)))?;
        let shown = String::from_utf8_lossy(&name).into_owned();
        if !names.insert(name) && !shown.ends_with('/') {
            return Ok(Some(shown));
        }
    }
    Ok(None)
}

/// What was read so far, within its bounds.
#[derive(Default)]
struct Entries {
    list: Vec<Entry>,
    kept: u64,
}

impl Entries {
    fn push(&mut self, entry: Entry) -> Result<(), String> {
        self.kept += entry.bytes.as_ref().map_or(0, Vec::len) as u64;
        if self.list.len() >= ENTRY_LIMIT {
            return Err(format!("it holds more than {ENTRY_LIMIT} files"));
        }
        if entry.path.as_os_str().len() > PATH_LIMIT {
            return Err(format!("it holds a path of more than {PATH_LIMIT} bytes"));
        }
        if self.kept > KEPT_LIMIT {
            return Err(format!("it holds more than {} MiB of Rust sources", KEPT_LIMIT >> 20));
        }
        self.list.push(entry);
        Ok(())
    }
}

/// The bytes of a source file, at most one more than the limit; nothing for other files.
fn read_source(path: &Path, reader: &mut impl Read) -> Result<Option<Vec<u8>>, String> {
    if path.extension().is_none_or(|extension| extension != "rs") {
        return Ok(None);
    }
    read_most(reader, FILE_LIMIT + 1).map(Some)
}

fn read_most(reader: &mut impl Read, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    reader.take(most).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Finds the labs among an archive's entries: a component of the path that is a lab's name and is followed by `src`.
fn sort_entries(entries: Vec<Entry>, lab: Option<&str>) -> Submission {
    let mut submission = Submission::default();
    for entry in entries {
        let label = shown(&entry.path);
        let plain =
            entry.path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        let parts: Vec<&str> = entry
            .path
            .components()
            .filter_map(|part| match part {
                Component::Normal(part) => part.to_str(),
                _ => None,
            })
            .collect();
        let Some(src) = parts.iter().position(|part| *part == "src") else {
            if parts.last().is_some_and(|name| IGNORED.contains(name)) {
                submission.ignored.push(label);
            }
            continue;
        };
        let owner = match src.checked_sub(1).map(|at| parts[at]).filter(|name| is_lab(name)).or(lab) {
            Some(owner) => owner.to_string(),
            None => continue,
        };
        let sources = submission.labs.entry(owner).or_default();
        let path = parts[src..].join("/");
        let odd = |part: &&str| part.len() > NAME_LIMIT || part.chars().any(char::is_control);
        if !plain || entry.path.to_str().is_none_or(|path| path.contains('\\')) || parts.iter().any(odd) {
            sources.refused.push(format!("{label} has an odd name: use letters, digits, - and _"));
        } else if parts.len() - src > DEPTH_LIMIT + 2 {
            sources.refused.push(format!("{label} nests too deeply"));
        } else if !entry.regular {
            sources.refused.push(format!("{label} is not a regular file: put a copy there"));
        } else {
            match entry.bytes {
                None => submission.ignored.push(label),
                Some(bytes) if bytes.len() as u64 > FILE_LIMIT => sources.refused.push(too_large(&label)),
                Some(bytes) => sources.take(&path, &label, bytes),
            }
        }
    }
    submission
}
