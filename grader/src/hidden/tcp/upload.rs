//! Uploads in the large: sums that wrap, calls that take a part, memory that stays small, peers that go away.

use std::mem;

use super::client::{is_an_error, names_the_address};
use super::conventions::until_it_waits;
use super::server;
use crate::bench::{Bench, Ended, Process, Stdin, TcpPeer, difference, show};
use crate::recorder::Injection;
use crate::suites::tcp::conversation::{
    CONNECTS, ENDS, PORT, RECEIPT, RECEIVES, expect_receipt, expect_this_receipt, line, local, receipt,
    receipt_of, sum,
};
use crate::verdict::{Because, Expected, Stop, Unexplained};

const WRAPS: &str = "the sum is taken modulo 2^32: adding wraps, in a debug build too";

/// As many bytes of ff as it takes until their sum leaves 32 bits, and some more; and until it leaves 31 bits.
const MANY: usize = 17_000_000;
const HALF_AS_MANY: usize = 8_500_000;

pub fn upload_server_counts_seventeen_million_bytes(bench: &mut Bench) -> Result<(), Stop> {
    const PLAIN: &str =
        "without --dual every connection is an upload, whatever its first bytes are, and be it empty";
    let mut server = bench.tcp_server("upload-server", &["--count", "4"], PORT)?;
    for data in [&b""[..], b"UPL1abc"] {
        let client = bench.tcp_connect(server.local()).because(CONNECTS)?;
        client.send(data).because(RECEIVES)?;
        client.half_close();
        expect_receipt(&client, data).with(|unmet| bench.explain(unmet)).because(PLAIN)?;
    }
    const UNSIGNED: &str = "the sum has no sign: its highest bit is one like the others";
    for (count, because) in [(HALF_AS_MANY, UNSIGNED), (MANY, WRAPS)] {
        let client = bench.tcp_connect(server.local()).because(CONNECTS)?;
        client.send(&vec![0xff; count]).because(because)?;
        client.half_close();
        let wanted = receipt_of(count as u64, (count as u32).wrapping_mul(0xff));
        expect_this_receipt(&client, wanted).with(|unmet| bench.explain(unmet)).because(because)?;
    }
    server.end().because(ENDS)?.expect_status(0).because(ENDS)
}

pub fn upload_server_meets_short_calls(bench: &mut Bench) -> Result<(), Stop> {
    let data = bench.random().bytes(150_000);
    let server = bench.tcp_server("upload-server", &[], PORT)?;
    server.inject(Injection::ShortReceive { most: 997, calls: 10_000 })?;
    server.inject(Injection::ShortSend { most: 5, calls: 20 })?;
    let client = bench.tcp_connect(server.local()).because(CONNECTS)?;
    client.send(&data).because(RECEIVES)?;
    client.half_close();
    let injected = "each receive gave at most 997 bytes, and each send took at most 5";
    expect_receipt(&client, &data).with(|unmet| bench.explain(unmet.note(injected))).because(RECEIPT)
}

pub fn upload_client_meets_short_calls(bench: &mut Bench) -> Result<(), Stop> {
    const WHOLE: &str =
        "the client sends exactly the bytes of its stdin: what a send does not take, the next one sends";
    let data = bench.random().bytes(300_000);
    bench.recorder().inject("upload-client", Injection::ShortSend { most: 1499, calls: 10_000 })?;
    bench.recorder().inject("upload-client", Injection::ShortReceive { most: 5, calls: 20 })?;
    let (server, ended) = uploads(bench, &data, receipt(&data), WHOLE)?;
    drop(server);
    const RECEIPT: &str = "the receipt is twelve bytes long, in however many pieces they come";
    ended
        .expect_stdout(line(data.len(), receipt(&data)))
        .with(|unmet| unmet.note("each receive gave at most 5 bytes"))
        .because(RECEIPT)?;
    ended.expect_status(0).because(ENDS)?;
    reads_stdin_to_its_end(bench, &data[..3000])
}

/// A pipe gives what there is, too: less than was asked for is not the end.
fn reads_stdin_to_its_end(bench: &Bench, data: &[u8]) -> Result<(), Stop> {
    const ON: &str =
        "a read of stdin that gives less than was asked for is not its end: the end is a read of 0";
    let listener = bench.tcp_listen(local(PORT + 1))?;
    let start = bench.program("upload-client").arguments(&["--port", "5001"]);
    let mut client = start.stdin(Stdin::Silent).start()?;
    let server = listener.accept().because(CONNECTS)?;
    let (first, rest) = data.split_at(1000);
    client.feed(first, false);
    bench.until("the client reads its stdin", || client.has_read_its_input().then_some(())).because(ON)?;
    client.feed(rest, true);
    let received = server.receive_to_end(data.len() + 1000).because(ON)?;
    arrived(bench, data, &received).because(ON)?;
    server.send(&receipt(data)).because("the client waits for the receipt")?;
    let ended = client.end().because(ENDS)?;
    ended.expect_stdout(line(data.len(), receipt(data))).because(ON)?;
    ended.expect_status(0).because(ENDS)
}

