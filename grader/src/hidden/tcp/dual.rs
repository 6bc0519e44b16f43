//! Two protocols on one port: the first bytes decide, and they may come one by one.

use std::time::Duration;

use crate::bench::{Bench, Process, Stdin, quote};
use crate::suites::tcp::conversation::{
    BOUNDS, CONNECTS, ENDS, PORT, RECEIVES, answers_a_byte, expect_answers, expect_receipt, line, local,
    receipt,
};
use crate::verdict::{Because, Stop, Unexplained, ensure};

pub fn dual_server_tells_uploads_from_greetings(bench: &mut Bench) -> Result<(), Stop> {
    const UPLOAD: &str = "what begins with UPL1 is an upload, and these four bytes are not counted";
    const GREETING: &str = "what does not begin with UPL1 is answered by `Hi!`";
    let mut server = bench.tcp_server("upload-server", &["--dual", "1", "--count", "8"], PORT)?;
    let data = bench.random().bytes(3000);
    for body in [&data[..], b"", b"UPL1"] {
        let client = bench.tcp_connect(server.local()).because(CONNECTS)?;
        client.send(&[b"UPL1", body].concat()).because(RECEIVES)?;
        client.half_close();
        expect_receipt(&client, body).with(|unmet| bench.explain(unmet)).because(UPLOAD)?;
    }
    let client = bench.tcp_connect(server.local()).because(CONNECTS)?;
    for _ in 0..3 {
        answers_a_byte(&client, bench.random())?;
    }
    drop(client);
    let client = bench.tcp_connect(server.local()).because(CONNECTS)?;
    client.half_close();
    client.expect_end().because("to a client that says nothing there is no answer")?;
    // One that begins like the magic, one that ends within it, and one that has it elsewhere.
    for message in ["UPLOAD", "UPL", "xUPL1"] {
        let client = bench.tcp_connect(server.local()).because(CONNECTS)?;
        client.send(message.as_bytes()).because(RECEIVES)?;
        client.half_close();
        let answers = client.receive_to_end(3 * message.len()).because(BOUNDS)?;
        expect_answers(&answers, message.as_bytes()).with(|unmet| bench.explain(unmet)).because(GREETING)?;
    }
    server.end().because(ENDS)?.expect_status(0).because(ENDS)
}

pub fn dual_server_waits_for_the_magic(bench: &mut Bench) -> Result<(), Stop> {
    const PIECES: &str =
        "the magic bytes may come in pieces: the server decides when it has seen enough of them";
    let mut server = bench.tcp_server("upload-server", &["--dual", "1", "--count", "2"], PORT)?;
    let client = bench.tcp_connect(server.local()).because(CONNECTS)?;
    for piece in [&b"U"[..], b"PL"] {
        client.send(piece).because(RECEIVES)?;
        waits_quietly(bench, &server)?;
        client.expect_nothing().because(PIECES)?;
    }
    let data = bench.random().bytes(40);
    client.send(b"1").because(RECEIVES)?;
    client.send(&data).because(RECEIVES)?;
    client.half_close();
    expect_receipt(&client, &data).with(|unmet| bench.explain(unmet)).because(PIECES)?;

    // Once it cannot be the magic any more, the client is answered, whether it sends more or not.
    let client = bench.tcp_connect(server.local()).because(CONNECTS)?;
    client.send(b"UP").because(RECEIVES)?;
    waits_quietly(bench, &server)?;
    client.expect_nothing().because(PIECES)?;
    client.send(b"x").because(RECEIVES)?;
    client
        .expect(b"Hi!")
        .because("bytes that cannot become UPL1 any more are a message, and are answered")?;
    client.half_close();
    let rest = client.receive_to_end(9).because(BOUNDS)?;
    expect_answers(&[b"Hi!", &rest[..]].concat(), b"UPx").because(BOUNDS)?;
    server.end().because(ENDS)?.expect_status(0).because(ENDS)
}

/// Waits until the server waits; one that looks at the same bytes again and again is not waiting.
fn waits_quietly(bench: &Bench, server: &Process) -> Result<(), Stop> {
    const QUIET: &str =
        "while too little has come to tell, the server waits for more without using processor time";
    /// A hundred looks a second are many for a server that waits, and few for a busy loop.
    const WATCHED: Duration = Duration::from_millis(1200);
    const MOST: usize = 240;
    let calls = || {
        let recording = bench.recorder().recording();
        recording.events.iter().filter(|event| event.who.starts_with(server.who())).count()
    };
    let before = calls();
    let busy = bench.until_within(WATCHED, "the server waits", || {
        if bench.recorder().stuck() {
            return Some(None);
        }
        let made = calls() - before;
        (made > MOST).then_some(Some(made))
    });
    match busy {
        Ok(Some(made)) => {
            let observed = format!("{made} system calls since the last byte came, and still more");
            Err(bench.explain(Unexplained::new("a server that waits", observed))).because(QUIET)
        }
        // It waits, or it looks now and then.
        Ok(None) | Err(_) => Ok(()),
    }
}

pub fn upload_client_sends_the_magic(bench: &mut Bench) -> Result<(), Stop> {
    const FIRST: &str = "with --magic 1 the client sends UPL1 before its data, and does not count it";
    let data = bench.random().word(50);
    let listener = bench.tcp_listen(local(PORT))?;
    for magic in ["1", "0"] {
        let start = bench.program("upload-client").arguments(&["--magic", magic]);
        let mut client = start.stdin(Stdin::Bytes(data.clone().into_bytes())).start()?;
        let server = listener.accept().because(CONNECTS)?;
        let received = server.receive_to_end(1000).because(RECEIVES)?;
        let wanted = if magic == "1" { format!("UPL1{data}") } else { data.clone() };
        ensure(received == wanted.as_bytes(), quote(wanted.as_bytes()), quote(&received)).because(FIRST)?;
        let answer = receipt(data.as_bytes());
        server.send(&answer).because("the client waits for the receipt")?;
        let ended = client.end().because(ENDS)?;
        ended.expect_stdout(line(data.len(), answer)).because(FIRST)?;
        ended.expect_status(0).because(ENDS)?;
    }
    Ok(())
}
