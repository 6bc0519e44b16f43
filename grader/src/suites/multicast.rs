//! Core checks of the lab `multicast`: what the course's own programs do.
//!
//! The programs run on host a, which is linked to others: on loopback alone a good part of what goes wrong with
//! multicast does not show.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::bench::{Bench, Process, UdpPeer};
use crate::check;
use crate::check::{Network, Suite};
use crate::verdict::{Because, Stop};

/// The rubric, in teaching order.
pub const SUITE: Suite = Suite {
    lab: "multicast",
    programs: &["mcast-sender", "mcast-receiver"],
    checks: &[
        check!(
            sender_sends_the_message,
            "multicast.1",
            Core,
            12,
            ["mcast-sender"],
            "Does the sender send one datagram, exactly the message, to 226.1.1.1 port 5000?"
        )
        .plain()
        .network(Network::Pair)
        .handout("What a group is"),
        check!(
            sender_does_as_told,
            "multicast.1",
            Core,
            6,
            ["mcast-sender"],
            "Do the options choose group, port, message and the number of datagrams?"
        )
        .network(Network::Pair)
        .after("sender_sends_the_message")
        .handout("The contract"),
        check!(
            receiver_prints_the_datagram,
            "multicast.2",
            Core,
            8,
            ["mcast-receiver"],
            "Does the receiver join the group, print what comes, and end, no member any more?"
        )
        .plain()
        .network(Network::Pair)
        .handout("Binding and joining are two different things"),
        check!(
            receiver_does_as_told,
            "multicast.2",
            Core,
            4,
            ["mcast-receiver"],
            "Do the options choose group, port and the number of datagrams?"
        )
        .network(Network::Pair)
        .after("receiver_prints_the_datagram")
        .handout("The contract"),
        check!(
            two_receivers_get_the_datagram,
            "multicast.3",
            Core,
            8,
            ["mcast-receiver"],
            "Do two receivers on one host both get the datagram?"
        )
        .plain()
        .network(Network::Pair)
        .after("receiver_prints_the_datagram")
        .handout("Several receivers on one host"),
        check!(
            neighbour_sets_only_reuseaddr,
            "multicast.3",
            Core,
            4,
            ["mcast-receiver"],
            "Does the receiver share the port with a neighbour that sets only SO_REUSEADDR?"
        )
        .plain()
        .network(Network::Pair)
        .after("receiver_prints_the_datagram")
        .handout("Several receivers on one host"),
        check!(
            joins_by_itself,
            "multicast.4",
            Core,
            8,
            ["mcast-receiver"],
            "Is the receiver a member by its own request, when another program has joined already?"
        )
        .plain()
        .network(Network::Pair)
        .handout("Binding and joining are two different things"),
    ],
};

const GROUP: Ipv4Addr = Ipv4Addr::new(226, 1, 1, 1);
const PORT: u16 = 5000;
/// Host a's address on the link to b, and b's.
const NEAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// Why a receiver must be bound and a member.
const REACHED: &str = "a receiver binds the group's port and joins the group: else nothing of it arrives";
/// Why it must be so beside another one.
const SHARED: &str =
    "receivers on one host share the port by SO_REUSEADDR, which each of them sets before bind";

fn sender_sends_the_message(bench: &mut Bench) -> Result<(), Stop> {
    let wire = bench.wire("b", "eth0")?;
    let ended = bench.run("mcast-sender", &[])?;
    wire.expect_datagrams(bench, SocketAddr::from((GROUP, PORT)), &[b"Hello!"])
        .because("one datagram to the group is enough: the network makes the copies")?;
    ended.expect_status(0).because("a program that has finished its work ends with status 0")?;
    ended.expect_stdout("").because("the sender prints nothing")
}

fn sender_does_as_told(bench: &mut Bench) -> Result<(), Stop> {
    let random = bench.random();
    let group = Ipv4Addr::new(239, random.range(1, 99) as u8, random.range(100, 199) as u8, 225);
    let port = random.range(20_000, 29_999) as u16;
    let message = format!("{} {}", random.word(4), random.word(7));
    let wire = bench.wire("b", "eth0")?;
    let (group_text, port_text) = (group.to_string(), port.to_string());
    let arguments = ["--group", &group_text, "--port", &port_text, "--message", &message, "--count", "3"];
    let ended = bench.run("mcast-sender", &arguments)?;
    wire.expect_datagrams(bench, SocketAddr::from((group, port)), &[message.as_bytes(); 3])
        .with(|unexplained| unexplained.sent(ended.command.clone()))
        .because("the options say what goes where, and how often")?;
    ended.expect_status(0).because("a program that has finished its work ends with status 0")
}