/// Takes an upload of `data` from the client, and gives it `answer` as the receipt.
fn uploads(bench: &Bench, data: &[u8], answer: [u8; 12], reason: &str) -> Result<(TcpPeer, Ended), Stop> {
    let listener = bench.tcp_listen(local(PORT))?;
    let mut client = bench.program("upload-client").stdin(Stdin::Bytes(data.to_vec())).start()?;
    let server = listener.accept().because(CONNECTS)?;
    let received = server.receive_to_end(data.len() + 1_000_000).because(reason)?;
    arrived(bench, data, &received).because(reason)?;
    server.send(&answer).because("the client waits for the receipt")?;
    let ended = client.end().because(ENDS)?;
    Ok((server, ended))
}

/// Expects that all of the data and nothing else has come.
fn arrived(bench: &Bench, data: &[u8], received: &[u8]) -> Expected {
    let Some(difference) = difference(data, received) else { return Ok(()) };
    let differs = data.iter().zip(received).any(|(a, b)| a != b);
    let show = |bytes: &[u8]| if differs { show(bytes) } else { format!("{} bytes", bytes.len()) };
    Err(bench.explain(Unexplained::new(show(data), show(received)).note(difference)))
}

/// How much a connection holds that its sender has handed over, and how much that its receiver has not read: usually
/// that is megabytes.
const BUFFER: u32 = 64 << 10;

const SHUTDOWN: &str = "the client ends its direction when stdin has ended";

pub fn upload_client_reports_a_lost_server(bench: &mut Bench) -> Result<(), Stop> {
    let data = bench.random().bytes(2000);
    let answer = receipt(&data);
    let listener = bench.tcp_listen(local(PORT))?;
    for (part, reset) in
        [(&answer[..11], false), (&answer[..8], false), (&answer[..0], false), (&answer[..0], true)]
    {
        let mut client = bench.program("upload-client").stdin(Stdin::Bytes(data.clone())).start()?;
        let server = listener.accept().because(CONNECTS)?;
        server.receive_to_end(data.len()).because(SHUTDOWN)?;
        server.send(part).because("the client waits for the receipt")?;
        let sent =
            format!("{} of 12 bytes, and then {}", part.len(), if reset { "a reset" } else { "the end" });
        if reset {
            server.reset();
        } else {
            drop(server);
        }
        is_an_error(&client.end().with(|unmet| unmet.sent(sent.clone())).because(LOST)?, &sent, LOST)?;
    }
    // More than any buffer takes, so that the client is still sending when the connection breaks.
    bench.small_send_buffers(BUFFER)?;
    listener.small_receive_buffers(BUFFER)?;
    let much = vec![0x55; 1 << 20];
    let mut client = bench.program("upload-client").stdin(Stdin::Bytes(much)).start()?;
    let server = listener.accept().because(CONNECTS)?;
    server.receive().because("the client sends what it reads")?;
    server.reset();
    is_an_error(&client.end().because(LOST)?, "a reset in the middle of the data", LOST)?;
    loses_a_server_that_has_read_everything(bench)
}

/// A server that ends in good order while there is more to send: the next send is answered by a reset, and the one
/// after that is a broken pipe.
fn loses_a_server_that_has_read_everything(bench: &Bench) -> Result<(), Stop> {
    let much = vec![0x55; 1 << 18];
    let listener = bench.tcp_listen(local(PORT + 1))?;
    let start = bench.program("upload-client").arguments(&["--port", "5001"]);
    let mut client = start.stdin(Stdin::Silent).start()?;
    let server = listener.accept().because(CONNECTS)?;
    client.feed(&much, false);
    receive_until_the_client_waits(bench, &client, &server, much.len());
    drop(server);
    for last in [false, false, true] {
        client.feed(&much[..200_000], last);
        let read = || (client.has_read_its_input() || !client.is_running()).then_some(());
        bench.until("the client goes on or ends", read).because(LOST)?;
    }
    is_an_error(&client.end().because(LOST)?, "an end, with all read, in the middle of the data", LOST)
}

/// Receives until all of the `fed` bytes have come, or the client keeps some and waits for more: whoever closes with
/// bytes yet to be received sends a reset instead of an end.
fn receive_until_the_client_waits(bench: &Bench, client: &Process, server: &TcpPeer, fed: usize) {
    let (mut received, mut waited) = (0, false);
    // A client that keeps some, and neither waits nor sends, is asked all the same.
    let _ = bench.until("the client sends what it reads", || {
        // It rested before we received nothing: one that a full buffer held goes on when we receive.
        let rested = client.has_read_its_input() && bench.recorder().rests();
        let come = server.take().len();
        received += come;
        let waits = rested && come == 0 && server.has_received_all();
        (received >= fed || mem::replace(&mut waited, waits) && waits).then_some(())
    });
}

