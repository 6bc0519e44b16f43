//! Hosts with two links: which one a datagram leaves by, where a receiver joins, and how far a datagram goes.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::membership::has_left;
use super::{B, C, GROUP, NEAR_B, NEAR_C, NOBODY, PORT, REACHED, ends_well, start, to_group};
use crate::bench::{Bench, Ended, Membership, Process, Wire};
use crate::verdict::{Because, Stop, Unexplained, ensure};

pub fn sender_uses_the_interface(bench: &mut Bench) -> Result<(), Stop> {
    let (by_c, by_b) = (bench.random().word(8), bench.random().word(8));
    let (wire_b, wire_c) = (bench.wire("b", "eth0")?, bench.wire("c", "eth0")?);
    let because = "--interface names the link to send by, whatever the routing table would choose";
    for (interface, word) in [(NEAR_C, &by_c), (NEAR_B, &by_b)] {
        let interface = interface.to_string();
        let ended = bench.run("mcast-sender", &["--interface", &interface, "--message", word])?;
        ended.expect_status(0).because("a program that has finished its work ends with status 0")?;
        let (right, other) = if word == &by_c { (&wire_c, &wire_b) } else { (&wire_b, &wire_c) };
        let sent = |unexplained: Unexplained| unexplained.sent(ended.command.clone());
        other.expect_datagrams(bench, to_group(), &[]).with(sent).because(because)?;
        right.expect_datagrams(bench, to_group(), &[word.as_bytes()]).with(sent).because(because)?;
    }
    Ok(())
}

pub fn receiver_joins_on_the_interface(bench: &mut Bench) -> Result<(), Stop> {
    for (interface, name, host, address) in [(NEAR_C, "eth1", "c", C), (NEAR_B, "eth0", "b", B)] {
        let word = bench.random().word(8);
        let mut receiver = start(bench, &["--interface", &interface.to_string()])?;
        joined_only_on(bench, &receiver, GROUP.into(), name)?;
        let sender = bench.udp_peer_on(host, SocketAddr::from((address, 0)))?;
        sender.send(to_group(), word.as_bytes())?;
        receiver
            .expect_line(&format!("Received: {word}"))
            .because("the receiver gets what comes in by the link that it joined on")?;
        ends_well(&mut receiver)?;
    }
    Ok(())
}

/// Expects that host a is a member of the group on the interface of that name and on no other.
fn joined_only_on(bench: &Bench, receiver: &Process, group: IpAddr, name: &str) -> Result<(), Stop> {
    let memberships = bench.memberships("a", group)?;
    let right = memberships == [Membership { interface: name.to_string(), members: 1 }];
    let places: Vec<&str> = memberships.iter().map(|membership| membership.interface.as_str()).collect();
    bench
        .ensure(
            right,
            format!("member of {group} on {name} only"),
            format!("member on {}", places.join(", ")),
        )
        .with(|unexplained| unexplained.sent(receiver.command()))
        .because("--interface names the link to join on, whatever the routing table would choose")
}

pub fn foreign_interface_is_an_error(bench: &mut Bench) -> Result<(), Stop> {
    let (wire_b, wire_c) = (bench.wire("b", "eth0")?, bench.wire("c", "eth0")?);
    for program in ["mcast-sender", "mcast-receiver"] {
        let ended = bench.run(program, &["--interface", NOBODY])?;
        ended.expect_status(1).because("this host has no such address: a run-time failure, status 1")?;
        ended.expect_stdout("").because("diagnostics go to stderr")?;
        ended
            .expect_stderr_names(&[NOBODY])
            .because("whoever reads the message must learn which address is wrong")?;
    }
    for wire in [wire_b, wire_c] {
        wire.expect_datagrams(bench, to_group(), &[])
            .because("what cannot go by the wanted link is not sent")?;
    }
    Ok(())
}

pub fn ttl_is_as_told(bench: &mut Bench) -> Result<(), Stop> {
    let ttl = bench.random().range(2, 200) as u8;
    let text = ttl.to_string();
    let cases: [(&[&str], &[u8]); 3] =
        [(&[], &[1]), (&["--ttl", &text, "--count", "2"], &[ttl, ttl]), (&["--ttl", "255"], &[255])];
    for (arguments, expected) in cases {
        let wire = bench.wire("b", "eth0")?;
        let ended = bench.run("mcast-sender", arguments)?;
        ended.expect_status(0).because("a program that has finished its work ends with status 0")?;
        for expected in expected {
            ttl_is(&wire, &ended, *expected)?;
        }
    }
    Ok(())
}

