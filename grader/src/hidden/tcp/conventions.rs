//! The conventions that hold for every program: options, lines, failures, signals.

use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::bench::{Bench, Ended, Process, Stdin, Stdout, TcpPeer, quote};
use crate::hidden::servers::economy::expect_all_quiet;
use crate::recording::{Act, Event, Outcome};
use crate::suites::tcp::conversation::{
    CONNECTS, ENDS, PORT, RECEIVES, answers_a_byte, line, local, receipt, serves,
};
use crate::verdict::{Because, Stop, ensure};

pub fn options_are_as_the_handout_says(bench: &mut Bench) -> Result<(), Stop> {
    chosen_port_is_announced(bench, "tcp-server")?;

    let port = bench.random().range(20_000, 30_000) as u16;
    // Its characters are fewer than its bytes.
    let (text, message) = (port.to_string(), format!("{}\u{fc}", bench.random().word(8)));
    let listener = bench.tcp_listen(elsewhere(port))?;
    for host in ["127.0.0.7", "one.test"] {
        let start = bench.program("tcp-client");
        let start = start.arguments(&["--message", &message, "--port", &text, "--host", host]);
        let mut client = start.named(elsewhere(port).ip(), "one.test").start()?;
        let server = listener.accept().because("--host and --port say where the server is")?;
        server.expect(message.as_bytes()).because("--message says what is sent, every byte of it")?;
        server.send(b"Hi!").because("the client waits for the answer")?;
        let ended = client.end().because(ENDS)?;
        ended.expect_stdout("Received: Hi!\n").because("the client prints `Received: ` and the answer")?;
        ended.expect_status(0).because(ENDS)?;
    }

    for arguments in SERVER_REFUSES {
        bench.refuses("tcp-server", arguments)?;
    }
    for arguments in [&["--message", ""], &["--port", "0"], &["--port", "65536"], &["--prot", "5000"]] {
        bench.refuses("tcp-client", arguments)?;
    }
    bench.refuses("tcp-client", &["Hello!"])
}

/// Another address of this host than the one that is asked by default.
fn elsewhere(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 7], port))
}

const SERVER_REFUSES: &[&[&str]] = &[
    &["--count", "0"],
    &["--count", "-1"],
    &["--count", "many"],
    &["--port", "65536"],
    &["--port"],
    &["--colour", "red"],
    &["5000"],
];

/// With `--port 0` a server says which port it got, and serves there.
fn chosen_port_is_announced(bench: &Bench, program: &str) -> Result<(), Stop> {
    const SAYS: &str =
        "with --port 0 the system picks the port, and the server says which: `Listening on ADDR:PORT`";
    let arguments = ["--host", "one.test", "--port", "0", "--count", "2"];
    let start = bench.program(program).arguments(&arguments).named(elsewhere(0).ip(), "one.test");
    let mut server = start.start()?;
    server.until_listening(None).because("a server binds and listens, so that clients can connect")?;
    let bound = server.bound().ip().to_canonical();
    bench
        .ensure(bound == elsewhere(0).ip(), "bound to 127.0.0.7", format!("bound to {bound}"))
        .because("--host says which of its addresses the server binds")?;
    server.expect_announced().because(SAYS)?;
    for _ in 0..2 {
        serves(bench, &server, program, "each of --count connections is served")?;
    }
    let ended = server.end().because(ENDS)?;
    ended.expect_status(0).because(ENDS)?;
    ended
        .expect_stdout(format!("Listening on 127.0.0.7:{}\n", server.local().port()))
        .because("a server prints no other lines on stdout: diagnostics go to stderr")
}

const UNWRITTEN: &str =
    "on a full disk the line is not written: that is an error to report, neither success nor a panic";

pub fn an_unwritten_line_is_an_error(bench: &mut Bench) -> Result<(), Stop> {
    let listener = bench.tcp_listen(local(PORT))?;
    let mut client = bench.program("tcp-client").stdout(Stdout::Full).start()?;
    let server = listener.accept().because(CONNECTS)?;
    server.expect(b"Hello!").because("without --message the client sends `Hello!`")?;
    server.send(b"Hi!").because("the client waits for the answer")?;
    failed_in_order(&client.end().because(ENDS)?)?;
    server_is_not_heard(bench, "tcp-server")
}

