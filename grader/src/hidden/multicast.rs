//! Robust and bonus checks of the lab `multicast`: two links, neighbours, signals, and all kinds of payloads.

mod conventions;
mod links;
mod membership;

use std::net::{Ipv4Addr, SocketAddr};

use crate::bench::{Bench, Process, UdpPeer};
use crate::check;
use crate::check::{Check, Network};
use crate::verdict::{Because, Stop};

/// The rubric, in teaching order.
pub const CHECKS: &[Check] = &[
    check!(
        conventions::malformed_options_are_refused,
        "multicast.0",
        Robust,
        2,
        ["mcast-sender", "mcast-receiver"],
        "Are malformed options refused, with status 2, before anything is done?"
    )
    .network(Network::Pair)
    .handout("The contract"),
    check!(
        conventions::failed_send_is_an_error,
        "multicast.0",
        Robust,
        1,
        ["mcast-sender"],
        "Does the sender say so when the system refuses to send?"
    )
    .after("sender_sends_the_message")
    .handout("The contract"),
    check!(
        conventions::each_line_is_out_at_once,
        "multicast.0",
        Robust,
        2,
        ["mcast-receiver"],
        "Is each line out when its datagram comes, also into a file?"
    )
    .network(Network::Pair)
    .after("receiver_prints_the_datagram")
    .handout("The contract"),
    check!(
        conventions::full_disk_is_an_error,
        "multicast.0",
        Robust,
        1,
        ["mcast-receiver"],
        "Does the receiver say so when its line cannot be written?"
    )
    .network(Network::Pair)
    .after("receiver_prints_the_datagram")
    .handout("The contract"),
    check!(
        conventions::harmless_signals_do_not_end_the_wait,
        "multicast.0",
        Robust,
        1,
        ["mcast-receiver"],
        "Does the receiver wait on when signals come that mean nothing to it?"
    )
    .network(Network::Pair)
    .after("receiver_prints_the_datagram")
    .handout("The contract"),
    check!(
        links::sender_uses_the_interface,
        "multicast.5",
        Robust,
        5,
        ["mcast-sender"],
        "On a host with two links, does the sender send by the one that --interface names?"
    )
    .network(Network::Fork)
    .after("sender_sends_the_message")
    .handout("Which interface"),
    check!(
        links::receiver_joins_on_the_interface,
        "multicast.5",
        Robust,
        5,
        ["mcast-receiver"],
        "On a host with two links, does the receiver join on the one that --interface names?"
    )
    .network(Network::Fork)
    .after("receiver_prints_the_datagram")
    .handout("Which interface"),
    check!(
        links::foreign_interface_is_an_error,
        "multicast.5",
        Robust,
        2,
        ["mcast-sender", "mcast-receiver"],
        "Is an --interface that this host does not have a failure, with status 1?"
    )
    .network(Network::Fork)
    .handout("Which interface"),
    check!(
        membership::only_class_d_is_a_group,
        "multicast.6",
        Robust,
        4,
        ["mcast-sender", "mcast-receiver"],
        "Are addresses outside 224.0.0.0 to 239.255.255.255 refused as groups, and those at the edges taken?"
    )
    .network(Network::Pair)
    .after("sender_does_as_told")
    .handout("What a group is"),
    check!(
        membership::other_groups_are_not_received,
        "multicast.7",
        Robust,
        4,
        ["mcast-receiver"],
        "Does the receiver pass over another group that a neighbour has joined on the same port?"
    )
    .network(Network::Pair)
    .after("receiver_prints_the_datagram")
    .handout("Binding and joining are two different things"),
    check!(
        membership::unicast_is_not_received,
        "multicast.7",
        Robust,
        4,
        ["mcast-receiver"],
        "Does the receiver pass over unicast to its port?"
    )
    .network(Network::Pair)
    .after("receiver_prints_the_datagram")
    .handout("Binding and joining are two different things"),
    check!(
        membership::leaves_before_it_closes,
        "multicast.8",
        Robust,
        4,
        ["mcast-receiver"],
        "Does the receiver itself leave the group, on the link where it joined, when --count datagrams have come?"
    )
    .network(Network::Fork)
    .recorder()
    .after("receiver_prints_the_datagram")
    .mistakes(&["membership-left-to-the-kernel"])
    .handout("Leaving"),
    check!(
        membership::leaves_when_it_is_told_to_end,
        "multicast.8",
        Robust,
        4,
        ["mcast-receiver"],
        "Does the receiver leave the group, and then end, on SIGTERM and on SIGINT?"
    )
    .network(Network::Pair)
    .recorder()
    .after("receiver_prints_the_datagram")
    .handout("Leaving"),
    check!(
        links::ttl_is_as_told,
        "multicast.9",
        Robust,
        3,
        ["mcast-sender"],
        "Is the TTL on the wire 1, or what --ttl says, of every datagram?"
    )
    .network(Network::Pair)
    .after("sender_sends_the_message")
    .handout("How far: the TTL"),
    check!(
        links::own_host_gets_it_too,
        "multicast.9",
        Robust,
        2,
        ["mcast-sender"],
        "Does a member on the sender's own host get the message, also with a TTL of 0?"
    )
    .network(Network::Pair)
    .after("sender_sends_the_message")
    .handout("How far: the TTL"),
    check!(
        conventions::payloads_are_whole,
        "multicast.10",
        Robust,
        3,
        ["mcast-sender", "mcast-receiver"],
        "Do empty datagrams and those of 1472 bytes get through unchanged?"
    )
    .network(Network::Pair)
    .after("receiver_prints_the_datagram")
    .handout("The contract"),
    check!(
        conventions::nothing_stale_is_printed,
        "multicast.10",
        Robust,
        2,
        ["mcast-receiver"],
        "Does a short datagram after a long one show nothing of the long one?"
    )
    .network(Network::Pair)
    .after("receiver_prints_the_datagram")
    .handout("The contract"),
    check!(
        conventions::bytes_that_are_no_text_do_no_harm,
        "multicast.10",
        Robust,
        1,
        ["mcast-receiver"],
        "Does the receiver survive bytes that are no text?"
    )
    .network(Network::Pair)
    .after("receiver_prints_the_datagram")
    .handout("The contract"),
    check!(
        links::sender_reaches_ipv6_groups,
        "multicast.11",
        Bonus,
        5,
        ["mcast-sender"],
        "Does the sender reach an IPv6 group by the interface of that name?"
    )
    .network(Network::ForkV6)
    .handout("The contract"),
    check!(
        links::receiver_joins_ipv6_groups,
        "multicast.11",
        Bonus,
        5,
        ["mcast-receiver"],
        "Does the receiver join an IPv6 group on the interface of that name, and leave it?"
    )
    .network(Network::ForkV6)
    .recorder()
    .handout("The contract"),
];