/// Expects that the next datagram to the group has this TTL.
fn ttl_is(wire: &Wire, ended: &Ended, expected: u8) -> Result<(), Stop> {
    let observed = wire
        .next("the sender's datagram", |packet| packet.udp().filter(|datagram| datagram.to == to_group()))
        .with(|unexplained| unexplained.sent(ended.command.clone()))
        .because("the sender sends to the group")?;
    ensure(observed.ttl == expected, format!("TTL {expected}"), format!("TTL {}", observed.ttl))
        .with(|unexplained| {
            let unexplained = ended.explain(unexplained);
            // Nothing but this option leaves the system's own default in place.
            if observed.ttl == 1 {
                unexplained.likely(
                    "1 is the default: IP_MULTICAST_TTL is the option that counts for groups, not IP_TTL",
                )
            } else {
                unexplained
            }
        })
        .because("the TTL says how many routers may pass the datagram on, and 1, the default, means none")
}

pub fn own_host_gets_it_too(bench: &mut Bench) -> Result<(), Stop> {
    let words = [bench.random().word(8), bench.random().word(8)];
    let wire = bench.wire("b", "eth0")?;
    let member = bench.group_member("a", to_group(), GROUP, NEAR_B)?;
    let near = NEAR_B.to_string();
    let cases: [(&String, &[&str]); 2] =
        [(&words[0], &[]), (&words[1], &["--interface", &near, "--ttl", "0"])];
    for (word, options) in cases {
        let ended = bench.run("mcast-sender", &[&["--message", word], options].concat())?;
        member.expect(word.as_bytes()).with(|unexplained| unexplained.sent(ended.command.clone())).because(
            "IP_MULTICAST_LOOP stays on: receivers on the sender's own host are members like any other",
        )?;
        ended.expect_status(0).because("a program that has finished its work ends with status 0")?;
    }
    wire.expect_datagrams(bench, to_group(), &[words[0].as_bytes()])
        .with(|unexplained| unexplained.sent(format!("{:?}, and with --ttl 0 {:?}", words[0], words[1])))
        .because("a datagram with a TTL of 0 stays on the host")
}

pub fn sender_reaches_ipv6_groups(bench: &mut Bench) -> Result<(), Stop> {
    let (word, group) = (bench.random().word(8), group_v6(bench));
    let (wire_b, wire_c) = (bench.wire("b", "eth0")?, bench.wire("c", "eth0")?);
    let arguments = ["--group", &group.to_string(), "--interface", "eth1", "--message", &word];
    let ended = bench.run("mcast-sender", &arguments)?;
    ended.expect_status(0).because("an IPv6 group is a group, too")?;
    let to = SocketAddr::from((group, PORT));
    let observed = wire_c
        .next(&format!("a datagram to {to} on the link to host c"), |packet| {
            packet.udp().filter(|datagram| datagram.to == to)
        })
        .with(|unexplained| unexplained.sent(ended.command.clone()))
        .because("IPv6 names the interface to send by, and IPV6_MULTICAST_IF takes its number")?;
    bench
        .ensure(observed.payload == word.as_bytes(), format!("{word:?}"), observed.to_string())
        .because("the datagram is exactly the message")?;
    let strayed = wire_b.seen().iter().filter_map(|packet| packet.udp()).any(|datagram| datagram.to == to);
    bench
        .ensure(!strayed, "nothing on the link to host b", "the message, there too")
        .because("--interface names the link to send by")
}

pub fn receiver_joins_ipv6_groups(bench: &mut Bench) -> Result<(), Stop> {
    let (word, group) = (bench.random().word(8), group_v6(bench));
    let mut receiver =
        bench.start("mcast-receiver", &["--group", &group.to_string(), "--interface", "eth1"])?;
    bench.until_receiving(&mut receiver, group.into(), PORT, 1).because(REACHED)?;
    joined_only_on(bench, &receiver, group.into(), "eth1")?;
    let c = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 2);
    bench
        .udp_peer_on("c", SocketAddr::from((c, 0)))?
        .send(SocketAddr::from((group, PORT)), word.as_bytes())?;
    receiver
        .expect_line(&format!("Received: {word}"))
        .because("the receiver prints a line for each datagram of the group")?;
    ends_well(&mut receiver)?;
    has_left(bench, &receiver)
}

/// A group that lives for this test alone, within the site.
fn group_v6(bench: &mut Bench) -> Ipv6Addr {
    let mut part = || bench.random().range(1, 0xffff) as u16;
    Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, part(), part())
}