/// A server that cannot say where it listens has failed: at once, or in the end where it serves all the same.
fn server_is_not_heard(bench: &Bench, program: &str) -> Result<(), Stop> {
    let arguments = ["--host", "127.0.0.1", "--port", "0"];
    let mut server = bench.program(program).arguments(&arguments).stdout(Stdout::Full).start()?;
    let ended = match server.end() {
        Ok(ended) => ended,
        Err(_) => {
            server.until_listening(None).because(UNWRITTEN)?;
            serves(bench, &server, program, UNWRITTEN)?;
            server.end().because(UNWRITTEN)?
        }
    };
    failed_in_order(&ended)
}

fn failed_in_order(ended: &Ended) -> Result<(), Stop> {
    let orderly = ended.code().is_some_and(|code| code != 0 && code != 101);
    let observed = crate::bench::describe(&ended.report);
    ensure(orderly, "status 1, while stdout is a full disk", observed)
        .with(|unmet| ended.explain(unmet))
        .because(UNWRITTEN)
}

pub fn failures_name_the_address(bench: &mut Bench) -> Result<(), Stop> {
    const NAMES: &str =
        "a failure names what failed, the address or host and the port, and ends with status 1";
    // No host of the bench has this address, and nobody knows this name.
    for (program, host) in
        [("tcp-server", "203.0.113.77"), ("tcp-server", "nobody.invalid"), ("tcp-client", "nobody.invalid")]
    {
        names(&bench.run(program, &["--host", host, "--port", "5678"])?, host, NAMES)?;
    }
    let _taken = bench.tcp_listen(local(5678))?;
    names(&bench.run("tcp-server", &["--host", "127.0.0.1", "--port", "5678"])?, "127.0.0.1", NAMES)
}

fn names(ended: &Ended, host: &str, reason: &str) -> Result<(), Stop> {
    ended.expect_stdout("").because(reason)?;
    ended.expect_status(1).because(reason)?;
    ended.expect_stderr_names(&[host, "5678"]).because(reason)
}

pub fn servers_end_when_told(bench: &mut Bench) -> Result<(), Stop> {
    ends_when_told(bench, "tcp-server")
}

/// A server is ended while it waits for a client, and while it serves one.
fn ends_when_told(bench: &Bench, program: &str) -> Result<(), Stop> {
    const GONE: &str = "a server is gone, with every process it made, within a second of SIGTERM or SIGINT";
    for (signal, busy) in [(Signal::SIGTERM, false), (Signal::SIGINT, false), (Signal::SIGTERM, true)] {
        let mut server = bench.tcp_server(program, &[], PORT)?;
        let client = if busy { Some(bench.tcp_connect(server.local()).because(CONNECTS)?) } else { None };
        if let Some(client) = &client {
            client.send(b"x").because(CONNECTS)?;
            client.until_taken().because(CONNECTS)?;
        }
        server.signal(signal)?;
        let sent = format!("{signal} while the server {}", if busy { "serves a client" } else { "waits" });
        let who = server.who().to_string();
        bench
            .until_within(Duration::from_secs(1), "the server has ended, within a second", || {
                bench.recorder().tree_ended(&who).then_some(())
            })
            .with(|unmet| unmet.sent(sent.clone()))
            .because(GONE)?;
        let ended = server.end().because(GONE)?;
        let fine = ended.ended_as_told(signal);
        let observed = crate::bench::describe(&ended.report);
        ensure(fine, format!("status 0, or death by {signal}"), observed)
            .with(|unmet| ended.explain(unmet))
            .because(GONE)?;
    }
    Ok(())
}

