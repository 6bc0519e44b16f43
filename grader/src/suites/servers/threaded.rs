//! The style of the threaded server: one process, a thread for each client, a total that is shared.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::conversation::{Client, PORT, count, served_by};
use crate::bench::{Bench, Process, State, quote};
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
    let server = bench.tcp_server("threaded-server", &[], PORT)?;
    let mut clients = Vec::new();
    for number in 1..=64 {
        let client = Client::connect(bench, &server)?;
        if number % 3 == 0 {
            client.peer.send(b"add ").because(WAITS)?;
        }
        clients.push(client);
        if number % 4 == 0 {
            until_accepted(bench)?;
        }
    }
    let mut total = 0;
    for (client, number) in clients.iter().rev().zip((1..=64).rev()) {
        total += number;
        let request = if number % 3 == 0 { number.to_string() } else { format!("add {number}") };
        client.asks_for_total(&request, total).because(WAITS)?;
    }
    Ok(())
}

/// Waits until no connection waits in the backlog of the server any more, so that a short one does not overflow.
pub fn until_accepted(bench: &Bench) -> Result<(), Stop> {
    bench
        .until("the server accepts its clients", || {
            let sockets = bench.sockets("a").ok()?;
            let mut listening = sockets.iter().filter(|socket| socket.state == State::Listen);
            listening.all(|socket| socket.receive_queue == 0).then_some(())
        })
        .because("a server accepts the clients that connect while others are connected")
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
    expect_each_total_once(&answers, CLIENTS * REQUESTS)
}

/// Two threads that add at the same moment, instruction by instruction.
pub fn threaded_adds_in_one_step(bench: &mut Bench) -> Result<(), Stop> {
    let server = bench.tcp_server("threaded-server", &[], PORT)?;
    let clients = [Client::connect(bench, &server)?, Client::connect(bench, &server)?];
    let mut total = 0;
    // First requests take other paths (a first allocation) than later ones.
    for _ in 0..3 {
        for client in &clients {
            total += 1;
            client.add(1, total)?;
        }
    }
    for _ in 0..3 {
        let (answers, to_the_end) = additions_in_lockstep(bench, &server, &clients)?;
        expect_both_totals(total, &answers)?;
        total += 2;
        if !to_the_end {
            // An interpreter needs too many instructions; what it does between two of its own is beyond this check.
            return Ok(());
        }
    }
    Ok(())
}

/// Lets two clients add 1 at the same moment, their threads running one instruction each in turn; gives both answers, and
/// whether their threads ran like that to the end.
fn additions_in_lockstep(
    bench: &Bench,
    server: &Process,
    clients: &[Client; 2],
) -> Result<([String; 2], bool), Stop> {
    const ANSWERED: &str = "every request is answered, however slowly its thread runs";
    /// Of the time that the program really has, and of any time.
    const SLOWLY: [Duration; 2] = [Duration::from_millis(1500), Duration::from_secs(15)];
    bench.recorder().interleave(server.who(), clients.len())?;
    for client in clients {
        client.send("add 1").because(ANSWERED)?;
    }
    let begin = Instant::now();
    let mut answers = [Vec::new(), Vec::new()];
    let mut come = |given_up: &dyn Fn() -> bool| {
        for (answer, client) in answers.iter_mut().zip(clients) {
            answer.extend(client.peer.take());
        }
        match answers.iter().all(|answer| answer.ends_with(b"\n")) {
            true => Some(true),
            false => given_up().then_some(false),
        }
    };
    let both = "an answer to each of two clients";
    let come_in_time = bench.until_within(SLOWLY[0], both, || come(&|| begin.elapsed() > SLOWLY[1]));
    let to_the_end = come_in_time.unwrap_or(false);
    bench.recorder().interleave(server.who(), 0)?;
    bench.until(both, || come(&|| false)).because(ANSWERED)?;
    Ok((answers.map(|answer| String::from_utf8_lossy(&answer).trim_end().to_string()), to_the_end))
}

/// Expects the two totals that follow `total`, in any order.
fn expect_both_totals(total: i64, answers: &[String; 2]) -> Result<(), Stop> {
    let expected = [1, 2].map(|added| format!("total {}", total + added));
    let [one, other] = answers;
    let right = expected.iter().all(|expected| answers.contains(expected));
    ensure(right, format!("{:?} and {:?}", expected[0], expected[1]), format!("{one:?} and {other:?}"))
        .with(|unexplained| {
            let unexplained = unexplained
                .sent(format!("`add 1` by two clients at the same moment, after \"total {total}\""))
                .note("their threads were run in turn, one instruction each, so that a rare race is a certain one");
            match one == other {
                true => unexplained
                    .likely("both threads have read the same total before either has written its sum: a race"),
                false => unexplained,
            }
        })
        .because("reading, adding and writing the total must be one step for every other thread")
}

/// Expects that the clients' answers are the totals from 1 to `last`, each once.
pub fn expect_each_total_once(answers: &[String], last: usize) -> Result<(), Stop> {
    const ONCE: &str = "reading, adding and writing the total must be one step for every other thread";
    let expected = format!("each total from 1 to {last} once");
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
    let observed = match (1..=last as i64).find(|total| !seen.contains_key(total)) {
        Some(total) => format!("{} answers; \"total {total}\" is not among them", seen.len()),
        None => format!("{} different totals", seen.len()),
    };
    ensure(seen.len() == last && !observed.contains("not among"), expected, observed)
        .because("no addition may get lost, and every client gets all its answers")
}
