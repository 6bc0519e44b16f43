//! Which answer is the program's own, and how long it waits for it.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::bench::{Bench, Echo, ForgedHost, Process, ProcessInfo};
use crate::recording::{Act, Event, Outcome};
use crate::verdict::{Because, Stop, ensure};

/// Two addresses behind b that no host has: what is sent there is seen, and not answered.
const SILENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);
const STRANGER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 77);
/// What a timeout may last longer than it was told to, by the contract.
const SLACK: Duration = Duration::from_millis(500);

/// How long a program that waits for its answer is watched after something else has come.
const TAKEN_BY: Duration = Duration::from_millis(250);

pub fn own_request_is_no_answer(bench: &mut Bench) -> Result<(), Stop> {
    bench.silence_echo("a")?;
    let ended = bench.run("raw-ping", &["127.0.0.1", "--timeout-ms", "300"])?;
    ended
        .expect_stdout("")
        .with(|unexplained| {
            unexplained.likely("on loopback a raw socket also gets what the host itself sent: type 8")
        })
        .because("nobody answered: a request is not an answer")?;
    ended.expect_status(1).because("a request was not answered: status 1")?;
    // A request of the host that was asked, and an answer to another question, which has the same fields.
    const TIMESTAMP_REPLY: u8 = 14;
    let replies = |request: &Echo| [8, TIMESTAMP_REPLY].map(|kind| Echo { kind, ..request.reply() });
    is_no_answer(bench, replies, "an echo reply has type 0: any other type is no answer, whatever it carries")
}

pub fn other_identifier_is_no_answer(bench: &mut Bench) -> Result<(), Stop> {
    // Each of the identifier's two bytes differs once.
    let replies = |request: &Echo| {
        [0x0a00, 0x0050].map(|bits| Echo { identifier: request.identifier ^ bits, ..request.reply() })
    };
    is_no_answer(bench, replies, "a reply with another identifier is for another ping on this host")
}

pub fn other_host_is_no_answer(bench: &mut Bench) -> Result<(), Stop> {
    let replies = |request: &Echo| [Echo { from: STRANGER, ..request.reply() }];
    is_no_answer(bench, replies, "who was not asked has not answered")
}

/// Stops the program, which makes a receive with a time limit return EINTR, and lets it go on.
fn stop_and_continue(ping: &Process) -> Result<(), Stop> {
    ping.signal(Signal::SIGSTOP)?;
    // A recorded call stops it for a moment, too, so it must be seen standing several times.
    let mut looks = 0;
    let stands = |all: &[ProcessInfo]| {
        let state = all.first().map_or('Z', |process| process.state);
        looks = if matches!(state, 'T' | 't') { looks + 1 } else { 0 };
        (looks == 4 || state == 'Z').then_some(())
    };
    ping.until_processes("raw-ping stopped", stands).because("SIGSTOP stops any process")?;
    Ok(ping.signal(Signal::SIGCONT)?)
}

/// Pings a host in whose name replies are made of the request, and expects that none of them is taken for the
/// answer, and that the answer is still waited for.
fn is_no_answer<const N: usize>(
    bench: &Bench,
    replies: impl Fn(&Echo) -> [Echo; N],
    because: &str,
) -> Result<(), Stop> {
    let host = bench.forged_host(SILENT)?;
    let (mut ping, request) = asked(bench, &host)?;
    let replies = replies(&request);
    for reply in &replies {
        host.send(reply, &[])?;
    }
    let sent = format!("{}; asked was: {request}", replies.each_ref().map(ToString::to_string).join("; "));
    answered_at_last(bench, &host, &mut ping, &request, &sent, because)
}

/// A program that asks this host once, and its request.
fn asked(bench: &Bench, host: &ForgedHost) -> Result<(Process, Echo), Stop> {
    let ping = bench.start("raw-ping", &[&host.address.to_string(), "--timeout-ms", "8000"])?;
    let request = host.request().because("raw-ping asks the host")?;
    Ok((ping, request))
}