fn receiver_prints_the_datagram(bench: &mut Bench) -> Result<(), Stop> {
    let word = bench.random().word(9);
    let mut receiver = start(bench, 1, REACHED)?;
    tell(&sender(bench)?, &word)?;
    expect_word(&mut receiver, &word)?;
    bench
        .until("host a is no member any more", || (bench.members("a", IpAddr::V4(GROUP)) == 0).then_some(()))
        .because("the membership ends with the program")
}

fn receiver_does_as_told(bench: &mut Bench) -> Result<(), Stop> {
    let random = bench.random();
    let group = Ipv4Addr::new(239, random.range(1, 99) as u8, random.range(100, 199) as u8, 225);
    let port = random.range(20_000, 29_999) as u16;
    let words = [random.word(8), random.word(8)];
    let arguments = ["--group", &group.to_string(), "--port", &port.to_string(), "--count", "2"];
    let mut receiver = bench.start("mcast-receiver", &arguments)?;
    bench.until_receiving(&mut receiver, group.into(), port, 1).because(REACHED)?;
    let sender = sender(bench)?;
    for word in &words {
        sender.send(SocketAddr::from((group, port)), word.as_bytes())?;
    }
    for word in &words {
        receiver
            .expect_line(&format!("Received: {word}"))
            .with(|unexplained| {
                unexplained.sent(format!("{:?} and {:?} to {group}:{port}", words[0], words[1]))
            })
            .because("the options say of which group, and on which port")?;
    }
    let ended = receiver.end().because("--count says how many datagrams to wait for")?;
    ended.expect_status(0).because("a program that has finished its work ends with status 0")
}

fn two_receivers_get_the_datagram(bench: &mut Bench) -> Result<(), Stop> {
    let word = bench.random().word(9);
    let mut first = start(bench, 1, REACHED)?;
    let mut second = start(bench, 2, SHARED)?;
    tell(&sender(bench)?, &word)?;
    expect_word(&mut first, &word)?;
    expect_word(&mut second, &word)
}

fn neighbour_sets_only_reuseaddr(bench: &mut Bench) -> Result<(), Stop> {
    let word = bench.random().word(9);
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
    let neighbour = bench.group_member("a", any, GROUP, NEAR)?;
    let mut receiver = start(bench, 2, SHARED)?;
    tell(&sender(bench)?, &word)?;
    expect_word(&mut receiver, &word)?;
    neighbour.expect(word.as_bytes()).because("every member of the group on this port gets the datagram")?;
    Ok(())
}

fn joins_by_itself(bench: &mut Bench) -> Result<(), Stop> {
    let word = bench.random().word(9);
    // It listens on another port: it only makes the host a member, as any program on the host may.
    let elsewhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT + 1));
    let neighbour = bench.group_member("a", elsewhere, GROUP, NEAR)?;
    let because = "each program joins by itself: what a neighbour joined ends with the neighbour";
    let mut receiver = start(bench, 2, because)?;
    drop(neighbour);
    bench
        .until("the neighbour has left", || (bench.members("a", IpAddr::V4(GROUP)) <= 1).then_some(()))
        .because("the neighbour's membership ends with its socket")?;
    tell(&sender(bench)?, &word)?;
    expect_word(&mut receiver, &word)
}

/// Starts a receiver that is then the `number`th member of the group.
fn start(bench: &Bench, number: u32, because: &str) -> Result<Process, Stop> {
    let mut receiver = bench.start("mcast-receiver", &[])?;
    bench.until_receiving(&mut receiver, GROUP.into(), PORT, number).because(because)?;
    Ok(receiver)
}

/// A sender on host b.
fn sender(bench: &Bench) -> Result<UdpPeer, Stop> {
    bench.udp_peer_on("b", SocketAddr::from((FAR, 0)))
}

fn tell(sender: &UdpPeer, word: &str) -> Result<(), Stop> {
    Ok(sender.send(SocketAddr::from((GROUP, PORT)), word.as_bytes())?)
}

/// Expects that the receiver prints this word alone, and ends.
fn expect_word(receiver: &mut Process, word: &str) -> Result<(), Stop> {
    let sent = format!("{word:?} to {GROUP}:{PORT}");
    let line = format!("Received: {word}");
    let bound = receiver.bound().ip();
    let elsewhere = !bound.is_unspecified() && bound != IpAddr::V4(GROUP);
    let bound_elsewhere =
        elsewhere.then(|| format!("the socket is bound to {bound}, but the datagrams go to {GROUP}"));
    receiver
        .expect_line(&line)
        .with(|unexplained| match bound_elsewhere {
            Some(likely) => unexplained.sent(sent).likely(likely),
            None => unexplained.sent(sent),
        })
        .because("the receiver prints a line for each datagram of the group")?;
    let ended = receiver.end().because("after one datagram the receiver has finished")?;
    ended.expect_status(0).because("a program that has finished its work ends with status 0")?;
    ended.expect_stdout(format!("{line}\n")).because("stdout carries only the lines named in the handout")
}
