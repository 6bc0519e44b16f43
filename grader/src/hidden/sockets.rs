//! Robust and bonus checks of the lab `sockets`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::bench::{Bench, Stdout};
use crate::check;
use crate::check::Check;
use crate::recording::{Act, Event, Outcome, Recording};
use crate::suites::sockets::{expect_bound, kinds, table, try_socket};
use crate::verdict::{Because, Expected, Stop, Unexplained, ensure};

/// The rubric, in teaching order.
pub const CHECKS: &[Check] = &[
    check!(
        sockets_refuse_malformed_arguments,
        "sockets.0",
        Robust,
        3,
        ["socket-table", "bind-name"],
        "Are malformed arguments refused, with a usage line and status 2?"
    )
    .handout("The contract"),
    check!(
        sockets_report_a_full_disk,
        "sockets.0",
        Robust,
        2,
        ["socket-table", "bind-name"],
        "Is a write error on stdout a failure?"
    )
    .handout("The contract"),
    check!(
        table_closes_every_socket,
        "sockets.4",
        Robust,
        8,
        ["socket-table"],
        "Is every socket of the table really asked for, and closed by the program?"
    )
    .recorder()
    .handout("Creating a socket"),
    check!(
        table_takes_no_error_for_a_descriptor,
        "sockets.4",
        Robust,
        3,
        ["socket-table"],
        "Is an error never used as if it were a descriptor?"
    )
    .recorder()
    .handout("Creating a socket"),
    check!(
        says_that_a_port_is_in_use,
        "sockets.5",
        Robust,
        4,
        ["bind-name"],
        "Is a port in use reported with address and status 1?"
    )
    .handout("Names"),
    check!(
        says_that_a_port_is_privileged,
        "sockets.5",
        Robust,
        3,
        ["bind-name"],
        "Is a privileged port reported with address and status 1?"
    )
    .handout("Names"),
    check!(
        says_that_a_name_is_unknown,
        "sockets.5",
        Robust,
        3,
        ["bind-name"],
        "Is an unknown name reported with status 1?"
    )
    .handout("Names"),
    check!(
        says_that_an_address_is_not_ours,
        "sockets.5",
        Robust,
        3,
        ["bind-name"],
        "Is an address that this host does not have reported with status 1?"
    )
    .handout("Names"),
    check!(
        table_shows_the_privilege,
        "sockets.6",
        Robust,
        3,
        ["socket-table"],
        "Are the raw rows ok with CAP_NET_RAW?"
    )
    .net_raw()
    .handout("Creating a socket"),
    check!(
        table_shows_the_lack_of_privilege,
        "sockets.6",
        Robust,
        3,
        ["socket-table"],
        "Are the raw rows EPERM without CAP_NET_RAW?"
    )
    .handout("Creating a socket"),
    check!(
        binds_ipv6_addresses,
        "sockets.7",
        Bonus,
        10,
        ["bind-name"],
        "Are IPv6 addresses and names bound, and printed in brackets?"
    )
    .recorder()
    .handout("Names"),
];

fn sockets_refuse_malformed_arguments(bench: &mut Bench) -> Result<(), Stop> {
    bench.refuses_each("socket-table", &[&["more"], &["--verbose"], &["AF_INET", "SOCK_STREAM"]])?;
    let malformed: [&[&str]; 6] = [
        &["127.0.0.1", "65536"],
        &["127.0.0.1", "-1"],
        &["127.0.0.1", "5000x"],
        &["127.0.0.1", ""],
        &["127.0.0.1", "5000", "more"],
        &["--port", "5000"],
    ];
    bench.refuses_each("bind-name", &malformed)?;
    const TAKEN: &str = "what is not malformed is taken";
    bench.run("bind-name", &["127.0.0.1", "65535"])?.expect_stdout("127.0.0.1:65535\n").because(TAKEN)?;
    table(bench).map(drop)
}

fn sockets_report_a_full_disk(bench: &mut Bench) -> Result<(), Stop> {
    const FULL: &str = "what could not be written was not said: a full disk is a failure, and no panic";
    for (program, arguments) in [("socket-table", &[][..]), ("bind-name", &["127.0.0.1", "0"])] {
        let start = bench.program(program).arguments(arguments).stdout(Stdout::Full);
        let ended = start.start()?.end().because("a program that has finished its work ends by itself")?;
        ensure(
            ended.code().is_some_and(|code| code != 0 && code != 101),
            "a status other than 0, without a panic",
            crate::bench::describe(&ended.report),
        )
        .with(|unexplained| ended.explain(unexplained))
        .because(FULL)?;
    }
    // A program that fails whatever it writes to has reported nothing.
    bench
        .run("bind-name", &["127.0.0.1", "65535"])?
        .expect_stdout("127.0.0.1:65535\n")
        .because("with room on stdout the program prints the name")?;
    table(bench).map(drop)
}

