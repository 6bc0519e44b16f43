//! The client: its message goes out whole, its answer comes in whole, and what is missing is an error.

use crate::bench::{Bench, Ended, difference, show};
use crate::recorder::Injection;
use crate::suites::tcp::conversation::{CONNECTS, ENDS, PORT, local};
use crate::verdict::{Because, Stop, Unexplained};

pub fn client_sends_the_whole_message(bench: &mut Bench) -> Result<(), Stop> {
    const WHOLE: &str =
        "send may take only a part and says how much: the client sends the rest, from where it stopped";
    let message = bench.random().word(2000);
    let most = bench.random().range(5, 11) as u64;
    bench.recorder().inject("tcp-client", Injection::ShortSend { most, calls: 5000 })?;
    let listener = bench.tcp_listen(local(PORT))?;
    let mut client = bench.start("tcp-client", &["--message", &message])?;
    let server = listener.accept().because(CONNECTS)?;
    let mut received = Vec::new();
    while received.len() < message.len() {
        let piece = server.receive().with(|unmet| {
            let observed = format!("{} of {} bytes, and then nothing", received.len(), message.len());
            let unmet = unmet.note(format!("so far came {observed}")).note(injected(most));
            if received.len() == most as usize { unmet.likely(ONCE) } else { unmet }
        });
        match piece.because(WHOLE)? {
            Some(piece) => received.extend(piece),
            None => break,
        }
    }
    if received != message.as_bytes() {
        let mut unmet = Unexplained::new(show(message.as_bytes()), show(&received)).note(injected(most));
        if let Some(difference) = difference(message.as_bytes(), &received) {
            unmet = unmet.note(difference);
        }
        if received.len() == most as usize {
            unmet = unmet.likely(ONCE);
        } else if received.get(most as usize..2 * most as usize) == message.as_bytes().get(..most as usize) {
            unmet = unmet.likely("the message was begun anew after a part of it had been taken");
        }
        return Err(bench.explain(unmet)).because(WHOLE);
    }
    server.send(b"Hi!").because("the client waits for the answer")?;
    let ended = client.end().because(ENDS)?;
    ended.expect_stdout("Received: Hi!\n").because("after the message the client reads the answer")?;
    let more = server.take();
    bench.ensure(more.is_empty(), "nothing after the message", show(&more)).because(WHOLE)
}

const ONCE: &str = "only the first part was sent: what send returns was not looked at";

fn injected(most: u64) -> String {
    format!("each send took at most {most} bytes, as a full buffer or a signal makes it do")
}

pub fn client_reads_the_whole_answer(bench: &mut Bench) -> Result<(), Stop> {
    const WHOLE: &str =
        "the answer is three bytes long, in however many pieces they come: recv gives what there is";
    let listener = bench.tcp_listen(local(PORT))?;
    // A blank belongs to the first; the second is three bytes of UTF-8: two characters, one of which comes in two pieces.
    let answers = [("tcp-client", bench.random().word(2) + " "), ("tcp-client#2", "\u{e9}!".to_string())];
    for (who, answer) in answers {
        // Before it is started: a receive that has begun gives what it was asked for.
        bench.recorder().inject(who, Injection::ShortReceive { most: 1, calls: 20 })?;
        let mut client = bench.start("tcp-client", &[])?;
        let server = listener.accept().because(CONNECTS)?;
        server.expect(b"Hello!").because("without --message the client sends `Hello!`")?;
        server.send(answer.as_bytes()).because("the client waits for the answer")?;
        let ended = client.end().because(WHOLE)?;
        ended
            .expect_stdout(format!("Received: {answer}\n"))
            .with(|unmet| unmet.note(format!("{answer:?} was sent, and each receive gave one byte of it")))
            .because(WHOLE)?;
        ended.expect_status(0).because(ENDS)?;
    }
    Ok(())
}

pub fn client_reports_an_answer_cut_short(bench: &mut Bench) -> Result<(), Stop> {
    let listener = bench.tcp_listen(local(PORT))?;
    for (answer, reset) in [("Hi", false), ("", false), ("H", false), ("", true)] {
        let mut client = bench.start("tcp-client", &[])?;
        let server = listener.accept().because(CONNECTS)?;
        server.expect(b"Hello!").because("without --message the client sends `Hello!`")?;
        server.send(answer.as_bytes()).because("the client waits for the answer")?;
        let sent =
            format!("{}, and then {}", show(answer.as_bytes()), if reset { "a reset" } else { "the end" });
        if reset {
            server.reset();
        } else {
            drop(server);
        }
        let ended = client.end().with(|unmet| unmet.sent(sent.clone()));
        is_an_error(&ended.because(CUT)?, &sent, CUT)?;
    }
    Ok(())
}

const CUT: &str = "without three bytes there is no answer: nothing is printed on stdout, and the status is 1";

/// Expects that a client has failed in an orderly way: nothing on stdout, a word on stderr, status 1.
pub fn is_an_error(ended: &Ended, sent: &str, reason: &str) -> Result<(), Stop> {
    ended.expect_stdout("").with(|unmet| unmet.note(format!("the server sent {sent}"))).because(reason)?;
    ended.expect_status(1).with(|unmet| unmet.note(format!("the server sent {sent}"))).because(reason)
}

pub fn client_names_the_address(bench: &mut Bench) -> Result<(), Stop> {
    names_the_address(bench, "tcp-client")
}

/// Expects that a client says where it could not connect to.
pub fn names_the_address(bench: &mut Bench, program: &str) -> Result<(), Stop> {
    const NAMES: &str =
        "where nobody listens connect fails: the client says where and why, and ends with status 1";
    let port = bench.random().range(20_000, 30_000).to_string();
    for arguments in [&[][..], &["--host", "127.0.0.9", "--port", &port]] {
        let ended = bench.run(program, arguments)?;
        ended.expect_stdout("").because(NAMES)?;
        ended.expect_status(1).because(NAMES)?;
        let named = if arguments.is_empty() { ["127.0.0.1", "5000"] } else { ["127.0.0.9", port.as_str()] };
        ended.expect_stderr_names(&named).because(NAMES)?;
    }
    Ok(())
}