const LOST: &str = "without a whole receipt nobody knows what arrived: nothing on stdout, status 1";

pub fn upload_client_compares_the_figures(bench: &mut Bench) -> Result<(), Stop> {
    const DIFFER: &str = "if count or sum differ from the client's own, the data did not arrive: status 1";
    let data = bench.random().bytes(5000);
    let (count, sum) = (data.len() as u64, sum(&data));
    for wrong in
        [receipt_of(count + 1, sum), receipt_of(count, sum ^ 0x8100_0000), receipt_of(count + (1 << 32), sum)]
    {
        let (_server, ended) = uploads(bench, &data, wrong, RECEIPT)?;
        ended
            .expect_stdout(line(data.len(), wrong))
            .because("the line shows the client's own count and the server's figures")?;
        ended.expect_status(1).because(DIFFER)?;
    }
    // An empty stdin is an upload like others.
    const EMPTY: &str = "an upload may be empty: it ends at once, and its receipt counts 0 bytes";
    let listener = bench.tcp_listen(local(PORT + 1))?;
    let mut client = bench.program("upload-client").arguments(&["--port", "5001"]).start()?;
    let server = listener.accept().because(CONNECTS)?;
    arrived(bench, b"", &server.receive_to_end(100).because(EMPTY)?).because(EMPTY)?;
    server.send(&receipt(b"")).because(EMPTY)?;
    let ended = client.end().because(EMPTY)?;
    ended.expect_stdout(line(0, receipt(b""))).because(EMPTY)?;
    ended.expect_status(0).because(EMPTY)
}

pub fn upload_client_waits_for_a_slow_reader(bench: &mut Bench) -> Result<(), Stop> {
    const SLOW: &str = "while the server does not read, send waits: nothing is lost, and it is no error";
    bench.small_send_buffers(BUFFER)?;
    let data = bench.random().bytes(1 << 20);
    let listener = bench.tcp_listen(local(PORT))?;
    listener.small_receive_buffers(BUFFER)?;
    let mut client = bench.program("upload-client").stdin(Stdin::Bytes(data.clone())).start()?;
    let server = listener.accept().because(CONNECTS)?;
    // Nobody reads what it sends, so it comes to a stop.
    until_it_waits(bench, &client);
    let received = server.receive_to_end(data.len()).because(SLOW)?;
    arrived(bench, &data, &received).because(SLOW)?;
    let answer = receipt(&data);
    server.send(&answer).because(SLOW)?;
    let ended = client.end().because(ENDS)?;
    ended.expect_stdout(line(data.len(), answer)).because(SLOW)?;
    ended.expect_status(0).because(SLOW)
}

pub fn upload_server_restarts_and_refuses_a_second_copy(bench: &mut Bench) -> Result<(), Stop> {
    server::restarts_at_once(bench, "upload-server")?;
    server::refuses_a_second_copy(bench, "upload-server")
}

pub fn upload_server_survives_clients_that_leave(bench: &mut Bench) -> Result<(), Stop> {
    server::survives_clients_that_leave(bench, "upload-server")
}

pub fn upload_server_takes_one_connection_after_another(bench: &mut Bench) -> Result<(), Stop> {
    const TURN: &str = "one upload after another: a client is answered when the one before it has ended";
    const BACKLOG: &str = "while one client is served, at least three more can connect and wait: the backlog";
    let mut server = bench.tcp_server("upload-server", &["--count", "4"], PORT)?;
    let first = bench.tcp_connect(server.local()).because(CONNECTS)?;
    first.send(b"a").because(RECEIVES)?;
    first.until_taken().because(RECEIVES)?;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let client = bench.tcp_connect(server.local()).because(BACKLOG)?;
        client.send(b"abc").because(BACKLOG)?;
        client.half_close();
        waiting.push(client);
    }
    // A server that had accepted the others would come by them in one of these rounds.
    for _ in 0..20 {
        first.send(b"a").because(RECEIVES)?;
        first.until_taken().because(RECEIVES)?;
    }
    server::until_it_rests(bench);
    for client in &waiting {
        client.expect_nothing().because(TURN)?;
    }
    first.half_close();
    expect_receipt(&first, &[b'a'; 21]).because(RECEIPT)?;
    for client in &waiting {
        expect_receipt(client, b"abc").because(TURN)?;
    }
    server.end().because(ENDS)?.expect_status(0).because(ENDS)?;
    server::keeps_no_descriptor(bench, "upload-server")
}

pub fn upload_client_names_the_address(bench: &mut Bench) -> Result<(), Stop> {
    names_the_address(bench, "upload-client")
}
