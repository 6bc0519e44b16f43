//! Asks the checks of a subject: builds its programs, then runs each check in an arena process of its own, many at
//! once, because they mostly wait; a check comes after the one that it builds on.
//!
//! A check that broke down is asked once more in the quiet lane: a breakdown never costs points, and must not be reported
//! for a passing cause.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use crate::ask::{Answer, Ask, Launch};
use crate::bench::Random;
use crate::check::Check;
use crate::child::{self, Streams};
use crate::compile::{Compiler, Unbuilt};
use crate::fork_server::Role;
use crate::lanes::{self, Lane};
use crate::sandbox::Tier;
use crate::sandbox::cgroup::Group;
use crate::subject::Subject;
use crate::turn;
use crate::verdict::{Breakdown, Finding, Verdict};

/// How long an arena may take. Its own deadlines are shorter; this one is for an arena that hangs.
const ARENA_LIMIT: Duration = Duration::from_secs(120);
/// How much an arena may answer: recordings are long.
const ANSWER_LIMIT: usize = 256 << 20;
/// The first uid that arenas of a root grader take: a range that Linux distributions leave to the dynamic users of
/// services, and so owns no files.
pub const FIRST_UID: u32 = 61_184;
/// How many uids of that range are used in turn.
const UIDS: u32 = 4_096;

/// What to ask, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Only these checks, and each on its own: what it builds on is not asked before. All, if empty.
    pub only: Vec<String>,
    /// Only checks that start this program.
    pub program: Option<String>,
    /// Only checks that start their programs without any option.
    pub plain: bool,
    /// Where random values come from, instead of from the subject.
    pub seed: Option<u64>,
    /// How to isolate.
    pub tier: Tier,
    /// Whether to trace at all.
    pub trace: bool,
    /// Whether to bring recordings of checks that pass too.
    pub record: bool,
    /// How often to ask each check; the first answer that is no pass counts.
    pub repeat: u32,
}

impl Plan {
    /// Asks everything once.
    pub fn new(tier: Tier) -> Self {
        Self {
            only: Vec::new(),
            program: None,
            plain: false,
            seed: None,
            tier,
            trace: true,
            record: false,
            repeat: 1,
        }
    }

    fn wants(&self, check: &Check) -> bool {
        let named = self.only.is_empty() || self.only.iter().any(|name| name == check.name);
        let starts = self.program.as_deref().is_none_or(|program| check.programs.contains(&program));
        named && starts && (check.plain || !self.plain)
    }
}

/// What became of a subject.
#[derive(Debug)]
pub struct Outcome {
    /// The programs that could not be built, and the compiler's words.
    pub unbuilt: BTreeMap<String, String>,
    /// Every check that was asked, in teaching order.
    pub asked: Vec<Asked>,
}

/// What became of a check.
pub struct Asked {
    /// The check.
    pub check: &'static Check,
    /// The answer.
    pub answer: Answer,
    /// How many of the repetitions passed, and how many there were.
    pub passed: (u32, u32),
    /// The check that broke down and on which this one builds: it was not asked, and nothing is decided.
    pub behind: Option<&'static str>,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {:?}", self.check.name, self.answer.verdict)
    }
}

/// Something that a progress display may show.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// So many checks were planned.
    Planned(usize),
    /// One check has its verdict.
    Done {
        /// Whether it passed.
        passed: bool,
    },
}

/// The uid that the next arena takes: no two that run at once share one.
pub fn next_uid() -> u32 {
    static TURN: AtomicU32 = AtomicU32::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    FIRST_UID + std::process::id().wrapping_mul(67).wrapping_add(turn) % UIDS
}

/// Builds a subject's programs and asks its checks.
pub fn run(subject: &Subject, plan: &Plan, compiler: &Compiler, tell: &(dyn Fn(Event) + Sync)) -> Outcome {
    let asked = asked_of(subject, plan);
    tell(Event::Planned(asked.len()));
    let needed: Vec<&str> = subject
        .programs
        .keys()
        .map(String::as_str)
        .filter(|program| asked.iter().any(|check| check.programs.contains(program)))
        .collect();
    let built = build(subject, &needed, compiler);
    let run = Run { subject, plan, built: &built };
    let mut verdicts = run.ask_all(&asked, tell);
    let unbuilt = built
        .into_iter()
        .filter_map(|(program, result)| match result {
            Err(Unbuilt::Finding(message)) => Some((program, message)),
            _ => None,
        })
        .collect();
    let in_order = asked.iter().filter_map(|check| verdicts.remove(check.name)).collect();
    Outcome { unbuilt, asked: in_order }
}

/// The checks that a plan asks of a subject, in teaching order.
pub fn asked_of(subject: &Subject, plan: &Plan) -> Vec<&'static Check> {
    subject.suite.all().filter(|check| plan.wants(check) && subject.concerns(check)).collect()
}

