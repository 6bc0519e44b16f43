//! Core checks of the lab `servers`: what the course's own programs do.
//!
//! A style is proven by what a server does: which processes and threads there are, who was born of whom, where they
//! wait, and who is served while somebody else is silent. Which calls it uses for that is its own choice.

pub mod conversation;

mod forking;
mod select;
pub mod threaded;

use crate::bench::{Bench, Process, quote};
use crate::check;
use crate::check::Suite;
use crate::recording::Act;
use crate::verdict::{Because, Stop, ensure};
use conversation::{Client, OWN_THREADS, PORT, count, keeps_to_the_bounds, speaks_the_protocol, until_idle};

/// The rubric, in teaching order.
pub const SUITE: Suite = Suite {
    lab: "servers",
    programs: &["iterative-server", "forking-server", "threaded-server", "select-server"],
    checks: &[
        check!(
            iterative_speaks_the_protocol,
            "servers.1",
            Core,
            3,
            ["iterative-server"],
            "Does the iterative server speak the protocol?"
        )
        .plain()
        .handout("The contract"),
        check!(
            iterative_keeps_to_the_bounds,
            "servers.1",
            Core,
            2,
            ["iterative-server"],
            "Does the iterative server bound numbers and lines?"
        )
        .plain()
        .after("iterative_speaks_the_protocol")
        .handout("The contract"),
        check!(
            iterative_serves_one_client_at_a_time,
            "servers.2",
            Core,
            6,
            ["iterative-server"],
            "Does a second client wait until the first is gone, and is it served then?"
        )
        .plain()
        .after("iterative_speaks_the_protocol")
        .handout("One client after the other"),
        check!(
            forking_speaks_the_protocol,
            "servers.1",
            Core,
            3,
            ["forking-server"],
            "Does the forking server speak the protocol?"
        )
        .plain()
        .handout("The contract"),
        check!(
            forking_keeps_to_the_bounds,
            "servers.1",
            Core,
            2,
            ["forking-server"],
            "Does the forking server bound numbers and lines?"
        )
        .plain()
        .after("forking_speaks_the_protocol")
        .handout("The contract"),
        check!(
            forking::forking_makes_a_child_for_each_client,
            "servers.3",
            Core,
            5,
            ["forking-server"],
            "Is each client served by a child of its own, born after accept?"
        )
        .plain()
        .recorder()
        .after("forking_speaks_the_protocol")
        .handout("A process for each client"),
        check!(
            forking::forking_serves_beside_silent_clients,
            "servers.3",
            Core,
            2,
            ["forking-server"],
            "Is a client served while others are silent, and are those served when they speak?"
        )
        .plain()
        .after("forking_speaks_the_protocol")
        .handout("A process for each client"),
        check!(
            forking::forking_counts_from_0_for_each_client,
            "servers.3",
            Core,
            2,
            ["forking-server"],
            "Does each connection have a total of its own?"
        )
        .plain()
        .after("forking_speaks_the_protocol")
        .handout("A process for each client"),
        check!(
            threaded_speaks_the_protocol,
            "servers.1",
            Core,
            3,
            ["threaded-server"],
            "Does the threaded server speak the protocol?"
        )
        .plain()
        .handout("The contract"),
        check!(
            threaded_keeps_to_the_bounds,
            "servers.1",
            Core,
            2,
            ["threaded-server"],
            "Does the threaded server bound numbers and lines?"
        )
        .plain()
        .after("threaded_speaks_the_protocol")
        .handout("The contract"),
        check!(
            threaded::threaded_makes_a_thread_for_each_client,
            "servers.4",
            Core,
            2,
            ["threaded-server"],
            "Is each client served by a thread of its own, all in one process?"
        )
        .plain()
        .recorder()
        .after("threaded_speaks_the_protocol")
        .handout("A thread for each client"),
        check!(
            threaded::threaded_serves_64_clients_at_once,
            "servers.4",
            Core,
            2,
            ["threaded-server"],
            "Are 64 clients served at the same time, most of them silent?"
        )
        .plain()
        .after("threaded_speaks_the_protocol")
        .handout("A thread for each client"),
        check!(
            threaded::threaded_loses_no_addition,
            "servers.4",
            Core,
            3,
            ["threaded-server"],
            "Do 8 clients with 1000 additions each get every total from 1 to 8000 exactly once?"
        )
        .plain()
        .after("threaded_speaks_the_protocol")
        .handout("A thread for each client"),
        check!(
            threaded::threaded_adds_in_one_step,
            "servers.4",
            Core,
            3,
            ["threaded-server"],
            "Are additions right that come while another is under way?"
        )
        .plain()
        .recorder()
        .after("threaded_speaks_the_protocol")
        .handout("A thread for each client"),
        check!(
            select_speaks_the_protocol,
            "servers.1",
            Core,
            3,
            ["select-server"],
            "Does the select server speak the protocol?"
        )
        .plain()
        .handout("The contract"),
        check!(
            select_keeps_to_the_bounds,
            "servers.1",
            Core,
            2,
            ["select-server"],
            "Does the select server bound numbers and lines?"
        )
        .plain()
        .after("select_speaks_the_protocol")
        .handout("The contract"),
        check!(
            select::select_needs_no_more_threads_for_more_clients,
            "servers.5",
            Core,
            2,
            ["select-server"],
            "Is it one process, with as many threads for 20 clients as for none?"
        )
        .plain()
        .after("select_speaks_the_protocol")
        .handout("One loop for all"),
        check!(
            select::select_waits_for_all_in_one_place,
            "servers.5",
            Core,
            2,
            ["select-server"],
            "Does it wait in select, poll or epoll, and never for one client alone?"
        )
        .plain()
        .recorder()
        .after("select_speaks_the_protocol")
        .handout("One loop for all"),
        check!(
            select::select_serves_beside_silent_clients,
            "servers.5",
            Core,
            2,
            ["select-server"],
            "Is a client served while others are silent or have sent half a line?"
        )
        .plain()
        .after("select_speaks_the_protocol")
        .handout("One loop for all"),
        check!(
            select::select_keeps_one_total,
            "servers.5",
            Core,
            1,
            ["select-server"],
            "Is there one total for all clients?"
        )
        .plain()
        .after("select_speaks_the_protocol")
        .handout("One loop for all"),
    ],
};

