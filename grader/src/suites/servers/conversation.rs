//! Clients of the servers' protocol, and the questions about it that all four servers are asked.

use std::time::{Duration, Instant};

use crate::bench::{Bench, Process, TcpPeer, quote};
use crate::recording::{Act, Event, Recording};
use crate::verdict::{Because, Breakdown, Expected, Stop, Unexplained};

/// The port of all four servers.
pub const PORT: u16 = 5000;

/// How many threads a runtime may start for itself while a server is at work: to compile, to collect garbage. What is
/// made for each client comes by the dozen.
pub const OWN_THREADS: u32 = 6;

/// Longer than any answer may reasonably be.
const LONGEST_ANSWER: usize = 400;

const CONNECTS: &str = "the system completes connections for a listening socket, also before accept";
const TOTAL: &str = "`add N` adds N to the total and is answered by `total` and the total afterwards";
const ERROR: &str = "what is no request is answered by `error: ` and a text, and the connection lives on";

/// A client of one of the servers.
pub struct Client {
    /// Its connection.
    pub peer: TcpPeer,
}

impl Client {
    /// Connects to `server`.
    pub fn connect(bench: &Bench, server: &Process) -> Result<Self, Stop> {
        Ok(Self { peer: bench.tcp_connect(server.local()).because(CONNECTS)? })
    }

    /// Sends a request, whose newline is added.
    pub fn send(&self, request: &str) -> Expected {
        self.peer.send(format!("{request}\n").as_bytes())
    }

    /// The next line that the server answers, without its newline.
    pub fn answer(&self) -> Expected<String> {
        self.peer.line(LONGEST_ANSWER)
    }

    /// Expects `total T` as the next answer.
    pub fn expect_total(&self, total: i64) -> Expected {
        let answer = self.answer()?;
        if answer == format!("total {total}") {
            return Ok(());
        }
        let observed = format!("the answer {}", quote(answer.as_bytes()));
        let mut unexplained = Unexplained::new(format!("the answer \"total {total}\""), observed);
        if let Some(mistake) = mistaken_total(&answer, total) {
            unexplained = unexplained.likely(mistake);
        }
        Err(unexplained)
    }

    /// Sends `add N` and expects `total T`.
    pub fn add(&self, number: i64, total: i64) -> Result<(), Stop> {
        self.asks_for_total(&format!("add {number}"), total).because(TOTAL)
    }

    /// Sends a request and expects `total T`.
    pub fn asks_for_total(&self, request: &str, total: i64) -> Expected {
        self.send(request)?;
        self.expect_total(total)
            .with(|unexplained| unexplained.sent(quote(format!("{request}\n").as_bytes())))
    }

    /// Expects an error as the next answer.
    pub fn expect_error(&self) -> Expected {
        let answer = self.answer()?;
        if answer.starts_with("error: ") {
            return Ok(());
        }
        let observed = format!("the answer {}", quote(answer.as_bytes()));
        Err(Unexplained::new("an answer that begins with \"error: \"", observed))
    }

    /// Sends a line that is no request and expects an error.
    pub fn refused(&self, line: &str) -> Result<(), Stop> {
        self.send(line).because(ERROR)?;
        self.expect_error()
            .with(|unexplained| unexplained.sent(quote(format!("{line}\n").as_bytes())))
            .because(ERROR)
    }

    /// Says `quit` and expects the end of the connection.
    pub fn quit(self) -> Result<(), Stop> {
        const QUIT: &str = "`quit` closes the connection";
        self.send("quit").because(QUIT)?;
        self.peer.expect_end().because(QUIT)
    }
}

/// Connects so many clients and waits until all of them are accepted. Never more than the backlog holds wait there at
/// once: a SYN that finds it full is repeated only after a second.
pub fn connect_many(bench: &Bench, server: &Process, many: usize) -> Result<Vec<Client>, Stop> {
    let mut clients = Vec::with_capacity(many);
    let accepted = bench.until(&format!("a server that accepts {many} clients"), || {
        let listening = bench.listening_sockets("a").ok()?;
        let of_server = || listening.iter().filter(|socket| socket.local.port() == server.local().port());
        let backlog = of_server().map(|socket| socket.send_queue as usize).min()?.max(1);
        if of_server().any(|socket| socket.receive_queue > 0) {
            return None;
        }
        if clients.len() == many {
            return Some(Ok(()));
        }
        for _ in clients.len()..many.min(clients.len() + backlog) {
            match Client::connect(bench, server) {
                Ok(client) => clients.push(client),
                Err(stop) => return Some(Err(stop)),
            }
        }
        None
    });
    accepted.because("a server accepts the clients that connect while others are connected")??;
    Ok(clients)
}

