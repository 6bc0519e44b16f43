//! Core checks of the lab `tcp`: what the course's own programs do.
//!
//! A stream has no borders, so the checks ask for what must hold wherever the pieces are cut: a server may read a
//! message at once or byte by byte, and a client that knows one answer need not know of a second one.

pub mod conversation;

mod uploads;

use std::net::{Ipv4Addr, SocketAddr};

use crate::bench::{Bench, Process, Stdin, TcpPeer, quote, show};
use crate::check;
use crate::check::{Network, Suite};
use crate::verdict::{Because, Stop, ensure};
use conversation::{ENDS, PORT, RECEIPT, RECEIVES, answers_a_byte, expect_answers, expect_receipt, local};

/// The rubric, in teaching order.
pub const SUITE: Suite = Suite {
    lab: "tcp",
    programs: &["tcp-server", "tcp-client", "upload-server", "upload-client"],
    checks: &[
        check!(
            server_is_reachable_from_another_host,
            "tcp.1",
            Core,
            5,
            ["tcp-server"],
            "Does a client on another host reach the server, and is it answered?"
        )
        .plain()
        .network(Network::Pair)
        .handout("The life of a connection"),
        check!(
            server_answers_each_message,
            "tcp.1",
            Core,
            6,
            ["tcp-server"],
            "Is every message answered by `Hi!`, however long it is?"
        )
        .plain()
        .handout("A stream has no borders"),
        check!(
            server_answers_nothing_else,
            "tcp.1",
            Core,
            4,
            ["tcp-server"],
            "Is there no answer without a message, and none too many?"
        )
        .plain()
        .after("server_answers_each_message")
        .handout("The contract"),
        check!(
            server_ends_with_its_client,
            "tcp.2",
            Core,
            6,
            ["tcp-server"],
            "Does the server close the connection at end of file, and then end?"
        )
        .plain()
        .after("server_answers_each_message")
        .handout("How a connection ends"),
        check!(
            server_reads_before_it_closes,
            "tcp.2",
            Core,
            4,
            ["tcp-server"],
            "Does a client that sends a lot see a clean end, and no reset?"
        )
        .plain()
        .after("server_answers_each_message")
        .mistakes(&["closed-with-unread-data"])
        .handout("How a connection ends"),
        check!(
            client_says_hello,
            "tcp.3",
            Core,
            6,
            ["tcp-client"],
            "Does the client send `Hello!` and print the answer?"
        )
        .plain()
        .handout("The life of a connection"),
        check!(
            client_closes_the_connection,
            "tcp.3",
            Core,
            3,
            ["tcp-client"],
            "Does the server see a clean end after the client has its answer?"
        )
        .plain()
        .after("client_says_hello")
        .handout("How a connection ends"),
        check!(
            upload_server_is_reachable_from_another_host,
            "tcp.1",
            Core,
            1,
            ["upload-server"],
            "Does a client on another host reach the upload server, and is it answered?"
        )
        .plain()
        .network(Network::Pair)
        .handout("The life of a connection"),
        check!(
            uploads::upload_server_answers_after_the_end,
            "tcp.10",
            Core,
            6,
            ["upload-server"],
            "Does the upload server answer the end of the data with the receipt?"
        )
        .plain()
        .handout("The half-close"),
        check!(
            uploads::upload_client_ends_its_direction,
            "tcp.10",
            Core,
            7,
            ["upload-client"],
            "Does the upload client end its data and read the receipt?"
        )
        .plain()
        .handout("The half-close"),
    ],
};

fn server_is_reachable_from_another_host(bench: &mut Bench) -> Result<(), Stop> {
    let server = bench.tcp_server("tcp-server", &[], PORT)?;
    let client = connect_from_another_host(bench, &server)?;
    client.send(b"Hello!").because(RECEIVES)?;
    client.expect(b"Hi!").because("whatever the server receives, it answers with `Hi!`")
}

fn upload_server_is_reachable_from_another_host(bench: &mut Bench) -> Result<(), Stop> {
    let server = bench.tcp_server("upload-server", &[], PORT)?;
    let client = connect_from_another_host(bench, &server)?;
    let data = bench.random().bytes(100);
    client.send(&data).because(RECEIVES)?;
    client.half_close();
    expect_receipt(&client, &data).because(RECEIPT)
}

fn connect_from_another_host(bench: &Bench, server: &Process) -> Result<TcpPeer, Stop> {
    const ANY: &str = "without --host the server binds any interface, so that other hosts reach it";
    let only_loopback = server.bound().ip().is_loopback();
    let address = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), PORT));
    let client = bench.tcp_connect_from("b", address);
    client.with(|unmet| if only_loopback { unmet.likely(LOOPBACK) } else { unmet }).because(ANY)
}

const LOOPBACK: &str = "the server is bound to 127.0.0.1: only programs on its own host can reach it";

