//! The style of the threaded server: one process, a thread for each client, a total that is shared.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::conversation::{Client, PORT, SEND_BUFFER, connect_many, count, served_by, stuff};
use crate::bench::{Bench, Process, quote};
use crate::recording::{Act, Event};
use crate::verdict::{Because, Stop, Unexplained, ensure};

/// One process, and a thread for each client that is connected.
pub fn threaded_makes_a_thread_for_each_client(bench: &mut Bench) -> Result<(), Stop> {
    const THREADS: &str = "a threaded server is one process, with a thread for each client that is connected";
    let server = bench.tcp_server("threaded-server", &[], PORT)?;
    let mut clients = Vec::new();
    for total in 1..=5 {
        let client = Client::connect(bench, &server)?;
        client.add(1, total)?;
        clients.push(client);
    }
    let processes = server.processes().len();
    bench.ensure(processes == 1, "one process", count(processes, "process")).because(THREADS)?;
    let recording = bench.recording()?;
    let mut served = BTreeSet::new();
    for client in &clients {
        let (_, answer) = served_by(&recording, client)?;
        served.insert((answer.who.clone(), answer.thread));
    }
    ensure(
        served.len() == clients.len(),
        "5 clients, all connected, are served by 5 threads",
        format!("they are served by {}", count(served.len(), "thread")),
    )
    .because(THREADS)
}

/// Silent clients hold nobody up, up to 64.
pub fn threaded_serves_64_clients_at_once(bench: &mut Bench) -> Result<(), Stop> {
    const WAITS: &str = "up to 64 clients never wait for each other, however silent they are";
    // Where that is not permitted, it only takes more to fill a connection.
    let _ = bench.small_send_buffers(SEND_BUFFER);
    let server = bench.tcp_server("threaded-server", &[], PORT)?;
    // A client that does not read is silent too: whoever answers it waits.
    let never_reads = Client { peer: bench.tcp_connect_small(server.local()).because(WAITS)? };
    let other = Client::connect(bench, &server)?;
    stuff(bench, &never_reads, &other)?;
    other.quit()?;
    let clients = connect_many(bench, &server, 63)?;
    for client in clients.iter().skip(2).step_by(3) {
        client.peer.send(b"add ").because(WAITS)?;
    }
    let mut total = 0;
    for (client, number) in clients.iter().rev().zip((1..=63).rev()) {
        total += number;
        let request = if number % 3 == 0 { number.to_string() } else { format!("add {number}") };
        client.asks_for_total(&request, total).because(WAITS)?;
    }
    Ok(())
}

/// Many additions at the same time.
pub fn threaded_loses_no_addition(bench: &mut Bench) -> Result<(), Stop> {
    const CLIENTS: usize = 8;
    const REQUESTS: usize = 1000;
    let server = bench.tcp_server("threaded-server", &[], PORT)?;
    let clients: Vec<Client> =
        (0..CLIENTS).map(|_| Client::connect(bench, &server)).collect::<Result<_, Stop>>()?;
    let requests = "add 1\n".repeat(REQUESTS) + "quit\n";
    for client in &clients {
        client.peer.send(requests.as_bytes()).because("a server reads what its clients send")?;
    }
    let mut answers = Vec::new();
    for client in &clients {
        let text = client.peer.receive_to_end(1 << 20).because("every request is answered before the end")?;
        answers.push(String::from_utf8_lossy(&text).into_owned());
    }
    expect_each_total_once(&answers, 1..=CLIENTS * REQUESTS)
}

const ANSWERED: &str = "every request is answered, however slowly its thread runs";
/// What a trial may cost to be made again.
const CHEAP: Duration = Duration::from_millis(500);
/// How long a slow run may take on the busiest of machines.
const SLOWLY: Duration = Duration::from_secs(40);

/// Additions at the same moment: first two threads run one instruction each in turn, then one thread is slowed down in
/// the middle of its addition while another one adds freely.
pub fn threaded_adds_in_one_step(bench: &mut Bench) -> Result<(), Stop> {
    let server = bench.tcp_server("threaded-server", &[], PORT)?;
    let clients = [Client::connect(bench, &server)?, Client::connect(bench, &server)?];
    // The first request of a connection takes other paths (a first allocation) than later ones.
    let mut answers = [Vec::new(), Vec::new()];
    for (client, total) in clients.iter().cycle().zip(1..=4) {
        client.add(1, total)?;
    }
    for trial in [additions_in_turn, addition_in_slow_motion] {
        let begin = Instant::now();
        // Threads that were born one after the other go the same way once, whatever they have cached; where a trial
        // costs next to nothing, there is a second and a third one.
        for _ in 0..3 {
            let to_the_end = trial(bench, &server, &clients, &mut answers)?;
            // An interpreter does not come to the end in turn, but does alone.
            if !to_the_end || begin.elapsed() > CHEAP {
                break;
            }
        }
    }
    let answers = answers.map(|text| String::from_utf8_lossy(&text).into_owned());
    let last = 4 + answers.iter().map(|text| text.lines().count()).sum::<usize>();
    expect_each_total_once(&answers, 5..=last)
}

