//! Skipped time: programs measure what they slept, and the machine does not.

use std::path::Path;
use std::time::{Duration, Instant};

use grader::recording::Act;
use grader::sandbox::Arena;

use crate::arena::Trial;
use crate::scene::Scene;

pub const TRIALS: &[Trial] = &[
    Trial { name: "ten_seconds_cost_nothing", run: ten_seconds_cost_nothing },
    Trial { name: "every_wait_is_skipped", run: every_wait_is_skipped },
    Trial { name: "signal_ends_a_skipped_sleep", run: signal_ends_a_skipped_sleep },
    Trial { name: "alarm_rings_on_the_programs_clock", run: alarm_rings_on_the_programs_clock },
    Trial { name: "posix_timers_go_by_the_programs_clock", run: posix_timers_go_by_the_programs_clock },
    Trial { name: "python_sleeps_too", run: python_sleeps_too },
];

fn ten_seconds_cost_nothing(arena: Arena) {
    let mut scene = Scene::skipping(arena);
    let start = Instant::now();
    scene.start("program", &["zombie", "2"]);
    let status = scene.end("program").status;
    scene.expect(status == 0, "status 0");
    let took = start.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
    let output = scene.output("program");
    assert!(output.ends_with("1 768 elapsed 10.0\n"), "{output}");
    let recording = scene.recorder.recording();
    let exit = recording.of("program.1").find(|event| matches!(event.act, Act::Exit { code: 3 })).unwrap();
    let reap =
        recording.of("program").find(|event| matches!(event.act, Act::Reap { child: Some(_), .. })).unwrap();
    let zombie = reap.exit.seen - exit.exit.seen;
    assert!((9_990_000_000..10_100_000_000).contains(&zombie), "a zombie for {zombie} ns");
}

fn every_wait_is_skipped(arena: Arena) {
    let mut scene = Scene::skipping(arena);
    let start = Instant::now();
    scene.start("program", &["waits"]);
    scene.end("program");
    let took = start.elapsed();
    assert_eq!(scene.output("program"), "5.0 5.0 5.0 5.0 5.0 5.0 5.0 \n");
    assert!(took < Duration::from_secs(4), "{took:?}");
}

fn signal_ends_a_skipped_sleep(arena: Arena) {
    let mut scene = Scene::skipping(arena);
    scene.start("program", &["sleep-and-signal"]);
    let status = scene.end("program").status;
    let output = scene.output("program");
    scene.expect(status == 0 && output == "left 8\n", &format!("left 8: {status} {output}"));
}

fn alarm_rings_on_the_programs_clock(arena: Arena) {
    let mut scene = Scene::skipping(arena);
    let start = Instant::now();
    scene.start("program", &["alarm"]);
    scene.end("program");
    assert_eq!(scene.output("program"), "30 10 20\n");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

fn posix_timers_go_by_the_programs_clock(arena: Arena) {
    let mut scene = Scene::skipping(arena);
    let start = Instant::now();
    scene.start("program", &["posix-timers"]);
    scene.end("program");
    assert_eq!(scene.output("program"), "5.0 1.5 1.5 0 1 1 77 0.0 3.5 7.0\n");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

fn python_sleeps_too(arena: Arena) {
    let python = Path::new("/usr/bin/python3");
    if !python.exists() {
        println!("there is no python3: not tried");
        return;
    }
    let script = "import time, os\nt = time.time()\npid = os.fork()\n\
                  if pid == 0:\n    time.sleep(3); os._exit(0)\n\
                  time.sleep(5)\nprint(os.wait()[0] == pid, '%.1f' % (time.time() - t))";
    let mut scene = Scene::skipping(arena);
    let start = Instant::now();
    scene.start_program("program", python, &["python3", "-I", "-S", "-c", script], |_| ());
    scene.end("program");
    let took = start.elapsed();
    assert_eq!(scene.output("program"), "True 5.0\n");
    assert!(took < Duration::from_secs(4), "{took:?}");
}
