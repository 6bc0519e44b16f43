//! What is asked of `udp-client`, or of both programs at once.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;

use crate::bench::{Bench, Ended, Process, Stdout, UdpPeer, show};
use crate::hidden::servers::economy::expect_quiet;
use crate::recording::{Act, Event, Outcome, Recording};
use crate::suites::udp::{address, expect_request, telling};
use crate::verdict::{Because, Expected, Stop, ensure};

pub fn refuses_malformed_options(bench: &mut Bench) -> Result<(), Stop> {
    let client: [&[&str]; 10] = [
        &["--port", "65536"],
        &["--port", "0"],
        &["--port", "http"],
        &["--tries", "0"],
        &["--timeout-ms", "0"],
        &["--timeout-ms", "1.5"],
        &["--value", "one"],
        &["--speed", "1"],
        &["--host"],
        &["127.0.0.1"],
    ];
    for arguments in client {
        bench.refuses("udp-client", arguments)?;
    }
    let server: [&[&str]; 7] = [
        &["--port", "65536"],
        &["--port", "-1"],
        &["--count", "0"],
        &["--count", "many"],
        &["--speed", "1"],
        &["--count"],
        &["5000"],
    ];
    for arguments in server {
        bench.refuses("udp-server", arguments)?;
    }
    // Whoever refuses everything has not understood the question.
    let server = bench.udp_peer_on("a", address("127.0.0.5:0"))?;
    for host in ["127.0.0.5", "one.test"] {
        let elsewhere = options(&server, &["--value", "258", "--tries", "1", "--host", host]);
        let start = bench.program("udp-client").arguments(&elsewhere);
        let mut client = start.named(server.address().ip(), "one.test").start()?;
        let from = expect_request(bench, &server, &client, 258).because("well-formed options are taken")?;
        server.send(from, &[0x01, 0x03])?;
        expect_printed(&mut client, 259, "well-formed options are taken")?;
    }
    Ok(())
}

pub fn reports_a_failed_write(bench: &mut Bench) -> Result<(), Stop> {
    let because = "a full disk is a failure at run time: a message on stderr and status 1, never a panic, and never \
                   status 0 with the output lost";
    let server = bench.udp_peer()?;
    let arguments = options(&server, &[]);
    let mut client = bench.program("udp-client").arguments(&arguments).stdout(Stdout::Full).start()?;
    let from = expect_request(bench, &server, &client, 1).because("the client asks")?;
    server.send(from, &[0x00, 0x02])?;
    expect_reported(&client.end().because(because)?, because)?;

    // A server that cannot say where it listens has failed: at once, or in the end where it serves all the same.
    let start = bench.program("udp-server").arguments(&["--port", "0"]).stdout(Stdout::Full);
    let mut server = start.start()?;
    let ended = match server.end() {
        Ok(ended) => ended,
        Err(_) => {
            server.until_bound(None).because(because)?;
            let peer = bench.udp_peer()?;
            peer.send(server.local(), &[0x00, 0x01])?;
            server.end().because(because)?
        }
    };
    expect_reported(&ended, because)
}

fn expect_reported(ended: &Ended, because: &str) -> Result<(), Stop> {
    let sent = format!("{} > /dev/full", ended.command);
    ended.expect_status(1).with(|unexplained| unexplained.sent(&sent)).because(because)?;
    let said = !ended.stderr.trim_ascii().is_empty();
    ensure(said, "a message on stderr", "nothing on stderr")
        .with(|unexplained| unexplained.sent(&sent))
        .because(because)
}

