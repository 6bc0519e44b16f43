//! What a student runs with `cargo test -p sockets`: the table's form, and the names that sockets get.
//!
//! The same file tests the reference solution.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::prelude::*;
use rstest::rstest;
use socket2::{Domain, Socket, Type};

/// The path of a program of this package: the student's, or the solution's of the same name.
macro_rules! program {
    ($name:literal) => {
        option_env!(concat!("CARGO_BIN_EXE_", $name))
            .or(option_env!(concat!("CARGO_BIN_EXE_", $name, "-solution")))
            .expect("cargo builds the programs before the tests")
    };
}

/// Runs a program to its end, which must come soon.
fn run(program: &str, arguments: &[&str]) -> Assert {
    Command::new(program).args(arguments).timeout(Duration::from_secs(30)).assert()
}

/// What a successful run has printed.
fn output(run: Assert) -> String {
    String::from_utf8(run.success().get_output().stdout.clone()).expect("the output is text")
}

#[test]
fn table_has_a_line_for_each_family_and_type() {
    let table = output(run(program!("socket-table"), &[]));
    let mut lines = table.lines();
    for family in ["AF_INET", "AF_INET6", "AF_UNIX", "AF_BLUETOOTH"] {
        for kind in ["SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW"] {
            let line = lines.next().unwrap_or_default();
            let answer = line.strip_prefix(&format!("{family} {kind} "));
            assert!(
                answer.is_some_and(|answer| answer == "ok" || answer.starts_with('E')),
                "want `{family} {kind} ok`, or an error's name in place of `ok`, but the line is {line:?}"
            );
        }
    }
    assert_eq!(lines.next(), None, "there is nothing more to print");
}

#[rstest]
#[case("AF_INET SOCK_STREAM", Domain::IPV4, Type::STREAM)]
#[case("AF_INET6 SOCK_DGRAM", Domain::IPV6, Type::DGRAM)]
#[case("AF_UNIX SOCK_RAW", Domain::UNIX, Type::RAW)]
fn table_says_what_the_system_says(#[case] row: &str, #[case] domain: Domain, #[case] ty: Type) {
    let table = output(run(program!("socket-table"), &[]));
    let works = Socket::new(domain, ty, None).is_ok();
    assert_eq!(table.contains(&format!("{row} ok\n")), works, "this test has tried the same socket itself");
}

#[rstest]
#[case(&["127.0.0.1", "0"], "127.0.0.1")]
#[case(&["", "0"], "0.0.0.0")]
fn port_0_becomes_the_port_that_the_system_chose(#[case] arguments: &[&str], #[case] address: &str) {
    let name = output(run(program!("bind-name"), arguments));
    let name: SocketAddr = name.trim_end().parse().expect("the output is ADDR:PORT");
    assert_eq!(name.ip().to_string(), address);
    assert_ne!(name.port(), 0, "getsockname tells the port after bind");
}

#[test]
fn binds_the_port_asked_for() {
    // The listener shows which port is free; it must be closed before the program can have it.
    let listener = TcpListener::bind("127.0.0.1:0").expect("some port is free");
    let name = listener.local_addr().expect("the listener has a name");
    drop(listener);
    let printed = output(run(program!("bind-name"), &["127.0.0.1", &name.port().to_string()]));
    assert_eq!(printed, format!("{name}\n"));
}

#[test]
fn names_the_address_that_is_in_use() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("some port is free");
    let name = listener.local_addr().expect("the listener has a name");
    run(program!("bind-name"), &["127.0.0.1", &name.port().to_string()])
        .code(1)
        .stdout(predicate::str::is_empty())
        .stderr(predicate::str::contains(name.to_string()));
}

#[rstest]
#[case::not_on_this_host("192.0.2.1")]
#[case::unknown_name("no-such-host.invalid")]
fn names_the_host_that_cannot_be_bound(#[case] host: &str) {
    run(program!("bind-name"), &[host, "0"])
        .code(1)
        .stdout(predicate::str::is_empty())
        .stderr(predicate::str::contains(host));
}

#[rstest]
#[case(program!("bind-name"), &["127.0.0.1", "65536"])]
#[case(program!("bind-name"), &["127.0.0.1", "5000", "more"])]
#[case(program!("socket-table"), &["more"])]
fn refuses_malformed_arguments(#[case] program: &str, #[case] arguments: &[&str]) {
    run(program, arguments)
        .code(2)
        .stdout(predicate::str::is_empty())
        .stderr(predicate::str::contains("usage"));
}
