//! Core checks of the lab `udp`: what the course's own programs do.

use std::net::SocketAddr;

use crate::bench::{Bench, Process, SocketInfo, UdpPeer, difference, show};
use crate::check;
use crate::check::{Network, Suite};
use crate::verdict::{Because, Expected, Stop, Unexplained};

/// The rubric, in teaching order.
pub const SUITE: Suite = Suite {
    lab: "udp",
    programs: &["udp-server", "udp-client"],
    checks: &[
        check!(
            server_is_reachable_from_another_host,
            "udp.1",
            Core,
            6,
            ["udp-server"],
            "Can the server on port 5000 be reached from another host?"
        )
        .plain()
        .network(Network::Pair)
        .handout("Bind: where a server is found"),
        check!(
            server_answers_the_next_number,
            "udp.2",
            Core,
            8,
            ["udp-server"],
            "Does the server answer with exactly the next number, in network byte order?"
        )
        .plain()
        .handout("Numbers on the wire"),
        check!(
            server_answers_from_its_port,
            "udp.2",
            Core,
            4,
            ["udp-server"],
            "Does the answer come from the port that was asked?"
        )
        .plain()
        .handout("Datagrams from anybody"),
        check!(
            server_ends_after_one_answer,
            "udp.3",
            Core,
            6,
            ["udp-server"],
            "Does the server end after one answer and leave the port free?"
        )
        .plain()
        .after("server_answers_the_next_number")
        .handout("A datagram stands alone"),
        check!(
            client_asks_with_two_bytes,
            "udp.4",
            Core,
            7,
            ["udp-client"],
            "Does the client send exactly the two bytes 00 01 to 127.0.0.1:5000?"
        )
        .plain()
        .handout("Numbers on the wire"),
        check!(
            client_prints_the_answer,
            "udp.4",
            Core,
            6,
            ["udp-client"],
            "Does the client print the answer and end?"
        )
        .plain()
        .handout("A datagram stands alone"),
        check!(
            server_answers_negative_numbers,
            "udp.5",
            Core,
            5,
            ["udp-server"],
            "Does the server answer a negative number with the next one?"
        )
        .plain()
        .after("server_answers_the_next_number")
        .handout("Numbers on the wire"),
        check!(
            client_prints_negative_numbers,
            "udp.5",
            Core,
            5,
            ["udp-client"],
            "Does the client print ff fe as -2?"
        )
        .plain()
        .after("client_prints_the_answer")
        .handout("Numbers on the wire"),
        check!(
            client_sends_its_value,
            "udp.5",
            Core,
            5,
            ["udp-client"],
            "Does the client send the number it is told to send?"
        )
        .after("client_asks_with_two_bytes")
        .handout("Numbers on the wire"),
    ],
};

/// Where the server of the course is asked.
const COURSE: &str = "127.0.0.1:5000";

/// Starts the server of the course and waits until it is bound to its port.
fn course_server(bench: &Bench) -> Result<Process, Stop> {
    let mut server = bench.start("udp-server", &[])?;
    let bound = server.until_bound(Some(5000)).map_err(|unexplained| {
        let own = |socket: &SocketInfo| !socket.tcp && socket.local.port() != 0 && server.holds(socket.inode);
        match bench.sockets("a").ok().and_then(|all| all.into_iter().find(own)) {
            Some(socket) if socket.local.port() == 5000_u16.swap_bytes() => unexplained
                .likely("it is bound to port 34835, which is 5000 with its bytes swapped: htons once too often or never"),
            Some(socket) => unexplained.note(format!("it is bound to {}", socket.local)),
            None => unexplained,
        }
    });
    bound.because("a server binds its port, so that clients find it")?;
    Ok(server)
}

fn server_is_reachable_from_another_host(bench: &mut Bench) -> Result<(), Stop> {
    let server = course_server(bench)?;
    let elsewhere = bench.udp_peer_on("b", address("192.0.2.2:0"))?;
    elsewhere.send(address("192.0.2.1:5000"), &[0x01, 0x02])?;
    let bound = server.bound();
    let edit = |unexplained: Unexplained| {
        let unexplained = unexplained.note(format!("the server is bound to {bound}"));
        if bound.ip().is_loopback() {
            unexplained.likely("bound to the loopback address, the server can be asked only on its own host")
        } else {
            unexplained
        }
    };
    elsewhere.receive().with(edit).because(
        "a server on any interface can be reached by each address of its host, from every other host",
    )?;
    Ok(())
}

fn server_answers_the_next_number(bench: &mut Bench) -> Result<(), Stop> {
    let server = course_server(bench)?;
    let value = telling(bench, 1);
    let peer = bench.udp_peer()?;
    peer.send(server.local(), &value.to_be_bytes())?;
    expect_answer(bench, &peer, value)
        .because("the answer is the number + 1 in exactly two bytes, the high byte first")
}