fn server_answers_each_message(bench: &mut Bench) -> Result<(), Stop> {
    let server = bench.tcp_server("tcp-server", &[], PORT)?;
    let client = bench.tcp_connect(server.local()).because(conversation::CONNECTS)?;
    // A message of one byte has exactly one answer, so each question can wait for its own.
    for _ in 0..3 {
        answers_a_byte(&client, bench.random())?;
    }
    let message = bench.random().word(11);
    client.send(message.as_bytes()).because(RECEIVES)?;
    client.expect(b"Hi!").because("whatever the server receives, it answers with `Hi!`, however long it is")
}

fn server_answers_nothing_else(bench: &mut Bench) -> Result<(), Stop> {
    const SILENT: &str =
        "`Hi!` is the answer to a message: to a client that sends none, the server says nothing";
    let mut server = bench.tcp_server("tcp-server", &[], PORT)?;
    let client = bench.tcp_connect(server.local()).because(conversation::CONNECTS)?;
    client.half_close();
    let said = client
        .receive_to_end(1000)
        .with(|unmet| conversation::with_reads_past_the_end(bench, &server, unmet))
        .because(SILENT)?;
    bench
        .ensure(said.is_empty(), "nothing before the end of the stream", show(&said))
        .with(|unmet| unmet.sent("nothing, and then the end of the stream"))
        .because(SILENT)?;
    // Whatever it says: a message need not be text.
    for message in [bench.random().word(1), "\n".to_string(), "\0".to_string(), bench.random().word(11)] {
        // Each server serves one connection; the next one needs its port.
        server.kill();
        server.end_with_orphans().because(ENDS)?;
        server = bench.tcp_server("tcp-server", &[], PORT)?;
        let client = bench.tcp_connect(server.local()).because(conversation::CONNECTS)?;
        client.send(message.as_bytes()).because(RECEIVES)?;
        client.half_close();
        let answers = client.receive_to_end(3 * message.len()).because(conversation::BOUNDS)?;
        expect_answers(&answers, message.as_bytes())
            .with(|unmet| bench.explain(unmet))
            .because(conversation::BOUNDS)?;
    }
    Ok(())
}

fn server_ends_with_its_client(bench: &mut Bench) -> Result<(), Stop> {
    let mut server = bench.tcp_server("tcp-server", &[], PORT)?;
    let client = bench.tcp_connect(server.local()).because(conversation::CONNECTS)?;
    answers_a_byte(&client, bench.random())?;
    client.half_close();
    client
        .expect_end()
        .with(|unmet| conversation::with_reads_past_the_end(bench, &server, unmet))
        .because("at end of file the server closes the connection, so that the client sees the end too")?;
    let ended = server.end().because("one connection is all that the server serves without --count")?;
    ended.expect_status(0).because("a program that has finished its work ends with status 0")
}

fn server_reads_before_it_closes(bench: &mut Bench) -> Result<(), Stop> {
    const CLEAN: &str =
        "the server reads to the end of the stream before it closes: a close with data unread is a reset";
    let server = bench.tcp_server("tcp-server", &[], PORT)?;
    let client = bench.tcp_connect(server.local()).because(conversation::CONNECTS)?;
    let message = bench.random().word(20_000);
    client.send(message.as_bytes()).because(CLEAN)?;
    client.half_close();
    let answers = client.receive_to_end(3 * message.len()).because(CLEAN)?;
    expect_answers(&answers, message.as_bytes()).because(conversation::BOUNDS)
}

fn client_says_hello(bench: &mut Bench) -> Result<(), Stop> {
    const CONNECTS: &str = "without options the client connects to 127.0.0.1, port 5000";
    const SENDS: &str = "without --message the client sends `Hello!`, these six bytes and no others";
    let listener = bench.tcp_listen(local(PORT))?;
    let mut client = bench.start("tcp-client", &[])?;
    let server = listener.accept().because(CONNECTS)?;
    server.expect(b"Hello!").because(SENDS)?;
    server.send(b"Hi!").because("the client waits for the answer")?;
    let ended = client.end().because("an answer is three bytes long: the client does not wait for more")?;
    ended.expect_stdout("Received: Hi!\n").because("the client prints `Received: ` and the answer")?;
    ended.expect_status(0).because(ENDS)?;
    let more = server.take();
    ensure(more.is_empty(), "nothing after `Hello!`", quote(&more))
        .with(|unmet| if more == b"\n" { unmet.likely("a newline was sent with the message") } else { unmet })
        .because(SENDS)
}

fn client_closes_the_connection(bench: &mut Bench) -> Result<(), Stop> {
    let listener = bench.tcp_listen(local(PORT))?;
    let mut client = bench.program("tcp-client").stdin(Stdin::Silent).start()?;
    let server = listener.accept().because(conversation::CONNECTS)?;
    server.expect(b"Hello!").because("without --message the client sends `Hello!`")?;
    server.send(b"Hi!").because("the client waits for the answer")?;
    server
        .expect_end()
        .because("the client closes when it has its answer, and the server sees a clean end")?;
    client.end().because(ENDS)?.expect_status(0).because(ENDS)
}
