//! The forking server's children: which sockets they and their parent keep, and what becomes of them when they end.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::bench::{Bench, Process, ProcessInfo, SocketInfo, State};
use crate::suites::servers::conversation::{Client, PORT, count};
use crate::verdict::{Because, Breakdown, Stop};

/// How long zombies may stay after the last child has ended, by the contract.
const REAPED_WITHIN: Duration = Duration::from_millis(500);

/// Each process closes the socket that is the other's.
pub fn forking_closes_what_is_not_its_own(bench: &mut Bench) -> Result<(), Stop> {
    let server = bench.tcp_server("forking-server", &[], PORT)?;
    let clients = [Client::connect(bench, &server)?, Client::connect(bench, &server)?];
    for client in &clients {
        client.add(4, 4)?;
    }
    let sockets = bench.sockets("a")?;
    let find = |what: &str, wanted: &dyn Fn(&&SocketInfo) -> bool| {
        let found = sockets.iter().find(wanted).map(|socket| socket.inode);
        found.ok_or_else(|| Breakdown::new(format!("{what} is not in the system's list"), "grade again"))
    };
    let listening = find("the listening socket", &|socket| socket.state == State::Listen)?;
    expect_holder(bench, &server, listening, "the listening socket", "the parent", |process| {
        process.pid == server.pid()
    })
    .because("a child that keeps the listening socket keeps the port taken when its parent is gone")?;
    for client in &clients {
        let connection = find("a connection", &|socket| {
            socket.remote == client.peer.address() && socket.state == State::Established
        })?;
        expect_holder(bench, &server, connection, "a connection", "the child that serves it", |process| {
            process.pid != server.pid()
        })
        .because(
            "a connection ends only when its last descriptor is closed: the parent's copy keeps it open",
        )?;
    }
    Ok(())
}

/// Expects that exactly one process holds a socket, and that it is the right one.
fn expect_holder(
    bench: &Bench,
    server: &Process,
    inode: u64,
    what: &str,
    whose: &str,
    right: impl Fn(&ProcessInfo) -> bool,
) -> crate::verdict::Expected {
    let holders = || -> Vec<ProcessInfo> {
        server.processes().into_iter().filter(|process| process.holds(inode)).collect()
    };
    // The parent closes its copy while the child already answers: so a moment's grace.
    let expected = format!("only {whose} holds {what}");
    let alone = bench.until(&expected, || {
        let holders = holders();
        (holders.len() == 1 && holders.iter().all(&right)).then_some(())
    });
    alone.map_err(|unexplained| {
        let all = holders();
        let (parent, children): (Vec<_>, Vec<_>) =
            all.iter().partition(|process| process.pid == server.pid());
        let parent = if parent.is_empty() { "" } else { "the parent and " };
        unexplained.note(format!("held by {parent}{} of its children", children.len()))
    })
}

/// No zombie stays after a burst of clients.
pub fn forking_leaves_no_zombies(bench: &mut Bench) -> Result<(), Stop> {
    let server = bench.tcp_server("forking-server", &[], PORT)?;
    // One alone, then many that end together.
    for clients in [1, 12] {
        let clients = serve(bench, &server, clients)?;
        for client in clients {
            client.quit()?;
        }
        expect_reaped(bench, &server, "they have ended")?;
    }
    Ok(())
}

/// Children that end while the server is stopped are reaped when it goes on.
pub fn forking_reaps_what_ended_while_it_was_stopped(bench: &mut Bench) -> Result<(), Stop> {
    let server = bench.tcp_server("forking-server", &[], PORT)?;
    let clients = serve(bench, &server, 10)?;
    server.signal(Signal::SIGSTOP)?;
    server
        .until_processes("the server is stopped", |processes| {
            processes.first().filter(|process| matches!(process.state, 'T' | 't')).map(drop)
        })
        .because("SIGSTOP stops a process")?;
    // Not waiting for the end of the connections: the server may have been stopped before it closed its copies.
    for client in &clients {
        client.send("quit").because("a child reads what its client sends")?;
    }
    expect_all_ended(&server)?;
    server.signal(Signal::SIGCONT)?;
    expect_reaped(bench, &server, "it was continued: one SIGCHLD may stand for all of them")
}

/// So many clients, each served by its child, and the server back where it waits for the next one.
fn serve(bench: &Bench, server: &Process, clients: usize) -> Result<Vec<Client>, Stop> {
    let clients: Vec<Client> =
        (0..clients).map(|_| Client::connect(bench, server)).collect::<Result<_, _>>()?;
    for client in &clients {
        client.add(9, 9)?;
    }
    // A server that looks for ended children only before it accepts the next client could otherwise, slow to come to that,
    // meet those that end now. And no later: one that looks again from time to time has just begun to wait.
    let waits = || server.processes().iter().all(|process| process.state == 'S').then_some(());
    let _ = bench.until_within(Duration::from_secs(2), "a server that waits", waits);
    Ok(clients)
}

/// Waits until every child has ended, waited for or not.
fn expect_all_ended(server: &Process) -> Result<(), Stop> {
    server
        .until_processes("every child ends after its client has quit", |processes| {
            processes.iter().skip(1).all(ProcessInfo::is_zombie).then_some(())
        })
        .because("the child's work is done when its client is gone")
}

/// Expects that no child is left as a zombie, without a further client.
fn expect_reaped(bench: &Bench, server: &Process, since: &str) -> Result<(), Stop> {
    expect_all_ended(server)?;
    let zombies = || server.processes().iter().skip(1).filter(|process| process.is_zombie()).count();
    let reaped = bench.until_within(REAPED_WITHIN, &format!("no zombie half a second after {since}"), || {
        (zombies() == 0).then_some(())
    });
    reaped
        .map_err(|unexplained| unexplained.note(format!("left are {}", count(zombies(), "zombie"))))
        .because(
            "a child that has ended stays as a zombie until its parent waits for it; signals are not counted",
        )
}