fn server_answers_from_its_port(bench: &mut Bench) -> Result<(), Stop> {
    let server = course_server(bench)?;
    let peer = bench.udp_peer()?;
    peer.send(server.local(), &[0x01, 0x02])?;
    let because = "a client trusts only what comes from the address and port that it asked";
    let (_, from) = peer.receive().because(because)?;
    let from_there = bench.ensure(
        from == server.local(),
        format!("an answer from {}", server.local()),
        format!("an answer from {from}"),
    );
    from_there
        .with(|unexplained| {
            let sent = format!("{} to {}", show(&[0x01, 0x02]), server.local());
            unexplained.sent(sent).likely("the answer was sent by another socket than the one that was asked")
        })
        .because(because)
}

fn server_ends_after_one_answer(bench: &mut Bench) -> Result<(), Stop> {
    let mut server = course_server(bench)?;
    let peer = bench.udp_peer()?;
    let value = telling(bench, 1);
    peer.send(server.local(), &value.to_be_bytes())?;
    expect_answer(bench, &peer, value).because("the answer is the number + 1")?;
    let because =
        "without --count the server has finished after one answer: it ends, with every process it made";
    let over = server.end_with_orphans();
    let alive = server.processes();
    let ended = over
        .with(|unexplained| {
            alive
                .iter()
                .fold(unexplained, |unexplained, process| unexplained.note(format!("alive: {process}")))
        })
        .because(because)?;
    ended.expect_status(0).because("a program that has finished its work ends with status 0")?;
    ended.expect_stdout("").because("the server prints nothing")?;
    peer.expect_nothing().because("one request gets one answer")?;
    let holder = bench.sockets("a")?.into_iter().find(|socket| !socket.tcp && socket.local.port() == 5000);
    let observed = holder.map(|socket| format!("a socket bound to {}", socket.local));
    let free = bench.ensure(observed.is_none(), "UDP port 5000 free", observed.unwrap_or_default());
    free.because("the port is free again as soon as the last descriptor of the socket is closed")
}

fn client_asks_with_two_bytes(bench: &mut Bench) -> Result<(), Stop> {
    let server = bench.udp_peer_on("a", address(COURSE))?;
    let client = bench.start("udp-client", &[])?;
    expect_request(bench, &server, &client, 1)
        .because("the request is the number 1 in exactly two bytes, the high byte first")?;
    Ok(())
}

fn client_prints_the_answer(bench: &mut Bench) -> Result<(), Stop> {
    expect_printed(bench, &[0x00, 0x02], "Received 2\n", "the client prints the number that it received")
}

fn client_prints_negative_numbers(bench: &mut Bench) -> Result<(), Stop> {
    let because = "the number is signed: two's complement, so that ff fe is -2 and not 65534";
    expect_printed(bench, &[0xff, 0xfe], "Received -2\n", because)
}

/// Answers the client of the course with `answer` and expects what it prints.
fn expect_printed(bench: &Bench, answer: &[u8], line: &str, because: &str) -> Result<(), Stop> {
    let server = bench.udp_peer_on("a", address(COURSE))?;
    let mut client = bench.start("udp-client", &[])?;
    let (_, from) = server.receive().because("the client asks 127.0.0.1:5000")?;
    server.send(from, answer)?;
    let ended =
        client.end().because("with its answer the client has finished its work and ends by itself")?;
    ended.expect_status(0).because("a program that has finished its work ends with status 0")?;
    let sent = format!("the answer {} to {}", show(answer), ended.command);
    let likely = |unexplained: Unexplained| match printed_number(&ended.stdout) {
        Some(number) if number == i64::from(u16::from_le_bytes([answer[0], answer[1]])) => {
            unexplained.likely("the answer was read low byte first")
        }
        Some(number) if number == i64::from(i16::from_le_bytes([answer[0], answer[1]])) => {
            unexplained.likely("the answer was read low byte first")
        }
        Some(65_534) => unexplained.likely("the answer was read as an unsigned number"),
        _ => unexplained,
    };
    ended.expect_stdout(line).with(|unexplained| likely(unexplained.sent(sent))).because(because)
}

fn printed_number(stdout: &[u8]) -> Option<i64> {
    String::from_utf8_lossy(stdout).trim().strip_prefix("Received ")?.parse().ok()
}

fn server_answers_negative_numbers(bench: &mut Bench) -> Result<(), Stop> {
    let server = course_server(bench)?;
    let peer = bench.udp_peer()?;
    // A carry into the high byte, in negative numbers: -257 is fe ff, and the next one is ff 00.
    peer.send(server.local(), &(-257_i16).to_be_bytes())?;
    expect_answer(bench, &peer, -257)
        .because("the numbers are signed: after -257 comes -256, fe ff becomes ff 00")
}

