//! What a server costs: processor time while nothing is asked, memory for clients that read slowly or never, threads
//! that have finished, and descriptors for very many clients.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::bench::{Bench, Process};
use crate::recording::{Act, Outcome, Recording};
use crate::suites::servers::conversation::{
    Client, OWN_THREADS, PORT, SEND_BUFFER, connect_many, stuff, until_idle,
};
use crate::verdict::{Because, Breakdown, Expected, Stop, Unexplained};

const MEBIBYTE: u64 = 1 << 20;

/// Finished threads go away, with their memory. A runtime's heap may be warm only after hundreds of clients: so it is
/// enough when some five hundred in a row cost nothing. Who keeps something pays for each.
pub fn threaded_lets_finished_threads_go(bench: &mut Bench) -> Result<(), Stop> {
    const GO: &str = "a thread whose client is gone has nothing to do: it ends, and nothing of it is kept";
    const WARM: i64 = 30;
    const MORE: i64 = 500;
    const TIMES: usize = 4;
    let server = bench.tcp_server("threaded-server", &[], PORT)?;
    let visit = |totals: RangeInclusive<i64>| -> Result<(), Stop> {
        for total in totals {
            let client = Client::connect(bench, &server)?;
            client.add(1, total)?;
            client.quit()?;
        }
        Ok(())
    };
    visit(1..=WARM)?;
    let mut before = server.info().ok_or_else(|| gone(&server))?;
    let most = before.threads + OWN_THREADS;
    let mut grown: Vec<u64> = Vec::new();
    while grown.len() < TIMES && grown.last().is_none_or(|grown| *grown > 8 * MEBIBYTE) {
        let visited = WARM + MORE * grown.len() as i64;
        visit(visited + 1..=visited + MORE)?;
        let expected = format!(
            "no more threads after {MORE} further clients: {}, or a few of a runtime's own",
            before.threads
        );
        server
            .until_processes(&expected, |now| now.first().filter(|now| now.threads <= most).map(drop))
            .because(GO)?;
        let now = server.info().ok_or_else(|| gone(&server))?;
        grown.push(now.resident.saturating_sub(before.resident));
        before = now;
    }
    let more: Vec<String> = grown.iter().map(|grown| format!("{} KiB", grown / 1024)).collect();
    bench
        .ensure(
            grown.last().is_some_and(|grown| *grown <= 8 * MEBIBYTE),
            format!("at most 8 MiB more after {MORE} further clients"),
            format!("more after each {MORE} clients: {}", more.join(", ")),
        )
        .because(GO)
}

fn gone(server: &Process) -> Breakdown {
    Breakdown::new(format!("{} cannot be found in /proc", server.who()), "grade again")
}

/// No processor time while nothing is asked, in all the states that make careless loops spin.
pub fn select_does_not_spin(bench: &mut Bench) -> Result<(), Stop> {
    const IDLE: &str = "a server that has nothing to do waits, and uses no processor time";
    bench.small_send_buffers(SEND_BUFFER)?;
    let server = bench.tcp_server("select-server", &[], PORT)?;
    // One that is silent, one that is gone, one that has reset, and one that has ended its direction in mid-line.
    let _silent = Client::connect(bench, &server)?;
    let halting = Client::connect(bench, &server)?;
    halting.peer.send(b"add 1\nadd").because("a server reads what its clients send")?;
    halting.expect_total(1).because("requests are answered")?;
    Client::connect(bench, &server)?.add(1, 2)?;
    let resetting = Client::connect(bench, &server)?;
    resetting.add(1, 3)?;
    resetting.peer.reset();
    // Two that have ended their direction and have not fetched their answers yet: more than the connection holds, but
    // less than what may be kept for a client, and less than many a server keeps.
    let mut behind = Vec::new();
    for requests in ["\n".repeat(16 * 1024), "add 0\n".repeat(10 * 1024)] {
        let client = Client { peer: bench.tcp_connect_small(server.local()).because("the server listens")? };
        client.peer.send_some(requests.as_bytes());
        until_idle(bench);
        client.peer.half_close();
        behind.push(client);
    }
    // And one that has asked for much more.
    let stuffed = Client { peer: bench.tcp_connect_small(server.local()).because("the server listens")? };
    let last = Client::connect(bench, &server)?;
    stuff(bench, &stuffed, &last)?;
    stuffed.peer.half_close();
    last.send("add 0").because(IDLE)?;
    last.answer().because(IDLE)?;
    expect_quiet(bench, &server).because(IDLE)
}