type Built = BTreeMap<String, Result<Launch, Unbuilt>>;

fn build(subject: &Subject, programs: &[&str], compiler: &Compiler) -> Built {
    std::thread::scope(|scope| {
        let building: Vec<_> = programs
            .iter()
            .map(|program| {
                let work = move || {
                    let _place = lanes::enter(Lane::Compile);
                    compiler.launch(subject, program)
                };
                (program.to_string(), scope.spawn(work))
            })
            .collect();
        let finish = |thread: std::thread::ScopedJoinHandle<'_, Result<Launch, Unbuilt>>| {
            thread.join().unwrap_or_else(|_| {
                Err(Breakdown::new("the grader's own build step panicked", "report it with the words above")
                    .into())
            })
        };
        building.into_iter().map(|(program, thread)| (program, finish(thread))).collect()
    })
}

/// One subject being asked.
struct Run<'a> {
    subject: &'a Subject,
    plan: &'a Plan,
    built: &'a Built,
}

impl Run<'_> {
    fn ask_all(
        &self,
        asked: &[&'static Check],
        tell: &(dyn Fn(Event) + Sync),
    ) -> BTreeMap<&'static str, Asked> {
        let mut verdicts: BTreeMap<&'static str, Asked> = BTreeMap::new();
        let mut pending: Vec<&'static Check> = asked.to_vec();
        std::thread::scope(|scope| {
            let (done, finished) = mpsc::channel();
            let mut running = 0;
            loop {
                let mut later = Vec::new();
                let before = pending.len();
                for check in std::mem::take(&mut pending) {
                    let blocker = self.blocker(check, asked, &verdicts);
                    match blocker {
                        Blocker::Wait => later.push(check),
                        Blocker::By(name) => {
                            let answer = Answer { verdict: Verdict::Blocked(name), ms: 0, recording: None };
                            tell(Event::Done { passed: false });
                            verdicts
                                .insert(check.name, Asked { check, answer, passed: (0, 0), behind: None });
                        }
                        Blocker::Broke(breakdown, behind) => {
                            tell(Event::Done { passed: false });
                            verdicts.insert(check.name, Asked { behind, ..broken(check, breakdown) });
                        }
                        Blocker::None => {
                            running += 1;
                            let done = done.clone();
                            scope.spawn(move || {
                                let asked = self.ask_with_retry(check);
                                tell(Event::Done { passed: asked.answer.verdict == Verdict::Pass });
                                let _ = done.send(asked);
                            });
                        }
                    }
                }
                pending = later;
                if running == 0 && pending.len() == before {
                    break;
                }
                if running > 0 {
                    let Ok(asked) = finished.recv() else { break };
                    running -= 1;
                    verdicts.insert(asked.check.name, asked);
                }
            }
        });
        for check in pending {
            let what = format!("{} comes after a check that comes after it", check.name);
            verdicts.insert(check.name, broken(check, Breakdown::new(what, "mend the suite's table")));
        }
        verdicts
    }

    fn blocker(
        &self,
        check: &Check,
        asked: &[&'static Check],
        verdicts: &BTreeMap<&'static str, Asked>,
    ) -> Blocker {
        for program in check.programs {
            match self.built.get(*program) {
                Some(Ok(_)) => {}
                Some(Err(Unbuilt::Finding(_))) => return Blocker::By(format!("{program} does not compile")),
                Some(Err(Unbuilt::Broke(breakdown))) => return Blocker::Broke(breakdown.clone(), None),
                None => return Blocker::By(format!("there is no program {program}")),
            }
        }
        let before = check.after.filter(|before| asked.iter().any(|other| other.name == *before));
        match before.filter(|_| self.plan.only.is_empty()) {
            None => Blocker::None,
            Some(before) => match verdicts.get(before).map(|asked| (asked, &asked.answer.verdict)) {
                None => Blocker::Wait,
                Some((_, Verdict::Pass)) => Blocker::None,
                Some((asked, Verdict::Broke(breakdown))) => {
                    Blocker::Broke(breakdown.clone(), asked.behind.or(Some(asked.check.name)))
                }
                Some((_, Verdict::Fail(_) | Verdict::Blocked(_))) => {
                    Blocker::By(format!("{before} did not pass"))
                }
            },
        }
    }

    fn ask_with_retry(&self, check: &'static Check) -> Asked {
        let mut passed = 0;
        for _ in 0..self.plan.repeat {
            let lane = if self.begins_early(check) { Lane::Long } else { Lane::Checks };
            let mut answer = self.ask(check, lane);
            if matches!(answer, Ok(Answer { verdict: Verdict::Broke(_), .. }) | Err(_)) {
                answer = self.ask(check, Lane::Quiet);
            }
            match answer {
                Ok(answer) if answer.verdict == Verdict::Pass => {
                    passed += 1;
                    if passed == self.plan.repeat {
                        let answer = match self.behaves_unwatched(check) {
                            Some(finding) => answer.failed(finding),
                            None => answer,
                        };
                        return Asked { check, answer, passed: (passed, passed), behind: None };
                    }
                }
                Ok(answer) => return Asked { check, answer, passed: (passed, passed + 1), behind: None },
                Err(breakdown) => return broken(check, breakdown),
            }
        }
        broken(check, Breakdown::new("asked no time at all", "repeat at least once"))
    }

    /// Whether a check is long, or one that a long one comes after.
    fn begins_early(&self, check: &Check) -> bool {
        let suite = self.subject.suite;
        let named = |name: &str| suite.all().find(|other| other.name == name);
        suite.all().filter(|other| other.long).any(|long| {
            // A table in which two checks come after each other must not hold up this search.
            let chain = std::iter::successors(Some(long), |last| last.after.and_then(named));
            chain.take(suite.all().count()).any(|earlier| earlier.name == check.name)
        })
    }

    /// Whether a check is the one of some program's that is asked without a recorder too.
    fn is_sampled(&self, check: &Check) -> bool {
        let seed = self.plan.seed.unwrap_or_else(|| self.subject.seed());
        check.programs.iter().any(|program| {
            let either_way = |other: &&Check| !other.setup.recorder && !other.setup.unrecorded;
            let of_program = |other: &&Check| other.programs.contains(program);
            let eligible: Vec<&Check> =
                self.subject.suite.all().filter(either_way).filter(of_program).collect();
            let choice = Random::new(seed, program).next() as usize % eligible.len().max(1);
            eligible.get(choice).is_some_and(|chosen| chosen.name == check.name)
        })
    }

    /// A program can find out that it is traced, and behave only then. So one check of each program, chosen by the seed,
    /// is asked again without a recorder when it has passed, and must pass as well; a finding counts when it can be had
    /// again.
    fn behaves_unwatched(&self, check: &'static Check) -> Option<Box<Finding>> {
        if !self.plan.trace || !self.is_sampled(check) {
            return None;
        }
        let fails = |lane| match self.ask_recorded(check, lane, false).ok()?.verdict {
            Verdict::Fail(finding) => Some(finding),
            _ => None,
        };
        let mut finding = fails(Lane::Checks)?;
        let again = fails(Lane::Quiet).is_some()
            && self.ask(check, Lane::Quiet).is_ok_and(|answer| answer.verdict == Verdict::Pass);
        if !again {
            return None;
        }
        finding.likely = Some("the program does this only where no recorder traces it".to_string());
        Some(finding)
    }

    fn ask(&self, check: &'static Check, lane: Lane) -> Result<Answer, Breakdown> {
        self.ask_recorded(check, lane, self.plan.trace)
    }

    fn ask_recorded(&self, check: &'static Check, lane: Lane, trace: bool) -> Result<Answer, Breakdown> {
        let _place = lanes::enter(lane);
        let programs = check
            .programs
            .iter()
            .filter_map(|program| {
                Some((program.to_string(), self.built.get(*program)?.as_ref().ok()?.clone()))
            })
            .collect();
        let group = Group::for_arena();
        let ask = Ask {
            lab: self.subject.suite.lab.to_string(),
            check: check.name.to_string(),
            programs,
            seed: self.plan.seed.unwrap_or_else(|| self.subject.seed()),
            tier: self.plan.tier,
            trace,
            record: self.plan.record,
            uid: next_uid(),
            group: group.as_ref().map(Group::entry),
        };
        ask_arena(&ask)
    }
}