pub fn signals_end_no_wait(bench: &mut Bench) -> Result<(), Stop> {
    const WAITS: &str = "a stop and a continue, or a signal that is ignored by default, ends no wait";
    let server = bench.tcp_server("tcp-server", &[], PORT)?;
    until_it_waits(bench, &server);
    interrupt(bench, &server)?;
    let client = bench.tcp_connect(server.local()).because(CONNECTS)?;
    for _ in 0..2 {
        client.send(b"x").because(WAITS)?;
        client.expect(b"Hi!").because(WAITS)?;
        until_it_waits(bench, &server);
        interrupt(bench, &server)?;
    }
    answers_a_byte(&client, bench.random())?;

    let listener = bench.tcp_listen(local(PORT + 1))?;
    let mut client = bench.start("tcp-client", &["--port", "5001"])?;
    let server = listener.accept().because(CONNECTS)?;
    server.expect(b"Hello!").because("without --message the client sends `Hello!`")?;
    until_it_waits(bench, &client);
    interrupt(bench, &client)?;
    server.send(b"Hi!").because("the client waits for the answer")?;
    let ended = client.end().because(WAITS)?;
    ended.expect_stdout("Received: Hi!\n").because(WAITS)?;
    ended.expect_status(0).because(WAITS)
}

/// Stops and continues a program and sends it the signals that are ignored by default.
fn interrupt(bench: &Bench, process: &Process) -> Result<(), Stop> {
    let stops = || {
        let recording = bench.recorder().recording();
        let stop = Act::SignalDelivered { signal: Signal::SIGSTOP as i32 };
        recording.of(process.who()).filter(|event| event.act == stop).count()
    };
    let before = stops();
    process.signal(Signal::SIGSTOP)?;
    // A SIGCONT that comes before the stop was delivered would undo it. Where nothing is recorded, it may.
    if bench.recorder().recording().recorded {
        // Of one that spins not everything is recorded.
        let lost = || bench.recorder().recording().lost_events > 0;
        let stopped = || (lost() || stops() > before || !process.is_running()).then_some(());
        let _ = bench.until_within(Duration::from_secs(3), "the program stops", stopped);
    }
    let rest = [Signal::SIGCONT, Signal::SIGWINCH, Signal::SIGCHLD, Signal::SIGURG];
    Ok(rest.iter().try_for_each(|signal| process.signal(*signal))?)
}

/// Waits until the program has come to a stop in a call that waits for its peer. One that never does is not waited for:
/// it will be asked all the same.
pub fn until_it_waits(bench: &Bench, process: &Process) {
    const LOOKS: u32 = 20;
    // Whoever has made so many calls looks over and over, and does not wait.
    const NEVER: usize = 10_000;
    let (mut calls, mut quiet) = (0, 0);
    let _ = bench.until_within(Duration::from_secs(3), "the program waits", || {
        let running = process.is_running();
        let recording = bench.recorder().recording();
        let own = || recording.events.iter().filter(|event| event.who.starts_with(process.who()));
        let waits = |event: &Event| {
            let for_its_peer = matches!(
                event.act,
                Act::Send { .. } | Act::Receive { .. } | Act::Accept { .. } | Act::WaitReady { .. }
            );
            for_its_peer && event.outcome == Outcome::Pending
        };
        let made = own().count();
        quiet = if made == calls && own().any(waits) { quiet + 1 } else { 0 };
        calls = made;
        (quiet > LOOKS || !running || made > NEVER).then_some(())
    });
}

pub fn uploads_keep_the_conventions(bench: &mut Bench) -> Result<(), Stop> {
    chosen_port_is_announced(bench, "upload-server")?;
    for arguments in SERVER_REFUSES {
        bench.refuses("upload-server", arguments)?;
    }
    for arguments in [&["--dual", "2"], &["--dual", "yes"]] {
        bench.refuses("upload-server", arguments)?;
    }
    ends_when_told(bench, "upload-server")?;
    server_is_not_heard(bench, "upload-server")?;

    let port = bench.random().range(20_000, 30_000) as u16;
    let (text, data) = (port.to_string(), bench.random().bytes(500));
    let listener = bench.tcp_listen(elsewhere(port))?;
    for (stdout, host) in [(Stdout::File, "one.test"), (Stdout::Full, "127.0.0.7")] {
        let start = bench.program("upload-client").arguments(&["--port", &text, "--host", host]);
        let start = start.named(elsewhere(port).ip(), "one.test");
        let mut client = start.stdin(Stdin::Bytes(data.clone())).stdout(stdout).start()?;
        let server = listener.accept().because("--host and --port say where the server is")?;
        let received =
            server.receive_to_end(10_000).because("the client ends its direction when stdin has ended")?;
        bench.ensure(received == data, quote(&data), quote(&received)).because("stdin is sent as it is")?;
        server.send(&receipt(&data)).because("the client waits for the receipt")?;
        let ended = client.end().because(ENDS)?;
        if stdout == Stdout::Full {
            failed_in_order(&ended)?;
        } else {
            ended
                .expect_stdout(line(data.len(), receipt(&data)))
                .because("the receipt is printed, into a file too")?;
            ended.expect_status(0).because(ENDS)?;
        }
    }
    for arguments in [&["--magic", "2"], &["--port", "0"], &["--message", "x"]] {
        bench.refuses("upload-client", arguments)?;
    }
    Ok(())
}

