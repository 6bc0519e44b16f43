//! The server: it can be restarted, it outlives its clients, and it serves them in turn.
//!
//! Both servers are asked the same, each in its own protocol.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::bench::{Bench, Process, State, TcpPeer};
use crate::recorder::Injection;
use crate::recording::Act;
use crate::suites::tcp::conversation::{CONNECTS, ENDS, PORT, answers_a_byte, expect_receipt, serves};
use crate::verdict::{Because, Stop, Unexplained};

pub fn server_restarts_at_once(bench: &mut Bench) -> Result<(), Stop> {
    restarts_at_once(bench, "tcp-server")
}

/// Ends a server while a client is connected, so that the server's end closes first, and starts it again.
pub fn restarts_at_once(bench: &Bench, program: &str) -> Result<(), Stop> {
    const CLOSES: &str = "a server that is ended has read everything: its connections end, and are not reset";
    const AGAIN: &str =
        "a connection in TIME_WAIT does not keep the port from a new server: SO_REUSEADDR is set before bind";
    let mut server = bench.tcp_server(program, &["--count", "2"], PORT)?;
    let client = bench.tcp_connect(server.local()).because(CONNECTS)?;
    client.send(b"x").because(CLOSES)?;
    client.until_taken().because(CLOSES)?;
    if program == "tcp-server" {
        client.expect(b"Hi!").because("whatever the server receives, it answers with `Hi!`")?;
    }
    server.signal(Signal::SIGTERM)?;
    server.end_with_orphans().because("SIGTERM ends a server")?;
    client.expect_end().because(CLOSES)?;
    let (local, remote) = (server.local(), client.address());
    drop(client);
    // The server has closed first, so its end of the connection is the one that lingers.
    bench
        .until("the old connection in TIME_WAIT", || {
            let old = bench.connection("a", local, remote).ok()??;
            (old.state == State::TimeWait).then_some(())
        })
        .because(CLOSES)?;
    let mut again = bench.start(program, &[])?;
    again.until_listening(Some(PORT)).because(AGAIN)?;
    serves(bench, &again, program, "the new server serves like the old one")
}

pub fn server_refuses_a_second_copy(bench: &mut Bench) -> Result<(), Stop> {
    refuses_a_second_copy(bench, "tcp-server")
}

/// Starts a server twice on one port.
pub fn refuses_a_second_copy(bench: &mut Bench, program: &str) -> Result<(), Stop> {
    const REFUSED: &str =
        "a port belongs to one server: bind fails in the second, which says so and ends with status 1";
    let port = bench.random().range(20_000, 30_000);
    let text = port.to_string();
    let arguments = ["--host", "127.0.0.1", "--port", &text];
    let first = bench.tcp_server(program, &arguments, port as u16)?;
    let mut second = bench.start(program, &arguments)?;
    let who = second.who().to_string();
    let shares = |unmet: Unexplained| {
        if shares_the_port(bench, &who) {
            unmet
                .likely("SO_REUSEPORT is set: with it two servers share the port, and each gets some clients")
        } else {
            unmet
        }
    };
    let ended = second.end().with(shares).because(REFUSED)?;
    ended.expect_status(1).because(REFUSED)?;
    ended.expect_stdout("").because(REFUSED)?;
    ended.expect_stderr_names(&["127.0.0.1", &text]).because(REFUSED)?;
    serves(bench, &first, program, "the first server is not disturbed by the second")
}

/// Whether the process has set SO_REUSEPORT on some socket.
fn shares_the_port(bench: &Bench, who: &str) -> bool {
    let recording = bench.recorder().recording();
    recording.of(who).any(|event| {
        matches!(event.act, Act::SetOption { level, name, .. } if (level, name) == (libc::SOL_SOCKET, libc::SO_REUSEPORT))
    })
}

pub fn server_survives_clients_that_leave(bench: &mut Bench) -> Result<(), Stop> {
    survives_clients_that_leave(bench, "tcp-server")
}

/// Three clients that behave badly, and one that is served all the same.
pub fn survives_clients_that_leave(bench: &mut Bench, program: &str) -> Result<(), Stop> {
    const NEXT: &str = "a client that leaves or resets costs only its own connection: the next one is served";
    let mut server = bench.tcp_server(program, &["--count", "6"], PORT)?;
    drop(bench.tcp_connect(server.local()).because(CONNECTS)?);
    // Reset while the server waits for more of it.
    let second = bench.tcp_connect(server.local()).because(NEXT)?;
    if program == "tcp-server" {
        answers_a_byte(&second, bench.random())?;
    } else {
        second.send(b"some data").because(NEXT)?;
        second.until_taken().because(NEXT)?;
    }
    // One that has sent everything, and is gone before its turn comes: what the server answers is a broken pipe at once.
    let gone = bench.tcp_connect(server.local()).because(NEXT)?;
    gone.send(b"x").because(NEXT)?;
    gone.half_close();
    gone.reset();
    second.reset();
    // Reset while it may not even have been accepted.
    let third = bench.tcp_connect(server.local()).because(NEXT)?;
    third.send(b"x").because(NEXT)?;
    third.reset();
    bench.tcp_connect(server.local()).because(NEXT)?.reset();
    serves(bench, &server, program, NEXT)?;
    let ended =
        server.end().because("every accepted connection counts for --count, whatever becomes of it")?;
    ended.expect_status(0).because(ENDS)
}

