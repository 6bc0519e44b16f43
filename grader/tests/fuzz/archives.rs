//! Archives and directories as nobody packs them by accident. What comes out is safe to write to disk below a directory,
//! and small; an honest archive comes out as it went in.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use grader::intake::{self, Submission};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{config, is_obeyed};

/// One entry: name, tar's letter for its kind, content.
type Entry = (Vec<u8>, u8, Vec<u8>);

const FORMATS: [&str; 3] = ["a.tar", "a.tar.gz", "a.zip"];

/// A part of a path: of honest, hostile, and any bytes.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&[u8]> = vec![
        b"udp",
        b"tcp",
        b"labs",
        b"src",
        b"bin",
        b"udp-server.rs",
        b"a.rs",
        b"a",
        b".",
        b"..",
        b"",
        b"Cargo.toml",
        b"build.rs",
        b"\x1b[2J.rs",
        b"x\n.rs",
        b"\xff\xfe.rs",
        b"..\\x.rs",
        "\u{202e}.rs".as_bytes(),
    ];
    prop_oneof![
        8 => select(known).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..12),
        1 => (200_usize..400).prop_map(|length| [&vec![b'n'; length][..], b".rs"].concat()),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let name = vec(part(), 1..12).prop_map(|parts| parts.join(&b'/'));
    let source = Just(b"udp/src/bin/udp-server.rs".to_vec());
    let name = prop_oneof![4 => name, 1 => source];
    let content = prop_oneof![3 => vec(any::<u8>(), 0..40), 2 => Just(b"fn main() {}\n".to_vec())];
    // Regular, link, symbolic link, device, directory, FIFO, sparse, long name, long link, pax headers.
    (name, prop_oneof![4 => Just(b'0'), 3 => select(b"123456SLKxg\0V".to_vec())], content)
}

fn pack(format: &str, entries: &[Entry]) -> Vec<u8> {
    if format.ends_with(".zip") { zip(entries) } else { compress(format, tar(entries)) }
}

/// Headers made by hand: the crate that reads archives refuses to write most of these.
fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, kind, content) in entries {
        let mut blocks = vec![(&name[..], *kind, &content[..])];
        if name.len() > 100 {
            blocks = vec![(&b"././@LongLink"[..], b'L', &name[..]), (&name[..100], *kind, &content[..])];
        }
        for (name, kind, content) in blocks {
            let mut header = tar::Header::new_ustar();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name);
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.as_mut_bytes()[156] = kind;
            header.set_cksum();
            out.extend(header.as_bytes());
            out.extend(content);
            out.resize(out.len().next_multiple_of(512), 0);
        }
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn compress(format: &str, bytes: Vec<u8>) -> Vec<u8> {
    if !format.ends_with(".gz") {
        return bytes;
    }
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(&bytes).and_then(|()| writer.finish()).expect("into memory")
}

/// A zip archive by hand, with its names as they are and nothing compressed.
fn zip(entries: &[Entry]) -> Vec<u8> {
    let (mut out, mut list) = (Vec::new(), Vec::new());
    for (name, kind, content) in entries {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let size = (content.len() as u32).to_le_bytes();
        // From the version that is needed to the length of the extra field; the same in both places.
        let middle =
            [&[20, 0, 0, 8, 0, 0, 0, 0, 0x21, 0x50][..], &crc.sum().to_le_bytes(), &size, &size].concat();
        let middle = [&middle[..], &(name.len() as u16).to_le_bytes(), &[0, 0]].concat();
        let at = (out.len() as u32).to_le_bytes();
        out.extend([b"PK\x03\x04", &middle[..], name, content].concat());
        let mode: u32 = if *kind == b'2' { 0o120_777 << 16 } else { 0o100_644 << 16 };
        let end = [&[0; 6][..], &mode.to_le_bytes(), &at].concat();
        list.extend([b"PK\x01\x02\x14\x03", &middle[..], &end, name].concat());
    }
    let (count, start) = ((entries.len() as u16).to_le_bytes(), (out.len() as u32).to_le_bytes());
    let length = (list.len() as u32).to_le_bytes();
    [&out[..], &list, b"PK\x05\x06\0\0\0\0", &count, &count, &length, &start, &[0, 0]].concat()
}