/// Expects that the program, to which `sent` was sent, waits on for the answer, and prints it when it comes.
fn answered_at_last(
    bench: &Bench,
    host: &ForgedHost,
    ping: &mut Process,
    request: &Echo,
    sent: &str,
    because: &str,
) -> Result<(), Stop> {
    let over =
        bench.until_within(TAKEN_BY, "the program ends", || (!ping.is_running()).then_some(())).is_ok();
    bench
        .ensure(!over, "raw-ping waits on for the answer", "it has ended")
        .with(|unexplained| unexplained.sent(sent))
        .because(because)?;
    host.send(&request.reply(), &[])?;
    let ended = ping.end().because("the answer has come")?;
    let sent = format!("{sent}; then the answer");
    ended
        .expect_stdout(format!("Reply from {}: seq=1\n", host.address))
        .with(|unexplained| unexplained.sent(sent.clone()))
        .because(because)?;
    ended.expect_status(0).with(|unexplained| unexplained.sent(sent)).because(because)
}

pub fn other_sequence_is_no_answer(bench: &mut Bench) -> Result<(), Stop> {
    let host = bench.forged_host(SILENT)?;
    let arguments = [&SILENT.to_string(), "--count", "2", "--timeout-ms", "300"];
    let mut ping = bench.start("raw-ping", &arguments)?;
    let first = host.request().because("raw-ping asks the host")?;
    let second = host.request().because("after the timeout the program asks with the next number")?;
    // A late one, and one whose number differs in its high byte.
    let replies = [first.reply(), Echo { sequence: second.sequence ^ 0x0100, ..second.reply() }];
    for reply in &replies {
        host.send(reply, &[])?;
    }
    let ended = ping.end().because("after the timeout the program goes on, and ends")?;
    let because = "the answer to a request that was given up does not answer the next one, and neither does one to a \
                   request that was never made";
    let [late, never] = replies;
    let sent = format!("while it waits for the answer to sequence {}: {late}; {never}", second.sequence);
    ended.expect_stdout("").with(|unexplained| unexplained.sent(sent.clone())).because(because)?;
    ended.expect_status(1).with(|unexplained| unexplained.sent(sent)).because(because)
}

pub fn options_are_skipped(bench: &mut Bench) -> Result<(), Stop> {
    const NOTHING: u8 = 1;
    const END: u8 = 0;
    let host = bench.forged_host(SILENT)?;
    let arguments = [&SILENT.to_string(), "--count", "2", "--timeout-ms", "5000"];
    let mut ping = bench.start("raw-ping", &arguments)?;
    for (sequence, words) in [(1, 1), (2, 10)] {
        let request = host.request().because("raw-ping asks the host")?;
        let mut options = vec![NOTHING; words * 4];
        options[words * 4 - 1] = END;
        host.send(&request.reply(), &options)?;
        ping.expect_line(&format!("Reply from {SILENT}: seq={sequence}"))
            .with(|unexplained| {
                unexplained.sent(format!("the reply, behind an IP header of {} bytes", 20 + options.len()))
            })
            .because("the length of the IP header is in its first byte: 20 bytes is only the least")?;
    }
    let ended = ping.end().because("a program that has finished its work ends by itself")?;
    ended.expect_status(0).because("every request was answered: status 0")
}

pub fn silence_is_timed(bench: &mut Bench) -> Result<(), Stop> {
    let host = bench.forged_host(SILENT)?;
    // No whole number of seconds, and far from one: who rounds is found out.
    let timeout = Duration::from_millis(1250);
    let before = bench.recorder().delay();
    let mut asked_once = before;
    let arguments = [&SILENT.to_string(), "--count", "3", "--timeout-ms", "1250"];
    let mut ping = bench.start("raw-ping", &arguments)?;
    let mut asked = Vec::new();
    for sequence in 1..=3 {
        let request =
            host.request().because("after the timeout the program goes on with the next request")?;
        // The last request is answered, as the first is: one without an answer is a failure all the same.
        if sequence == 1 {
            asked_once = bench.recorder().delay();
        }
        if sequence != 2 {
            host.send(&request.reply(), &[])?;
        }
        asked.push(request.at);
    }
    let ended = ping.end().because("after the last answer the program ends")?;
    ended
        .expect_stdout(format!("Reply from {SILENT}: seq=1\nReply from {SILENT}: seq=3\n"))
        .with(|unexplained| unexplained.note("the second request was not answered, the others were"))
        .because("there is a line for each answer, and no other")?;
    ended.expect_status(1).because("a request was not answered: status 1")?;
    // What an overloaded machine took from the program is given back. Before the second request goes out it can only make
    // the wait look shorter, and to start a runtime takes long.
    let taken = |since| bench.recorder().delay().saturating_sub(since);
    let kept = |waited: Duration, timeout: Duration, started, asked_once| {
        waited + Duration::from_millis(20) + taken(started) >= timeout
            && waited <= timeout + SLACK + taken(asked_once)
    };
    let waited = asked[2].saturating_sub(asked[1]);
    ensure(
        kept(waited, timeout, before, asked_once),
        "1250 ms between the second request and the third (up to 500 ms more)",
        format!("{waited:?}"),
    )
    .with(|unexplained| ended.explain(unexplained))
    .because("--timeout-ms says how long to wait for an answer")?;

    // And one that is not told how long to wait.
    let before = bench.recorder().delay();
    let untold = bench.start("raw-ping", &[&SILENT.to_string(), "--count", "2"])?;
    let ask = || host.request().because("after the timeout the program goes on with the next request");
    let first = ask()?.at;
    let asked_once = bench.recorder().delay();
    let waited = ask()?.at.saturating_sub(first);
    ensure(
        kept(waited, Duration::from_secs(1), before, asked_once),
        "1 second between two requests without an answer (up to 500 ms more)",
        format!("{waited:?}"),
    )
    .with(|unexplained| unexplained.sent(untold.command()))
    .because("--timeout-ms is 1000 unless it is given")
}

