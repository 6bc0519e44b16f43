//! Robust checks of the lab `raw`: all sizes and sums, answers that are not for the program, silence, no privilege.

mod answers;
mod sums;

use std::net::{Ipv4Addr, SocketAddr};

use crate::bench::{Bench, Stdout};
use crate::check;
use crate::check::{Check, Network};
use crate::verdict::{Because, Stop, ensure};

/// The rubric, in teaching order.
pub const CHECKS: &[Check] = &[
    check!(
        malformed_arguments_are_refused,
        "raw.0",
        Robust,
        2,
        ["raw-ping", "raw-udp"],
        "Are malformed arguments refused, with status 2, before anything is done, and hosts without IPv4 with 1?"
    )
    .network(Network::Pair)
    .net_raw()
    .handout("The contract"),
    check!(
        hosts_have_names,
        "raw.0",
        Robust,
        1,
        ["raw-ping", "raw-udp"],
        "May the host be a name, and is an unknown one reported with status 1?"
    )
    .net_raw()
    .after("answer_is_printed")
    .handout("The contract"),
    check!(
        full_disk_is_an_error,
        "raw.0",
        Robust,
        1,
        ["raw-ping"],
        "Does raw-ping say so when its line cannot be written?"
    )
    .network(Network::Pair)
    .net_raw()
    .after("answer_is_printed")
    .handout("The contract"),
    check!(
        answers::signals_do_not_end_the_wait,
        "raw.0",
        Robust,
        1,
        ["raw-ping"],
        "Does raw-ping wait on when signals come that mean nothing to it?"
    )
    .network(Network::Pair)
    .net_raw()
    .recorder()
    .after("answer_is_printed")
    .handout("Which answer is mine?"),
    check!(
        sums::all_sizes_are_right,
        "raw.3",
        Robust,
        5,
        ["raw-ping"],
        "Are requests of all sizes right, odd ones and empty ones, too?"
    )
    .network(Network::Pair)
    .net_raw()
    .after("answer_is_printed")
    .handout("The Internet checksum (RFC 1071)"),
    check!(
        sums::carries_are_added,
        "raw.3",
        Robust,
        6,
        ["raw-ping"],
        "Is the checksum right when the sum carries, and carries again?"
    )
    .network(Network::Pair)
    .net_raw()
    .after("answer_is_printed")
    .handout("The Internet checksum (RFC 1071)"),
    check!(
        sums::zero_is_sent_as_ffff,
        "raw.3",
        Robust,
        5,
        ["raw-udp"],
        "Is a UDP checksum that comes out as 0 sent as ffff?"
    )
    .network(Network::Pair)
    .net_raw()
    .after("server_gets_what_is_told")
    .handout("The Internet checksum (RFC 1071)"),
    check!(
        sums::any_value_adds_up,
        "raw.3",
        Robust,
        4,
        ["raw-udp"],
        "Is the UDP checksum right for all values, also where the sum carries twice?"
    )
    .network(Network::Pair)
    .net_raw()
    .after("server_gets_what_is_told")
    .handout("The Internet checksum (RFC 1071)"),
    check!(
        answers::own_request_is_no_answer,
        "raw.4",
        Robust,
        4,
        ["raw-ping"],
        "Is what is no echo reply passed over: its own request on loopback, and messages of other types?"
    )
    .long()
    .network(Network::Pair)
    .net_raw()
    .after("answer_is_printed")
    .handout("Which answer is mine?"),
    check!(
        answers::other_identifier_is_no_answer,
        "raw.4",
        Robust,
        3,
        ["raw-ping"],
        "Is a reply with another identifier passed over?"
    )
    .long()
    .network(Network::Pair)
    .net_raw()
    .after("answer_is_printed")
    .handout("Which answer is mine?"),
    check!(
        answers::other_sequence_is_no_answer,
        "raw.4",
        Robust,
        3,
        ["raw-ping"],
        "Is a reply with another sequence number passed over, such as a late one to the request before?"
    )
    .long()
    .network(Network::Pair)
    .net_raw()
    .after("requests_are_numbered")
    .handout("Which answer is mine?"),
    check!(
        answers::other_host_is_no_answer,
        "raw.4",
        Robust,
        3,
        ["raw-ping"],
        "Is a reply that comes from another host passed over?"
    )
    .long()
    .network(Network::Pair)
    .net_raw()
    .after("answer_is_printed")
    .handout("Which answer is mine?"),
    check!(
        answers::options_are_skipped,
        "raw.4",
        Robust,
        4,
        ["raw-ping"],
        "Is a reply with IP options in front of it read right?"
    )
    .network(Network::Pair)
    .net_raw()
    .after("requests_are_numbered")
    .handout("Which answer is mine?"),
    check!(
        answers::silence_is_timed,
        "raw.5",
        Robust,
        4,
        ["raw-ping"],
        "After the timeout without an answer, does the program go on, and end with status 1 whatever comes later?"
    )
    .long()
    .network(Network::Pair)
    .net_raw()
    .after("requests_are_numbered")
    .handout("Which answer is mine?"),
    check!(
        answers::junk_does_not_prolong_the_wait,
        "raw.5",
        Robust,
        2,
        ["raw-ping"],
        "Is the timeout kept, also when packets for others keep coming?"
    )
    .long()
    .network(Network::Pair)
    .net_raw()
    .after("answer_is_printed")
    .handout("Which answer is mine?"),
    check!(
        privilege_is_named,
        "raw.5",
        Robust,
        2,
        ["raw-ping", "raw-udp"],
        "Without the privilege, does the program say that CAP_NET_RAW is missing?"
    )
    .handout("What a raw socket is"),
];

