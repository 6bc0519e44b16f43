//! What is asked of `udp-server`.

use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::bench::{Bench, Process, Stdout, UdpPeer, describe_status, show};
use crate::hidden::servers::economy::expect_all_quiet;
use crate::suites::udp::{address, expect_answer, telling};
use crate::verdict::{Because, Stop, ensure};

pub fn announces_the_port_it_got(bench: &mut Bench) -> Result<(), Stop> {
    let because =
        "where the system picks the port, the server says at once which one: `Listening on ADDR:PORT`";
    for (stdout, host) in [(Stdout::Pipe, "127.0.0.1"), (Stdout::File, "one.test")] {
        let start = bench.program("udp-server").arguments(&["--host", host, "--port", "0"]);
        let start = start.named(address("127.0.0.1:0").ip(), "one.test");
        let mut server = start.stdout(stdout).start()?;
        server.until_bound(None).because("for --port 0 the server binds a port that the system picks")?;
        let bound = server.bound();
        let there = SocketAddr::new(bound.ip().to_canonical(), bound.port());
        let asked = SocketAddr::from(([127, 0, 0, 1], bound.port()));
        bench
            .ensure(there == asked, format!("bound to {asked}"), format!("bound to {there}"))
            .because("--host says which of its addresses the server binds")?;
        server.expect_announced().because(because)?;
        let value = telling(bench, 1);
        let peer = bench.udp_peer()?;
        ask(&peer, &server, value)?;
        expect_answer(bench, &peer, value).because("the server answers on the port that it names")?;
        let ended = server.end().because("after one answer the server ends")?;
        ended.expect_status(0).because("a program that has finished its work ends with status 0")?;
        ended.expect_stdout(format!("Listening on {asked}\n")).because("the server prints nothing else")?;
    }
    Ok(())
}

pub fn ends_on_a_signal(bench: &mut Bench) -> Result<(), Stop> {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = bench.udp_server("udp-server", &["--count", "2"], 5000)?;
        let value = telling(bench, 1);
        let peer = bench.udp_peer()?;
        ask(&peer, &server, value)?;
        expect_answer(bench, &peer, value).because("the server answers")?;
        server.signal(signal)?;
        let because =
            "a server ends within a second of SIGTERM or SIGINT, with status 0 or by that very signal";
        bench
            .until_within(Duration::from_secs(1), &format!("the server ends by {signal}"), || {
                (!server.is_running()).then_some(())
            })
            .with(|unexplained| unexplained.sent(format!("{signal} to {}", server.command())))
            .because(because)?;
        let ended = server.end_with_orphans().because(because)?;
        let right = ended.ended_as_told(signal);
        let observed = describe_status(ended.report.status);
        ensure(right, format!("status 0, or killed by {signal}"), observed)
            .with(|unexplained| ended.explain(unexplained))
            .because(because)?;
    }
    Ok(())
}

pub fn server_passes_over_an_empty_datagram(bench: &mut Bench) -> Result<(), Stop> {
    passes_over(bench, &[0])
}

pub fn server_passes_over_wrong_sizes(bench: &mut Bench) -> Result<(), Stop> {
    passes_over(bench, &[1, 3, 4, 1500])
}

/// After datagrams of these sizes the first answer is the one to the first real request.
fn passes_over(bench: &mut Bench, sizes: &[usize]) -> Result<(), Stop> {
    let count = (sizes.len() + 1).to_string();
    let server = bench.udp_server("udp-server", &["--count", &count], 5000)?;
    let (peer, stranger) = (bench.udp_peer()?, bench.udp_peer()?);
    // A first request, so that there is something stale in the server's buffer.
    let value = telling(bench, 1);
    ask(&peer, &server, value)?;
    expect_answer(bench, &peer, value).because("the server answers")?;
    for size in sizes {
        let junk: Vec<u8> = bench.random().bytes(*size).iter().map(|byte| byte | 1).collect();
        stranger.send(server.local(), &junk)?;
        let value = telling(bench, -1);
        ask(&peer, &server, value)?;
        let note = format!("just before, a datagram of {size} bytes was sent: {}", show(&junk));
        expect_answer(bench, &peer, value)
            .with(|unexplained| unexplained.note(&note))
            .because("what is no request leaves the server as it was: the next request is answered")?;
        stranger
            .expect_nothing()
            .because("a datagram that is not two bytes long holds no number, so there is no answer to it")?;
    }
    Ok(())
}

pub fn counts_only_answers(bench: &mut Bench) -> Result<(), Stop> {
    let mut server = bench.udp_server("udp-server", &["--count", "2"], 5000)?;
    let (peer, stranger) = (bench.udp_peer()?, bench.udp_peer()?);
    for size in [0, 1, 3] {
        let junk: Vec<u8> = bench.random().bytes(size);
        stranger.send(server.local(), &junk)?;
    }
    for because in ["a datagram that is no request does not count", "two answers were asked for by --count 2"]
    {
        let value = telling(bench, 1);
        ask(&peer, &server, value)?;
        expect_answer(bench, &peer, value)
            .with(|unexplained| unexplained.note("before, datagrams of 0, 1 and 3 bytes were sent"))
            .because(because)?;
    }
    expect_end(&mut server)?;
    stranger.expect_nothing().because("a datagram that is not two bytes long gets no answer")
}