enum Blocker {
    None,
    Wait,
    By(String),
    /// Not its own: what a check broke down from, and which check that was.
    Broke(Breakdown, Option<&'static str>),
}

fn broken(check: &'static Check, breakdown: Breakdown) -> Asked {
    let answer = Answer { verdict: Verdict::Broke(breakdown), ms: 0, recording: None };
    Asked { check, answer, passed: (0, 1), behind: None }
}

/// Starts an arena, asks it and waits for its answer.
fn ask_arena(ask: &Ask) -> Result<Answer, Breakdown> {
    let spec =
        serde_json::to_vec(ask).map_err(|error| Breakdown::system("cannot write a check's spec", error))?;
    let _turn = turn::take(ask.tier)?;
    let output = child::output(Role::Arena, &spec, Streams::Piped, ARENA_LIMIT, ANSWER_LIMIT)
        .map_err(|stopped| stopped.breakdown(&format!("the arena of {}", ask.check)))?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let words = String::from_utf8_lossy(&output.stderr);
        let words = words.trim();
        let reason = if words.is_empty() { "it said nothing" } else { words };
        let what =
            format!("the arena of {} ended without an answer ({}): {reason}", ask.check, output.status);
        Breakdown::new(what, format!("run `cargo xtask grade ... --only {}` again", ask.check))
    })
}
