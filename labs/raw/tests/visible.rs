//! What you run yourself, with `cargo test -p raw`. The grader asks more than this.
//!
//! Raw sockets take a privilege, CAP_NET_RAW. In a network of its own every user may have it: these tests start
//! themselves again by `unshare -rn`, one network for each, where there is nothing but the loopback interface.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use predicates::prelude::*;
use rstest::rstest;

/// Far more than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Set in the process that has its own network.
const INSIDE: &str = "SOCKLAB_OWN_NETWORK";

/// The path of a program: yours in `labs/`, the reference in `solutions/`.
macro_rules! program {
    ($name:literal) => {
        option_env!(concat!("CARGO_BIN_EXE_", $name))
            .or(option_env!(concat!("CARGO_BIN_EXE_", $name, "-solution")))
            .expect("cargo builds the programs before the tests")
    };
}

fn program(name: &str) -> assert_cmd::Command {
    let path = if name == "raw-ping" { program!("raw-ping") } else { program!("raw-udp") };
    let mut command = assert_cmd::Command::new(path);
    command.timeout(PATIENCE);
    command
}

/// Runs `body` in a network of its own: the calling test runs once more, alone, in a process that has one.
fn in_own_network(body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        raise_loopback();
        return body();
    }
    // The thread of a test has the test's name.
    let thread = std::thread::current();
    let test = thread.name().expect("libtest names its threads");
    let again = Command::new("unshare")
        .args(["--map-root-user", "--net"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(INSIDE, "1")
        .output()
        .expect("the program unshare is installed (util-linux)");
    let said = String::from_utf8_lossy(&again.stdout) + String::from_utf8_lossy(&again.stderr);
    assert!(!said.contains("unshare failed"), "this machine gives you no network of your own: {said}");
    assert!(again.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

/// What `ip link set lo up` does: the interface is there in a new network, but down.
fn raise_loopback() {
    use std::os::fd::AsRawFd;
    let any = UdpSocket::bind("0.0.0.0:0").unwrap();
    // SAFETY: all of the structure's fields are plain numbers, for which zero is a value.
    let mut request: nix::libc::ifreq = unsafe { std::mem::zeroed() };
    for (at, letter) in b"lo".iter().enumerate() {
        request.ifr_name[at] = *letter as nix::libc::c_char;
    }
    request.ifr_ifru.ifru_flags = i16::try_from(nix::libc::IFF_UP).unwrap();
    // SAFETY: the descriptor is open and the structure is the one that this request reads.
    let result =
        unsafe { nix::libc::ioctl(any.as_raw_fd(), nix::libc::SIOCSIFFLAGS as _, &raw const request) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[rstest]
#[case(&["127.0.0.1"], "Reply from 127.0.0.1: seq=1\n")]
#[case(&["localhost"], "Reply from 127.0.0.1: seq=1\n")]
#[case(&["127.0.0.1", "--size", "0"], "Reply from 127.0.0.1: seq=1\n")]
#[case(&["127.0.0.1", "--size", "55"], "Reply from 127.0.0.1: seq=1\n")]
#[case(&["127.0.0.1", "--size", "1472", "--fill", "ff"], "Reply from 127.0.0.1: seq=1\n")]
#[case(&["127.0.0.5", "--count", "2"], "Reply from 127.0.0.5: seq=1\nReply from 127.0.0.5: seq=2\n")]
fn the_host_answers(#[case] arguments: &[&str], #[case] expected: &'static str) {
    in_own_network(|| {
        program("raw-ping").args(arguments).assert().success().stdout(expected);
    });
}

#[test]
fn your_own_request_is_not_an_answer() {
    in_own_network(|| {
        // The host is silent now, but on loopback a raw socket is shown what was sent, too.
        std::fs::write("/proc/sys/net/ipv4/icmp_echo_ignore_all", "1").unwrap();
        let mut command = program("raw-ping");
        command.args(["127.0.0.1", "--count", "2", "--timeout-ms", "100"]);
        command.assert().code(1).stdout("").stderr(predicate::str::is_empty().not());
    });
}

#[rstest]
#[case(&[], [0, 1])]
#[case(&["--value", "-2"], [0xff, 0xfe])]
#[case(&["--value", "258"], [1, 2])]
#[case(&["--value", "32767", "--source-port", "4711"], [0x7f, 0xff])]
fn the_datagram_arrives(#[case] arguments: &[&str], #[case] expected: [u8; 2]) {
    in_own_network(|| {
        let server = UdpSocket::bind("127.0.0.1:5000").unwrap();
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        program("raw-udp").arg("127.0.0.1").args(arguments).assert().success().stdout("");
        let mut buffer = [0; 64];
        let (length, sender) = server.recv_from(&mut buffer).expect("the server gets the datagram");
        assert_eq!(&buffer[..length], expected);
        if arguments.contains(&"--source-port") {
            assert_eq!(sender.port(), 4711);
        }
        server.set_nonblocking(true).unwrap();
        assert!(server.recv_from(&mut buffer).is_err(), "one datagram is enough");
    });
}

#[rstest]
#[case("raw-ping", &[])]
#[case("raw-ping", &["127.0.0.1", "127.0.0.2"])]
#[case("raw-ping", &["127.0.0.1", "--size", "1473"])]
#[case("raw-ping", &["127.0.0.1", "--fill", "f"])]
#[case("raw-udp", &["127.0.0.1", "--value", "32768"])]
#[case("raw-udp", &["127.0.0.1", "--bogus", "1"])]
fn malformed_arguments_are_refused(#[case] name: &str, #[case] arguments: &[&str]) {
    program(name).args(arguments).assert().code(2).stdout("").stderr(predicate::str::is_empty().not());
}

#[rstest]
#[case("raw-ping")]
#[case("raw-udp")]
fn an_ipv6_host_is_an_error(#[case] name: &str) {
    program(name).arg("::1").assert().code(1).stdout("").stderr(predicate::str::is_empty().not());
}
