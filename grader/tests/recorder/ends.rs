//! Ways to be born and to die, none of which may hang the recorder or lose an outcome.

use std::time::{Duration, Instant};

use grader::recording::{Act, Recording};
use grader::sandbox::Arena;

use crate::arena::Trial;
use crate::scene::Scene;

pub const TRIALS: &[Trial] = &[
    Trial { name: "two_hundred_forks", run: two_hundred_forks },
    Trial { name: "vfork_and_posix_spawn", run: vfork_and_posix_spawn },
    Trial { name: "exec_by_another_thread", run: exec_by_another_thread },
    Trial { name: "threads_are_counted", run: threads_are_counted },
    Trial { name: "ignoring_every_signal_helps_nobody", run: ignoring_every_signal_helps_nobody },
    Trial { name: "death_by_signal_is_recorded", run: death_by_signal_is_recorded },
    Trial { name: "dropping_the_recorder_ends_all", run: dropping_the_recorder_ends_all },
    Trial { name: "death_at_any_event", run: death_at_any_event },
];

fn two_hundred_forks(arena: Arena) {
    let mut scene = Scene::new(arena);
    scene.start("program", &["forks", "200"]);
    let status = scene.end("program").status;
    scene.expect(status == 0, "status 0");
    assert_eq!(scene.output("program"), "200\n");
    let recording = scene.recorder.recording();
    assert_eq!(recording.children("program").len(), 200);
    let mut reaped: Vec<(String, i32)> = recording
        .of("program")
        .filter_map(|event| match &event.act {
            Act::Reap { child: Some(child), .. } => {
                let code = recording.of(child).find_map(|event| match event.act {
                    Act::Exit { code } => Some(code),
                    _ => None,
                });
                Some((child.clone(), code?))
            }
            _ => None,
        })
        .collect();
    reaped.sort_by_key(|(who, _)| who["program.".len()..].parse::<i32>().unwrap());
    let expected: Vec<_> = (0..200).map(|index| (format!("program.{}", index + 1), index)).collect();
    assert_eq!(reaped, expected);
}

fn vfork_and_posix_spawn(arena: Arena) {
    let mut scene = Scene::new(arena);
    scene.start("program", &["vfork"]);
    let status = scene.end("program").status;
    scene.expect(status == 0, "status 0");
    assert_eq!(scene.output("program"), "4 6\n");
    let recording = scene.recorder.recording();
    let vforks =
        recording.of("program").filter(|event| matches!(event.act, Act::Fork { vfork: true, .. })).count();
    assert_eq!(
        (vforks, exits(&recording, "program.1"), exits(&recording, "program.2")),
        (2, Some(4), Some(6))
    );
}

fn exits(recording: &Recording, who: &str) -> Option<i32> {
    recording.of(who).find_map(|event| match event.act {
        Act::Exit { code } => Some(code),
        _ => None,
    })
}

fn exec_by_another_thread(arena: Arena) {
    let mut scene = Scene::new(arena);
    scene.start("program", &["thread-exec"]);
    let status = scene.end("program").status;
    scene.expect(status == 5 << 8, "the status of the loaded program");
    let code = exits(&scene.recorder.recording(), "program");
    scene.expect(code == Some(5), "its exit is recorded");
}

fn threads_are_counted(arena: Arena) {
    let mut scene = Scene::new(arena);
    scene.start("program", &["threads"]);
    let status = scene.end("program").status;
    scene.expect(status == 0, "status 0");
    let recording = scene.recorder.recording();
    let mut threads: Vec<u32> = recording
        .of("program")
        .filter_map(|event| match event.act {
            Act::Thread { thread } => Some(thread),
            _ => None,
        })
        .collect();
    threads.sort_unstable();
    assert_eq!(threads, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(recording.children("program").is_empty());
}

fn ignoring_every_signal_helps_nobody(arena: Arena) {
    let mut scene = Scene::new(arena);
    let started = scene.start("program", &["ignore-all"]);
    scene.until("both are stuck", |recorder| {
        (recorder.stuck() && recorder.recording().children("program") == ["program.1"]).then_some(())
    });
    let start = Instant::now();
    grader::sandbox::kill(grader::sandbox::Tier::A, &started.init);
    scene.end("program");
    assert!(start.elapsed() < Duration::from_secs(2));
}

fn death_by_signal_is_recorded(arena: Arena) {
    let mut scene = Scene::new(arena);
    let started = scene.start("program", &["pause"]);
    scene.until("it pauses", |recorder| recorder.stuck().then_some(()));
    // SAFETY: kill takes integers only.
    unsafe { libc::kill(started.pid, libc::SIGTERM) };
    let status = scene.end("program").status;
    assert_eq!(status, libc::SIGTERM);
    let killed = |event: &grader::recording::Event| event.act == Act::Killed { signal: libc::SIGTERM };
    let recorded = scene.recorder.recording().of("program").any(killed);
    scene.expect(recorded, "its death is recorded");
}

fn dropping_the_recorder_ends_all(arena: Arena) {
    let mut scene = Scene::new(arena);
    let pids = [scene.start("one", &["ignore-all"]).pid, scene.start("two", &["udp-server"]).pid];
    scene.until("all wait", |recorder| recorder.stuck().then_some(()));
    let start = Instant::now();
    drop(scene);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    for pid in pids {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
}

/// Kills a program with threads and children at a different moment in each of many rounds.
fn death_at_any_event(arena: Arena) {
    let mut scene = Scene::new(arena);
    for round in 0..60 {
        let who = format!("program{round}");
        let what: &[&str] = match round % 3 {
            0 => &["forks", "20"],
            1 => &["threads"],
            _ => &["vfork"],
        };
        let started = scene.start(&who, what);
        scene.until("so many events", |recorder| {
            let recording = recorder.recording();
            let events = recording.events.iter().filter(|event| event.who.starts_with(&who)).count();
            (events >= round || recorder.tree_ended(&who)).then_some(())
        });
        grader::sandbox::kill(grader::sandbox::Tier::A, &started.init);
        scene.end(&who);
    }
}