fn expect_end(server: &mut Process) -> Result<(), Stop> {
    let ended = server.end().because("after --count answers the server has finished and ends by itself")?;
    ended.expect_status(0).because("a program that has finished its work ends with status 0")
}

pub fn wraps_after_the_highest_number(bench: &mut Bench) -> Result<(), Stop> {
    let mut server = bench.udp_server("udp-server", &["--count", "4"], 5000)?;
    let peer = bench.udp_peer()?;
    let value = telling(bench, 1);
    for value in [i16::MAX, -1, 0, value] {
        ask(&peer, &server, value)?;
        expect_answer(bench, &peer, value).because(
            "a sum that leaves the range wraps: after 32767 comes -32768; 0 is a number like others, and no datagram ends the server",
        )?;
    }
    expect_end(&mut server)
}

pub fn answers_each_client_its_own(bench: &mut Bench) -> Result<(), Stop> {
    let mut server = bench.udp_server("udp-server", &["--count", "6"], 5000)?;
    let clients = [bench.udp_peer()?, bench.udp_peer()?, bench.udp_peer()?];
    for round in 0..2 {
        let mut asked = Vec::new();
        for client in &clients {
            let value = telling(bench, if round == 0 { 1 } else { -1 });
            ask(client, &server, value)?;
            asked.push((client, value));
        }
        // Whoever asked last is heard first.
        for (client, value) in asked.into_iter().rev() {
            expect_answer(bench, client, value)
                .with(|unexplained| unexplained.note("three clients asked in turn, before any of them read"))
                .because("each answer goes to the address that its own request came from")?;
        }
    }
    expect_end(&mut server)
}

pub fn server_waits_without_spinning(bench: &mut Bench) -> Result<(), Stop> {
    let because = "while nothing comes, a server waits in the system and uses no processor time";
    let idle = bench.udp_server("udp-server", &[], 5000)?;
    let asked = bench.udp_server("udp-server", &["--count", "2", "--port", "5001"], 5001)?;
    let peer = bench.udp_peer()?;
    ask(&peer, &asked, 1)?;
    peer.receive().because("the server answers")?;
    expect_all_quiet(bench, &[&idle, &asked]).because(because)
}

pub fn names_the_port_in_use(bench: &mut Bench) -> Result<(), Stop> {
    let port = bench.random().range(20_000, 29_999).to_string();
    let holder = bench.udp_peer_on("a", address(&format!("127.0.0.1:{port}")))?;
    expect_refused_bind(bench, &port)?;
    drop(holder);

    let arguments = ["--host", "127.0.0.1", "--port", "5005"];
    let mut first = bench.start("udp-server", &arguments)?;
    first.until_bound(Some(5005)).because("a server binds its port, so that clients find it")?;
    expect_refused_bind(bench, "5005")?;
    let peer = bench.udp_peer()?;
    let value = telling(bench, 1);
    ask(&peer, &first, value)?;
    expect_answer(bench, &peer, value).because("the first server lives on and answers")?;
    expect_end(&mut first)
}

fn expect_refused_bind(bench: &Bench, port: &str) -> Result<(), Stop> {
    let because = "a port that is in use cannot be bound a second time (no SO_REUSEADDR, no SO_REUSEPORT): status 1, and \
                   a message that names address and port";
    let mut second = bench.start("udp-server", &["--host", "127.0.0.1", "--port", port])?;
    let ended = second.end().because(because)?;
    ended.expect_status(1).because(because)?;
    ended.expect_stdout("").because(because)?;
    ended.expect_stderr_names(&["127.0.0.1", port]).because(because)
}

pub fn serves_ipv6(bench: &mut Bench) -> Result<(), Stop> {
    bench.needs_ipv6()?;
    let _server = bench.udp_server("udp-server", &["--host", "::1"], 5000)?;
    let value = telling(bench, 1);
    let peer = bench.udp_peer_on("a", address("[::1]:0"))?;
    peer.send(address("[::1]:5000"), &value.to_be_bytes())?;
    expect_answer(bench, &peer, value).because("with an IPv6 address for --host the server serves IPv6")?;

    let mut server = bench.udp_server("udp-server", &["--host", "::1", "--port", "0"], 0)?;
    server.expect_announced().because("an IPv6 address stands in brackets before its port")
}

pub fn server_tries_each_address(bench: &mut Bench) -> Result<(), Stop> {
    // A name with two addresses, one of which is taken: whichever is tried first, the other one is left.
    for (taken, free) in [("[::1]:5006", "127.0.0.1:5006"), ("127.0.0.1:5007", "[::1]:5007")] {
        let (taken, free) = (address(taken), address(free));
        let _holder = bench.udp_peer_on("a", taken)?;
        let port = free.port().to_string();
        let start = bench.program("udp-server").arguments(&["--host", "both", "--port", &port]);
        let mut server = start.named(taken.ip(), "both").named(free.ip(), "both").start()?;
        let because = "of a name's addresses each is tried in turn, until one can be bound";
        server.until_bound(Some(free.port())).because(because)?;
        let peer = bench.udp_peer_on("a", SocketAddr::new(free.ip(), 0))?;
        let value = telling(bench, 1);
        peer.send(free, &value.to_be_bytes())?;
        expect_answer(bench, &peer, value).because(because)?;
    }
    Ok(())
}

fn ask(peer: &UdpPeer, server: &Process, value: i16) -> Result<(), Stop> {
    Ok(peer.send(server.local(), &value.to_be_bytes())?)
}
