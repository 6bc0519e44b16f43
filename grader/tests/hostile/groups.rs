//! Attacks on an arena in a control group: what the kernel's second bound does where the first one is out of the way.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use grader::ask::{Answer, Ask, Launch};
use grader::sandbox::cgroup::{self, Bounds, Group};
use grader::sandbox::{Arena, Bound, Tier};
use grader::verdict::Verdict;
use libtest_mimic::Failed;

use super::arena::{self, Trial};
use super::{all_stopped, attack, attack_with};

/// The argument with which this test answers an ask.
pub const ANSWER: &str = "answer-an-ask";
/// Far below what the watch lets a tree have.
const SMALL: Bounds = Bounds { arena: 64 << 20, programs: 64 << 20, processes: 64 };

/// They run only in a group, for the tests below.
pub const TRIALS: &[Trial] = &[
    Trial { name: "group_bounds_memory", run: group_bounds_memory },
    Trial { name: "group_bounds_processes", run: group_bounds_processes },
    Trial { name: "nobody_leaves_a_group", run: nobody_leaves_a_group },
];

/// The tests that need control groups; where none can be made they are ignored, and their names say why.
pub fn tests() -> Vec<libtest_mimic::Trial> {
    let groups = cgroup::describe();
    let lacks = |controller: &str| match &groups {
        Ok(words) if words.contains(controller) => None,
        Ok(words) => Some(format!("control groups here bound only {words}")),
        Err(reason) => Some(format!("no control groups: {reason}")),
    };
    let test = |name: &str, lacked: Option<String>, run: fn() -> Result<(), Failed>| {
        let name = lacked.iter().fold(name.to_string(), |name, reason| format!("{name} ({reason})"));
        arena::test(name, run).with_ignored_flag(lacked.is_some())
    };
    let mut tests = vec![
        test("group_ends_with_its_killed_arena", lacks(""), group_ends_with_its_killed_arena),
        test("finding_names_the_groups_memory", lacks("memory"), finding_names_the_groups_memory),
    ];
    let has = grader::probe::probe().map_or(Tier::C, |probe| probe.tier);
    let tiers = [Tier::A, Tier::B, Tier::C];
    for tier in tiers.into_iter().skip_while(|tier| *tier != has) {
        for (trial, controller) in TRIALS.iter().zip(["memory", "processes", ""]) {
            let lacked = lacks(controller);
            let name = lacked
                .iter()
                .fold(format!("{} in {tier:?}", trial.name), |name, reason| format!("{name} ({reason})"));
            let run = move || arena::execute_in(&small()?.entry(), trial.name, tier);
            tests.push(arena::test(name, run).with_ignored_flag(lacked.is_some()));
        }
    }
    tests
}

fn small() -> Result<Group, Failed> {
    Group::new(SMALL).ok_or_else(|| "no group can be made any more".into())
}

fn group_bounds_memory(arena: Arena) {
    let ended = attack(arena, &["memory-in-children"]);
    assert_eq!(ended.report.bound, Some(Bound::Memory(SMALL.programs)), "{ended:?}");
}

fn group_bounds_processes(arena: Arena) {
    let bombed = |limit| {
        let ended = attack_with(arena, |plan| plan.limits.processes = limit, &["count-processes", "400"]);
        ended.output.trim().parse::<u64>().unwrap_or_else(|_| panic!("no number: {ended:?}"))
    };
    let first_wall = bombed(32);
    assert!((16..32).contains(&first_wall), "{first_wall} processes of 32");
    let second_wall = bombed(4096);
    assert!((40..SMALL.processes).contains(&second_wall), "{second_wall} processes of {}", SMALL.processes);
}

fn nobody_leaves_a_group(arena: Arena) {
    let doors = arena::group().expect("this trial runs in a group").doors();
    for door in &doors {
        let above = door.parent().and_then(|group| group.parent()).expect("a group above");
        let above = above.join(door.file_name().expect("a file"));
        for path in [door, &above] {
            let path = path.to_str().expect("UTF-8");
            all_stopped(arena, [&["write", path][..], &["read", path]]);
        }
    }
}

/// The killed arena's programs end a moment later; the group waits for them.
fn group_ends_with_its_killed_arena() -> Result<(), Failed> {
    let group = small()?;
    let entry = group.entry();
    let mut command = arena::command("hang", "C");
    command.env(arena::GROUP, serde_json::to_string(&entry)?).stdout(Stdio::piped());
    let mut arena = command.spawn()?;
    let mut line = String::new();
    BufReader::new(arena.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
    let inside = std::fs::read_to_string(&entry.doors()[0])?;
    arena.kill()?;
    arena.wait()?;
    drop(group);
    let left: Vec<_> = entry.doors().into_iter().filter(|door| door.exists()).collect();
    if inside.lines().count() >= 4 && left.is_empty() {
        return Ok(());
    }
    Err(format!("in the group were {inside:?}, and {left:?} is left").into())
}

/// From an ask to the finding that a student reads.
fn finding_names_the_groups_memory() -> Result<(), Failed> {
    let group = small()?;
    let executable = super::program();
    let argv = vec!["udp-server".to_string(), "memory-in-children".to_string()];
    let launch = Launch { executable, argv, readable: Vec::new() };
    let ask = Ask {
        lab: "udp".to_string(),
        check: "server_is_reachable_from_another_host".to_string(),
        programs: [("udp-server".to_string(), launch)].into(),
        seed: 1,
        tier: grader::probe::probe()?.tier,
        trace: true,
        record: false,
        uid: 61_002,
        group: Some(group.entry()),
    };
    let mut command = Command::new("/proc/self/exe");
    command.arg(ANSWER).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().ok_or("no stdin")?.write_all(&serde_json::to_vec(&ask)?)?;
    let answer: Answer = serde_json::from_slice(&child.wait_with_output()?.stdout)?;
    let Verdict::Fail(finding) = answer.verdict else { return Err(format!("{:?}", answer.verdict).into()) };
    let words = "udp-server has ended: killed: it used more than 64 MiB of memory";
    if finding.notes.iter().any(|note| note == words) {
        return Ok(());
    }
    Err(format!("no word of memory: {finding:#?}").into())
}