pub fn asks_again_when_nothing_comes(bench: &mut Bench) -> Result<(), Stop> {
    const GIVES_UP: &str = "after --tries requests without an answer the client gives up: status 1, nothing on stdout, \
                            and a message that names whom it asked";
    // One asks as often as is usual and one twice: neither waits for the other. What the machine takes from them counts
    // from their first request on: to start a runtime is no part of an interval.
    let (twice, usually) = (bench.udp_peer()?, bench.udp_peer()?);
    let first = |server: &UdpPeer, client: &Process| -> Result<Duration, Stop> {
        expect_request(bench, server, client, 1).because("the client asks")?;
        Ok(bench.recorder().delay().saturating_sub(late(bench, client)?))
    };
    let mut hasty = start(bench, &usually, &["--timeout-ms", "100"])?;
    let since_hasty = first(&usually, &hasty)?;
    let mut client = start(bench, &twice, &["--timeout-ms", "450", "--tries", "2"])?;
    let since_client = first(&twice, &client)?;
    for (server, client, tries, because) in [
        (&usually, &mut hasty, 3, "without --tries the client asks three times"),
        (&twice, &mut client, 2, "--tries says how many requests there are"),
    ] {
        for _ in 1..tries {
            expect_request(bench, server, client, 1)
                .because("where no answer comes, the client asks again after T")?;
        }
        let ended = client.end().because(GIVES_UP)?;
        server.expect_nothing().because(because)?;
        ended.expect_status(1).because(GIVES_UP)?;
        ended.expect_stdout("").because(GIVES_UP)?;
        let port = server.address().port().to_string();
        ended.expect_stderr_names(&["127.0.0.1", &port]).because(GIVES_UP)?;
    }
    let delay = bench.recorder().delay();
    let withheld = |since| delay.saturating_sub(since);
    expect_intervals(bench, &client, Duration::from_millis(450), withheld(since_client))?;
    expect_intervals(bench, &hasty, Duration::from_millis(100), withheld(since_hasty))
}

/// Expects that the requests of the client were so far apart, and its end as far from the last one; `withheld` is how
/// long an overloaded machine has let it wait for a processor.
fn expect_intervals(bench: &Bench, client: &Process, wait: Duration, withheld: Duration) -> Result<(), Stop> {
    // What it costs to be watched is no part of the interval, and more than a fifth of a short one.
    const WATCHED: Duration = Duration::from_millis(50);
    let mut moments = requests(bench, client)?;
    moments.extend(end_of(bench, client)?);
    let because = "the client waits T for each answer, neither much less nor much more";
    // Who asks by a clock that goes on regularly asks late where it was let wait, and the next time in time again: what one
    // interval was too long, the next one may be too short, as far as the machine is to blame.
    let mut late = Duration::ZERO;
    for pair in moments.windows(2) {
        let interval = Duration::from_nanos(pair[1].saturating_sub(pair[0]));
        let least = wait.mul_f64(0.8).min(wait.saturating_sub(WATCHED)).saturating_sub(late);
        late = (late + interval).saturating_sub(wait).min(withheld + WATCHED);
        let most = wait.mul_f64(1.2) + Duration::from_millis(300) + withheld;
        let right = interval >= least && interval <= most;
        ensure(
            right,
            format!("{} ms between two requests, and from the last one to the end", wait.as_millis()),
            format!("{} ms", interval.as_millis()),
        )
        .with(|unexplained| unexplained.sent(client.command()))
        .because(because)?;
    }
    Ok(())
}

/// How long ago the client sent its first request: on a busy machine the bench learns of it late, and does not know what
/// was withheld from the client meanwhile.
fn late(bench: &Bench, client: &Process) -> Result<Duration, Stop> {
    let recording = bench.recording()?;
    let asked = recording.of(client.who()).find(|event| matches!(event.act, Act::Send { asked: 2, .. }));
    let asked = Duration::from_nanos(asked.map_or(0, |event| event.enter.real));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(now.saturating_sub(asked))
}

/// When the client sent its requests, on its own clock, in nanoseconds.
fn requests(bench: &Bench, client: &Process) -> Result<Vec<u64>, Stop> {
    let recording = bench.recording()?;
    let sent = recording.of(client.who()).filter(|event| matches!(event.act, Act::Send { asked: 2, .. }));
    Ok(sent.map(|event| event.enter.seen).collect())
}

fn end_of(bench: &Bench, client: &Process) -> Result<Option<u64>, Stop> {
    let recording = bench.recording()?;
    let end = recording.of(client.who()).find(|event| matches!(event.act, Act::Exit { .. }));
    Ok(end.map(|event| event.enter.seen))
}

