//! What is recorded, and how it is named.

use grader::recording::{Act, Object, Outcome, Recording};
use grader::sandbox::Arena;

use crate::arena::Trial;
use crate::scene::Scene;

pub const TRIALS: &[Trial] = &[
    Trial { name: "udp_pair_is_recorded", run: udp_pair_is_recorded },
    Trial { name: "tcp_pair_is_recorded", run: tcp_pair_is_recorded },
    Trial { name: "forking_server_shares_its_connection", run: forking_server_shares_its_connection },
    Trial { name: "refusals_are_recorded", run: refusals_are_recorded },
    Trial { name: "strange_program_hides_nothing", run: strange_program_hides_nothing },
    Trial { name: "stopped_program_goes_on", run: stopped_program_goes_on },
    Trial { name: "every_run_is_recorded_alike", run: every_run_is_recorded_alike },
    Trial { name: "without_ptrace_nothing_is_recorded", run: without_ptrace_nothing_is_recorded },
    Trial { name: "stuck_means_that_nothing_can_happen", run: stuck_means_that_nothing_can_happen },
];

pub const IN_EVERYWHERE: &[Trial] = &[Trial { name: "memory_is_read", run: memory_is_read }];

pub fn bound(recording: &Recording, who: &str) -> bool {
    recording.of(who).any(|event| matches!(event.act, Act::Bind { .. }) && event.outcome.ok())
}

pub fn listens(recording: &Recording, who: &str) -> bool {
    recording.of(who).any(|event| matches!(event.act, Act::Listen { .. }) && event.outcome.ok())
}

fn udp_pair_is_recorded(arena: Arena) {
    let mut scene = Scene::new(arena);
    scene.start("server", &["udp-server"]);
    scene.until_recorded("server bound", |recording| bound(recording, "server"));
    scene.start("client", &["udp-client"]);
    let statuses = [scene.end("server").status, scene.end("client").status];
    scene.expect(statuses == [0, 0], "both end with status 0");
    let recording = scene.recorder.recording();
    let acts = |who: &str| -> Vec<String> {
        recording
            .of(who)
            .map(|event| event.call.clone())
            .filter(|call| call != "close" && call != "exit")
            .collect()
    };
    assert_eq!(acts("server"), ["execve", "socket", "bind", "recvfrom", "sendmsg"]);
    assert_eq!(acts("client"), ["execve", "socket", "connect", "sendto", "recvfrom"]);
    let (mut asked, mut from_seen) = (None, None);
    for event in recording.of("server") {
        match &event.act {
            Act::Bind { local, .. } => assert_eq!(local.unwrap().to_string(), "0.0.0.0:5000"),
            Act::Receive { from, done, head, .. } => {
                assert_eq!((*done, head.as_slice()), (2, &[1, 2][..]));
                from_seen = *from;
            }
            Act::Send { to, payload, done, .. } => {
                assert_eq!((payload.as_deref(), *done), (Some(&[1, 3][..]), 2));
                asked = *to;
            }
            _ => {}
        }
    }
    assert!(asked.is_some() && asked == from_seen);
    let open = recording.of("server").filter(|event| matches!(event.act, Act::LeftOpen { .. })).count();
    assert_eq!(open, 1, "the server's socket");
    assert!(recording.of("client").all(|event| !matches!(event.act, Act::LeftOpen { .. })));
}

fn tcp_pair_is_recorded(arena: Arena) {
    let mut scene = Scene::new(arena);
    scene.start("server", &["tcp-server", "loop"]);
    scene.until_recorded("server listens", |recording| listens(recording, "server"));
    scene.start("client", &["tcp-client", "16"]);
    let statuses = [scene.end("server").status, scene.end("client").status];
    scene.expect(statuses == [0, 0], "both end with status 0");
    assert_eq!(scene.output("client"), "16\n");
    let recording = scene.recorder.recording();
    let connect = recording.of("client").find_map(|event| match event.act {
        Act::Connect { local, .. } => local,
        _ => None,
    });
    let accept = recording.of("server").find_map(|event| match event.act {
        Act::Accept { peer, .. } => peer,
        _ => None,
    });
    assert!(connect.is_some() && connect == accept);
    let ends =
        recording.of("server").filter(|event| matches!(event.act, Act::Receive { end: true, .. })).count();
    assert_eq!(ends, 1);
    let closes =
        recording.of("server").filter(|event| matches!(event.act, Act::Close { last: true, unread: 0, .. }));
    assert_eq!(closes.count(), 2);
}

