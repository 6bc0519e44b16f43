//! Attacks that use things up: how far they come.

use std::time::{Duration, Instant};

use grader::sandbox::{Arena, Bound};

use super::arena::Trial;
use super::{attack, attack_with, start_attack};

pub const EVERYWHERE: &[Trial] = &[
    Trial { name: "processes_are_limited", run: processes_are_limited },
    Trial { name: "threads_are_limited", run: threads_are_limited },
    Trial { name: "address_space_is_limited", run: address_space_is_limited },
    Trial { name: "memory_of_a_tree_is_limited", run: memory_of_a_tree_is_limited },
    Trial { name: "file_size_is_limited", run: file_size_is_limited },
    Trial { name: "descriptors_are_limited", run: descriptors_are_limited },
    Trial { name: "timers_are_limited", run: timers_are_limited },
    Trial { name: "processor_time_is_limited", run: processor_time_is_limited },
    Trial { name: "deaf_program_can_be_killed", run: deaf_program_can_be_killed },
    Trial { name: "stopped_program_can_be_killed", run: stopped_program_can_be_killed },
    Trial { name: "nobody_survives_the_program", run: nobody_survives_the_program },
];

pub const BY_NAMESPACES: &[Trial] = &[
    Trial { name: "disk_is_limited", run: disk_is_limited },
    Trial { name: "process_limits_are_each_programs_own", run: process_limits_are_each_programs_own },
    Trial { name: "honest_program_beside_hostile_ones", run: honest_program_beside_hostile_ones },
];

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or_else(|_| panic!("no number: {text:?}"))
}

fn processes_are_limited(arena: Arena) {
    let ended = attack_with(arena, |plan| plan.limits.processes = 64, &["count-processes", "400"]);
    let made = number(&ended.output);
    assert!((32..64).contains(&made), "{made} processes");
}

fn threads_are_limited(arena: Arena) {
    let ended = attack_with(arena, |plan| plan.limits.processes = 64, &["count-threads", "400"]);
    let made = number(&ended.output);
    assert!((32..64).contains(&made), "{made} threads");
}

fn address_space_is_limited(arena: Arena) {
    let ended = attack_with(arena, |plan| plan.limits.memory = 128 << 20, &["count-memory", "512"]);
    assert!(number(&ended.output) < 128, "{ended:?}");
}

fn memory_of_a_tree_is_limited(arena: Arena) {
    let ended = attack_with(arena, |plan| plan.limits.resident = 128 << 20, &["memory-in-children"]);
    let bound = ended.report.bound;
    assert_eq!(bound, Some(Bound::Memory(128 << 20)), "{ended:?}");
    assert_eq!(
        bound.map(|bound| bound.to_string()),
        Some("killed: it used more than 128 MiB of memory".into())
    );
}

fn file_size_is_limited(arena: Arena) {
    let ended = attack_with(arena, |plan| plan.limits.file_size = 1 << 20, &["fill-disk"]);
    assert_eq!(ended.report.bound, Some(Bound::FileSize(1 << 20)), "{ended:?}");
}

fn disk_is_limited(arena: Arena) {
    assert!(number(&attack(arena, &["fill-disk"]).output) <= 16);
    assert!(number(&attack(arena, &["fill-inodes"]).output) <= 4096);
}

fn descriptors_are_limited(arena: Arena) {
    let ended = attack_with(arena, |plan| plan.limits.descriptors = (64, 128), &["count-descriptors"]);
    assert_eq!(number(&ended.output), 125, "{ended:?}");
}

fn timers_are_limited(arena: Arena) {
    let ended = attack(arena, &["count-timers", "100000"]);
    assert!(number(&ended.output) <= 1024, "{ended:?}");
}

fn processor_time_is_limited(arena: Arena) {
    let ended = attack_with(arena, |plan| plan.limits.cpu = 1, &["spin-deaf"]);
    assert_eq!(ended.report.bound, Some(Bound::Processor(1)), "{ended:?}");
}

fn deaf_program_can_be_killed(arena: Arena) {
    let started = start_attack(arena, |_| (), &["spin-deaf"]);
    started.wait_for_output("spinning\n");
    let start = Instant::now();
    started.tree.kill();
    started.end();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

fn stopped_program_can_be_killed(arena: Arena) {
    let started = start_attack(arena, |_| (), &["stop-oneself"]);
    let start = Instant::now();
    started.tree.kill();
    started.end();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

fn nobody_survives_the_program(arena: Arena) {
    let marker = format!("survivor-of-{}", std::process::id());
    let ended = attack(arena, &["survive", &marker]);
    assert_eq!(ended.output, "left\n");
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let survivors: Vec<_> = processes
        .filter(|entry| {
            std::fs::read_to_string(entry.path().join("cmdline")).is_ok_and(|line| line.contains(&marker))
        })
        .collect();
    assert!(survivors.is_empty(), "{survivors:?}");
}

fn process_limits_are_each_programs_own(arena: Arena) {
    let start = || start_attack(arena, |plan| plan.limits.processes = 64, &["count-processes", "400"]);
    let both = [start(), start()];
    for started in both {
        let made = number(&started.end().output);
        assert!((60..64).contains(&made), "{made} processes");
    }
}

fn honest_program_beside_hostile_ones(arena: Arena) {
    let hostile = [&["spin-deaf"][..], &["spin-deaf"], &["memory-in-children"], &["survive"]];
    let running = hostile.map(|words| start_attack(arena, |plan| plan.limits.resident = 128 << 20, words));
    running[0].wait_for_output("spinning\n");
    let start = Instant::now();
    for _ in 0..10 {
        let honest =
            super::arena::shell(arena, "i=0; while [ $i -lt 50 ]; do i=$((i + 1)); done; (echo $i) | cat");
        assert_eq!((honest.status, honest.output.as_str()), (0, "50\n"), "{honest:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    for started in running {
        started.tree.kill();
        started.end();
    }
}