/// Both clients add 1, their threads running one instruction each in turn. Whether they ran like that to the end.
fn additions_in_turn(
    bench: &Bench,
    server: &Process,
    clients: &[Client; 2],
    answers: &mut [Vec<u8>; 2],
) -> Result<bool, Stop> {
    bench.recorder().interleave(server.who(), clients.len())?;
    for client in clients {
        client.send("add 1").because(ANSWERED)?;
    }
    let lines = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count();
    let wanted = [lines(&answers[0]) + 1, lines(&answers[1]) + 1];
    let come = || {
        for (answer, client) in answers.iter_mut().zip(clients) {
            answer.extend(client.peer.take());
        }
        let both = answers.iter().zip(wanted).all(|(answer, wanted)| lines(answer) >= wanted);
        both.then_some(())
    };
    let both = "an answer to each of two clients";
    bench.until_within(SLOWLY, both, come).because(ANSWERED)?;
    Ok(bench.recorder().interleave(server.who(), 0)?)
}

/// The first client adds 1 in slow motion, while the second one adds 1 again and again. Whether the first one was
/// answered while it ran like that.
fn addition_in_slow_motion(
    bench: &Bench,
    server: &Process,
    clients: &[Client; 2],
    answers: &mut [Vec<u8>; 2],
) -> Result<bool, Stop> {
    let [slow, quick] = clients;
    let received = || {
        let recording = bench.recorder().recording();
        let done = |event: &&Event| matches!(event.act, Act::Receive { done: 1.., .. });
        recording.of(server.who()).filter(done).count()
    };
    let before = received();
    bench.recorder().interleave(server.who(), 1)?;
    slow.send("add 1").because(ANSWERED)?;
    // The thread that receives next is the slow one: the quick client begins when that is decided.
    let _ = bench.until("a thread that reads", || (received() > before).then_some(()));
    let mut flood = Flood { client: quick, unsent: Vec::new(), sent: 0, answers: Vec::new(), answered: 0 };
    let mut answer = Vec::new();
    let come = bench.until_within(SLOWLY, "an answer to the slow client", || {
        flood.go_on();
        answer.extend(slow.peer.take());
        answer.ends_with(b"\n").then_some(())
    });
    come.because(ANSWERED)?;
    let to_the_end = bench.recorder().interleave(server.who(), 0)?;
    let all = "an answer to each request";
    bench
        .until(all, || {
            flood.finish();
            answer.extend(slow.peer.take());
            (flood.is_over() && answer.ends_with(b"\n")).then_some(())
        })
        .because(ANSWERED)?;
    answers[0].extend(answer);
    answers[1].extend(flood.answers);
    Ok(to_the_end)
}

/// A client that always has some requests under way, and not too many. Its lines are eight bytes long, so that no read
/// of any usual size brings a part of one: whether a program minds that is another check's question.
struct Flood<'a> {
    client: &'a Client,
    unsent: Vec<u8>,
    sent: usize,
    answers: Vec<u8>,
    answered: usize,
}

impl Flood<'_> {
    /// Sends and receives what can be without waiting.
    fn go_on(&mut self) {
        const REQUESTS: usize = 600;
        const UNDER_WAY: usize = 2400;
        if self.unsent.is_empty() && self.sent < self.answered + UNDER_WAY {
            self.unsent = "add 001\n".repeat(REQUESTS).into_bytes();
            self.sent += REQUESTS;
        }
        self.finish();
    }

    /// The same, with no new requests.
    fn finish(&mut self) {
        let came = self.client.peer.take();
        self.answered += came.iter().filter(|byte| **byte == b'\n').count();
        self.answers.extend(came);
        let took = self.client.peer.send_some(&self.unsent);
        self.unsent.drain(..took);
    }

    /// Whether every request was answered.
    fn is_over(&self) -> bool {
        self.unsent.is_empty() && self.answered == self.sent
    }
}

/// Expects that the clients' answers are these totals, each once.
fn expect_each_total_once(answers: &[String], totals: RangeInclusive<usize>) -> Result<(), Stop> {
    const ONCE: &str = "reading, adding and writing the total must be one step for every other thread";
    let expected = format!("each total from {} to {} once", totals.start(), totals.end());
    let mut seen: BTreeMap<i64, usize> = BTreeMap::new();
    for (client, lines) in answers.iter().enumerate() {
        for line in lines.lines() {
            let Some(total) = line.strip_prefix("total ").and_then(|total| total.parse().ok()) else {
                let observed = format!("the answer {}", quote(line.as_bytes()));
                return Err(Unexplained::new("answers of the form \"total T\"", observed)).because(ONCE);
            };
            if let Some(other) = seen.insert(total, client) {
                let whom = match other == client {
                    true => format!("to client {client} both times"),
                    false => format!("to clients {other} and {client}"),
                };
                let observed = format!("\"total {total}\" was answered twice, {whom}");
                return Err(Unexplained::new(expected, observed)
                    .sent("`add 1` by several clients at the same time")
                    .likely(
                        "two threads have read the same total before either has written its sum: a race",
                    ))
                .because(ONCE);
            }
        }
    }
    let missing = totals.clone().find(|total| !seen.contains_key(&(*total as i64)));
    let observed = match missing {
        Some(total) => format!("{} answers; \"total {total}\" is not among them", seen.len()),
        None => format!("{} different totals", seen.len()),
    };
    ensure(missing.is_none() && seen.len() == totals.count(), expected, observed)
        .because("no addition may get lost, and every client gets all its answers")
}
