//! Threads held between their calls, and run in lockstep.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Instant;

use grader::recorder::Point;
use grader::recording::{Act, Event};
use grader::sandbox::Arena;

use crate::arena::Trial;
use crate::records::listens;
use crate::scene::Scene;

pub const TRIALS: &[Trial] = &[
    Trial { name: "lockstep_makes_a_race_certain", run: lockstep_makes_a_race_certain },
    Trial { name: "lockstep_spares_the_careful", run: lockstep_spares_the_careful },
    Trial { name: "lockstep_leaves_no_trap_behind", run: lockstep_leaves_no_trap_behind },
    Trial { name: "no_clock_preempts_the_lockstep", run: no_clock_preempts_the_lockstep },
    Trial { name: "held_thread_waits_for_its_release", run: held_thread_waits_for_its_release },
];

const ROUNDS: usize = 12;

/// The totals that two clients get who add 1 at the same time, again and again.
fn totals(arena: Arena, style: &str) -> Vec<[i64; 2]> {
    let mut scene = Scene::new(arena);
    let started = scene.start("server", &["threaded-server", style]);
    scene.until_recorded("server listens", |recording| listens(recording, "server"));
    let clients = [connect(), connect()];
    scene.recorder.interleave("server", 2).unwrap();
    let start = Instant::now();
    let totals = (0..ROUNDS).map(|_| {
        clients.iter().for_each(|client| (&*client).write_all(b"add 1\n").unwrap());
        [answer(&clients[0]), answer(&clients[1])]
    });
    let totals = totals.collect();
    eprintln!("{style}: {:?} a round", start.elapsed() / ROUNDS as u32);
    grader::sandbox::kill(grader::sandbox::Tier::A, &started.init);
    scene.end("server");
    totals
}

fn connect() -> TcpStream {
    let client = TcpStream::connect("127.0.0.1:5000").unwrap();
    client.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    client
}

fn answer(client: &TcpStream) -> i64 {
    let mut line = String::new();
    BufReader::new(client).read_line(&mut line).unwrap();
    line.trim().strip_prefix("total ").expect("a total").parse().unwrap()
}

fn lockstep_makes_a_race_certain(arena: Arena) {
    let totals = totals(arena, "racy");
    let twice = totals.iter().filter(|[one, two]| one == two).count();
    assert!(twice >= ROUNDS - 2, "{totals:?}");
}

fn lockstep_spares_the_careful(arena: Arena) {
    for style in ["atomic", "locked"] {
        let mut all: Vec<i64> = totals(arena, style).concat();
        all.sort_unstable();
        assert_eq!(all, (1..=2 * ROUNDS as i64).collect::<Vec<_>>(), "{style}");
    }
}

/// Two clients of a careful server in one lockstep, and whether that came to its end.
fn one_lockstep(arena: Arena, style: &str) -> (Scene, bool) {
    let mut scene = Scene::new(arena);
    let started = scene.start("server", &["threaded-server", style]);
    scene.until_recorded("server listens", |recording| listens(recording, "server"));
    let clients = [connect(), connect()];
    scene.recorder.interleave("server", 2).unwrap();
    clients.iter().for_each(|client| (&*client).write_all(b"add 1\n").unwrap());
    assert_eq!(answer(&clients[0]) + answer(&clients[1]), 1 + 2, "{style}");
    let to_the_end = scene.recorder.interleave("server", 0).unwrap();
    grader::sandbox::kill(grader::sandbox::Tier::A, &started.init);
    scene.end("server");
    (scene, to_the_end)
}

fn lockstep_leaves_no_trap_behind(arena: Arena) {
    let (scene, to_the_end) = one_lockstep(arena, "preempted");
    assert!(!to_the_end, "the lockstep did not give up");
    let trapped = |event: &Event| matches!(event.act, Act::SignalDelivered { signal: libc::SIGTRAP });
    assert!(!scene.recorder.recording().events.iter().any(trapped), "the program saw a trap");
}

fn no_clock_preempts_the_lockstep(arena: Arena) {
    let (_, to_the_end) = one_lockstep(arena, "ticked");
    assert!(to_the_end, "the lockstep gave up");
}

fn held_thread_waits_for_its_release(arena: Arena) {
    let mut scene = Scene::new(arena);
    let started = scene.start("server", &["threaded-server", "racy"]);
    scene.until_recorded("server listens", |recording| listens(recording, "server"));
    let clients = [connect(), connect()];
    scene.recorder.hold("server", Point::BeforeSend).unwrap();
    (&clients[0]).write_all(b"add 5\n").unwrap();
    scene.until("it is held", |recorder| (recorder.held("server").unwrap() == 1).then_some(()));
    (&clients[1]).write_all(b"add 2\n").unwrap();
    assert_eq!(answer(&clients[1]), 7);
    scene.recorder.release("server").unwrap();
    assert_eq!(answer(&clients[0]), 5);
    grader::sandbox::kill(grader::sandbox::Tier::A, &started.init);
    scene.end("server");
}