/// What the connection itself may hold of the answers that a client does not fetch; the server has to keep the rest.
pub const SEND_BUFFER: u32 = 64 * 1024;

/// Sends requests that are answered at length and reads nothing, until the server takes no more of them (or closes).
/// Another client asks meanwhile, so that the server has its turns. Gives how much was taken.
pub fn stuff(bench: &Bench, never_reads: &Client, other: &Client) -> Result<usize, Stop> {
    const BESIDE: &str = "a client that does not read its answers holds nobody else up";
    const ENOUGH: usize = 1 << 20;
    let empty_lines = [b'\n'; 16 * 1024];
    let mut taken = 0;
    while taken < ENOUGH {
        let mut took = 0;
        // Not taken at once is not refused yet; but a server that waits while this is unread has stopped reading.
        until_idle_or(bench, || {
            took = never_reads.peer.send_some(&empty_lines);
            took > 0
        });
        taken += took;
        other.send("add 0").because(BESIDE)?;
        other.answer().because(BESIDE)?;
        if took == 0 {
            break;
        }
    }
    Ok(taken)
}

/// The likely mistake behind a wrong total, as far as the two numbers show it.
fn mistaken_total(answer: &str, expected: i64) -> Option<String> {
    let Some(total) = answer.strip_prefix("total ") else {
        return answer.starts_with("error: ").then(|| "a request was taken for an error".to_string());
    };
    let Ok(total) = total.trim_end().parse::<i128>() else {
        return Some("the total is not a decimal number".to_string());
    };
    let difference = total - i128::from(expected);
    match difference {
        0 => Some("there is more on the line than the total".to_string()),
        _ if difference.unsigned_abs() == 1 << 64 => Some("the total did not wrap".to_string()),
        _ => None,
    }
}

/// The protocol as any client uses it.
pub fn speaks_the_protocol(bench: &mut Bench, program: &str) -> Result<(), Stop> {
    let first = bench.random().range(1_000_000, 9_000_000_000);
    let second = -bench.random().range(10_000, 900_000);
    let word = bench.random().word(7);
    let server = bench.tcp_server(program, &[], PORT)?;
    let client = Client::connect(bench, &server)?;
    client.add(first, first)?;
    client.add(second, first + second)?;
    for line in ["", &word, "add", "add x", "add 1 2", "add -", "add 12x", "addition 4", "total"] {
        client.refused(line)?;
    }
    client.add(5, first + second + 5)?;
    client.quit()?;

    let other = Client::connect(bench, &server)?;
    const BEHIND: &str = "lines behind `quit` are ignored, and the connection is closed";
    other.peer.send(b"quit\nadd 1\nadd 1\n").because(BEHIND)?;
    // Whether the end is a FIN or, because of what was left unread, a reset: both are the end.
    if let Ok(Some(bytes)) = other.peer.receive() {
        return Err(Unexplained::new("no answer", quote(&bytes)).sent("quit, and two requests behind it"))
            .because(BEHIND);
    }
    other.peer.expect_over().because(BEHIND)
}