pub fn server_survives_a_broken_pipe(bench: &mut Bench) -> Result<(), Stop> {
    const PIPE: &str =
        "sending to a client that has closed fails with EPIPE: that ends the one connection, not the server";
    const READS_ON: &str = "the server receives until end of file";
    let mut server = bench.tcp_server("tcp-server", &["--count", "3"], PORT)?;
    server.inject(Injection::ShortReceive { most: 1, calls: 100 })?;
    let first = bench.tcp_connect(server.local()).because(CONNECTS)?;
    answers_a_byte(&first, bench.random())?;
    // The second client has sent everything and closed before its turn comes: its system answers the first `Hi!` with
    // a reset, and the next one is a broken pipe.
    let second = bench.tcp_connect(server.local()).because(CONNECTS)?;
    second.send(b"Hello!").because(READS_ON)?;
    drop(second);
    first.half_close();
    first.expect_end().because("at end of file the server closes the connection")?;
    serves(bench, &server, "tcp-server", PIPE)?;
    let ended =
        server.end().because("every accepted connection counts for --count, whatever becomes of it")?;
    ended.expect_status(0).because(ENDS)
}

/// Waits until every thread of the server waits: one that was slow to come by has come by then. A server that looks again
/// from time to time is not waited for.
pub fn until_it_rests(bench: &Bench) {
    let rests = || bench.recorder().rests().then_some(());
    let _ = bench.until_within(Duration::from_secs(2), "a server that waits", rests);
}

pub fn server_takes_one_connection_after_another(bench: &mut Bench) -> Result<(), Stop> {
    const BACKLOG: &str = "while one client is served, at least three more can connect and wait: the backlog";
    const TURN: &str = "one connection after another: a client is answered when the one before it has ended";
    let mut server = bench.tcp_server("tcp-server", &["--count", "4"], PORT)?;
    let first = bench.tcp_connect(server.local()).because(CONNECTS)?;
    answers_a_byte(&first, bench.random())?;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let client = bench.tcp_connect(server.local()).because(BACKLOG)?;
        client.send(b"x").because(BACKLOG)?;
        waiting.push(client);
    }
    // A server that had accepted the others would come by them in one of these rounds.
    for _ in 0..20 {
        answers_a_byte(&first, bench.random())?;
    }
    until_it_rests(bench);
    for client in &waiting {
        client.expect_nothing().because(TURN)?;
    }
    let mut current = first;
    while !waiting.is_empty() {
        let next = waiting.remove(0);
        current.half_close();
        current.expect_end().because("at end of file the server closes the connection")?;
        next.expect(b"Hi!").because(TURN)?;
        for client in &waiting {
            client.expect_nothing().because(TURN)?;
        }
        current = next;
    }
    current.half_close();
    current.expect_end().because("at end of file the server closes the connection")?;
    server.end().because(ENDS)?.expect_status(0).because(ENDS)
}

pub fn server_keeps_no_descriptor(bench: &mut Bench) -> Result<(), Stop> {
    keeps_no_descriptor(bench, "tcp-server")
}

/// Counts the descriptors of a server while it serves its second and its last connection.
pub fn keeps_no_descriptor(bench: &Bench, program: &str) -> Result<(), Stop> {
    const BACK: &str =
        "every connection has a descriptor of its own, and close gives it back; shutdown does not";
    const SERVED: &str = "each of --count connections is served";
    const CONNECTIONS: usize = 8;
    let count = CONNECTIONS.to_string();
    let mut server = bench.tcp_server(program, &["--count", &count], PORT)?;
    let mut second = 0;
    for connection in 1..=CONNECTIONS {
        let client = bench.tcp_connect(server.local()).because(CONNECTS)?;
        until_accepted(bench, &server, &client)?;
        // In the midst of a conversation it has opened all that it needs for one.
        client.send(b"x").because(SERVED)?;
        if program == "tcp-server" {
            client.expect(b"Hi!").because(SERVED)?;
        } else {
            client.until_taken().because(SERVED)?;
        }
        if connection == 2 {
            second = server.descriptors().len();
        } else if connection == CONNECTIONS {
            let fewer = || (server.descriptors().len() <= second).then_some(());
            let last =
                bench.until("no more descriptors during the last connection than during the second", fewer);
            last.with(|unmet| {
                let open = server.descriptors();
                let list: Vec<String> = open.iter().map(|(fd, what)| format!("{fd} {what}")).collect();
                unmet.note(format!(
                    "{second} during the second of {CONNECTIONS} connections, {} during the last: {}",
                    open.len(),
                    list.join(", ")
                ))
            })
            .because(BACK)?;
        }
        client.half_close();
        if program == "tcp-server" {
            client.expect_end().because(SERVED)?;
        } else {
            expect_receipt(&client, b"x").because(SERVED)?;
        }
    }
    server.end().because(ENDS)?.expect_status(0).because(ENDS)
}

/// Waits until the server has taken the connection out of the backlog: from then on it has an inode.
fn until_accepted(bench: &Bench, server: &Process, client: &TcpPeer) -> Result<(), Stop> {
    bench
        .until("the server accepts the connection", || {
            let connection = bench.connection("a", server.local(), client.address()).ok()??;
            (connection.inode != 0).then_some(())
        })
        .because("the server accepts the next connection when the one before has ended")
}