fn client_sends_its_value(bench: &mut Bench) -> Result<(), Stop> {
    // 0 is a number like others, as a value and as an answer.
    let values = [-2, -1, 0, 255, telling(bench, 1), telling(bench, -1)];
    for value in values {
        let server = bench.udp_peer()?;
        let port = server.address().port().to_string();
        let value_text = value.to_string();
        let mut client = bench.start("udp-client", &["--port", &port, "--value", &value_text])?;
        let from = expect_request(bench, &server, &client, value).because(
            "the request is the number in two bytes, the high byte first, negative ones in two's complement",
        )?;
        let answer = value.wrapping_add(1);
        server.send(from, &answer.to_be_bytes())?;
        let ended =
            client.end().because("with its answer the client has finished its work and ends by itself")?;
        ended.expect_status(0).because("a program that has finished its work ends with status 0")?;
        ended
            .expect_stdout(format!("Received {answer}\n"))
            .because("the client prints the number that it received")?;
    }
    Ok(())
}

/// An address as it is written.
pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("the check writes an address")
}

/// A random number of that sign whose bytes tell mistakes apart.
pub(crate) fn telling(bench: &mut Bench, sign: i16) -> i16 {
    loop {
        let value = bench.random().telling_i16();
        if value.signum() == sign {
            return value;
        }
    }
}

/// Expects the answer to `value`; names the mistake where the bytes betray it.
pub(crate) fn expect_answer(bench: &Bench, peer: &UdpPeer, value: i16) -> Expected {
    let answer = value.wrapping_add(1);
    let request = value.to_be_bytes();
    let (observed, _) = peer.receive().map_err(|unexplained| {
        let request = format!("the request {}", meaning(&request, value));
        expecting(unexplained, format!("the answer {}", meaning(&answer.to_be_bytes(), answer))).sent(request)
    })?;
    if observed == answer.to_be_bytes() {
        return Ok(());
    }
    let swapped = value.swap_bytes().wrapping_add(1).swap_bytes().to_be_bytes();
    let likely = match observed.as_slice() {
        bytes if bytes == answer.to_le_bytes() => {
            Some("low byte first: the answer went out in this machine's own order")
        }
        bytes if bytes == value.swap_bytes().wrapping_add(1).to_be_bytes() => {
            Some("the request was read low byte first, the answer written high byte first")
        }
        bytes if bytes == swapped => {
            Some("request and answer were taken for low byte first: the wrong byte was counted up")
        }
        bytes if bytes == request => Some("the request came back as it was"),
        bytes if bytes.len() > 2 && bytes[..2] == answer.to_be_bytes() => {
            Some("more than the number was sent: the whole buffer, or a number of another width")
        }
        bytes if String::from_utf8_lossy(bytes).trim() == answer.to_string() => {
            Some("the number was written as text, in decimal digits")
        }
        _ => None,
    };
    let unexplained = Unexplained::new(meaning(&answer.to_be_bytes(), answer), show(&observed))
        .sent(format!("the request {}", meaning(&request, value)));
    Err(bench.explain(describe(unexplained, &answer.to_be_bytes(), &observed, likely)))
}

/// Expects the request for `value` and gives the client's address; names the mistake where the bytes betray it.
pub(crate) fn expect_request(
    bench: &Bench,
    peer: &UdpPeer,
    client: &Process,
    value: i16,
) -> Expected<SocketAddr> {
    let expected = value.to_be_bytes();
    let (observed, from) = peer.receive().map_err(|unexplained| {
        let request = format!("the request {} to {}", meaning(&expected, value), peer.address());
        expecting(unexplained, request).sent(client.command())
    })?;
    if observed == expected {
        return Ok(from);
    }
    let likely = match observed.as_slice() {
        bytes if bytes == value.to_le_bytes() => {
            Some("low byte first: the request went out in this machine's own order")
        }
        bytes if bytes == i32::from(value).to_be_bytes() || bytes == i32::from(value).to_le_bytes() => {
            Some("an integer of four bytes was sent instead of two")
        }
        bytes if String::from_utf8_lossy(bytes).trim() == value.to_string() => {
            Some("the number was sent as text, in decimal digits")
        }
        _ => None,
    };
    let unexplained = Unexplained::new(format!("the request {}", meaning(&expected, value)), show(&observed))
        .sent(client.command());
    Err(bench.explain(describe(unexplained, &expected, &observed, likely)))
}

/// Says in a finding what was waited for, where the wait itself only knew that it was a datagram.
fn expecting(mut unexplained: Unexplained, expected: String) -> Unexplained {
    if let Stop::Finding(finding) = &mut unexplained.0 {
        finding.expected = Some(expected);
    }
    unexplained
}

/// Bytes and the number that they mean.
fn meaning(bytes: &[u8], value: i16) -> String {
    format!("{} ({value})", show(bytes))
}

fn describe(unexplained: Unexplained, expected: &[u8], observed: &[u8], likely: Option<&str>) -> Unexplained {
    let unexplained = match difference(expected, observed) {
        Some(difference) => unexplained.note(difference),
        None => unexplained,
    };
    match likely {
        Some(mistake) => unexplained.likely(mistake),
        None => unexplained,
    }
}