fn forking_server_shares_its_connection(arena: Arena) {
    let mut scene = Scene::new(arena);
    scene.start("server", &["fork-server"]);
    scene.until_recorded("server listens", |recording| listens(recording, "server"));
    scene.start("client", &["tcp-client", "6"]);
    let statuses = [scene.end("server").status, scene.end("client").status];
    scene.expect(statuses == [0, 0], "both end with status 0");
    let recording = scene.recorder.recording();
    assert_eq!(recording.children("server"), ["server.1"]);
    let closes = |who: &str| -> Vec<(bool, u64)> {
        recording
            .of(who)
            .filter_map(|event| match event.act {
                Act::Close { object: Object::Socket(_), last, unread } => Some((last, unread)),
                _ => None,
            })
            .collect()
    };
    // Parent and child close the connection in any order: one of the two is the last, never both and never none.
    let (parent, child) = (closes("server"), closes("server.1"));
    assert_eq!((parent.len(), child.len()), (1, 2), "{parent:?} {child:?}");
    assert!(parent[0].0 != child[1].0, "{parent:?} {child:?}");
    assert_eq!(child[0], (false, 0), "the parent still holds the listening socket");
    let reaped = recording.of("server").find_map(|event| match &event.act {
        Act::Reap { child, .. } => child.clone(),
        _ => None,
    });
    assert_eq!(reaped.as_deref(), Some("server.1"));
}

/// Docker has refused the usual call for it.
fn memory_is_read(arena: Arena) {
    let mut scene = Scene::new(arena);
    scene.start("program", &["exit", "0"]);
    scene.end("program");
    let recording = scene.recorder.recording();
    let words = recording.of("program").find_map(|event| match &event.act {
        Act::Exec { argv, .. } => Some(argv.clone()),
        _ => None,
    });
    assert!(words.as_ref().is_some_and(|words| words.ends_with(&["exit".into(), "0".into()])), "{words:?}");
}

fn refusals_are_recorded(arena: Arena) {
    let mut scene = Scene::new(arena);
    scene.start("program", &["refused"]);
    let status = scene.end("program").status;
    scene.expect(status == 0, "a refusal does not kill");
    assert_eq!(scene.output("program"), "-1 -1 1\n");
    let recording = scene.recorder.recording();
    let refused: Vec<_> =
        recording.of("program").filter(|event| event.outcome == Outcome::Refused(libc::EPERM)).collect();
    assert_eq!(
        refused.iter().map(|event| event.call.as_str()).collect::<Vec<_>>(),
        ["memfd_create", "socket"]
    );
}

/// A child was left out of the books when its name was no text, and sums of a program's numbers ended the recorder.
fn strange_program_hides_nothing(arena: Arena) {
    let mut scene = Scene::new(arena);
    scene.start("program", &["strange"]);
    let status = scene.end("program").status;
    scene.expect(status == 0, "every strange call fails, and the recorder goes on");
    let recording = scene.recorder.recording();
    let children = recording.children("program");
    assert_eq!(children, ["program.1", "program.2", "program.3"]);
    for (code, child) in children.into_iter().enumerate() {
        let ended = |act: &Act| matches!(act, Act::Exit { code: with } if *with == code as i32);
        assert!(recording.of(child).any(|event| ended(&event.act)), "{child}");
    }
    assert!(recording.zombies("program").iter().all(|zombie| zombie.to.is_some()));
}