fn table_closes_every_socket(bench: &mut Bench) -> Result<(), Stop> {
    const CLOSES: &str = "a descriptor that is not closed is lost until the program ends: servers do not end";
    let (ended, _) = table(bench)?;
    let recording = bench.recording()?;
    each_kind_was_asked_for(&recording)
        .with(|unexplained| ended.explain(unexplained))
        .because("each line is the system's answer to a request, which must have been made")?;
    let mut open: Vec<(u64, String)> = Vec::new();
    let mut created = 0;
    for event in recording.events.iter().filter(|event| event.outcome.ok()) {
        match (&event.act, event.fd) {
            (Act::Open { object, family, kind, .. }, _) => {
                created += 1;
                open.push((event.seq, format!("{object:?}")));
                let kinds = kinds().find(|(_, domain, ty)| (*domain, *ty) == (*family, kind & 0xf));
                if let (Some((name, _, _)), Some(last)) = (kinds, open.last_mut()) {
                    last.1 = format!("{object:?}\n{name}");
                }
            }
            (Act::Close { object, .. }, _) => {
                let object = format!("{object:?}");
                if let Some(at) = open.iter().position(|(_, known)| known.split('\n').next() == Some(&object))
                {
                    open.remove(at);
                }
            }
            _ => {}
        }
    }
    let left: Vec<&str> = open.iter().filter_map(|(_, known)| known.split('\n').nth(1)).collect();
    ensure(
        left.is_empty(),
        format!("all {created} sockets closed by the program before it ends"),
        format!("left open: {}", left.join(", ")),
    )
    .with(|unexplained| ended.explain(unexplained))
    .because(CLOSES)
}

/// Expects that each kind of socket was asked for, and raw ones with the protocol that the contract names.
fn each_kind_was_asked_for(recording: &Recording) -> Expected {
    let asked = |family: i32, kind: i32| {
        let of_kind = move |event: &&Event| matches!(&event.act, Act::Open { family: f, kind: k, .. } if *f == family && k & 0xf == kind);
        recording.events.iter().filter(of_kind).filter_map(|event| match &event.act {
            Act::Open { protocol, .. } => Some(*protocol),
            _ => None,
        })
    };
    for (name, domain, ty) in kinds() {
        ensure(asked(domain, ty).next().is_some(), format!("a call that asks for {name}"), "none")?;
        let wanted = match (domain, ty) {
            (libc::AF_INET, libc::SOCK_RAW) => ("IPPROTO_ICMP", libc::IPPROTO_ICMP),
            (libc::AF_INET6, libc::SOCK_RAW) => ("IPPROTO_ICMPV6", libc::IPPROTO_ICMPV6),
            _ => continue,
        };
        let protocols: Vec<String> = asked(domain, ty).map(|protocol| protocol.to_string()).collect();
        ensure(
            asked(domain, ty).any(|protocol| protocol == wanted.1),
            format!("{name} asked for with protocol {} ({})", wanted.1, wanted.0),
            format!("with protocol {}", protocols.join(", ")),
        )?;
    }
    Ok(())
}

fn table_takes_no_error_for_a_descriptor(bench: &mut Bench) -> Result<(), Stop> {
    let (ended, _) = table(bench)?;
    let recording = bench.recording()?;
    let misused = recording.of("socket-table").find(|event| {
        event.outcome == Outcome::Err(libc::EBADF)
            || event.fd.is_some_and(|fd| fd < 0 && is_of_a_descriptor(&event.act))
    });
    let Some(misused) = misused else { return Ok(()) };
    let number = misused.fd.map_or(String::new(), |fd| format!(" of descriptor {fd}"));
    let observed = format!("{}{number}, which fails with EBADF", misused.call);
    Err(ended.explain(Unexplained::new("only descriptors that the system gave are used", observed)))
        .because("the -1 of a failed call is an error, and no descriptor: there is nothing to close")
}

fn is_of_a_descriptor(act: &Act) -> bool {
    matches!(act, Act::Close { .. } | Act::Bind { .. } | Act::SetOption { .. })
}