/// Expects that a server does next to nothing for a while: it may look again after a pause, and say so on stderr.
pub fn expect_quiet(bench: &Bench, server: &Process) -> Expected {
    expect_all_quiet(bench, &[server])
}

/// Expects that of several programs at once. A runtime may be busy while it starts: so it is looked at again.
pub fn expect_all_quiet(bench: &Bench, programs: &[&Process]) -> Expected {
    const LOOKS: usize = 3;
    let mut found = quiet(bench, programs);
    for _ in 1..LOOKS {
        if found.is_ok() {
            break;
        }
        found = quiet(bench, programs);
    }
    found.map_err(|(program, observed)| {
        let unexplained = Unexplained::new("next to no system calls and no processor time", observed);
        let unexplained = unexplained.sent(program.command());
        bench.explain(match most_frequent(bench, program) {
            Some(call) => unexplained.note(format!("most of them are {call}")),
            None => unexplained,
        })
    })
}

/// Looks for a while whether programs are quiet; gives one that is not, and what it did.
fn quiet<'a>(bench: &Bench, programs: &[&'a Process]) -> Result<(), (&'a Process, String)> {
    const WHILE: Duration = Duration::from_millis(250);
    const CALLS: usize = 250;
    const TICKS: u64 = 12;
    // On a busy machine who spins may make few calls in a while. Who makes some more in each while is looked at longer.
    const STEADY: usize = 8;
    const MOST_WHILES: usize = 20;
    // On a busy machine a while may last for half a minute, and who pauses again and again uses a little time each time.
    const PAUSES_A_TICK: u64 = 10;
    let first = bench.recorder().recording().events.len();
    let activity = |program: &Process| Activity::of(&bench.recorder().recording(), program.who(), first);
    let restless = |program: &Process| activity(program).restless();
    let ticks = |program: &Process| program.info().map_or(0, |process| process.ticks);
    let before: Vec<u64> = programs.iter().map(|program| ticks(program)).collect();
    let begin = Instant::now();
    // Of programs that wait for ever nothing more is to be seen, twice to be sure; and one that spins is soon seen. It
    // may have spun for so long that its calls are not even recorded any more.
    let overflows = || bench.recorder().recording().lost_events > 0;
    let (mut seen, mut stuck) = (first, 0);
    let (mut whiles, mut made) = (0, vec![0; programs.len()]);
    loop {
        let decided = bench.until_within(WHILE, "quiet", || {
            let events = bench.recorder().recording().events.len();
            stuck = if events == seen && bench.recorder().stuck() { stuck + 1 } else { 0 };
            seen = events;
            let spins = overflows() || programs.iter().any(|program| restless(program) > CALLS);
            (stuck > 1 || spins).then_some(())
        });
        whiles += 1;
        let now: Vec<usize> = programs.iter().map(|program| restless(program)).collect();
        let goes_on = now.iter().zip(&made).any(|(now, made)| *now >= made + STEADY);
        made = now;
        if decided.is_ok() || !goes_on || whiles == MOST_WHILES {
            break;
        }
    }
    let took = begin.elapsed().as_millis();
    let all = |program: &Process| bench.recorder().recording().of(program.who()).count();
    let busiest = programs.iter().map(|program| all(program)).max().filter(|_| overflows());
    for (program, before) in programs.iter().zip(before) {
        let (activity, used) = (activity(program), ticks(program).saturating_sub(before));
        let made = activity.restless();
        let most = TICKS * whiles as u64 + activity.pauses as u64 / PAUSES_A_TICK;
        let steady = whiles == MOST_WHILES && made >= STEADY * MOST_WHILES;
        if busiest == Some(all(program)) || made > CALLS || steady || used > most {
            let used = used * 10;
            let observed =
                format!("{made} system calls without a pause, {used} ms of processor time within {took} ms");
            return Err((program, observed));
        }
    }
    Ok(())
}

