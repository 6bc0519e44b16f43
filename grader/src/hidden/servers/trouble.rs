//! What clients and the system do to a server that must live on.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::economy::expect_quiet;
use crate::bench::{Bench, Limited, Process, ProcessInfo};
use crate::recorder::{CallKind, Injection};
use crate::recording::{Act, Outcome};
use crate::suites::servers::conversation::{Client, PORT, until_idle};
use crate::verdict::{Because, Expected, Stop, Unexplained};

const LIVES_ON: &str =
    "whatever a client or the system does costs one connection at most, and never the server";

/// Expects that a new client is served.
fn expect_served(bench: &Bench, server: &Process) -> Expected {
    let peer = bench.tcp_connect(server.local())?;
    let client = Client { peer };
    client.send("add 0")?;
    let answer = client.answer()?;
    if !answer.starts_with("total ") {
        return Err(Unexplained::new("the answer \"total T\"", format!("the answer {answer:?}")));
    }
    client.send("quit")?;
    client.peer.expect_end()
}

/// Clients that reset, vanish, or send what is no text at all.
pub fn survives_bad_clients(bench: &mut Bench, program: &str) -> Result<(), Stop> {
    let junk = bench.random().bytes(700);
    let server = bench.tcp_server(program, &[], PORT)?;
    let served_after = |what: &str| {
        expect_served(bench, &server).with(|unexplained| unexplained.sent(what)).because(LIVES_ON)
    };

    let client = Client::connect(bench, &server)?;
    client.peer.send(&junk).because(LIVES_ON)?;
    client.peer.send(b"\n\xff\xfe add 1\n\0\n").because(LIVES_ON)?;
    client.expect_error().because("a line that is no text is no request")?;
    drop(client);
    served_after("a client has sent junk and has gone")?;

    drop(Client::connect(bench, &server)?);
    served_after("a client has come and gone without a word")?;

    let client = Client::connect(bench, &server)?;
    client.peer.send(b"add 1\nadd").because(LIVES_ON)?;
    client.peer.reset();
    served_after("a client has reset its connection in mid-line")?;

    Client::connect(bench, &server)?.peer.reset();
    served_after("a client has reset its connection at once")?;

    // The first answer meets a connection that is reset already, and so does the second: that one is a SIGPIPE.
    let client = Client { peer: bench.tcp_connect_small(server.local()).because(LIVES_ON)? };
    let requests = "add 1\nwhat?\n".repeat(20_000);
    client.peer.send_some(requests.as_bytes());
    client.peer.half_close();
    client.peer.reset();
    served_after(
        "a client has asked for thousands of answers, and has reset its connection without reading them",
    )?;
    // One that has ended its direction before the reset: then the very first answer is a SIGPIPE. Both have come by the
    // time that the server, which is stopped meanwhile, takes the connection.
    server.signal(Signal::SIGSTOP)?;
    // A recorded call stops it for a moment, too, so it must be seen standing several times.
    let mut looks = 0;
    let stands = |all: &[ProcessInfo]| {
        let stopped = all.first().is_some_and(|process| matches!(process.state, 'T' | 't'));
        looks = if stopped { looks + 1 } else { 0 };
        (looks == 4).then_some(())
    };
    server.until_processes("the server is stopped", stands).because("SIGSTOP stops a process")?;
    let client = Client::connect(bench, &server)?;
    client.peer.send_some("add 1\nwhat?\n".repeat(3000).as_bytes());
    client.peer.half_close();
    client.peer.reset();
    server.signal(Signal::SIGCONT)?;
    served_after(
        "a client has asked for thousands of answers, has ended its direction and then reset its connection",
    )?;
    server.expect_running().because(LIVES_ON)
}

/// An accept that fails, and signals that mean nothing.
pub fn survives_failed_accepts(bench: &mut Bench, program: &str) -> Result<(), Stop> {
    let server = bench.tcp_server(program, &[], PORT)?;
    expect_served(bench, &server).because(LIVES_ON)?;
    for signal in [Signal::SIGCHLD, Signal::SIGWINCH, Signal::SIGURG, Signal::SIGCONT] {
        server.signal(signal)?;
    }
    expect_served(bench, &server)
        .with(|unexplained| {
            unexplained.sent("SIGCHLD, SIGWINCH, SIGURG and SIGCONT, which mean nothing to it")
        })
        .because(LIVES_ON)?;
    let injections = [
        (Injection::AbortedConnection { calls: 1 }, "accept fails once with ECONNABORTED"),
        (
            Injection::Signal { kind: CallKind::Accept, signal: Signal::SIGCHLD as i32, calls: 1 },
            "a signal meets accept",
        ),
    ];
    for (injection, what) in injections {
        server.inject(injection)?;
        // The first of these is fetched by the accept that waits already.
        for _ in 0..3 {
            expect_served(bench, &server).with(|unexplained| unexplained.sent(what)).because(LIVES_ON)?;
        }
    }
    server.expect_running().because(LIVES_ON)
}

