//! Fuzzing of all that a submission can shape: archives and directories, recordings and packets, words in reports. (What
//! the recorder reads from a program's memory, and what /proc says, is fuzzed where it is read.)
//!
//! The same cases are tried every time; `PROPTEST_RNG_SEED=7 PROPTEST_CASES=100000 cargo test -p grader --test fuzz` tries
//! others. What once failed stands in a `.regressions` file beside the test and is tried first.

use proptest::test_runner::{Config, FileFailurePersistence, RngSeed};

mod archives;
mod recordings;
mod reports;

/// So many cases, unless the environment says otherwise.
fn config(cases: u32) -> Config {
    let set = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { set.cases } else { cases };
    let rng_seed = match set.rng_seed {
        RngSeed::Random => RngSeed::Fixed(2_611),
        fixed => fixed,
    };
    let failure_persistence = Some(Box::new(FileFailurePersistence::WithSource("regressions")) as Box<_>);
    Config { cases, rng_seed, failure_persistence, ..set }
}

/// Whether a character could make a terminal or an editor show something else than the text.
fn is_obeyed(character: char) -> bool {
    (character.is_control() && character != '\n')
        || matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