/// What a process has done for a while.
struct Activity {
    /// The pauses of the thread that has paused most often.
    pauses: usize,
    /// The calls of the thread that has made most of them.
    calls: usize,
}

impl Activity {
    /// What the process has done since the event `first`.
    fn of(recording: &Recording, who: &str, first: usize) -> Self {
        const PAUSE: u64 = 1_000_000;
        let mut threads: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
        for event in recording.events.iter().skip(first).filter(|event| event.who == who) {
            let (calls, pauses) = threads.entry(event.thread).or_default();
            match event.act {
                Act::Write { .. } => {}
                Act::Sleep { asked: Some(PAUSE..) } => *pauses += 1,
                Act::WaitReady { timeout: Some(PAUSE..), ready: 0, .. } => *pauses += 1,
                Act::WaitThread { timeout: Some(PAUSE..) }
                    if event.outcome == Outcome::Err(nix::libc::ETIMEDOUT) =>
                {
                    *pauses += 1;
                }
                _ => *calls += 1,
            }
        }
        let most = |of: fn(&(usize, usize)) -> usize| threads.values().map(of).max().unwrap_or(0);
        Self { pauses: most(|thread| thread.1), calls: most(|thread| thread.0) }
    }

    /// How many calls one thread has made beyond the few that each pause entitles it to: its own pause, or another
    /// thread's, because what goes on after it makes others go on (in Go's runtime for example). They are counted by
    /// pauses and not by the clock, because a busy machine slows down who spins too.
    fn restless(&self) -> usize {
        const CALLS_A_PAUSE: usize = 12;
        self.calls.saturating_sub(CALLS_A_PAUSE * self.pauses)
    }
}

/// The call that a server has made most often of late.
fn most_frequent(bench: &Bench, server: &Process) -> Option<String> {
    let recording = bench.recorder().recording();
    let mut calls: Vec<&str> = recording.of(server.who()).map(|event| event.call.as_str()).collect();
    let late = calls.split_off(calls.len().saturating_sub(50));
    late.iter().max_by_key(|call| late.iter().filter(|other| other == call).count()).map(ToString::to_string)
}

/// Clients that never read their answers, one after the other. The first ones also make a runtime's heap as large as it
/// is when there is much to do; so it is enough when one of them costs little. Who keeps every answer pays for each.
pub fn select_bounds_what_it_keeps_for_a_client(bench: &mut Bench) -> Result<(), Stop> {
    const BOUND: &str =
        "answers that nobody fetches must not pile up: stop reading from such a client, or close it";
    const CLIENTS: usize = 4;
    bench.small_send_buffers(SEND_BUFFER)?;
    let server = bench.tcp_server("select-server", &[], PORT)?;
    let resident = || server.info().map(|process| process.resident).ok_or_else(|| gone(&server));
    let other = Client::connect(bench, &server)?;
    other.add(0, 0)?;
    let (mut stuffed, mut costs) = (Vec::new(), Vec::new());
    // One mebibyte may be kept; the rest of the slack is for the way memory is handed out.
    while costs.len() < CLIENTS && costs.last().is_none_or(|(grown, _)| *grown > 4 * MEBIBYTE) {
        let before = resident()?;
        let client = bench.tcp_connect_small(server.local()).because("the server listens")?;
        stuffed.push(Client { peer: client });
        let taken = stuff(bench, &stuffed[stuffed.len() - 1], &other)?;
        costs.push((resident()?.saturating_sub(before), taken));
    }
    let kept = |(grown, taken): &(u64, usize)| format!("{} KiB for {} KiB", grown / 1024, taken / 1024);
    bench
        .ensure(
            costs.last().is_some_and(|(grown, _)| *grown <= 4 * MEBIBYTE),
            "at most 1 MiB kept for a client that never reads (and some slack)",
            format!(
                "more resident memory for the requests of each such client: {}",
                costs.iter().map(kept).collect::<Vec<_>>().join(", ")
            ),
        )
        .because(BOUND)
}