fn stopped_program_goes_on(arena: Arena) {
    let mut scene = Scene::new(arena);
    let started = scene.start("server", &["udp-server"]);
    let receiving = |recording: &Recording| {
        recording
            .of("server")
            .any(|event| matches!(event.act, Act::Receive { .. }) && event.outcome == Outcome::Pending)
    };
    scene.until_recorded("server receives", receiving);
    let send = |signal: i32| {
        // SAFETY: kill takes integers only.
        assert_eq!(unsafe { libc::kill(started.pid, signal) }, 0);
    };
    send(libc::SIGSTOP);
    scene.until_recorded("it is stopped", |recording| {
        recording.of("server").any(|event| event.act == Act::SignalDelivered { signal: libc::SIGSTOP })
    });
    scene.expect(!scene.recorder.stuck(), "a stopped program is not stuck");
    send(libc::SIGCONT);
    scene.until_recorded("it receives again", |recording| {
        recording.of("server").any(|event| event.restarts == 1)
    });
    scene.start("client", &["udp-client"]);
    let statuses = [scene.end("server").status, scene.end("client").status];
    scene.expect(statuses == [0, 0], "both end with status 0");
}

fn stuck_means_that_nothing_can_happen(arena: Arena) {
    let mut scene = Scene::new(arena);
    scene.start("server", &["udp-server"]);
    scene.until("the server is stuck", |recorder| recorder.stuck().then_some(()));
    scene.recorder.expect_end("server");
    scene.expect(!scene.recorder.stuck(), "a program that is being ended does not wait for ever");
    scene.start("timed", &["exit", "0"]);
    scene.end("timed");
    let mut scene = scene;
    scene.start("sleeper", &["recv-timeout"]);
    scene.until_recorded("it receives", |recording| {
        recording.of("sleeper").any(|event| matches!(event.act, Act::Receive { .. }))
    });
    for _ in 0..20 {
        scene.expect(!scene.recorder.stuck(), "a receive with a timeout ends by itself");
        nix::unistd::sleep(0);
    }
}

/// What each of the processes did, without what differs from run to run.
fn canonical(recording: &Recording, who: &str) -> Vec<String> {
    let words = |event: &grader::recording::Event| {
        let kind = format!("{:?}", event.act);
        let kind = kind.split([' ', '{']).next().unwrap_or_default().to_string();
        format!("{kind} {} {}", event.fd.unwrap_or(-1), event.outcome.ok())
    };
    let known = |event: &&grader::recording::Event| !matches!(event.act, Act::SignalDelivered { .. });
    recording.of(who).filter(known).map(words).collect()
}

fn every_run_is_recorded_alike(arena: Arena) {
    let mut first: Option<Vec<Vec<String>>> = None;
    for round in 0..20 {
        let mut scene = Scene::new(arena);
        scene.start("server", &["fork-server"]);
        scene.until_recorded("server listens", |recording| listens(recording, "server"));
        scene.start("client", &["tcp-client", "6"]);
        scene.end("server");
        scene.end("client");
        let recording = scene.recorder.recording();
        let now: Vec<_> = ["server", "server.1", "client"].map(|who| canonical(&recording, who)).into();
        match &first {
            None => first = Some(now),
            Some(first) => assert_eq!(*first, now, "round {round}"),
        }
    }
}

/// As in a container whose profile forbids ptrace: programs run all the same, and the recording says that it is none.
fn without_ptrace_nothing_is_recorded(arena: Arena) {
    use seccompiler::{SeccompAction, SeccompFilter, TargetArch};
    let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let rules = std::collections::BTreeMap::from([(libc::SYS_ptrace, Vec::new())]);
    let eperm = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, eperm, arch).unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
    let mut scene = Scene::new(arena);
    assert!(!scene.recorder.recording().recorded);
    let refused =
        scene.recorder.inject("program", grader::recorder::Injection::AbortedConnection { calls: 1 });
    assert!(refused.is_err());
    scene.start("program", &["forks", "3"]);
    let status = scene.end("program").status;
    assert_eq!((status, scene.output("program").as_str()), (0, "3\n"));
    assert!(scene.recorder.recording().events.is_empty() && !scene.recorder.stuck());
}