pub fn waits_on_after_junk(bench: &mut Bench) -> Result<(), Stop> {
    const JUNK_AFTER: Duration = Duration::from_millis(150);
    let wait = Duration::from_millis(400);
    let server = bench.udp_peer()?;
    let before = bench.recorder().delay();
    let mut client = start(bench, &server, &["--timeout-ms", "400", "--tries", "30"])?;
    let from = expect_request(bench, &server, &client, 1).because("the client asks")?;
    // Junk that is no answer, in the middle of the wait. Whether the client then waits for what is left of T or for T
    // once more, it has passed over the junk; asking at once would mean that it took it for something.
    let early = server.receive_within(JUNK_AFTER);
    server.send(from, &[0x11, 0x22, 0x33])?;
    let second = early.or_else(|| server.receive_within(2 * wait + Duration::from_secs(1)));
    let because = "a datagram that is no answer is passed over and the waiting goes on: the next request comes when T is over, \
                   not at once and not never";
    let moments = requests(bench, &client)?;
    let interval = match moments.as_slice() {
        [first, second, ..] => Some(Duration::from_nanos(second - first)),
        _ => None,
    };
    let withheld = bench.recorder().delay().saturating_sub(before);
    let latest = JUNK_AFTER + wait.mul_f64(1.2) + Duration::from_millis(600) + withheld;
    let right = interval.is_some_and(|interval| interval >= wait.mul_f64(0.8) && interval <= latest);
    let observed = match interval {
        Some(interval) => format!("the second request after {} ms", interval.as_millis()),
        None => "no second request".to_string(),
    };
    bench
        .ensure(right && second.is_some(), "the second request after 400 ms, or a little more", observed)
        .with(|unexplained| {
            unexplained
                .sent(client.command())
                .note("150 ms after the first request a datagram of 3 bytes came")
        })
        .because(because)?;
    let answer_to = second.map_or(from, |(_, from)| from);
    answer_until_it_ends(bench, &server, &client, answer_to).because("the client has asked again")?;
    expect_printed(&mut client, 2, "the answer to the second request is an answer")
}

pub fn client_waits_without_spinning(bench: &mut Bench) -> Result<(), Stop> {
    let because = "while no answer comes, the client waits in the system and uses no processor time";
    let server = bench.udp_peer()?;
    let mut client = start(bench, &server, &["--timeout-ms", "20000", "--tries", "1"])?;
    let (_, from) = server.receive().because("the client asks")?;
    expect_quiet(bench, &client).because(because)?;
    server.send(from, &[0x00, 0x02])?;
    expect_printed(&mut client, 2, "an answer ends the wait at once: T is the longest wait, and not a pause")
}

pub fn survives_a_lost_request(bench: &mut Bench) -> Result<(), Stop> {
    const STILL: &str = "the client waits T for the answer to its last request, too";
    // The only request of one client will be answered long after it was sent: there is still time.
    let late = bench.udp_peer()?;
    let mut patient = start(bench, &late, &["--timeout-ms", "5000", "--tries", "1", "--value", "258"])?;
    let asker = expect_request(bench, &late, &patient, 258).because("the client asks")?;

    // The first request of the other one is lost, and the second one, too.
    let because = "a lost datagram costs a wait, and the next request brings the answer";
    let server = bench.udp_peer()?;
    let mut client = start(bench, &server, &["--timeout-ms", "300", "--tries", "30"])?;
    expect_request(bench, &server, &client, 1).because("the client asks")?;
    expect_request(bench, &server, &client, 1).because(because)?;
    let from = expect_request(bench, &server, &client, 1).because(because)?;
    answer_until_it_ends(bench, &server, &client, from).because(because)?;
    expect_printed(&mut client, 2, because)?;

    late.expect_nothing().because("--tries says how many requests there are at most")?;
    late.send(asker, &[0x01, 0x03])?;
    expect_printed(&mut patient, 259, STILL)
}

