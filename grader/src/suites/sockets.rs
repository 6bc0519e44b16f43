//! Core checks of the lab `sockets`: what the system gives, and the names that sockets get.

use std::net::SocketAddr;

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use crate::bench::{Bench, Ended, quote};
use crate::check;
use crate::check::Suite;
use crate::recording::Act;
use crate::verdict::{Because, Breakdown, Stop, ensure};

/// The rubric, in teaching order.
pub const SUITE: Suite = Suite {
    lab: "sockets",
    programs: &["socket-table", "bind-name"],
    checks: &[
        check!(
            table_has_a_line_for_each_kind,
            "sockets.1",
            Core,
            10,
            ["socket-table"],
            "Does the table have its twelve lines, in order?"
        )
        .plain()
        .handout("The contract"),
        check!(
            table_says_what_the_system_says,
            "sockets.1",
            Core,
            20,
            ["socket-table"],
            "Does each line say what the system says?"
        )
        .plain()
        .after("table_has_a_line_for_each_kind")
        .handout("Creating a socket"),
        check!(
            no_argument_is_any_interface,
            "sockets.2",
            Core,
            10,
            ["bind-name"],
            "Without arguments, is the name 0.0.0.0:5000?"
        )
        .plain()
        .recorder()
        .handout("Names"),
        check!(
            binds_the_address_asked_for,
            "sockets.2",
            Core,
            10,
            ["bind-name"],
            "Is the socket bound to the address and port asked for?"
        )
        .recorder()
        .handout("Names"),
        check!(
            resolves_a_name,
            "sockets.2",
            Core,
            5,
            ["bind-name"],
            "Is a name resolved to one of its addresses?"
        )
        .recorder()
        .handout("Names"),
        check!(
            port_0_is_the_systems_choice,
            "sockets.3",
            Core,
            10,
            ["bind-name"],
            "With port 0, is the port printed that the system chose?"
        )
        .recorder()
        .handout("Names"),
    ],
};

/// The families and types of the table, in its order.
const FAMILIES: [(&str, i32); 4] = [
    ("AF_INET", libc::AF_INET),
    ("AF_INET6", libc::AF_INET6),
    ("AF_UNIX", libc::AF_UNIX),
    ("AF_BLUETOOTH", libc::AF_BLUETOOTH),
];
const TYPES: [(&str, i32); 3] =
    [("SOCK_STREAM", libc::SOCK_STREAM), ("SOCK_DGRAM", libc::SOCK_DGRAM), ("SOCK_RAW", libc::SOCK_RAW)];

/// `AF_INET SOCK_STREAM` and so on, each with family and type.
pub fn kinds() -> impl Iterator<Item = (String, i32, i32)> {
    FAMILIES.into_iter().flat_map(|(family, domain)| {
        TYPES.into_iter().map(move |(kind, ty)| (format!("{family} {kind}"), domain, ty))
    })
}

/// Runs `socket-table` and gives the answer of each line, after it was found to be about the right kind.
pub fn table(bench: &Bench) -> Result<(Ended, Vec<String>), Stop> {
    const LINES: &str = "the table has a line for each family with each type, in the order of the handout";
    let ended = bench.run("socket-table", &[])?;
    ended.expect_status(0).because("an error in a row is an answer: the program has done its work")?;
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    let mut lines = text.split_inclusive('\n');
    let mut answers = Vec::new();
    for (kind, _, _) in kinds() {
        let line = lines.next().unwrap_or_default();
        let answer = line.strip_prefix(&format!("{kind} ")).and_then(|answer| answer.strip_suffix('\n'));
        let named = answer.filter(|answer| {
            let symbol = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
            *answer == "ok" || (answer.starts_with('E') && answer.chars().all(symbol))
        });
        ensure(
            named.is_some(),
            format!("the line {kind:?} and then `ok` or the symbolic name of an error"),
            if line.is_empty() { "the end of the output".to_string() } else { quote(line.as_bytes()) },
        )
        .with(|unexplained| ended.explain(unexplained))
        .because(LINES)?;
        answers.extend(named.map(str::to_string));
    }
    let rest: String = lines.collect();
    ensure(rest.is_empty(), "nothing after the twelve lines", quote(rest.as_bytes())).because(LINES)?;
    Ok((ended, answers))
}

