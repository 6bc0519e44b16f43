//! Core checks of the lab `raw`. The course has no program of this kind: what is core here is that a real host
//! understands what was made by hand.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::bench::{Bench, Echo, IpPacket, Wire, checksum, show};
use crate::check;
use crate::check::{Network, Suite};
use crate::recording::Act;
use crate::verdict::{Because, Expected, Stop, ensure};

/// The rubric, in teaching order.
pub const SUITE: Suite = Suite {
    lab: "raw",
    programs: &["raw-ping", "raw-udp"],
    checks: &[
        check!(
            request_is_an_echo_request,
            "raw.1",
            Core,
            10,
            ["raw-ping"],
            "Is what goes out an echo request with a right checksum?"
        )
        .plain()
        .network(Network::Pair)
        .net_raw()
        .handout("The headers"),
        check!(
            answer_is_printed,
            "raw.1",
            Core,
            10,
            ["raw-ping"],
            "Does the program print the host's answer, and end with status 0?"
        )
        .plain()
        .network(Network::Pair)
        .net_raw()
        .after("request_is_an_echo_request")
        .handout("Which answer is mine?"),
        check!(
            requests_are_numbered,
            "raw.1",
            Core,
            7,
            ["raw-ping"],
            "Are --count requests numbered 1, 2, 3, with one identifier, and each answer printed?"
        )
        .network(Network::Pair)
        .net_raw()
        .after("answer_is_printed")
        .handout("The contract"),
        check!(
            numbers_have_two_bytes,
            "raw.1",
            Core,
            1,
            ["raw-ping"],
            "Do the sequence numbers go on beyond 255?"
        )
        .network(Network::Pair)
        .net_raw()
        .after("requests_are_numbered")
        .handout("The headers"),
        check!(
            server_gets_the_value,
            "raw.2",
            Core,
            6,
            ["raw-udp"],
            "Does a udp-server on the host receive the two bytes 00 01?"
        )
        .plain()
        .network(Network::Pair)
        .net_raw()
        .handout("The headers"),
        check!(
            server_gets_what_is_told,
            "raw.2",
            Core,
            4,
            ["raw-udp"],
            "Do the options choose value, port and source port?"
        )
        .network(Network::Pair)
        .net_raw()
        .after("server_gets_the_value")
        .handout("The contract"),
        check!(
            headers_are_right,
            "raw.2",
            Core,
            12,
            ["raw-udp"],
            "Is every field right in the headers that are handed to the system?"
        )
        .plain()
        .network(Network::Pair)
        .net_raw()
        .recorder()
        .handout("The headers"),
    ],
};

/// Host a's address on the link to b, and b's.
const NEAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const PORT: u16 = 5000;

fn request_is_an_echo_request(bench: &mut Bench) -> Result<(), Stop> {
    let wire = bench.wire("b", "eth0")?;
    let _ping = bench.start("raw-ping", &["192.0.2.2"])?;
    let echo = first_icmp(&wire).because("raw-ping asks the host with an ICMP echo request")?;
    ensure((echo.kind, echo.code) == (8, 0), "type 8, code 0: an echo request", echo.to_string())
        .because("type 8 asks, type 0 answers")?;
    ensure(echo.to == FAR, format!("to {FAR}"), echo.to_string()).because("HOST is who is asked")?;
    ensure(echo.sequence == 1, "sequence 1", echo.to_string())
        .with(|unexplained| match echo.sequence {
            0x100 => unexplained.likely("256 is 1 with its two bytes in the wrong order"),
            _ => unexplained,
        })
        .because("the sequence numbers are 1, 2, 3, ..., in network byte order")?;
    checksum_is_right(&echo).because("the host drops what does not add up, and never answers")?;
    let size = echo.payload.len();
    ensure(size == 56, "56 bytes behind the ICMP header", format!("{size} bytes"))
        .because("--size is 56 unless it is given")
}

/// The next ICMP message of the echo kind on the wire.
fn first_icmp(wire: &Wire) -> Expected<Echo> {
    wire.next("an ICMP echo message", |packet| packet.echo())
}

fn checksum_is_right(echo: &Echo) -> Expected {
    let (right, observed) = (echo.right_checksum(), echo.checksum);
    let likely = match observed {
        0 => Some("the checksum was not filled in"),
        _ if observed == right.swap_bytes() => Some("its two bytes are in the wrong order"),
        _ if observed == !right => Some("the sum was not complemented"),
        // One's complement: a carry that was lost leaves the sum smaller, and so the checksum larger.
        _ if (1..=64).contains(&observed.wrapping_sub(right)) => {
            Some("what the sum carried was not added again")
        }
        _ => None,
    };
    ensure(observed == right, format!("checksum {right:04x}"), format!("checksum {observed:04x}")).with(
        |unexplained| match likely {
            Some(likely) => unexplained.likely(likely),
            None => unexplained,
        },
    )
}

