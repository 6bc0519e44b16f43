//! What is graded. A student's submission, the stub, the reference solution, a mutant (a solution with one deliberate
//! mistake) and a variant (correct in another style or language) are all subjects and take the same path.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::check::{Check, Suite};
use crate::intake::Sources;

/// One lab of one submission, ready to be built and asked.
pub struct Subject {
    /// What reports call it: the path that was given, or the name of a mutant or variant.
    pub name: String,
    /// The lab.
    pub suite: &'static Suite,
    /// Where each program comes from. A program that is not here is missing.
    pub programs: BTreeMap<String, Origin>,
    /// Why the lab cannot be graded at all, a line each.
    pub refused: Vec<String>,
    /// A hash of everything that is graded.
    pub digest: String,
    /// Whether the programs come by `--with`: then only the checks that need these alone are asked.
    pub with: bool,
}

/// Where one program comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// The lab's Rust sources, of which `src/bin/<program>.rs` is the root.
    Sources(Arc<Sources>),
    /// One file that makes the whole program: `.rs` is compiled, `.c` too, `.py` is run by Python.
    File(PathBuf),
    /// A command line, whose first word is the executable.
    Command(Vec<String>),
}

impl Subject {
    /// The subject that a lab's sources make.
    pub fn from_sources(name: impl Into<String>, suite: &'static Suite, sources: Sources) -> Self {
        let refused = sources.refused.clone();
        let sources = Arc::new(sources);
        let present = |program: &&&str| root_file(&sources, program).is_some();
        let programs = suite
            .programs
            .iter()
            .filter(present)
            .map(|program| (program.to_string(), Origin::Sources(Arc::clone(&sources))))
            .collect();
        Self::new(name.into(), suite, programs, refused, false)
    }

    /// The subject that named origins make.
    pub fn new(
        name: String,
        suite: &'static Suite,
        programs: BTreeMap<String, Origin>,
        refused: Vec<String>,
        with: bool,
    ) -> Self {
        let digest = digest_of(suite.lab, &programs);
        Self { name, suite, programs, refused, digest, with }
    }

    /// The programs of the lab that this subject does not have.
    pub fn missing(&self) -> Vec<&'static str> {
        self.suite.programs.iter().copied().filter(|program| !self.programs.contains_key(*program)).collect()
    }

    /// Whether this check can be asked of this subject at all.
    pub fn concerns(&self, check: &Check) -> bool {
        !self.with || check.programs.iter().all(|program| self.programs.contains_key(*program))
    }

    /// Where the random values of its checks come from unless the reader says otherwise.
    pub fn seed(&self) -> u64 {
        u64::from_str_radix(&self.digest[..15], 16).unwrap_or(0)
    }
}

/// The file that is the root of `program` in a lab's sources.
pub fn root_file(sources: &Sources, program: &str) -> Option<String> {
    [format!("src/bin/{program}.rs"), format!("src/bin/{program}/main.rs")]
        .into_iter()
        .find(|path| sources.files.contains_key(path))
}

fn digest_of(lab: &str, programs: &BTreeMap<String, Origin>) -> String {
    let mut hash = Sha256::new();
    hash.update(lab);
    for (name, origin) in programs {
        hash.update([0]);
        hash.update(name);
        match origin {
            Origin::Sources(sources) => hash.update(source_digest(sources)),
            Origin::File(path) => hash.update(std::fs::read(path).unwrap_or_default()),
            Origin::Command(words) => words.iter().for_each(|word| {
                hash.update([1]);
                hash.update(word);
            }),
        }
    }
    hex(&hash.finalize())
}

/// A hash of every path and text.
pub fn source_digest(sources: &Sources) -> String {
    let mut hash = Sha256::new();
    for (path, text) in &sources.files {
        hash_file(&mut hash, path, text);
    }
    hex(&hash.finalize())
}

/// Adds one file to a hash, such that no two sets of files give the same bytes.
pub fn hash_file(hash: &mut Sha256, path: &str, text: &str) {
    hash.update((path.len() as u64).to_le_bytes());
    hash.update(path);
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text);
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