fn table_has_a_line_for_each_kind(bench: &mut Bench) -> Result<(), Stop> {
    table(bench).map(drop)
}

fn table_says_what_the_system_says(bench: &mut Bench) -> Result<(), Stop> {
    let (ended, answers) = table(bench)?;
    for ((kind, domain, ty), answer) in kinds().zip(answers) {
        let expected = systems_answer(bench, domain, ty)?;
        let likely = mistaken_protocol(domain, ty, &answer);
        ensure(answer == expected, format!("{kind} {expected}"), format!("{kind} {answer}"))
            .with(|unexplained| match likely {
                Some(mistake) => ended.explain(unexplained).likely(mistake),
                None => ended.explain(unexplained),
            })
            .because(
                "each line says how the system answers this request, under the program's own privileges",
            )?;
    }
    Ok(())
}

/// What the system answers to a program without privileges: the grader asks for the same socket itself.
fn systems_answer(bench: &Bench, domain: i32, ty: i32) -> Result<String, Breakdown> {
    let answer = try_socket(bench, domain, ty)?;
    // The bench may have a privilege that the program has not; only these two rows ask for it.
    let privileged = ty == libc::SOCK_RAW && [libc::AF_INET, libc::AF_INET6].contains(&domain);
    Ok(if privileged && answer == "ok" { "EPERM".to_string() } else { answer })
}

/// What the system answers to the bench.
pub fn try_socket(bench: &Bench, domain: i32, ty: i32) -> Result<String, Breakdown> {
    let protocol = match (domain, ty) {
        (libc::AF_INET, libc::SOCK_RAW) => libc::IPPROTO_ICMP,
        (libc::AF_INET6, libc::SOCK_RAW) => libc::IPPROTO_ICMPV6,
        (libc::AF_BLUETOOTH, libc::SOCK_RAW) => 1,
        _ => 0,
    };
    let made = bench
        .host("a")
        .enter(|| Socket::new(Domain::from(domain), Type::from(ty), Some(Protocol::from(protocol))))?;
    Ok(match made {
        Ok(_) => "ok".to_string(),
        Err(error) => format!("{:?}", Errno::from_raw(error.raw_os_error().unwrap_or(0))),
    })
}

fn mistaken_protocol(domain: i32, ty: i32, answer: &str) -> Option<&'static str> {
    let raw = ty == libc::SOCK_RAW && domain != libc::AF_UNIX;
    (raw && answer == "EPROTONOSUPPORT")
        .then_some("a raw socket was asked for with protocol 0: there is no usual one, it must be named")
}

/// An address and a port. Brackets around an IPv6 address are asked for elsewhere.
fn read_name(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.rsplit_once(':')?;
    let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']')).unwrap_or(address);
    Some(SocketAddr::new(bare.parse().ok()?, port.parse().ok()?))
}

/// Expects that the program prints the name of a TCP socket that it has really bound to `asked`; gives that name.
pub fn expect_bound(
    bench: &Bench,
    ended: &Ended,
    asked: impl Fn(SocketAddr) -> bool,
) -> Result<SocketAddr, Stop> {
    const NAME: &str = "getsockname tells the name that a bound socket has, and that is what is printed";
    ended.expect_status(0).because("a program that has finished its work ends with status 0")?;
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    let name = text.strip_suffix('\n').and_then(read_name);
    let Some(name) = name else {
        let unmet = ensure(false, "one line of the form ADDR:PORT", quote(text.as_bytes()));
        return Err(unmet.with(|unexplained| ended.explain(unexplained)).because(NAME).unwrap_err());
    };
    let recording = bench.recording()?;
    let sockets: Vec<_> = recording
        .events
        .iter()
        .filter_map(|event| match &event.act {
            Act::Open { object, kind, .. } if kind & 0xf == libc::SOCK_STREAM => Some(object),
            _ => None,
        })
        .collect();
    let unknown = recording.events.iter().any(|event| {
        matches!(&event.act, Act::Bind { object, local: None, .. } if event.outcome.ok() && sockets.contains(&object))
    });
    if unknown {
        let next = "run `cargo xtask doctor`, and grade where there are namespaces";
        return Err(Breakdown::new("nobody tells the recorder here which port the system chose", next).into());
    }
    let bound: Vec<SocketAddr> = recording
        .events
        .iter()
        .filter_map(|event| match &event.act {
            Act::Bind { object, local: Some(local), .. }
                if event.outcome.ok() && sockets.contains(&object) =>
            {
                Some(*local)
            }
            _ => None,
        })
        .collect();
    let listed: Vec<String> = bound.iter().map(ToString::to_string).collect();
    let observed = if listed.is_empty() { "no TCP socket was bound".to_string() } else { listed.join(", ") };
    ensure(bound.contains(&name), format!("a TCP socket bound to {name}, which is printed"), observed)
        .with(|unexplained| ended.explain(unexplained))
        .because(NAME)?;
    ensure(asked(name), "the address and the port that were asked for", format!("bound and printed: {name}"))
        .with(|unexplained| ended.explain(unexplained))
        .because("bind takes the address and the port that it was given")?;
    Ok(name)
}

