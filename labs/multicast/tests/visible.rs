//! What you run yourself, with `cargo test -p multicast`. The grader asks more than this.
//!
//! All traffic stays on the loopback interface: every program is started with `--interface 127.0.0.1`. Each test has
//! a group of its own, made of this process's number, so that tests do not hear each other.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use predicates::prelude::*;
use rstest::rstest;
use socket2::{Domain, Protocol, Socket, Type};

/// Far more than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// The path of a program: yours in `labs/`, the reference in `solutions/`.
macro_rules! program {
    ($name:literal) => {
        option_env!(concat!("CARGO_BIN_EXE_", $name))
            .or(option_env!(concat!("CARGO_BIN_EXE_", $name, "-solution")))
            .expect("cargo builds the programs before the tests")
    };
}

/// A group for one test alone.
fn own_group(test: u8) -> SocketAddrV4 {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    SocketAddrV4::new(Ipv4Addr::new(239, test, high, low), 5000)
}

/// The options that lead a program to `group`, on the loopback interface.
fn options(group: SocketAddrV4) -> Vec<String> {
    ["--interface", "127.0.0.1", "--group", &group.ip().to_string(), "--port", &group.port().to_string()]
        .map(String::from)
        .to_vec()
}

fn sender(group: SocketAddrV4) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(program!("mcast-sender"));
    command.args(options(group)).timeout(PATIENCE);
    command
}

/// The tests' own receiver: bound to the group, and a member of it on the loopback interface.
fn member(group: SocketAddrV4) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&group.into()).unwrap();
    socket.join_multicast_v4(group.ip(), &Ipv4Addr::LOCALHOST).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

/// Sends from the tests' own socket to the group, by the loopback interface.
fn tell(group: SocketAddrV4, message: &[u8]) {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    socket.send_to(message, &group.into()).unwrap();
}

/// How many sockets of this host are members of `group`, from `/proc/net/igmp`.
fn members(group: SocketAddrV4) -> usize {
    let word = format!("{:08X}", u32::from_ne_bytes(group.ip().octets()));
    let table = std::fs::read_to_string("/proc/net/igmp").unwrap();
    let lines = table.lines().filter_map(|line| line.trim().strip_prefix(&word));
    lines.filter_map(|rest| rest.split_whitespace().next()?.parse::<usize>().ok()).sum()
}

/// A running receiver. It is killed at the end of a test that fails half-way.
struct Receiver {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Receiver {
    /// Starts a receiver and waits until the system lists it as the group's `number`th member.
    fn start(group: SocketAddrV4, number: usize, more: &[&str]) -> Self {
        let mut command = Command::new(program!("mcast-receiver"));
        command.args(options(group)).args(more).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut receiver = Self { child, stdout };
        let deadline = Instant::now() + PATIENCE;
        while members(group) < number {
            let ended = receiver.child.try_wait().unwrap();
            assert!(ended.is_none(), "the receiver ended before it had joined the group: {ended:?}");
            assert!(Instant::now() < deadline, "the receiver did not join {group}");
            std::thread::yield_now();
        }
        receiver
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    /// The rest of the output and the exit status, once the program has ended.
    fn end(mut self) -> (String, Option<i32>) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > deadline => panic!("the receiver does not end"),
                None => std::thread::yield_now(),
            }
        };
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (rest, status.code())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Fails where the program has ended, and that is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[rstest]
#[case(1, &[], b"Hello!".as_slice())]
#[case(2, &["--message", "two words, \u{e9}t\u{e9}"], "two words, \u{e9}t\u{e9}".as_bytes())]
fn the_sender_sends_one_datagram(#[case] test: u8, #[case] more: &[&str], #[case] expected: &[u8]) {
    let group = own_group(test);
    let socket = member(group);
    sender(group).args(more).assert().success().stdout("");
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).expect("the group gets the sender's message");
    assert_eq!(&buffer[..length], expected);
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut buffer).is_err(), "one datagram is enough");
}

#[test]
fn the_sender_sends_as_often_as_told() {
    let group = own_group(3);
    let socket = member(group);
    sender(group).args(["--count", "3"]).assert().success();
    for number in 1..=3 {
        let length = socket.recv(&mut [0; 2048]).unwrap_or_else(|e| panic!("datagram {number} of 3: {e}"));
        assert_eq!(length, b"Hello!".len());
    }
}

#[rstest]
#[case("mcast-sender", "--group", "223.255.255.255")]
#[case("mcast-sender", "--group", "240.0.0.0")]
#[case("mcast-sender", "--ttl", "256")]
#[case("mcast-sender", "--port", "0")]
#[case("mcast-sender", "--bogus", "1")]
#[case("mcast-receiver", "--group", "127.0.0.1")]
#[case("mcast-receiver", "--count", "0")]
fn malformed_options_are_refused(#[case] program: &str, #[case] option: &str, #[case] value: &str) {
    let path = if program == "mcast-sender" { program!("mcast-sender") } else { program!("mcast-receiver") };
    let mut command = assert_cmd::Command::new(path);
    command.args([option, value]).timeout(PATIENCE);
    command.assert().code(2).stdout("").stderr(predicate::str::is_empty().not());
}

#[rstest]
#[case("mcast-sender")]
#[case("mcast-receiver")]
fn an_interface_that_this_host_lacks_is_an_error(#[case] program: &str) {
    let path = if program == "mcast-sender" { program!("mcast-sender") } else { program!("mcast-receiver") };
    let mut command = assert_cmd::Command::new(path);
    // An address for documentation (RFC 5737): no host has it.
    command.args(["--interface", "192.0.2.7"]).timeout(PATIENCE);
    command.assert().code(1).stdout("").stderr(predicate::str::contains("192.0.2.7"));
}

#[rstest]
#[case(4, b"Hello!".as_slice(), "Received: Hello!\n")]
#[case(5, b"".as_slice(), "Received: \n")]
fn the_receiver_prints_what_the_group_gets(#[case] test: u8, #[case] message: &[u8], #[case] line: &str) {
    let group = own_group(test);
    let receiver = Receiver::start(group, 1, &[]);
    tell(group, message);
    assert_eq!(receiver.end(), (line.to_string(), Some(0)));
    assert_eq!(members(group), 0, "the membership ends with the program");
}

#[test]
fn the_receiver_shows_each_datagram_at_once() {
    let group = own_group(6);
    let mut receiver = Receiver::start(group, 1, &["--count", "2"]);
    tell(group, b"the longer one");
    assert_eq!(receiver.line(), "Received: the longer one\n");
    tell(group, b"short");
    assert_eq!(receiver.end(), ("Received: short\n".to_string(), Some(0)));
}

#[test]
fn two_receivers_share_the_port() {
    let group = own_group(7);
    let first = Receiver::start(group, 1, &[]);
    let second = Receiver::start(group, 2, &[]);
    sender(group).assert().success();
    for receiver in [first, second] {
        assert_eq!(receiver.end(), ("Received: Hello!\n".to_string(), Some(0)));
    }
}

#[test]
fn sigterm_ends_the_receiver_and_its_membership() {
    let group = own_group(8);
    let receiver = Receiver::start(group, 1, &["--count", "2"]);
    kill(Pid::from_raw(receiver.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let (output, status) = receiver.end();
    assert_eq!(output, "");
    assert!(matches!(status, Some(0) | None), "ended with status {status:?}");
    assert_eq!(members(group), 0);
}
