//! The style of the forking server: who was born of whom and when, and whose total is whose.

use super::conversation::{Client, PORT, served_by, serves_beside_silent_clients};
use crate::bench::Bench;
use crate::recording::Act;
use crate::verdict::{Because, Stop, Unexplained, ensure};

/// Each client is answered by a child of the listening process that was born after accept.
pub fn forking_makes_a_child_for_each_client(bench: &mut Bench) -> Result<(), Stop> {
    const CHILD: &str = "each client is served by a child of the process that accepted it, born after accept";
    let server = bench.tcp_server("forking-server", &[], PORT)?;
    let clients = [Client::connect(bench, &server)?, Client::connect(bench, &server)?];
    for (client, total) in clients.iter().zip([111, 222]) {
        client.add(total, total)?;
    }
    let recording = bench.recording()?;
    let mut served: Vec<&str> = Vec::new();
    for client in &clients {
        let (accepted, answer) = served_by(&recording, client)?;
        let by_whom = match (answer.who == server.who(), answer.thread) {
            (true, 0) => format!("{} itself has answered", answer.who),
            (true, _) => format!("a thread of {} itself has answered", answer.who),
            (false, _) => format!("{} has answered", answer.who),
        };
        let born = recording
            .of(server.who())
            .find(|event| matches!(&event.act, Act::Fork { child, .. } if *child == answer.who));
        let Some(born) = born else {
            return Err(Unexplained::new("a child of the listening process answers", by_whom)).because(CHILD);
        };
        let observed = match accepted.who == server.who() {
            true => format!("{} was born before its client was accepted", answer.who),
            false => format!("{} has accepted the client itself", accepted.who),
        };
        ensure(
            accepted.who == server.who() && accepted.seq < born.seq,
            "the listening process accepts, and forks then",
            observed,
        )
        .because(CHILD)?;
        let observed = format!("{} has answered both", answer.who);
        ensure(!served.contains(&answer.who.as_str()), "a child for each client", observed).because(CHILD)?;
        served.push(&answer.who);
    }
    Ok(())
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