pub fn junk_does_not_prolong_the_wait(bench: &mut Bench) -> Result<(), Stop> {
    let host = bench.forged_host(SILENT)?;
    let mut ping = bench.start("raw-ping", &[&SILENT.to_string(), "--timeout-ms", "600"])?;
    let request = host.request().because("raw-ping asks the host")?;
    let junk = Echo { identifier: request.identifier ^ 0x0a50, ..request.reply() };
    // A packet for somebody else every 40 ms by the clock, however busy the machine is, for five times the timeout.
    let (mut last, mut failed) = (None, None);
    let ends = || {
        if last.is_none_or(|last: Instant| last.elapsed() >= Duration::from_millis(40)) {
            failed = host.send(&junk, &[]).err().or(failed.take());
            last = Some(Instant::now());
        }
        (!ping.is_running()).then_some(())
    };
    let over = bench.until_within(Duration::from_secs(3), "the program ends", ends).is_ok();
    if let Some(failed) = failed {
        return Err(failed);
    }
    bench
        .ensure(over, "raw-ping ends after its timeout of 600 ms", "it still waits after 3 seconds")
        .with(|unexplained| unexplained.sent("every 40 ms a reply that is for another ping"))
        .because("what is not the answer does not begin the waiting anew: the deadline is computed once")?;
    let ended = ping.end().because("it has ended")?;
    ended.expect_stdout("").because("a reply with another identifier is for another ping on this host")?;
    ended.expect_status(1).because("a request was not answered: status 1")
}

pub fn signals_do_not_end_the_wait(bench: &mut Bench) -> Result<(), Stop> {
    let host = bench.forged_host(SILENT)?;
    let mut ping = bench.start("raw-ping", &[&SILENT.to_string(), "--timeout-ms", "9000"])?;
    let request = host.request().because("raw-ping asks the host")?;
    // Only a receive that has begun can be disturbed.
    let waits = |event: &Event| {
        let waits = matches!(event.act, Act::Receive { .. } | Act::WaitReady { .. } | Act::WaitThread { .. });
        (waits && event.outcome == Outcome::Pending).then_some(())
    };
    let because = "raw-ping waits for the answer";
    ping.until(because, |recording, who| recording.of(who).last().and_then(waits)).because(because)?;
    for signal in [Signal::SIGCHLD, Signal::SIGWINCH, Signal::SIGURG] {
        ping.signal(signal)?;
    }
    stop_and_continue(&ping)?;
    host.send(&request.reply(), &[])?;
    ping.expect_line(&format!("Reply from {SILENT}: seq=1"))
        .with(|unexplained| unexplained.sent("SIGCHLD, SIGWINCH, SIGURG, SIGSTOP, SIGCONT, then the reply"))
        .because("a signal that is ignored by default, or that stops and continues, does not end a wait")?;
    let ended = ping.end().because("a program that has finished its work ends by itself")?;
    ended.expect_status(0).because("every request was answered: status 0")
}