/// Answers a request, and whatever requests still come: on a busy machine an answer may be late, and be missed.
fn answer_until_it_ends(bench: &Bench, server: &UdpPeer, client: &Process, from: SocketAddr) -> Expected {
    server.send(from, &[0x00, 0x02])?;
    let ends = || {
        while let Some((_, from)) = server.take() {
            // One that cannot be answered will be asked again.
            let _ = server.send(from, &[0x00, 0x02]);
        }
        (!client.is_running()).then_some(())
    };
    bench.until("the client gets its answer", ends)
}

pub fn client_passes_over_strangers(bench: &mut Bench) -> Result<(), Stop> {
    let server = bench.udp_peer()?;
    let port = server.address().port();
    let other_port = bench.udp_peer()?;
    let other_address = bench.udp_peer_on("a", SocketAddr::from(([127, 0, 0, 2], port)))?;
    let strangers = [
        ("another port of the same address", other_port),
        ("another address, with the same port", other_address),
    ];
    for (what, stranger) in strangers {
        let mut client = start(bench, &server, &["--timeout-ms", "5000"])?;
        let from = expect_request(bench, &server, &client, 1).because("the client asks")?;
        let (forged, answer) = (telling(bench, -1), telling(bench, 1));
        stranger.send(from, &forged.to_be_bytes())?;
        server.send(from, &answer.to_be_bytes())?;
        let ended = client.end().because("the client gets its answer")?;
        let expected = format!("Received {answer}\n");
        let note = format!("before the answer a datagram from {what} ({}) said {forged}", stranger.address());
        let because = "anybody can send to the client's port: only what comes from the address and port that it asked is \
                       an answer, and of that it prints what it received";
        ended.expect_stdout(expected).with(|unexplained| unexplained.note(&note)).because(because)?;
        ended.expect_status(0).with(|unexplained| unexplained.note(&note)).because(because)?;
    }
    Ok(())
}

pub fn client_passes_over_wrong_sizes(bench: &mut Bench) -> Result<(), Stop> {
    for size in [0, 1, 3, 1500] {
        let server = bench.udp_peer()?;
        let mut client = start(bench, &server, &["--timeout-ms", "5000"])?;
        let from = expect_request(bench, &server, &client, 1).because("the client asks")?;
        let junk: Vec<u8> = bench.random().bytes(size).iter().map(|byte| byte | 1).collect();
        let answer = telling(bench, -1);
        server.send(from, &junk)?;
        server.send(from, &answer.to_be_bytes())?;
        let ended = client.end().because("the client gets its answer")?;
        let note = format!("before the answer came a datagram of {size} bytes: {}", show(&junk));
        let because =
            "an answer is exactly two bytes long; any other datagram is passed over, and the waiting goes on";
        ended
            .expect_stdout(format!("Received {answer}\n"))
            .with(|unexplained| unexplained.note(&note))
            .because(because)?;
        ended.expect_status(0).because(because)?;
    }
    Ok(())
}

pub fn gives_up_where_nobody_listens(bench: &mut Bench) -> Result<(), Stop> {
    let because = "where nobody listens there is no answer, and the client says so: status 1, nothing on stdout, and a \
                   message that names whom it asked";
    let port = bench.random().range(20_000, 29_999).to_string();
    let ended = bench
        .start("udp-client", &["--host", "127.0.0.1", "--port", &port, "--timeout-ms", "200"])?
        .end()
        .because(because)?;
    ended.expect_status(1).because(because)?;
    ended.expect_stdout("").because(because)?;
    ended.expect_stderr_names(&["127.0.0.1", &port]).because(because)
}

pub fn refuses_a_value_too_large(bench: &mut Bench) -> Result<(), Stop> {
    for value in ["32768", "-32769", "65535", "99999999999999999999"] {
        bench.refuses("udp-client", &["--value", value])?;
    }
    for (value, answer) in [(i16::MAX, i16::MIN), (i16::MIN, i16::MIN + 1)] {
        let because = "from -32768 to 32767 every number fits into two bytes";
        let server = bench.udp_peer()?;
        let mut client = start(bench, &server, &["--value", &value.to_string()])?;
        let from = expect_request(bench, &server, &client, value).because(because)?;
        server.send(from, &answer.to_be_bytes())?;
        expect_printed(&mut client, answer, because)?;
    }
    Ok(())
}

