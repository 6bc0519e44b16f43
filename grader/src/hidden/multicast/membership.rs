//! What is a group, whose datagrams a receiver takes, and how it leaves.

use std::net::{Ipv4Addr, SocketAddr};

use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::{C, GROUP, NEAR_B, NEAR_C, PORT, REACHED, ends_well, sender, start, to_group};
use crate::bench::{Bench, Process, describe};
use crate::recording::{Act, Event, Object, Outcome, Recording};
use crate::verdict::{Because, Expected, Stop, ensure};

pub fn only_class_d_is_a_group(bench: &mut Bench) -> Result<(), Stop> {
    let edges = [Ipv4Addr::new(224, 0, 0, 200), Ipv4Addr::new(239, 255, 255, 255)];
    const EVERY: &str = "every address from 224.0.0.0 to 239.255.255.255 is a group";
    let word = bench.random().word(8);
    let sender = sender(bench)?;
    for group in edges {
        let mut receiver = bench.start("mcast-receiver", &["--group", &group.to_string()])?;
        bench.until_receiving(&mut receiver, group.into(), PORT, 1).because(REACHED)?;
        sender.send(SocketAddr::from((group, PORT)), word.as_bytes())?;
        receiver.expect_line(&format!("Received: {word}")).because(EVERY)?;
        ends_well(&mut receiver)?;
    }
    for group in edges {
        let wire = bench.wire("b", "eth0")?;
        let ended = bench.run("mcast-sender", &["--group", &group.to_string(), "--message", &word])?;
        wire.expect_datagrams(bench, SocketAddr::from((group, PORT)), &[word.as_bytes()])
            .with(|unexplained| unexplained.sent(ended.command.clone()))
            .because(EVERY)?;
    }
    let below = format!("223.255.255.{}", bench.random().range(1, 255));
    // The address of one host is no group in IPv6, either, whether or not the program knows IPv6.
    let refused = [below.as_str(), "240.0.0.0", "255.255.255.255", "2001:db8:1::2"];
    let calls = refused.map(|group| ["--group", group]);
    for program in ["mcast-sender", "mcast-receiver"] {
        bench.refuses_each(program, &calls.each_ref().map(|call| &call[..]))?;
    }
    Ok(())
}

pub fn other_groups_are_not_received(bench: &mut Bench) -> Result<(), Stop> {
    let (foreign, own) = (bench.random().word(8), bench.random().word(8));
    let other = Ipv4Addr::new(226, 1, 1, bench.random().range(2, 250) as u8);
    let neighbour = bench.group_member("a", SocketAddr::from((other, PORT)), other, NEAR_B)?;
    let mut receiver = started_and_heard(bench)?;
    let sender = sender(bench)?;
    sender.send(SocketAddr::from((other, PORT)), foreign.as_bytes())?;
    neighbour.expect(foreign.as_bytes()).because("the neighbour is a member of the other group")?;
    // The order proves the silence: had the foreign datagram been taken, its line would stand first.
    sender.send(to_group(), own.as_bytes())?;
    expect_own(
        &mut receiver,
        &own,
        &foreign,
        &format!("a datagram for {other}, which a neighbour has joined"),
    )
}

pub fn unicast_is_not_received(bench: &mut Bench) -> Result<(), Stop> {
    let (foreign, own) = (bench.random().word(8), bench.random().word(8));
    let mut receiver = started_and_heard(bench)?;
    let sender = sender(bench)?;
    sender.send(SocketAddr::from((NEAR_B, PORT)), foreign.as_bytes())?;
    sender.send(to_group(), own.as_bytes())?;
    expect_own(&mut receiver, &own, &foreign, &format!("a datagram for {NEAR_B}, this host's own address"))
}

/// Expects the line of `own`, though `foreign` was sent before it to somebody else.
fn expect_own(receiver: &mut Process, own: &str, foreign: &str, what: &str) -> Result<(), Stop> {
    let line = receiver.line().because("the receiver prints what comes to its group")?;
    let taken = line.contains(foreign);
    ensure(
        line == format!("Received: {own}"),
        format!("the line {:?}", format!("Received: {own}")),
        format!("the line {line:?}"),
    )
    .with(|unexplained| {
        let unexplained =
            unexplained.sent(format!("{foreign:?} to another address, then {own:?} to {GROUP}:{PORT}"));
        if taken { unexplained.likely(format!("the receiver took {what}")) } else { unexplained }
    })
    .because(
        "only the group's own datagrams are for the receiver; a socket bound to any address gets more",
    )?;
    ends_well(receiver)
}