/// The bounds of numbers and of lines.
pub fn keeps_to_the_bounds(bench: &mut Bench, program: &str) -> Result<(), Stop> {
    const WRAPS: &str = "the total is a signed 64-bit number, and arithmetic that leaves its range wraps";
    const DIGITS: &str = "a number has 1 to 19 digits and lies within the signed 64-bit range";
    const LENGTH: &str = "a line of up to 1024 bytes is a line like any other";
    const TOO_LONG: &str =
        "a line of more than 1024 bytes is answered by an error, and the connection is closed";
    let server = bench.tcp_server(program, &[], PORT)?;
    let client = Client::connect(bench, &server)?;
    client.asks_for_total("add 0000000000000000042", 42).because(DIGITS)?;
    client.refused("add 00000000000000000042")?;
    client.refused("add 9223372036854775808")?;
    client.refused("add -9223372036854775809")?;
    for line in ["ADD 1", "QUIT", "quitter", "add1"] {
        client.refused(line)?;
    }
    client.asks_for_total("add -42", 0).because(DIGITS)?;
    client.asks_for_total("add 9223372036854775807", i64::MAX).because(DIGITS)?;
    client.asks_for_total("add 1", i64::MIN).because(WRAPS)?;
    client.asks_for_total("add -9223372036854775808", 0).because(WRAPS)?;

    let line = bench.random().word(1024);
    client.peer.send(format!("{line}\n").as_bytes()).because(LENGTH)?;
    client.expect_error().with(|unexplained| unexplained.sent("a line of 1024 letters")).because(LENGTH)?;
    client.add(3, 3)?;
    client.peer.send(format!("{line}x\n").as_bytes()).because(TOO_LONG)?;
    client.expect_error().with(|unexplained| unexplained.sent("a line of 1025 letters")).because(TOO_LONG)?;
    client.peer.expect_over().because(TOO_LONG)?;

    let endless = Client::connect(bench, &server)?;
    endless.peer.send_some(format!("{line}{line}x").as_bytes());
    endless.expect_error().with(|unexplained| unexplained.sent("2049 letters, and no newline yet")).because(
        "a line that is too long is refused after 2048 bytes at the latest: nobody keeps an endless line",
    )?;
    endless.peer.expect_over().because(TOO_LONG)
}

/// A silent client and one that has sent half a request are connected while a third one is served; then they speak.
pub fn serves_beside_silent_clients(bench: &mut Bench, program: &str, shared: bool) -> Result<(), Stop> {
    const BESIDE: &str = "a client that says nothing, or only half of it, holds nobody up";
    const LATER: &str = "a client that was silent is served when it speaks";
    let server = bench.tcp_server(program, &[], PORT)?;
    let silent = Client::connect(bench, &server)?;
    let halting = Client::connect(bench, &server)?;
    halting.peer.send(b"add 10").because(BESIDE)?;
    let busy = Client::connect(bench, &server)?;
    busy.asks_for_total("add 1", 1).because(BESIDE)?;
    busy.asks_for_total("add 1", 2).because(BESIDE)?;
    let so_far = if shared { 2 } else { 0 };
    silent.asks_for_total("add 20", so_far + 20).because(LATER)?;
    halting.peer.send(b"0\n").because(LATER)?;
    let so_far = if shared { 22 } else { 0 };
    halting.expect_total(so_far + 100).because(LATER)?;
    busy.quit()?;
    silent.quit()?;
    halting.quit()
}

/// A number with its noun.
pub fn count(number: usize, noun: &str) -> String {
    match (number, noun) {
        (1, noun) => format!("1 {noun}"),
        (number, "process") => format!("{number} processes"),
        (number, noun) => format!("{number} {noun}s"),
    }
}

/// The events by which a client was accepted and first answered.
pub fn served_by<'a>(recording: &'a Recording, client: &Client) -> Result<(&'a Event, &'a Event), Stop> {
    let missed = |what: &str| {
        Breakdown::new(format!("the {what} of a client that was served is not in the recording"), "report it")
    };
    let accepted = recording.events.iter().find_map(|event| match &event.act {
        Act::Accept { connection: Some(connection), peer, .. } if *peer == Some(client.peer.address()) => {
            Some((event, connection))
        }
        _ => None,
    });
    let (accepted, connection) = accepted.ok_or_else(|| missed("accept"))?;
    // Not only calls that have returned: the client may have the answer before its sender is back from the call.
    let answer = recording
        .events
        .iter()
        .find(|event| matches!(&event.act, Act::Send { object, .. } if object == connection));
    Ok((accepted, answer.ok_or_else(|| missed("answer"))?))
}

/// Waits until every thread of every program waits for something, if that comes soon: then nobody is in the middle of
/// something that what follows could meet by chance.
pub fn until_idle(bench: &Bench) {
    until_idle_or(bench, || false);
}

/// The same, or until something else has happened.
fn until_idle_or(bench: &Bench, mut happened: impl FnMut() -> bool) {
    const SOON: Duration = Duration::from_millis(600);
    // One that never rests is given back, on a busy machine, whatever time it has to share.
    const LATEST: Duration = Duration::from_secs(2);
    let begin = Instant::now();
    let rests = || bench.recorder().rests() || begin.elapsed() > LATEST;
    let _ = bench.until_within(SOON, "idle programs", || (happened() || rests()).then_some(()));
}
