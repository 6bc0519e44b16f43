//! One check, one process: the grader has an *arena* forked, hands it an [`Ask`] on stdin (never argv, which a student
//! could read) and gets an [`Answer`] back on stdout.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::bench::Bench;
use crate::check::Check;
use crate::recording::Recording;
use crate::sandbox::Tier;
use crate::sandbox::cgroup::Entry;
use crate::verdict::{Breakdown, Finding, Stop, Verdict};
use crate::{sandbox, suites};

/// How to start one program of the subject.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Launch {
    /// The executable.
    pub executable: PathBuf,
    /// Its arguments before those of the check, `argv[0]` included: one for a binary, more for an interpreter.
    pub argv: Vec<String>,
    /// Files and directories that it may read besides the executable and the system's own.
    pub readable: Vec<PathBuf>,
}

/// What an arena is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ask {
    /// The lab.
    pub lab: String,
    /// The check.
    pub check: String,
    /// Every program that the check may start, by its name in the lab.
    pub programs: BTreeMap<String, Launch>,
    /// Where the check's random values come from.
    pub seed: u64,
    /// How to isolate.
    pub tier: Tier,
    /// Whether to trace at all (it may also turn out that ptrace is not allowed).
    pub trace: bool,
    /// Whether the answer must bring the recording even when the check passes.
    pub record: bool,
    /// The uid and gid that a root arena takes.
    pub uid: u32,
    /// The control group that it goes into, where there is one.
    pub group: Option<Entry>,
}

/// What an arena answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The verdict.
    pub verdict: Verdict,
    /// Wall time of the check within the arena, in milliseconds.
    pub ms: u64,
    /// What was recorded, for failed checks and where it was asked for.
    pub recording: Option<Recording>,
}

impl Answer {
    /// The same check with another outcome.
    pub fn failed(self, finding: Box<Finding>) -> Self {
        Self { verdict: Verdict::Fail(finding), ..self }
    }
}

/// The whole life of an arena: reads an [`Ask`] from stdin, answers it, writes the [`Answer`] to stdout. Nothing but the
/// answer goes there, and no program on the bench ever holds that descriptor.
pub fn arena() -> std::process::ExitCode {
    let mut text = String::new();
    let ask = std::io::stdin().read_to_string(&mut text).map_err(|error| error.to_string());
    let ask = ask.and_then(|_| serde_json::from_str::<Ask>(&text).map_err(|error| error.to_string()));
    let answer = match ask {
        Ok(ask) => answer(&ask),
        Err(error) => {
            broke(Breakdown::new(format!("the arena was asked nothing it understands: {error}"), ""))
        }
    };
    let written = serde_json::to_vec(&answer).map_err(std::io::Error::from);
    match written.and_then(|bytes| std::io::stdout().write_all(&bytes)) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(_) => std::process::ExitCode::FAILURE,
    }
}

/// Answers one ask in this process, which becomes an arena and is good for nothing else afterwards.
fn answer(ask: &Ask) -> Answer {
    let Some(check) = suites::of(&ask.lab).and_then(|suite| suite.find(&ask.check)) else {
        return broke(Breakdown::new(format!("there is no check {} in the lab {}", ask.check, ask.lab), ""));
    };
    let start = Instant::now();
    let bench = sandbox::enter_arena(ask.tier, ask.uid, ask.group.as_ref())
        .and_then(|arena| Bench::new(arena, check, ask.programs.clone(), ask.seed, ask.trace));
    let mut bench = match bench {
        Ok(bench) => bench,
        Err(breakdown) => return broke(breakdown),
    };
    // Where the network is not its own, packets may be out of reach: then the calls are recorded all the same.
    let captured = if ask.record { bench.capture() } else { Ok(()) };
    if let Err(breakdown) = captured.or_else(|why| if ask.tier == Tier::C { Ok(()) } else { Err(why) }) {
        return broke(breakdown);
    }
    let mut verdict = verdict_of(check, &mut bench);
    let ms = start.elapsed().as_millis() as u64;
    let wanted = ask.record || matches!(verdict, Verdict::Fail(_));
    // As it is now: that we end what still runs is not what happened.
    let recording = wanted.then(|| bench.so_far());
    if let (Verdict::Fail(finding), Some(recording)) = (&mut verdict, &recording) {
        add_evidence(finding, check, recording);
    }
    bench.finish();
    Answer { verdict, ms, recording }
}

/// Adds what the recording shows by itself: a mistake that explains much, and who waited for whom.
fn add_evidence(finding: &mut Finding, check: &Check, recording: &Recording) {
    if let Some(mistake) = recording.likeliest_mistake(check.mistakes) {
        finding.likely.get_or_insert(mistake.sentence);
        finding.mistake = Some(mistake.name.to_string());
    }
    finding.notes.extend(recording.wait_cycle());
}

fn verdict_of(check: &Check, bench: &mut Bench) -> Verdict {
    if check.setup.recorder {
        if let Err(Stop::Breakdown(breakdown)) = bench.recording().map(|_| ()) {
            return Verdict::Broke(breakdown);
        }
    }
    match std::panic::catch_unwind(AssertUnwindSafe(|| (check.run)(bench))) {
        Ok(Ok(())) => Verdict::Pass,
        Ok(Err(Stop::Finding(finding))) => Verdict::Fail(finding),
        Ok(Err(Stop::Breakdown(breakdown))) => Verdict::Broke(breakdown),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
            let what = format!("the check {} panicked: {}", check.name, said.unwrap_or_default());
            Verdict::Broke(Breakdown::new(what, "this is a mistake of the grader: please report it"))
        }
    }
}

fn broke(breakdown: Breakdown) -> Answer {
    Answer { verdict: Verdict::Broke(breakdown), ms: 0, recording: None }
}