fn answer_is_printed(bench: &mut Bench) -> Result<(), Stop> {
    let ended = bench.run("raw-ping", &["192.0.2.2"])?;
    ended
        .expect_stdout("Reply from 192.0.2.2: seq=1\n")
        .because("the host answers, and the answer is printed")?;
    ended.expect_status(0).because("every request was answered: status 0")
}

fn requests_are_numbered(bench: &mut Bench) -> Result<(), Stop> {
    let identifiers = numbered_up_to(bench, 3)?;
    let same = identifiers.iter().all(|identifier| *identifier == identifiers[0]);
    ensure(same, "one identifier for all requests", format!("{identifiers:?}"))
        .because("the identifier says whose requests they are")
}

fn numbers_have_two_bytes(bench: &mut Bench) -> Result<(), Stop> {
    numbered_up_to(bench, 258).map(drop)
}

/// Whether a program that has sent five requests takes its time between them, as the command `ping` does: then it is not
/// asked for hundreds. What the machine took from it does not count.
fn pauses(bench: &Bench, begin: Instant, withheld: Duration) -> bool {
    const FOUR_PAUSES: Duration = Duration::from_millis(1500);
    let taken = bench.recorder().delay().saturating_sub(withheld);
    begin.elapsed().saturating_sub(taken) > FOUR_PAUSES
}

/// Pings host b `count` times and expects that the requests are numbered and each answer is printed; gives their
/// identifiers.
fn numbered_up_to(bench: &Bench, count: u16) -> Result<Vec<u16>, Stop> {
    const NUMBERED: &str = "a request's number tells its answer from the others: 1, 2, 3, ...";
    let wire = bench.wire("b", "eth0")?;
    let mut ping = bench.start("raw-ping", &["192.0.2.2", "--count", &count.to_string()])?;
    let command = ping.command();
    let mut identifiers = Vec::new();
    // From the first request on: to start a runtime is no pause.
    let (mut begin, mut withheld) = (Instant::now(), Duration::ZERO);
    for number in 1..=count {
        let request = wire.next(&format!("a request with sequence {number}"), request);
        let request = request.with(|unexplained| unexplained.sent(&command)).because(NUMBERED)?;
        let sequence = request.sequence;
        bench
            .ensure(sequence == number, format!("sequence {number}"), request.to_string())
            .with(|unexplained| {
                let unexplained = unexplained.sent(&command);
                if number > 0xff && sequence == number & 0xff {
                    unexplained.likely("the number was written into one of its two bytes")
                } else {
                    unexplained
                }
            })
            .because(NUMBERED)?;
        identifiers.push(request.identifier);
        if number == 1 {
            (begin, withheld) = (Instant::now(), bench.recorder().delay());
        }
        if number == 5 && pauses(bench, begin, withheld) {
            return Ok(identifiers);
        }
    }
    for number in 1..=count {
        ping.expect_line(&format!("Reply from 192.0.2.2: seq={number}"))
            .because("each request is answered, and each answer printed")?;
    }
    let ended = ping.end().because("a program that has finished its work ends by itself")?;
    let more = wire.seen().iter().find_map(request).map(|echo| echo.to_string());
    ensure(more.is_none(), format!("{count} requests"), more.unwrap_or_default())
        .with(|unexplained| ended.explain(unexplained))
        .because("--count says how many requests there are")?;
    let lines = ended.stdout.iter().filter(|byte| **byte == b'\n').count();
    ensure(lines == usize::from(count), format!("{count} lines"), format!("{lines} lines"))
        .with(|unexplained| ended.explain(unexplained))
        .because("each answer is printed once")?;
    ended.expect_status(0).because("every request was answered: status 0")?;
    Ok(identifiers)
}

/// An echo request, if that is what the packet is.
fn request(packet: &IpPacket) -> Option<Echo> {
    packet.echo().filter(|echo| echo.kind == 8)
}

fn server_gets_the_value(bench: &mut Bench) -> Result<(), Stop> {
    let server = bench.udp_peer_on("b", SocketAddr::from((FAR, PORT)))?;
    let ended = bench.run("raw-udp", &["192.0.2.2"])?;
    let from = server
        .expect(&[0, 1])
        .with(|unexplained| unexplained.sent(ended.command.clone()))
        .because("to the server it is a datagram like any other: two bytes, the high one first")?;
    ensure(from.ip() == IpAddr::V4(NEAR), format!("from {NEAR}"), format!("from {}", from.ip()))
        .with(|unexplained| ended.explain(unexplained))
        .because("the source address is the one that the routing table chooses")?;
    server.expect_nothing().because("one datagram is sent")?;
    ended.expect_stdout("").because("raw-udp prints nothing")?;
    ended.expect_status(0).because("a program that has finished its work ends with status 0")
}