fn iterative_speaks_the_protocol(bench: &mut Bench) -> Result<(), Stop> {
    speaks_the_protocol(bench, "iterative-server")
}

fn iterative_keeps_to_the_bounds(bench: &mut Bench) -> Result<(), Stop> {
    keeps_to_the_bounds(bench, "iterative-server")
}

fn forking_speaks_the_protocol(bench: &mut Bench) -> Result<(), Stop> {
    speaks_the_protocol(bench, "forking-server")
}

fn forking_keeps_to_the_bounds(bench: &mut Bench) -> Result<(), Stop> {
    keeps_to_the_bounds(bench, "forking-server")
}

fn threaded_speaks_the_protocol(bench: &mut Bench) -> Result<(), Stop> {
    speaks_the_protocol(bench, "threaded-server")
}

fn threaded_keeps_to_the_bounds(bench: &mut Bench) -> Result<(), Stop> {
    keeps_to_the_bounds(bench, "threaded-server")
}

fn select_speaks_the_protocol(bench: &mut Bench) -> Result<(), Stop> {
    speaks_the_protocol(bench, "select-server")
}

fn select_keeps_to_the_bounds(bench: &mut Bench) -> Result<(), Stop> {
    keeps_to_the_bounds(bench, "select-server")
}

fn iterative_serves_one_client_at_a_time(bench: &mut Bench) -> Result<(), Stop> {
    const ALONE: &str =
        "an iterative server serves one client until it is gone; the next one waits that long";
    const THEN: &str = "the client that waits in the backlog is accepted when the one before it is gone";
    const TOTAL: &str = "there is one total for all clients";
    let number = bench.random().range(1000, 1_000_000);
    let server = bench.tcp_server("iterative-server", &[], PORT)?;
    let own = threads(&server);
    let first = Client::connect(bench, &server)?;
    first.add(number, number)?;
    let second = Client::connect(bench, &server)?;
    second.send("add 7").because(ALONE)?;
    // A runtime with threads of its own may take longer to come by the second one than twenty answers take.
    until_idle(bench);
    // A server that looked at both clients would come by the second one in one of these rounds.
    for round in 1..=20 {
        first
            .asks_for_total("add 1", number + round)
            .because("the second client's request is not read yet, so its number is not in the total")?;
    }
    second.peer.expect_nothing().because(ALONE)?;
    expect_one_process(bench, &server, own)?;
    first.quit()?;
    let answer = second.answer().because(THEN)?;
    let expected = format!("total {}", number + 27);
    ensure(answer == expected, format!("the answer {expected:?}"), quote(answer.as_bytes()))
        .because(TOTAL)?;
    let third = Client::connect(bench, &server)?;
    second.quit()?;
    third.add(1, number + 28)?;
    third.quit()?;
    if own > 1 { makes_no_thread_for_a_client(bench, &server, number + 28) } else { Ok(()) }
}

const NOBODY_ELSE: &str = "an iterative server needs nobody else: it does one thing after the other";

/// All threads of a server and its children.
fn threads(server: &Process) -> u32 {
    server.processes().iter().map(|process| process.threads).sum()
}

/// Expects one process with one thread, or with little more than the `own` threads that its runtime had made before the
/// first client came.
fn expect_one_process(bench: &Bench, server: &Process, own: u32) -> Result<(), Stop> {
    let (processes, threads) = (server.processes().len(), threads(server));
    let most = if own > 1 { own + OWN_THREADS } else { 1 };
    bench
        .ensure(
            processes == 1 && threads <= most,
            "one process with one thread while two clients are connected",
            format!("{} with {}", count(processes, "process"), count(threads as usize, "thread")),
        )
        .because(NOBODY_ELSE)
}

/// Expects that a program whose runtime has threads makes none for a client: one that does makes a dozen for these.
fn makes_no_thread_for_a_client(bench: &Bench, server: &Process, total: i64) -> Result<(), Stop> {
    const CLIENTS: i64 = 2 * OWN_THREADS as i64;
    let born = || -> Result<usize, Stop> {
        let recording = bench.recording()?;
        Ok(recording.of(server.who()).filter(|event| matches!(event.act, Act::Thread { .. })).count())
    };
    let before = born()?;
    for further in 1..=CLIENTS {
        let client = Client::connect(bench, server)?;
        client.add(1, total + further)?;
        client.quit()?;
    }
    let made = born()? - before;
    bench
        .ensure(
            made <= OWN_THREADS as usize,
            format!("no thread made for any of {CLIENTS} clients"),
            format!("{} made meanwhile", count(made, "thread")),
        )
        .because(NOBODY_ELSE)
}