fn no_argument_is_any_interface(bench: &mut Bench) -> Result<(), Stop> {
    bench.needs_free_port(5000)?;
    let ended = bench.run("bind-name", &[])?;
    ended
        .expect_stdout("0.0.0.0:5000\n")
        .because("without a host it is any interface (0.0.0.0), and without a port it is 5000")?;
    expect_bound(bench, &ended, |name| name.to_string() == "0.0.0.0:5000").map(drop)
}

fn binds_the_address_asked_for(bench: &mut Bench) -> Result<(), Stop> {
    let port = bench.random().range(20_000, 30_000).to_string();
    // Another address of the loopback network, so that a program cannot know it.
    let host = format!("127.{}.3.7", bench.random().range(1, 200));
    let ended = bench.run("bind-name", &[&host, &port])?;
    ended
        .expect_stdout(format!("{host}:{port}\n"))
        .because("the socket is bound to the address and the port that were asked for")?;
    expect_bound(bench, &ended, |name| name.to_string() == format!("{host}:{port}"))?;
    let ended = bench.run("bind-name", &[&host])?;
    ended.expect_stdout(format!("{host}:5000\n")).because("without a port it is 5000, at any address")?;
    let ended = bench.run("bind-name", &["", &port])?;
    ended.expect_stdout(format!("0.0.0.0:{port}\n")).because("an empty host means any interface, 0.0.0.0")?;
    expect_bound(bench, &ended, |name| name.to_string() == format!("0.0.0.0:{port}")).map(drop)
}

fn resolves_a_name(bench: &mut Bench) -> Result<(), Stop> {
    let port = bench.random().range(20_000, 30_000) as u16;
    let ended = bench.run("bind-name", &["localhost", &port.to_string()])?;
    expect_bound(bench, &ended, |name| name.ip().is_loopback() && name.port() == port)?;
    let word = bench.random().word(9);
    let address = std::net::Ipv4Addr::new(127, 0, 7, 9);
    let start = bench.program("bind-name").arguments(&[&word, &port.to_string()]);
    let ended = start.named(address.into(), &word).start()?.end().because("the program ends by itself")?;
    expect_bound(bench, &ended, |name| name == SocketAddr::from((address, port))).map(drop)
}

fn port_0_is_the_systems_choice(bench: &mut Bench) -> Result<(), Stop> {
    for host in ["127.0.0.1", ""] {
        let ended = bench.run("bind-name", &[host, "0"])?;
        let address = if host.is_empty() { "0.0.0.0" } else { host };
        let name = expect_bound(bench, &ended, |name| name.ip().to_string() == address && name.port() != 0)?;
        let recording = bench.recording()?;
        let asked = recording.events.iter().rev().find_map(|event| match &event.act {
            Act::Bind { asked: Some(asked), local: Some(local), .. } if *local == name => Some(*asked),
            _ => None,
        });
        let asked = asked.map_or("something else".to_string(), |asked| format!("port {}", asked.port()));
        ensure(asked == "port 0", "bind is asked for port 0", format!("bind is asked for {asked}"))
            .with(|unexplained| ended.explain(unexplained))
            .because("port 0 leaves the choice to the system, which knows what is free")?;
    }
    Ok(())
}