fn server_gets_what_is_told(bench: &mut Bench) -> Result<(), Stop> {
    let random = bench.random();
    let (value, port) = (random.telling_i16(), random.range(20_000, 29_999) as u16);
    let source_port = random.range(30_000, 39_999) as u16;
    let server = bench.udp_peer_on("b", SocketAddr::from((FAR, port)))?;
    let (value_text, port_text, source_text) = (value.to_string(), port.to_string(), source_port.to_string());
    let arguments =
        ["192.0.2.2", "--value", &value_text, "--port", &port_text, "--source-port", &source_text];
    let ended = bench.run("raw-udp", &arguments)?;
    server
        .expect_from(SocketAddr::from((NEAR, source_port)), &value.to_be_bytes())
        .with(|unexplained| unexplained.sent(ended.command.clone()))
        .because("the options say what goes where, and from which port")?;
    ended.expect_status(0).because("a program that has finished its work ends with status 0")
}

fn headers_are_right(bench: &mut Bench) -> Result<(), Stop> {
    let ended = bench.run("raw-udp", &["192.0.2.2"])?;
    let recording = bench.recording()?;
    let handed = recording.of("raw-udp").find_map(|event| match &event.act {
        Act::Send { payload: Some(bytes), .. } if bytes.first().is_some_and(|first| first >> 4 == 4) => {
            Some(bytes.clone())
        }
        _ => None,
    });
    drop(recording);
    let expected = "a packet that begins with an IPv4 header (45 ...) handed to the system";
    let packet = match handed {
        Some(packet) => packet,
        None => {
            let nothing = ensure(false, expected, "none was sent");
            return nothing.with(|unexplained| ended.explain(unexplained)).because(
                "IP_HDRINCL says that what is sent begins with the IP header: the program makes it",
            );
        }
    };
    packet_is_right(&packet)
        .with(|unexplained| {
            unexplained.sent(ended.command.clone()).note(format!("the packet: {}", show(&packet)))
        })
        .because("each field has one right value, in network byte order; not every system mends them")
}

/// Expects that every field of an IPv4 packet with a UDP datagram for port 5000 in it is right.
fn packet_is_right(packet: &[u8]) -> Expected {
    let word = |at: usize| packet.get(at..at + 2).map(|word| u16::from_be_bytes([word[0], word[1]]));
    let header = usize::from(packet[0] & 15) * 4;
    ensure(
        header >= 20 && packet.len() >= header + 8,
        "an IPv4 header of at least 20 bytes, its length in the lower half of byte 0, and a UDP header",
        format!("{} bytes in all, of which the IP header says it has {header}", packet.len()),
    )?;
    let number = |name: &str, at: usize, expected: u16| field(name, at, expected, word(at).unwrap_or(0));
    let length = packet.len() as u16;
    number("total length", 2, length)?;
    ensure(packet[8] >= 2, "a TTL (byte 8) of 2 or more", format!("{}", packet[8]))?;
    ensure(packet[9] == 17, "protocol (byte 9) 17, UDP", format!("{}", packet[9]))?;
    for (name, at, address) in [("source", 12, NEAR), ("destination", 16, FAR)] {
        let observed = &packet[at..at + 4];
        ensure(
            observed == address.octets(),
            format!("{name} address (bytes {at} to {}) {}", at + 3, show(&address.octets())),
            show(observed),
        )?;
    }
    let sum = word(10).unwrap_or(0);
    let mut blank = packet[..header].to_vec();
    blank[10..12].fill(0);
    let right = checksum(&[&blank]);
    ensure(
        sum == 0 || sum == right,
        format!("IP checksum (bytes 10 and 11) {right:04x}, or 0000"),
        format!("{sum:04x}"),
    )?;

    ensure(word(header) != Some(0), "a source port", "source port 0")?;
    number("UDP destination port", header + 2, PORT)?;
    number("UDP length", header + 4, (packet.len() - header) as u16)?;
    let whole = IpPacket { bytes: packet.to_vec(), at: Duration::ZERO };
    let (observed, right) = whole.udp_checksums().unwrap_or_default();
    let mut blank = packet[header..].to_vec();
    blank[6..8].fill(0);
    let likely = match observed {
        0 => Some("0000 says that there is no checksum"),
        _ if observed == checksum(&[&blank]) => Some("the pseudo header was left out of the sum"),
        _ if observed == right.swap_bytes() => Some("its two bytes are in the wrong order"),
        _ => None,
    };
    ensure(
        observed == right,
        format!("UDP checksum (bytes {} and {}) {right:04x}", header + 6, header + 7),
        format!("{observed:04x}"),
    )
    .with(|unexplained| match likely {
        Some(likely) => unexplained.likely(likely),
        None => unexplained,
    })
}

/// Expects the number at byte `at` of the packet to be `expected`.
fn field(name: &str, at: usize, expected: u16, observed: u16) -> Expected {
    let place = format!("{name} (bytes {at} and {})", at + 1);
    ensure(
        observed == expected,
        format!("{place} {expected:04x}, which is {expected}"),
        format!("{observed:04x}, which is {observed}"),
    )
    .with(|unexplained| {
        if observed == expected.swap_bytes() {
            unexplained
                .likely("its two bytes are in the wrong order: network byte order puts the high byte first")
        } else {
            unexplained
        }
    })
}
