//! Injected results, each on a program that is wrong about it and on one that is right.

use grader::recorder::{CallKind, Injection};
use grader::sandbox::Arena;

use crate::arena::Trial;
use crate::records::listens;
use crate::scene::Scene;

pub const TRIALS: &[Trial] = &[
    Trial { name: "short_send", run: short_send },
    Trial { name: "short_receive", run: short_receive },
    Trial { name: "signal_meets_receive", run: signal_meets_receive },
    Trial { name: "connection_aborted", run: connection_aborted },
];

/// What the client of a server in this style gets back of 16 bytes, and the server's status.
fn exchange(arena: Arena, server: &[&str], injection: Injection) -> (String, i32, usize) {
    let mut scene = Scene::new(arena);
    scene.recorder.inject("server", injection).unwrap();
    scene.start("server", server);
    scene.until_recorded("server listens", |recording| listens(recording, "server"));
    scene.start("client", &["tcp-client", "16"]);
    let status = scene.end("server").status;
    scene.end("client");
    let injected = scene.recorder.recording().of("server").filter(|event| event.injected.is_some()).count();
    (scene.output("client"), status, injected)
}

fn short_send(arena: Arena) {
    let short = Injection::ShortSend { most: 5, calls: 10 };
    assert_eq!(exchange(arena, &["tcp-server", "once"], short.clone()), ("5\n".to_string(), 0, 1));
    assert_eq!(exchange(arena, &["tcp-server", "writev"], short.clone()), ("5\n".to_string(), 0, 1));
    assert_eq!(exchange(arena, &["tcp-server", "loop"], short), ("16\n".to_string(), 0, 3));
}

fn short_receive(arena: Arena) {
    let short = Injection::ShortReceive { most: 5, calls: 2 };
    assert_eq!(exchange(arena, &["tcp-server", "loop"], short), ("16\n".to_string(), 0, 2));
}

fn signal_meets_receive(arena: Arena) {
    let signal = Injection::Signal { kind: CallKind::Receive, signal: libc::SIGCHLD, calls: 1 };
    // No handler: nothing that the kernel would do, so nothing is injected.
    assert_eq!(exchange(arena, &["tcp-server", "once"], signal.clone()), ("16\n".to_string(), 0, 0));
    assert_eq!(exchange(arena, &["handler", "plain", "once"], signal.clone()).1, 8 << 8);
    assert_eq!(exchange(arena, &["handler", "plain", "loop"], signal.clone()), ("16\n".to_string(), 0, 1));
    assert_eq!(exchange(arena, &["handler", "restart", "once"], signal), ("16\n".to_string(), 0, 1));
}

fn connection_aborted(arena: Arena) {
    let aborted = Injection::AbortedConnection { calls: 2 };
    assert_eq!(exchange(arena, &["tcp-server", "loop"], aborted), ("16\n".to_string(), 0, 2));
}