const GROUP: Ipv4Addr = Ipv4Addr::new(226, 1, 1, 1);

const PORT: u16 = 5000;
/// Why a receiver must be bound and a member.
const REACHED: &str = "a receiver binds the group's port and joins the group: else nothing of it arrives";

/// Host a's addresses on its links to b and c, and theirs.
const NEAR_B: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

const B: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

const NEAR_C: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 129);

const C: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 130);

/// An address that no host of a bench has.
const NOBODY: &str = "198.51.100.7";

fn to_group() -> SocketAddr {
    SocketAddr::from((GROUP, PORT))
}

/// Starts a receiver of the usual group and waits until what is sent to the group reaches it.
fn start(bench: &Bench, arguments: &[&str]) -> Result<Process, Stop> {
    let mut receiver = bench.start("mcast-receiver", arguments)?;
    bench.until_receiving(&mut receiver, GROUP.into(), PORT, 1).because(REACHED)?;
    Ok(receiver)
}

/// A sender on host b.
fn sender(bench: &Bench) -> Result<UdpPeer, Stop> {
    bench.udp_peer_on("b", SocketAddr::from((B, 0)))
}

fn ends_well(receiver: &mut Process) -> Result<(), Stop> {
    let ended = receiver.end().because("after --count datagrams the receiver has finished")?;
    ended.expect_status(0).because("a program that has finished its work ends with status 0")
}
