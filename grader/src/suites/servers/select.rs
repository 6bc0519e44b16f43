//! The style of the select server: one process that waits for all clients in one place.

use super::conversation::{Client, OWN_THREADS, PORT, count, serves_beside_silent_clients};
use crate::bench::Bench;
use crate::recording::{Act, Outcome};
use crate::verdict::{Because, Stop};

/// One process, and no thread more for twenty clients.
pub fn select_needs_no_more_threads_for_more_clients(bench: &mut Bench) -> Result<(), Stop> {
    const ONE: &str = "a select server is one process that needs no thread and no process for a client";
    let server = bench.tcp_server("select-server", &[], PORT)?;
    let first = Client::connect(bench, &server)?;
    first.add(1, 1)?;
    first.quit()?;
    let none = server.info().map_or(0, |process| process.threads);
    let mut clients = Vec::new();
    for number in 1..=20 {
        let client = Client::connect(bench, &server)?;
        client.add(1, number + 1)?;
        clients.push(client);
    }
    let processes = server.processes();
    bench.ensure(processes.len() == 1, "one process", count(processes.len(), "process")).because(ONE)?;
    let twenty = processes[0].threads;
    bench
        .ensure(
            twenty <= none + OWN_THREADS,
            format!("{} with 20 clients, as with none", count(none as usize, "thread")),
            count(twenty as usize, "thread"),
        )
        .because(ONE)
}

/// Where it waits.
pub fn select_waits_for_all_in_one_place(bench: &mut Bench) -> Result<(), Stop> {
    const WHERE: &str =
        "it waits in select, poll or epoll for all sockets, so that no client can stop it alone";
    let server = bench.tcp_server("select-server", &[], PORT)?;
    let clients: Vec<Client> =
        (0..5).map(|_| Client::connect(bench, &server)).collect::<Result<_, Stop>>()?;
    for (client, total) in clients.iter().zip(1..) {
        client.add(1, total)?;
    }
    // A call on a non-blocking socket is inside for a moment too; only one that waits stays there.
    server
        .until("a wait in select, poll or epoll, and in nothing else", |recording, who| {
            let pending = || recording.of(who).filter(|event| event.outcome == Outcome::Pending);
            let in_one_place = pending().any(|event| match event.act {
                // To ask without waiting, again and again, is not to wait.
                Act::WaitReady { timeout, .. } => timeout != Some(0),
                _ => false,
            });
            (in_one_place && !pending().any(|event| is_for_one_socket(&event.act))).then_some(())
        })
        .because(WHERE)?;
    clients[2].asks_for_total("add 1", 6).because(WHERE)
}

/// Whether a call that waits would wait for one socket only.
fn is_for_one_socket(act: &Act) -> bool {
    matches!(act, Act::Receive { .. } | Act::Accept { .. } | Act::Send { .. })
}

/// Silent clients hold nobody up.
pub fn select_serves_beside_silent_clients(bench: &mut Bench) -> Result<(), Stop> {
    serves_beside_silent_clients(bench, "select-server", true)
}

/// One total for all clients, of now and later.
pub fn select_keeps_one_total(bench: &mut Bench) -> Result<(), Stop> {
    const ONE: &str = "one process has one total for all its clients, also for those that come later";
    let server = bench.tcp_server("select-server", &[], PORT)?;
    let ann = Client::connect(bench, &server)?;
    let bob = Client::connect(bench, &server)?;
    ann.asks_for_total("add 300", 300).because(ONE)?;
    bob.asks_for_total("add 40", 340).because(ONE)?;
    ann.quit()?;
    Client::connect(bench, &server)?.asks_for_total("add 5", 345).because(ONE)
}