pub fn asks_by_ipv6(bench: &mut Bench) -> Result<(), Stop> {
    let because = "with an IPv6 address for --host the client asks by IPv6";
    let server = bench.udp_peer_on("a", address("[::1]:5000"))?;
    let mut client = bench.start("udp-client", &["--host", "::1"])?;
    let from = expect_request(bench, &server, &client, 1).because(because)?;
    server.send(from, &[0x00, 0x02])?;
    expect_printed(&mut client, 2, because)
}

pub fn tries_each_address(bench: &mut Bench) -> Result<(), Stop> {
    // Whichever address is tried first, in one of the two rounds it is the one where nobody listens.
    for listens in ["127.0.0.1:5000", "[::1]:5000"] {
        let server = bench.udp_peer_on("a", address(listens))?;
        let start =
            bench.program("udp-client").arguments(&["--host", "both", "--timeout-ms", "200", "--tries", "2"]);
        let names = start.named(address("127.0.0.1:0").ip(), "both").named(address("[::1]:0").ip(), "both");
        let mut client = names.start()?;
        let because = "a name may have several addresses, and the server need not be at the first: each is tried in turn";
        let note =
            format!("the name `both` has the addresses 127.0.0.1 and ::1, and the server is at {listens}");
        let from = expect_request(bench, &server, &client, 1)
            .with(|unexplained| unexplained.note(&note))
            .because(because)?;
        server.send(from, &[0x00, 0x02])?;
        expect_printed(&mut client, 2, because)?;
    }
    Ok(())
}

pub fn survives_stop_and_continue(bench: &mut Bench) -> Result<(), Stop> {
    let because = "stopped and continued, a program goes on as if nothing had happened: EINTR (which recv gives here with \
                   SO_RCVTIMEO, without any handler) means to wait again, for what is left of T";
    let server = bench.udp_peer()?;
    let mut client = start(bench, &server, &["--timeout-ms", "8000", "--tries", "1"])?;
    let from = expect_request(bench, &server, &client, 1).because("the client asks")?;
    let waits = |recording: &Recording, who: &str| {
        let waiting = |event: &Event| {
            let waits = matches!(
                event.act,
                Act::Receive { .. }
                | Act::WaitReady { .. }
                | Act::Sleep { .. }
                | Act::WaitThread { .. }
                // It may wait for another process that waits.
                | Act::Reap { .. }
                | Act::Read { .. }
            );
            waits && event.outcome == Outcome::Pending
        };
        let sending =
            |event: &Event| matches!(event.act, Act::Send { .. }) && event.outcome == Outcome::Pending;
        let settled = recording.of(who).any(waiting) && !recording.of(who).any(sending);
        settled.then_some(())
    };
    client.until("the client waits for the answer", waits).because(because)?;
    client.signal(Signal::SIGSTOP)?;
    // Once the signal was delivered, the call that it met has ended, one way or the other.
    let met = |recording: &Recording, who: &str| {
        let stop = Act::SignalDelivered { signal: Signal::SIGSTOP as i32 };
        recording.of(who).any(|event| event.act == stop).then_some(())
    };
    client.until("the client stops", met).because("a process stops at SIGSTOP")?;
    client.signal(Signal::SIGCONT)?;
    server.send(from, &[0x00, 0x02])?;
    expect_printed(&mut client, 2, because)
}

/// Starts the client against a peer of the bench on the loopback address, with more arguments.
fn start(bench: &Bench, server: &UdpPeer, more: &[&str]) -> Result<Process, Stop> {
    bench.program("udp-client").arguments(&options(server, more)).start()
}

fn options(server: &UdpPeer, more: &[&str]) -> Vec<String> {
    let port = server.address().port().to_string();
    ["--port", &port].iter().chain(more).map(ToString::to_string).collect()
}

fn expect_printed(client: &mut Process, answer: i16, because: &str) -> Result<(), Stop> {
    let ended =
        client.end().because("with its answer the client has finished its work and ends by itself")?;
    ended.expect_stdout(format!("Received {answer}\n")).because(because)?;
    ended.expect_status(0).because("a program that has finished its work ends with status 0")
}
