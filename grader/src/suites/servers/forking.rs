//! The style of the forking server: who was born of whom and when, and whose total is whose.

use super::conversation::{Client, PORT, served_by, serves_beside_silent_clients};
use crate::bench::Bench;
use crate::recording::{Act, Event};
use crate::verdict::{Because, Stop, ensure};

/// Each client is answered by a child of the listening process that was born after accept.
pub fn forking_makes_a_child_for_each_client(bench: &mut Bench) -> Result<(), Stop> {
    const CHILD: &str = "each client is served by a child of the process that accepted it, born after accept";
    let server = bench.tcp_server("forking-server", &[], PORT)?;
    let clients = [Client::connect(bench, &server)?, Client::connect(bench, &server)?];
    for (client, total) in clients.iter().zip([111, 222]) {
        client.add(total, total)?;
    }
    let mut served: Vec<String> = Vec::new();
    for client in &clients {
        let (accepted, answer) = {
            let recording = bench.recording()?;
            let (accepted, answer) = served_by(&recording, client)?;
            (accepted.clone(), answer.clone())
        };
        let by_whom = match (answer.who == server.who(), answer.thread) {
            (true, 0) => format!("{} itself has answered", answer.who),
            (true, _) => format!("a thread of {} itself has answered", answer.who),
            (false, _) => format!("{} has answered", answer.who),
        };
        ensure(is_child(&answer.who, server.who()), "a child of the listening process answers", by_whom)
            .because(CHILD)?;
        // A child may have answered before its parent is back from fork.
        let born = server
            .until("the birth of the child that answers", |recording, who| {
                let birth =
                    |event: &&Event| matches!(&event.act, Act::Fork { child, .. } if *child == answer.who);
                recording.of(who).find(birth).map(|event| event.seq)
            })
            .because(CHILD)?;
        let observed = match accepted.who == server.who() {
            true => format!("{} was born before its client was accepted", answer.who),
            false => format!("{} has accepted the client itself", accepted.who),
        };
        ensure(
            accepted.who == server.who() && accepted.seq < born,
            "the listening process accepts, and forks then",
            observed,
        )
        .because(CHILD)?;
        let observed = format!("{} has answered both", answer.who);
        ensure(!served.contains(&answer.who), "a child for each client", observed).because(CHILD)?;
        served.push(answer.who);
    }
    Ok(())
}

/// Whether a process was born of the other one: `server.2` of `server`.
fn is_child(who: &str, parent: &str) -> bool {
    let number = who.strip_prefix(parent).and_then(|rest| rest.strip_prefix('.'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Silent clients hold nobody up.
pub fn forking_serves_beside_silent_clients(bench: &mut Bench) -> Result<(), Stop> {
    serves_beside_silent_clients(bench, "forking-server", false)
}

/// Each connection has a total of its own.
pub fn forking_counts_from_0_for_each_client(bench: &mut Bench) -> Result<(), Stop> {
    const OWN: &str =
        "a child has a copy of its parent's memory: each connection has a total of its own, from 0";
    let server = bench.tcp_server("forking-server", &[], PORT)?;
    let ann = Client::connect(bench, &server)?;
    ann.asks_for_total("add 300", 300).because(OWN)?;
    let bob = Client::connect(bench, &server)?;
    bob.asks_for_total("add 40", 40).because(OWN)?;
    ann.asks_for_total("add 300", 600).because(OWN)?;
    ann.quit()?;
    Client::connect(bench, &server)?.asks_for_total("add 5", 5).because(OWN)
}