/// No descriptor is free, and later there is one again.
pub fn recovers_when_descriptors_were_scarce(bench: &mut Bench, program: &str) -> Result<(), Stop> {
    const SCARCE: &str =
        "while no descriptor is free, accept fails at once, again and again: a server must pause then";
    const AGAIN: &str = "a server accepts again within two seconds after a descriptor is free";
    let server = bench.tcp_server(program, &[], PORT)?;
    expect_served(bench, &server).because(LIVES_ON)?;
    until_idle(bench);
    let taken: Vec<i32> = server.descriptors().into_iter().map(|(number, _)| number).collect();
    let free = (0..).find(|number| !taken.contains(number)).unwrap_or(0);
    let usual = server.limit(Limited::Descriptors, free as u64)?;

    let waiting: Vec<Client> = (0..3).map(|_| Client::connect(bench, &server)).collect::<Result<_, _>>()?;
    for client in &waiting {
        client.send("add 1\nquit").because(LIVES_ON)?;
    }
    // A server that waits inside accept has its descriptor for the next client already, and a pool has many.
    let mut answers = vec![Vec::new(); waiting.len()];
    let scarce = bench.until("an accept that fails (EMFILE), or an answer to everybody", || {
        for (answer, client) in answers.iter_mut().zip(&waiting) {
            answer.extend(client.peer.take());
        }
        let failed =
            bench.recorder().recording().of(server.who()).any(|event| {
                matches!(event.act, Act::Accept { .. }) && event.outcome == Outcome::Err(EMFILE)
            });
        (failed || answers.iter().all(|answer| !answer.is_empty())).then_some(())
    });
    scarce.because(LIVES_ON)?;
    server.expect_running().with(|unexplained| unexplained.sent(NO_DESCRIPTOR)).because(LIVES_ON)?;
    expect_quiet(bench, &server).with(|unexplained| unexplained.sent(NO_DESCRIPTOR)).because(SCARCE)?;
    server.expect_running().with(|unexplained| unexplained.sent(NO_DESCRIPTOR)).because(LIVES_ON)?;

    server.limit(Limited::Descriptors, usual)?;
    let late = Client::connect(bench, &server)?;
    late.send("add 1\nquit").because(LIVES_ON)?;
    let mut answer = Vec::new();
    let served = bench.until_within(Duration::from_millis(2500), "an answer", || {
        answer.extend(late.peer.take());
        answer.starts_with(b"total ").then_some(())
    });
    served
        .with(|unexplained| unexplained.sent("a client, after descriptors were free again"))
        .because(AGAIN)?;
    for client in waiting {
        client
            .peer
            .expect_over()
            .because("a client that had to wait is served or closed, and not forgotten")?;
    }
    Ok(())
}

const EMFILE: i32 = nix::libc::EMFILE;
const NO_DESCRIPTOR: &str = "three clients, while the server may not have one more descriptor";

/// A process or thread is refused: that costs one connection.
pub fn survives_a_refused_helper(bench: &mut Bench, program: &str) -> Result<(), Stop> {
    const ONE: &str = "a fork or a thread that is refused costs this connection, and nothing else";
    let server = bench.tcp_server(program, &[], PORT)?;
    let ann = Client::connect(bench, &server)?;
    ann.add(1, 1)?;
    until_idle(bench);
    // Its init is a process of the same user too.
    let running: u32 = 1 + server.processes().iter().map(|process| process.threads).sum::<u32>();
    let usual = server.limit(Limited::Processes, u64::from(running))?;
    let bob = Client::connect(bench, &server)?;
    bob.send("add 1\nquit").because(ONE)?;
    // Most servers close him; one that keeps him until it can serve him is right too.
    let _ = bob.peer.receive_within(Duration::from_millis(300));
    // One that dies of it closes his connection first, and is gone a moment later.
    until_idle(bench);
    server
        .expect_running()
        .with(|unexplained| unexplained.sent("a client, while no process and no thread may be made"))
        .because(ONE)?;
    let request = "add 0";
    ann.send(request).because(ONE)?;
    ann.answer().because("the clients that have a process or thread already are served as before")?;
    server.limit(Limited::Processes, usual)?;
    expect_served(bench, &server)
        .with(|unexplained| unexplained.sent("a client, after processes and threads may be made again"))
        .because(ONE)?;
    bob.send("quit").or(Ok::<(), Stop>(()))?;
    bob.peer.expect_over().because("a client that cannot be served is closed, and not left waiting")
}