fn malformed_arguments_are_refused(bench: &mut Bench) -> Result<(), Stop> {
    let ping: [&[&str]; 11] = [
        &[],
        &["192.0.2.2", "192.0.2.2"],
        &["192.0.2.2", "--bogus", "1"],
        &["192.0.2.2", "--count", "0"],
        &["192.0.2.2", "--count"],
        &["192.0.2.2", "--timeout-ms", "0"],
        &["192.0.2.2", "--size", "1473"],
        &["192.0.2.2", "--fill", "f"],
        &["192.0.2.2", "--fill", "xy"],
        &["192.0.2.2", "--fill", "-1"],
        &["192.0.2.2", "--fill", "fff"],
    ];
    bench.refuses_each("raw-ping", &ping)?;
    let udp: [&[&str]; 7] = [
        &[],
        &["192.0.2.2", "word"],
        &["192.0.2.2", "--value", "32768"],
        &["192.0.2.2", "--value", "-32769"],
        &["192.0.2.2", "--port", "0"],
        &["192.0.2.2", "--port", "65536"],
        &["192.0.2.2", "--source-port", "65536"],
    ];
    bench.refuses_each("raw-udp", &udp)?;
    for program in ["raw-ping", "raw-udp"] {
        let ended = bench.run(program, &["::1"])?;
        ended
            .expect_status(1)
            .because("::1 is well-formed, but the lab speaks IPv4 only: a run-time failure")?;
        ended.expect_stdout("").because("diagnostics go to stderr")?;
        ended.expect_stderr_names(&["::1"]).because("a message names the host that it is about")?;
    }
    Ok(())
}

fn hosts_have_names(bench: &mut Bench) -> Result<(), Stop> {
    const NAMED: &str = "HOST may be a name, of which the IPv4 address counts";
    let ended = bench.run("raw-ping", &["localhost"])?;
    ended.expect_stdout("Reply from 127.0.0.1: seq=1\n").because(NAMED)?;
    ended.expect_status(0).because("every request was answered: status 0")?;
    let server = bench.udp_peer_on("a", SocketAddr::from((Ipv4Addr::LOCALHOST, 5000)))?;
    let ended = bench.run("raw-udp", &["localhost"])?;
    let from = server.expect(&[0, 1]).with(|unexplained| ended.explain(unexplained)).because(NAMED)?;
    ensure(from.ip() == Ipv4Addr::LOCALHOST, "from 127.0.0.1", format!("from {}", from.ip()))
        .with(|unexplained| ended.explain(unexplained))
        .because("the source address is the one that the routing table chooses: for loopback, loopback's")?;
    ended.expect_status(0).because("a program that has finished its work ends with status 0")?;
    let unknown = format!("{}.invalid", bench.random().word(8));
    for program in ["raw-ping", "raw-udp"] {
        let ended = bench.run(program, &[&unknown])?;
        ended.expect_status(1).because("a name that nobody knows is a run-time failure")?;
        ended.expect_stdout("").because("diagnostics go to stderr")?;
        ended.expect_stderr_names(&[&unknown]).because("a message names the host that it is about")?;
    }
    Ok(())
}

fn full_disk_is_an_error(bench: &mut Bench) -> Result<(), Stop> {
    let mut ping = bench.program("raw-ping").arguments(&["192.0.2.2"]).stdout(Stdout::Full).start()?;
    let ended = ping.end().because("a program that has finished its work ends by itself")?;
    ended
        .expect_status(1)
        .with(|unexplained| unexplained.note("stdout was a full disk: every write to it fails"))
        .because("a line that was not written was not printed, and that is a failure: status 1")
}

fn privilege_is_named(bench: &mut Bench) -> Result<(), Stop> {
    for program in ["raw-ping", "raw-udp"] {
        let ended = bench.run(program, &["127.0.0.1"])?;
        ended.expect_status(1).because("no raw socket without the privilege: a run-time failure")?;
        ended.expect_stdout("").because("diagnostics go to stderr")?;
        ended
            .expect_stderr_names(&["CAP_NET_RAW"])
            .because("whoever reads the message must learn which privilege is missing")?;
    }
    Ok(())
}