/// A client that reads slowly, but reads.
pub fn select_serves_a_slow_reader_to_the_end(bench: &mut Bench) -> Result<(), Stop> {
    const SLOW: &str = "a client that reads slowly gets every answer, whole and in order";
    const REQUESTS: i64 = 24_000;
    bench.small_send_buffers(SEND_BUFFER)?;
    let server = bench.tcp_server("select-server", &[], PORT)?;
    let slow = Client { peer: bench.tcp_connect_small(server.local()).because("the server listens")? };
    let other = Client::connect(bench, &server)?;
    let requests = "add 1\n".repeat(REQUESTS as usize);
    let expected: String = (1..=REQUESTS).map(|total| format!("total {total}\n")).collect();
    let (mut sent, mut received) = (0, 0);
    // Nothing is read at first, until the connection is full and the server has answers left over: a few hundred KiB
    // in all. The other client's questions give the server its turns.
    for _ in 0..120 {
        sent += slow.peer.send_some(&requests.as_bytes()[sent..]);
        other.send("what?").because(SLOW)?;
        other.expect_error().because("a client that reads slowly holds nobody else up")?;
    }
    while received < expected.len() {
        sent += slow.peer.send_some(&requests.as_bytes()[sent..]);
        let size = 8192.min(expected.len() - received);
        slow.peer.expect(&expected.as_bytes()[received..received + size]).because(SLOW)?;
        received += size;
    }
    // More than the connection holds, and then the end of this direction, before any of it is read.
    const LAST: i64 = 8000;
    slow.peer.send("add 1\n".repeat(LAST as usize).as_bytes()).because(SLOW)?;
    slow.peer.half_close();
    until_idle(bench);
    let expected: String = (1..=LAST).map(|more| format!("total {}\n", REQUESTS + more)).collect();
    slow.peer
        .expect(expected.as_bytes())
        .because("the answers still come after a client's half-close, all of them")?;
    slow.peer.expect_end().because("behind the last answer is the end")
}

/// More clients than `select` can count.
pub fn select_serves_2000_clients(bench: &mut Bench) -> Result<(), Stop> {
    const MANY: &str =
        "poll and epoll have no bound of 1024, and the soft limit may be raised to the hard one";
    const CLIENTS: usize = 2000;
    raise_own_limit(CLIENTS as u64 + 200)?;
    let start = bench.program("select-server").limits(|limits| limits.descriptors = (1024, 8192));
    let mut server = start.start()?;
    server.until_listening(Some(PORT)).because("a server binds its port and listens")?;
    let clients = connect_many(bench, &server, CLIENTS)?;
    let asked = [1999, 0, 1500, 1023, 1024, 1017, 700, 1998, 3];
    for (total, at) in (1..).zip(asked) {
        clients[at].asks_for_total("add 1", total).because(MANY)?;
    }
    Ok(())
}

/// The bench's own clients need descriptors too.
fn raise_own_limit(descriptors: u64) -> Result<(), Breakdown> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let failed = |error| Breakdown::system("cannot raise the bench's own limit of descriptors", error);
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(failed)?;
    if soft < descriptors {
        setrlimit(Resource::RLIMIT_NOFILE, descriptors, hard).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Event, Stamp};

    /// What a server does in many rounds: `calls` of one thread, then perhaps a pause of another one.
    fn restless(rounds: usize, calls: usize, pauses: bool) -> usize {
        let at = Stamp { real: 0, seen: 0 };
        let event = |thread, act| Event {
            seq: 0,
            enter: at,
            exit: at,
            who: "server".to_string(),
            thread,
            call: String::new(),
            fd: None,
            act,
            outcome: Outcome::Ok(0),
            injected: None,
            restarts: 0,
        };
        let mut recording = Recording::default();
        for _ in 0..rounds {
            let short = (0..calls).map(|_| event(1, Act::Sleep { asked: Some(20_000) }));
            recording.events.extend(short);
            recording.events.extend(pauses.then(|| event(0, Act::Sleep { asked: Some(20_000_000) })));
        }
        Activity::of(&recording, "server", 0).restless()
    }

    #[test]
    fn pauses_count_for_every_thread_and_for_any_length_of_time() {
        assert_eq!(restless(1000, 4, true), 0);
        assert_eq!(restless(100, 4, false), 400);
        assert!(restless(10, 200, true) > 250);
    }
}
