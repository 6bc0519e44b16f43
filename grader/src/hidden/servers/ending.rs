//! How servers end, and who may have their port then.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::bench::{Bench, Process, describe};
use crate::suites::servers::conversation::{Client, PORT, until_idle};
use crate::verdict::{Because, Stop, ensure};

/// SIGTERM and SIGINT end a server, and its port is free for the next one, but not for a second one.
pub fn ends_when_it_is_told_to(bench: &mut Bench, program: &str) -> Result<(), Stop> {
    const SECOND: &str =
        "while one server listens, a second copy cannot have the port (and does not share it)";
    const RESTART: &str =
        "the port of a server that was stopped with clients connected can be bound again at once";
    let server = bench.tcp_server(program, &[], PORT)?;
    let ann = Client::connect(bench, &server)?;
    ann.add(8, 8)?;
    let _bob = Client::connect(bench, &server)?;

    let second = bench.run(program, &[])?;
    second.expect_status(1).because(SECOND)?;
    second.expect_stderr_names(&["5000"]).because("a failure names the address and the port")?;
    ann.add(8, 16)?;

    expect_ended_by(bench, server, Signal::SIGTERM)?;
    let mut server = bench.start(program, &[])?;
    server.until_listening(Some(PORT)).because(RESTART)?;
    let carl = Client::connect(bench, &server)?;
    carl.add(5, 5)?;
    expect_ended_by(bench, server, Signal::SIGINT)
}

/// Sends a signal and expects that the server and all its processes are gone within a second.
fn expect_ended_by(bench: &Bench, mut server: Process, signal: Signal) -> Result<(), Stop> {
    const WITHIN: &str =
        "a server that is told to stop ends within a second, with every process that it made";
    const HOW: &str = "it ends with status 0, or by that very signal";
    // A signal that arrives while a tracer holds the first thread is handed to another one, and some runtimes have only
    // the first one act on it.
    until_idle(bench);
    server.signal(signal)?;
    let gone =
        bench.until_within(Duration::from_secs(1), "the server and all its processes are gone", || {
            server.processes().is_empty().then_some(())
        });
    gone.with(|unexplained| {
        let left: Vec<String> = server.processes().iter().map(ToString::to_string).collect();
        unexplained.sent(format!("{signal}")).note(format!("still there: {}", left.join("; ")))
    })
    .because(WITHIN)?;
    let ended = server.end().because(WITHIN)?;
    let fine = ended.ended_as_told(signal);
    ensure(fine, format!("status 0, or death by {signal}"), describe(&ended.report))
        .with(|unexplained| unexplained.sent(format!("{signal}")))
        .because(HOW)
}
