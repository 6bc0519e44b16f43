//! What remains when an arena is gone, seen from outside.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};

/// These tests run in no arena, but start some.
pub fn tests() -> Vec<Trial> {
    let full = grader::probe::probe().is_ok_and(|probe| probe.tier == grader::sandbox::Tier::A);
    let mut tests =
        vec![super::arena::test("what_a_container_lacks_costs_no_points", container_costs_no_points)];
    for tier in ["A", "C"] {
        let name = format!("killed_arena_takes_everybody in {tier}");
        let test = super::arena::test(name, move || killed_arena_takes_everybody(tier));
        tests.push(test.with_ignored_flag(tier == "A" && !full));
    }
    tests
}

/// A trial that the test below kills: starts a program with children and prints the pids of all.
pub fn hang(arena: grader::sandbox::Arena) {
    let script =
        "trap '' TERM HUP INT; setsid sleep 60 & setsid sh -c 'trap \"\" TERM; sleep 60' & echo up; wait";
    let started = super::arena::start(arena, |_| (), script);
    started.wait_for_output("up\n");
    let mut pids = vec![started.tree.init_pid];
    let mut at = 0;
    while let Some(pid) = pids.get(at) {
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        pids.extend(children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
        at += 1;
    }
    println!("{}", pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    started.end();
}

fn killed_arena_takes_everybody(tier: &str) -> Result<(), Failed> {
    let mut arena = super::arena::command("hang", tier).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(arena.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
    let pids: Vec<&str> = line.split_whitespace().collect();
    if pids.len() < 4 {
        return Err(format!("the arena did not come up: {line:?}").into());
    }
    arena.kill()?;
    arena.wait()?;
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let living: Vec<&&str> = pids.iter().filter(|pid| lives(pid)).collect();
        if living.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("{living:?} of {pids:?} are still alive").into());
        }
        std::thread::yield_now();
    }
}

/// A zombie that nobody has reaped yet does not count.
fn lives(pid: &str) -> bool {
    let mut text = String::new();
    let file = std::fs::File::open(Path::new("/proc").join(pid).join("stat"));
    let read = file.and_then(|mut file| file.read_to_string(&mut text));
    read.is_ok() && !text.contains(") Z ") && !text.contains(") X ")
}

/// Tier C has no simulated hosts: what needs them is not decided, nor what builds on that, and nothing is failed.
fn container_costs_no_points() -> Result<(), Failed> {
    let mut command = super::submissions::Where::Container.grade();
    command.args(["--format", "json", "--lab", "multicast"]).arg(grader::house::solutions());
    let output = command.output()?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let lab = &report["labs"][0];
    let checks = lab["checks"].as_array().ok_or("no checks")?;
    let lost =
        checks.iter().filter(|check| !["pass", "broke"].contains(&check["verdict"].as_str().unwrap_or("")));
    let lost: Vec<_> = lost.map(|check| (&check["id"], &check["verdict"], &check["blocked_by"])).collect();
    let behind =
        checks.iter().filter(|check| check["verdict"] == "broke" && !check["blocked_by"].is_null()).count();
    let number = |name: &str| lab[name].as_u64().unwrap_or(0);
    let balanced = number("points") - number("bonus") + number("undecided") == number("max");
    if lost.is_empty() && behind > 0 && balanced && report["tier"] == "C" && output.status.code() == Some(70)
    {
        return Ok(());
    }
    Err(format!("{lost:?} are lost, {behind} behind, {lab:#}").into())
}
