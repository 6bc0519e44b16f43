//! What you can try alone: `cargo test -p udp`. The grader asks more, and explains more.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use assert_cmd::Command;
use predicates::str::contains;
use rstest::rstest;

/// The path of a program of this lab. In `solutions/` the same tests run against the reference, whose programs
/// have a suffix.
macro_rules! program {
    ($name:literal) => {
        option_env!(concat!("CARGO_BIN_EXE_", $name))
            .or(option_env!(concat!("CARGO_BIN_EXE_", $name, "-solution")))
            .expect("cargo builds the program before its tests")
    };
}

/// Long enough for a loaded machine; nothing waits that long when the program is right.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server of the program under test, on a port that the system picked. It is killed when the test ends.
struct Server {
    process: Child,
    address: SocketAddr,
    /// The lines of its stdout; disconnected when it ends.
    lines: Receiver<String>,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut process = std::process::Command::new(program!("udp-server"))
            .args(["--host", "127.0.0.1", "--port", "0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let stdout = BufReader::new(process.stdout.take().expect("stdout is a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let line = lines.recv_timeout(PATIENCE).unwrap_or_default();
        let address = line.strip_prefix("Listening on ").map(|address| address.parse());
        let Some(Ok(address)) = address else {
            let _ = process.kill();
            panic!("with --port 0 the server prints `Listening on ADDR:PORT`, not {line:?}")
        };
        Self { process, address, lines }
    }

    fn ends_with_success(mut self) {
        let end = self.lines.recv_timeout(PATIENCE);
        assert_eq!(end, Err(RecvTimeoutError::Disconnected), "the server ends and prints nothing more");
        assert!(self.process.wait().expect("the server can be waited for").success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A socket on a free port, which plays the other side.
fn peer() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    socket
}

/// Starts the client against `peer` with more arguments.
fn client(peer: &UdpSocket, arguments: &[&str]) -> Command {
    let port = peer.local_addr().expect("a bound socket has an address").port().to_string();
    let mut client = Command::new(program!("udp-client"));
    client.args(["--port", &port]).args(arguments).timeout(PATIENCE);
    client
}

/// Receives one request and its sender.
fn receive(peer: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2048];
    let (length, sender) = peer.recv_from(&mut buffer).expect("a datagram comes");
    (buffer[..length].to_vec(), sender)
}

#[rstest]
#[case::small([0x00, 0x01], [0x00, 0x02])]
#[case::both_bytes([0x01, 0x02], [0x01, 0x03])]
#[case::carry([0x00, 0xff], [0x01, 0x00])]
#[case::negative([0xff, 0xfd], [0xff, 0xfe])]
#[case::wraps([0x7f, 0xff], [0x80, 0x00])]
fn server_answers_with_the_next_number_and_ends(#[case] request: [u8; 2], #[case] answer: [u8; 2]) {
    let server = Server::start(&[]);
    let peer = peer();
    peer.send_to(&request, server.address).expect("the request is sent");
    assert_eq!(receive(&peer), (answer.to_vec(), server.address));
    server.ends_with_success();
}

#[rstest]
#[case::empty(0)]
#[case::one_byte(1)]
#[case::three_bytes(3)]
#[case::large(1500)]
fn server_passes_over_what_is_not_a_request(#[case] size: usize) {
    let server = Server::start(&[]);
    let peer = peer();
    peer.send_to(&vec![0x55; size], server.address).expect("the junk is sent");
    peer.send_to(&[0x01, 0x02], server.address).expect("the request is sent");
    assert_eq!(receive(&peer).0, [0x01, 0x03], "the first answer belongs to the first real request");
    server.ends_with_success();
}

#[test]
fn server_answers_whoever_asked() {
    let server = Server::start(&["--count", "2"]);
    let (ann, bob) = (peer(), peer());
    ann.send_to(&[0x01, 0x02], server.address).expect("the request is sent");
    bob.send_to(&[0x03, 0x04], server.address).expect("the request is sent");
    assert_eq!(receive(&bob).0, [0x03, 0x05]);
    assert_eq!(receive(&ann).0, [0x01, 0x03]);
    server.ends_with_success();
}

#[rstest]
#[case::default(&[], [0x00, 0x01], [0x00, 0x02], "Received 2\n")]
#[case::negative(&["--value", "-3"], [0xff, 0xfd], [0xff, 0xfe], "Received -2\n")]
#[case::prints_what_it_received(&["--value", "258"], [0x01, 0x02], [0x12, 0x34], "Received 4660\n")]
fn client_asks_and_prints(
    #[case] arguments: &'static [&'static str],
    #[case] request: [u8; 2],
    #[case] answer: [u8; 2],
    #[case] line: &'static str,
) {
    let peer = peer();
    let mut client = client(&peer, arguments);
    let client = std::thread::spawn(move || client.assert().success().stdout(line));
    let (received, sender) = receive(&peer);
    assert_eq!(received, request);
    peer.send_to(&answer, sender).expect("the answer is sent");
    client.join().expect("the client prints the answer");
}

#[test]
fn client_asks_again_and_then_gives_up() {
    let peer = peer();
    client(&peer, &["--timeout-ms", "100", "--tries", "2"])
        .assert()
        .code(1)
        .stdout("")
        .stderr(contains("127.0.0.1"));
    assert_eq!(receive(&peer).0, [0x00, 0x01]);
    assert_eq!(receive(&peer).0, [0x00, 0x01]);
    peer.set_nonblocking(true).expect("a socket can be made non-blocking");
    assert!(peer.recv_from(&mut [0; 8]).is_err(), "two tries are two requests");
}

#[test]
fn client_refuses_a_value_that_two_bytes_cannot_hold() {
    let peer = peer();
    client(&peer, &["--value", "32768"]).assert().code(2).stdout("");
    peer.set_nonblocking(true).expect("a socket can be made non-blocking");
    assert!(peer.recv_from(&mut [0; 8]).is_err(), "nothing is sent");
}