const QUIET: &str = "while nothing comes, a program waits in the system and uses no processor time";

pub fn waits_without_spinning(bench: &mut Bench) -> Result<(), Stop> {
    let (idle, busy, connected) = servers_that_wait(bench, "tcp-server")?;
    answers_a_byte(&connected, bench.random())?;
    // One client waits for its answer, the other one for the rest of it.
    let (mut clients, mut ends) = (Vec::new(), Vec::new());
    for (port, begun) in [(PORT + 2, ""), (PORT + 3, "H")] {
        let listener = bench.tcp_listen(local(port))?;
        clients.push(bench.start("tcp-client", &["--port", &port.to_string()])?);
        let server = listener.accept().because(CONNECTS)?;
        server.expect(b"Hello!").because("without --message the client sends `Hello!`")?;
        server.send(begun.as_bytes()).because("the client waits for the answer")?;
        server.until_taken().because("the client waits for the answer")?;
        ends.push(server);
    }
    expect_all_quiet(bench, &[&idle, &busy, &clients[0], &clients[1]]).because(QUIET)?;
    for ((client, server), rest) in clients.iter_mut().zip(&ends).zip(["Hi!", "i!"]) {
        server.send(rest.as_bytes()).because("the client waits for the answer")?;
        client.end().because(ENDS)?.expect_status(0).because(ENDS)?;
    }
    Ok(())
}

/// A server that waits for a client, and one that waits for what its client has to say.
fn servers_that_wait(bench: &Bench, program: &str) -> Result<(Process, Process, TcpPeer), Stop> {
    let idle = bench.tcp_server(program, &[], PORT)?;
    let busy = bench.tcp_server(program, &["--port", "5001"], PORT + 1)?;
    let connected = bench.tcp_connect(busy.local()).because(CONNECTS)?;
    Ok((idle, busy, connected))
}

pub fn uploads_wait_without_spinning(bench: &mut Bench) -> Result<(), Stop> {
    let (idle, busy, connected) = servers_that_wait(bench, "upload-server")?;
    connected.send(b"x").because(RECEIVES)?;
    connected.until_taken().because(RECEIVES)?;
    // One client waits for more of stdin, the other one for the receipt.
    let (mut clients, mut ends) = (Vec::new(), Vec::new());
    for (port, last) in [(PORT + 2, false), (PORT + 3, true)] {
        let listener = bench.tcp_listen(local(port))?;
        let start = bench.program("upload-client").arguments(&["--port", &port.to_string()]);
        let client = start.stdin(Stdin::Silent).start()?;
        let server = listener.accept().because(CONNECTS)?;
        if last {
            client.feed(b"abc", true);
            server.receive_to_end(100).because("the client ends its direction when stdin has ended")?;
        }
        clients.push(client);
        ends.push(server);
    }
    expect_all_quiet(bench, &[&idle, &busy, &clients[0], &clients[1]]).because(QUIET)?;
    clients[0].feed(b"abc", true);
    for (client, server) in clients.iter_mut().zip(&ends) {
        server.send(&receipt(b"abc")).because("the client waits for the receipt")?;
        client.end().because(ENDS)?.expect_status(0).because(ENDS)?;
    }
    Ok(())
}
