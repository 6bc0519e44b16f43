//! What a student runs with `cargo test -p servers`: the protocol and the main promise of each style.
//!
//! The same file tests the reference solution. Every server listens on a port that the system picks, so these tests
//! run beside each other and beside whatever else the machine does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use assert_cmd::Command;
use predicates::prelude::*;
use rstest::rstest;

/// Long enough for a slow machine, short enough to wait for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The path of a program of this package: the student's, or the solution's of the same name.
macro_rules! program {
    ($name:literal) => {
        option_env!(concat!("CARGO_BIN_EXE_", $name))
            .or(option_env!(concat!("CARGO_BIN_EXE_", $name, "-solution")))
            .expect("cargo builds the programs before the tests")
    };
}

/// A running server, ended with the test.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts `program` on a port of the system's choice and reads from its output which one that is.
    fn start(program: &str) -> Self {
        let mut process = std::process::Command::new(program)
            .args(["--host", "127.0.0.1", "--port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = process.stdout.take().expect("stdout is piped");
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(stdout).read_line(&mut line);
            let _ = sender.send(line);
        });
        let line = receiver.recv_timeout(PATIENCE).unwrap_or_default();
        let address = line.strip_prefix("Listening on ").and_then(|address| address.trim_end().parse().ok());
        let Some(address) = address else {
            let _ = process.kill();
            let _ = process.wait();
            panic!("with --port 0 the server prints `Listening on ADDR:PORT` first, but it printed {line:?}");
        };
        Self { process, address }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        Client { lines: BufReader::new(stream) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One end of a conversation with a server.
struct Client {
    lines: BufReader<TcpStream>,
}

impl Client {
    fn send(&mut self, bytes: &str) {
        self.lines.get_mut().write_all(bytes.as_bytes()).expect("the server takes what the client sends");
    }

    /// The next line that the server answers, without its newline.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("the server answers in time");
        line.strip_suffix('\n').expect("an answer ends in a newline").to_string()
    }

    fn ask(&mut self, request: &str) -> String {
        self.send(&format!("{request}\n"));
        self.line()
    }

    /// Everything that still comes until the server closes the connection.
    fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).expect("the server closes the connection in time");
        rest
    }
}

/// One test for each of the four servers.
#[rstest]
#[case::iterative(program!("iterative-server"))]
#[case::forking(program!("forking-server"))]
#[case::threaded(program!("threaded-server"))]
#[case::select(program!("select-server"))]
fn speaks_the_protocol(#[case] program: &str) {
    let server = Server::start(program);
    let mut client = server.connect();
    assert_eq!(client.ask("add 7"), "total 7");
    assert_eq!(client.ask("add -10"), "total -3");
    assert!(client.ask("subtract 1").starts_with("error: "), "an unknown request is answered by an error");
    assert!(client.ask("").starts_with("error: "), "an empty line is no request either");
    assert_eq!(client.ask("add 4"), "total 1", "after an error the connection lives on");
    client.send("quit\n");
    assert_eq!(client.rest(), "", "after quit the server closes");
}

#[rstest]
#[case::iterative(program!("iterative-server"))]
#[case::forking(program!("forking-server"))]
#[case::threaded(program!("threaded-server"))]
#[case::select(program!("select-server"))]
fn takes_lines_as_they_come(#[case] program: &str) {
    let server = Server::start(program);
    let mut client = server.connect();
    client.send("add 1\nadd 20\nad");
    assert_eq!(client.line(), "total 1");
    assert_eq!(client.line(), "total 21");
    client.send("d 300\n");
    assert_eq!(client.line(), "total 321", "`ad` and `d 300` are one line in two pieces");
}

#[rstest]
#[case::iterative(program!("iterative-server"))]
#[case::forking(program!("forking-server"))]
#[case::threaded(program!("threaded-server"))]
#[case::select(program!("select-server"))]
fn answers_after_a_half_close(#[case] program: &str) {
    let server = Server::start(program);
    let mut client = server.connect();
    client.send("add 5\nadd 6\nadd 7");
    client.lines.get_ref().shutdown(Shutdown::Write).expect("the connection stands");
    assert_eq!(
        client.rest(),
        "total 5\ntotal 11\n",
        "both answers, none for the line without an end, then EOF"
    );
}

#[rstest]
#[case::forking(program!("forking-server"))]
#[case::threaded(program!("threaded-server"))]
#[case::select(program!("select-server"))]
fn a_silent_client_holds_nobody_up(#[case] program: &str) {
    let server = Server::start(program);
    let mut silent = server.connect();
    assert_eq!(server.connect().ask("add 3"), "total 3");
    assert!(silent.ask("add 0").starts_with("total "), "the silent client is served when it speaks");
}

#[test]
fn iterative_serves_one_after_the_other() {
    let server = Server::start(program!("iterative-server"));
    let mut first = server.connect();
    assert_eq!(first.ask("add 1"), "total 1");
    let mut second = server.connect();
    second.send("add 10\n");
    // Both of these come after the second client's request was sent, and both are answered before it.
    assert_eq!(first.ask("add 2"), "total 3");
    first.send("quit\n");
    assert_eq!(first.rest(), "");
    assert_eq!(second.line(), "total 13", "one total for all clients");
}

#[test]
fn forking_counts_from_0_for_each_client() {
    let server = Server::start(program!("forking-server"));
    let (mut ann, mut bob) = (server.connect(), server.connect());
    assert_eq!(ann.ask("add 5"), "total 5");
    assert_eq!(bob.ask("add 7"), "total 7");
    assert_eq!(ann.ask("add 5"), "total 10");
}

#[rstest]
#[case::threaded(program!("threaded-server"))]
#[case::select(program!("select-server"))]
fn one_total_for_all_clients(#[case] program: &str) {
    const CLIENTS: usize = 4;
    const REQUESTS: usize = 100;
    let server = Server::start(program);
    let mut totals: Vec<String> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = server.connect();
                    (0..REQUESTS).map(|_| client.ask("add 1")).collect::<Vec<_>>()
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().expect("every request is answered")).collect()
    });
    totals.sort();
    let mut expected: Vec<String> = (1..=CLIENTS * REQUESTS).map(|total| format!("total {total}")).collect();
    expected.sort();
    assert_eq!(totals, expected, "no addition may get lost");
}

#[rstest]
#[case::iterative(program!("iterative-server"))]
#[case::forking(program!("forking-server"))]
#[case::threaded(program!("threaded-server"))]
#[case::select(program!("select-server"))]
fn refuses_a_port_in_use(#[case] program: &str) {
    let server = Server::start(program);
    let port = server.address.port().to_string();
    Command::new(program)
        .args(["--host", "127.0.0.1", "--port", &port])
        .timeout(PATIENCE)
        .assert()
        .code(1)
        .stdout(predicate::str::is_empty())
        .stderr(predicate::str::contains(server.address.to_string()));
}

#[rstest]
#[case::iterative(program!("iterative-server"))]
#[case::forking(program!("forking-server"))]
#[case::threaded(program!("threaded-server"))]
#[case::select(program!("select-server"))]
fn refuses_malformed_options(#[case] program: &str) {
    Command::new(program)
        .args(["--port", "65536"])
        .timeout(PATIENCE)
        .assert()
        .code(2)
        .stdout(predicate::str::is_empty())
        .stderr(predicate::str::contains("usage"));
}