/// What is done to the bytes of an archive afterwards.
#[derive(Clone, Debug)]
enum Damage {
    Set(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Double(prop::sample::Index, prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => (index(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        1 => index().prop_map(Damage::Cut),
        1 => (index(), index()).prop_map(|(at, to)| Damage::Double(at, to)),
    ]
}

fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages.iter().filter(|_| !bytes.is_empty()).collect::<Vec<_>>() {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        match damage {
            Damage::Set(at, byte) => bytes[at.index(length)] = *byte,
            Damage::Cut(at) => bytes.truncate(at.index(length)),
            Damage::Double(at, to) => {
                let rest = bytes[at.index(length)..].to_vec();
                bytes.truncate(to.index(length));
                bytes.extend(rest);
            }
        }
    }
    bytes
}

/// Takes in an archive with these bytes, narrowed to one lab or not.
fn take(format: &str, bytes: &[u8], lab: Option<&str>) -> Option<Submission> {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join(format);
    std::fs::write(&path, bytes).expect("write it");
    intake::take(&path, lab).ok()
}

/// What holds of everything that is taken in: it can be written below a directory, and nothing else can happen.
fn is_harmless(submission: &Submission) -> Result<(), TestCaseError> {
    let shown = submission.labs.values().flat_map(|sources| &sources.refused).chain(&submission.ignored);
    for line in shown {
        prop_assert!(!line.contains('\n') && !line.chars().any(is_obeyed), "{line:?}");
    }
    prop_assert!(submission.ignored.len() <= 201);
    for sources in submission.labs.values() {
        prop_assert!(sources.refused.len() <= 201 && sources.files.len() <= 200);
        prop_assert!(sources.files.values().map(String::len).sum::<usize>() <= 4 << 20);
        let place = tempfile::tempdir().expect("a directory");
        for (path, text) in &sources.files {
            prop_assert!(path.starts_with("src/") && path.ends_with(".rs"), "{path:?}");
            prop_assert!(!path.chars().any(char::is_control), "{path:?}");
            let plain = |part: &str| !matches!(part, "" | "." | "..");
            prop_assert!(path.split('/').all(plain), "{path:?}");
            let full = place.path().join(path);
            let written = std::fs::create_dir_all(full.parent().expect("it has one"));
            prop_assert!(written.and_then(|()| std::fs::write(&full, text)).is_ok(), "{path:?}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn hostile_archives(
        format in select(&FORMATS[..]),
        entries in vec(entry(), 0..8),
        damages in vec(damage(), 0..6),
        lab in select(vec![None, Some("udp")]),
    ) {
        let bytes = damaged(pack(format, &entries), &damages);
        if let Some(submission) = take(format, &bytes, lab) {
            is_harmless(&submission)?;
        }
    }

    /// Damage inside what is compressed, where only a right checksum brings it to light.
    #[test]
    fn archives_damaged_before_they_are_compressed(
        entries in vec(entry(), 1..6),
        damages in vec(damage(), 1..6),
    ) {
        let bytes = compress("a.tar.gz", damaged(tar(&entries), &damages));
        if let Some(submission) = take("a.tar.gz", &bytes, Some("udp")) {
            is_harmless(&submission)?;
        }
    }

    #[test]
    fn no_archives_at_all(format in select(&FORMATS[..]), bytes in vec(any::<u8>(), 0..2000)) {
        prop_assert!(take(format, &bytes, None).is_none());
    }

    #[test]
    fn honest_archives_come_out_as_they_went_in(
        format in select(&FORMATS[..]),
        texts in prop::collection::btree_map("[a-z]{1,20}", "[ -~\n]{0,60}", 1..6),
        prefix in select(vec!["", "hand-in/", "./", "home/me/labs/"]),
    ) {
        let files: BTreeMap<String, String> =
            texts.into_iter().map(|(name, text)| (format!("src/bin/{name}.rs"), text)).collect();
        let entries: Vec<Entry> = files
            .iter()
            .map(|(path, text)| (format!("{prefix}udp/{path}").into_bytes(), b'0', text.clone().into_bytes()))
            .collect();
        let submission = take(format, &pack(format, &entries), None).expect("an honest archive");
        prop_assert_eq!(&submission.labs["udp"].refused, &Vec::<String>::new());
        prop_assert_eq!(&submission.labs["udp"].files, &files);
    }

    #[test]
    fn hostile_directories(parts in vec(vec(part(), 1..5), 0..8)) {
        let place = tempfile::tempdir().expect("a directory");
        let source = place.path().join("udp/src");
        std::fs::create_dir_all(&source).expect("make it");
        for parts in &parts {
            // Names that a file system does not have are not made.
            let inner = parts.iter().filter(|part| !matches!(&part[..], b".." | b"." | b"") && !part.contains(&b'/'));
            let path = inner.fold(source.clone(), |path, part| path.join(OsStr::from_bytes(part)));
            let _ = path.parent().map(std::fs::create_dir_all);
            let _ = std::fs::write(&path, "fn main() {}\n");
        }
        is_harmless(&intake::take(place.path(), None).expect("a lab is there"))?;
    }
}

#[test]
fn a_name_twice_is_refused_whatever_the_format() {
    let entry = |text: &str| (b"udp/src/bin/udp-server.rs".to_vec(), b'0', text.as_bytes().to_vec());
    for format in FORMATS {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join(format);
        std::fs::write(&path, pack(format, &[entry("what people see"), entry("what is graded")]))
            .expect("write it");
        let words = match intake::take(&path, None) {
            Ok(submission) => submission.labs["udp"].refused.join("\n"),
            Err(problem) => problem.what,
        };
        assert!(words.contains("udp-server.rs") && words.contains("twice"), "{format}: {words:?}");
    }
}

/// A gzip stream of zeros that unpacks to so many MiB and that nobody has to make: the same block again and again.
const GZIP_HEADER: usize = 10;

fn zeros(mebibytes: usize) -> Vec<u8> {
    let mut block = flate2::Compress::new(flate2::Compression::best(), false);
    let mut packed = Vec::with_capacity(1 << 16);
    let flush = flate2::FlushCompress::Full;
    block.compress_vec(&vec![0; 1 << 20], &mut packed, flush).expect("it fits");
    [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &packed.repeat(mebibytes)].concat()
}

/// Grades an archive: the status, what it says, and the peak of its memory in MiB.
#[expect(clippy::zombie_processes, reason = "wait4 waits for it, and says what it used")]
fn cost_of(bytes: &[u8], name: &str) -> (i32, String, i64) {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join(name);
    std::fs::write(&path, bytes).expect("write it");
    let mut command = Command::new(env!("CARGO_BIN_EXE_grader"));
    let mut child = command
        .arg("grade")
        .arg(&path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start it");
    let mut words = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut words).expect("read it");
    let mut status = 0;
    // SAFETY: all zeroes is a valid value of this plain structure.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the child is ours and was not waited for; both places outlive the call.
    let waited = unsafe { libc::wait4(child.id() as i32, &raw mut status, 0, &raw mut usage) };
    assert_eq!(waited, child.id() as i32);
    (libc::WEXITSTATUS(status), words, usage.ru_maxrss >> 10)
}

/// Bombs are refused in words, and cost some memory and no more.
#[test]
fn bombs() {
    // A header that promises much, and then zeros without an end.
    let promise = |kind: u8, name: &str, size: u64| {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(size);
        header.as_mut_bytes()[156] = kind;
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let of = |first: &[u8]| {
        // A stored block of the deflate format, which ends where bytes end, before the zeros.
        let length = (first.len() as u16).to_le_bytes();
        let inverse = (!(first.len() as u16)).to_le_bytes();
        [&zeros(0)[..], &[0], &length, &inverse, first, &zeros(300)[GZIP_HEADER..]].concat()
    };
    let bombs = [
        ("a long name", of(&promise(b'L', "././@LongLink", 280 << 20))),
        ("a source", of(&promise(b'0', "udp/src/bin/udp-server.rs", 280 << 20))),
    ];
    for (what, bomb) in bombs {
        let (status, words, peak) = cost_of(&bomb, "a.tar.gz");
        assert_eq!(status, 2, "{what}: {words}");
        assert!(words.contains("next:") && !words.contains("panicked"), "{what}: {words}");
        assert!(peak < 100, "{what}: {peak} MiB");
    }
    let names = (0..15_000)
        .map(|at| (format!("udp/src/{at}/\x1b{}.rs", "x".repeat(900)).into_bytes(), b'0', vec![b'x']));
    let (status, words, peak) = cost_of(&zip(&names.collect::<Vec<_>>()), "a.zip");
    assert_eq!(status, 2, "many names: {words}");
    assert!(peak < 300, "many names: {peak} MiB");
}