/// Expects that `bind-name` fails with these arguments and names these words.
fn expect_refusal(bench: &Bench, arguments: &[&str], words: &[&str]) -> Result<(), Stop> {
    const SAYS: &str =
        "a failure names the operation, the address (or the name) and the port, and the reason: status 1";
    let ended = bench.run("bind-name", arguments)?;
    ended.expect_status(1).because(SAYS)?;
    ended.expect_stdout("").because("a name is printed only where a socket has it")?;
    ended.expect_stderr_names(words).because(SAYS)
}

fn says_that_a_port_is_in_use(bench: &mut Bench) -> Result<(), Stop> {
    let port = bench.random().range(20_000, 30_000) as u16;
    let _occupant = bench.tcp_listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    let port = port.to_string();
    expect_refusal(bench, &["127.0.0.1", &port], &["127.0.0.1", &port])?;
    // Any interface includes the occupied one.
    expect_refusal(bench, &["", &port], &[&port])
}

fn says_that_a_port_is_privileged(bench: &mut Bench) -> Result<(), Stop> {
    let port = bench.random().range(600, 1000);
    bench.needs_privileged_port(port)?;
    let port = port.to_string();
    expect_refusal(bench, &["127.0.0.1", &port], &["127.0.0.1", &port])
}

fn says_that_a_name_is_unknown(bench: &mut Bench) -> Result<(), Stop> {
    let name = format!("{}.invalid", bench.random().word(8));
    expect_refusal(bench, &[&name, "5000"], &[&name])
}

fn says_that_an_address_is_not_ours(bench: &mut Bench) -> Result<(), Stop> {
    expect_refusal(bench, &["192.0.2.77", "5000"], &["192.0.2.77", "5000"])
}

/// The answers of the two raw internet rows.
fn raw_rows(bench: &Bench) -> Result<Vec<(String, String)>, Stop> {
    let (_, answers) = table(bench)?;
    let rows = kinds().zip(answers).filter(|((_, domain, ty), _)| {
        *ty == libc::SOCK_RAW && [libc::AF_INET, libc::AF_INET6].contains(domain)
    });
    Ok(rows.map(|((kind, _, _), answer)| (kind, answer)).collect())
}

fn table_shows_the_privilege(bench: &mut Bench) -> Result<(), Stop> {
    for (row, domain) in raw_rows(bench)?.into_iter().zip([libc::AF_INET, libc::AF_INET6]) {
        let (kind, answer) = row;
        let expected = try_socket(bench, domain, libc::SOCK_RAW)?;
        ensure(answer == expected, format!("{kind} {expected}"), format!("{kind} {answer}"))
            .with(|unexplained| unexplained.sent("socket-table, started with CAP_NET_RAW"))
            .because("CAP_NET_RAW is the privilege that raw sockets need, and the only one")?;
    }
    Ok(())
}

fn table_shows_the_lack_of_privilege(bench: &mut Bench) -> Result<(), Stop> {
    for (kind, answer) in raw_rows(bench)? {
        ensure(answer == "EPERM", format!("{kind} EPERM"), format!("{kind} {answer}"))
            .with(|unexplained| unexplained.sent("socket-table, started without CAP_NET_RAW"))
            .because("without CAP_NET_RAW the system refuses raw sockets: EPERM")?;
    }
    Ok(())
}

fn binds_ipv6_addresses(bench: &mut Bench) -> Result<(), Stop> {
    const BRACKETS: &str = "an IPv6 address has colons itself: with a port it is written in brackets";
    bench.needs_ipv6()?;
    let port = bench.random().range(20_000, 30_000) as u16;
    let ended = bench.run("bind-name", &["::1", &port.to_string()])?;
    ended.expect_stdout(format!("[::1]:{port}\n")).because(BRACKETS)?;
    expect_bound(bench, &ended, |name| name == SocketAddr::from((Ipv6Addr::LOCALHOST, port)))?;

    let word = bench.random().word(9);
    let start = bench.program("bind-name").arguments(&[&word, &port.to_string()]);
    let start = start.named(Ipv6Addr::LOCALHOST.into(), &word);
    let ended = start.start()?.end().because("the program ends by itself")?;
    expect_bound(bench, &ended, |name| name == SocketAddr::from((Ipv6Addr::LOCALHOST, port)))?;

    let ended = bench.run("bind-name", &["::", "0"])?;
    let name = expect_bound(bench, &ended, |name| name.ip() == Ipv6Addr::UNSPECIFIED && name.port() != 0)?;
    ended.expect_stdout(format!("[::]:{}\n", name.port())).because(BRACKETS)
}