pub fn leaves_before_it_closes(bench: &mut Bench) -> Result<(), Stop> {
    let words = [bench.random().word(8), bench.random().word(8), bench.random().word(8)];
    // Not the link that the routing table would choose: to leave takes the same one as to join did.
    let mut receiver = start(bench, &["--count", "3", "--interface", &NEAR_C.to_string()])?;
    let sender = bench.udp_peer_on("c", SocketAddr::from((C, 0)))?;
    for word in &words {
        sender.send(to_group(), word.as_bytes())?;
        receiver
            .expect_line(&format!("Received: {word}"))
            .because("--count says how many datagrams to wait for")?;
    }
    ends_well(&mut receiver)?;
    has_left(bench, &receiver)
}

pub fn leaves_when_it_is_told_to_end(bench: &mut Bench) -> Result<(), Stop> {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut receiver = started_and_heard(bench)?;
        receiver.signal(signal)?;
        // The contract says within a second. On a machine that lays hundreds of networks at once the kernel alone may
        // keep a program that leaves a group for longer, so the usual patience has to do.
        bench
            .until(&format!("{} ends within a second", receiver.who()), || {
                (!receiver.is_running()).then_some(())
            })
            .with(|unexplained| unexplained.sent(signal.as_str()))
            .because("a program that waits for ever must end when it is told to")?;
        let ended = receiver.end().because("it has ended")?;
        let fine = ended.ended_as_told(signal);
        ensure(fine, format!("status 0, or death by {signal}"), describe(&ended.report))
            .with(|unexplained| ended.explain(unexplained).sent(signal.as_str()))
            .because("to be told to end is no failure")?;
        has_left(bench, &receiver).map_err(|stop| match stop {
            Stop::Finding(mut finding) => {
                finding.sent = Some(signal.as_str().to_string());
                if ended.signal().is_some() {
                    let likely = "the signal's default action ended the program before it could leave";
                    finding.likely = Some(likely.to_string());
                }
                Stop::Finding(finding)
            }
            other => other,
        })?;
        let gone = || (bench.members("a", GROUP.into()) == 0).then_some(());
        bench.until("host a is no member any more", gone).because("the membership ends with the program")?;
    }
    Ok(())
}

/// Expects that the receiver, which has ended, left the group that it had joined, by a call of its own.
pub(super) fn has_left(bench: &Bench, receiver: &Process) -> Result<(), Stop> {
    let recording = bench.recording()?;
    left(&recording, receiver.who())
        .with(|unexplained| unexplained.sent(receiver.command()))
        .because("a program itself takes back what it asked the network for, before it closes the socket")
}

fn left(recording: &Recording, who: &str) -> Expected {
    // Its children and threads count as the program.
    let own = |event: &&Event| event.who == who || event.who.starts_with(&format!("{who}."));
    let leaves: Vec<&Event> =
        recording.events.iter().filter(own).filter(|event| matches!(event.act, Act::Leave { .. })).collect();
    let left = |joined: &Object| {
        leaves.iter().any(
            |event| matches!(&event.act, Act::Leave { object, .. } if event.outcome.ok() && object == joined),
        )
    };
    let mut joined = recording.events.iter().filter(own).filter(|event| event.outcome.ok()).filter_map(
        |event| match &event.act {
            Act::Join { object, .. } => Some(object),
            _ => None,
        },
    );
    let (expected, held) =
        ("a call that leaves the group, before the socket is closed", joined.find(|joined| !left(joined)));
    if held.is_none() {
        return Ok(());
    }
    let failed = leaves.iter().find_map(|event| match event.outcome {
        Outcome::Err(number) => Some(Errno::from_raw(number)),
        _ => None,
    });
    let observed = match failed {
        Some(error) => format!("the call that leaves failed with {error}"),
        None => {
            "none: the socket was closed while it was a member, and the system left in the program's place"
                .to_string()
        }
    };
    let likely = failed.map(|_| "to leave takes the same group and the same interface as to join did");
    ensure(false, expected, observed).with(|unexplained| match likely {
        Some(likely) => unexplained.likely(likely),
        None => unexplained,
    })
}

/// Starts a receiver of two datagrams and sends it the first: once its line has come, everything that the
/// program does before it waits has been done.
fn started_and_heard(bench: &mut Bench) -> Result<Process, Stop> {
    let word = bench.random().word(6);
    let mut receiver = start(bench, &["--count", "2"])?;
    sender(bench)?.send(to_group(), word.as_bytes())?;
    receiver
        .expect_line(&format!("Received: {word}"))
        .because("the receiver prints a line for each datagram of the group")?;
    Ok(receiver)
}
