//! A traced program draws what it does, and a trace that cannot be made says why.

use std::path::Path;
use std::process::{Command, Stdio};

use assert_cmd::assert::OutputAssertExt;
use predicates::prelude::*;
use predicates::str::contains;

fn trace(arguments: &[&str]) -> Command {
    let solutions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../solutions");
    let mut command = Command::new(env!("CARGO_BIN_EXE_grader"));
    command.arg("trace").args(&arguments[..2]).arg("--of").arg(solutions).args(&arguments[2..]);
    command.stdin(Stdio::null());
    command
}

#[test]
fn a_server_and_its_client_are_drawn_side_by_side() {
    let drawn = trace(&["udp", "udp-server", "--peer", "--", "--count", "1"]).assert().success();
    drawn
        .stdout(contains("* udp-server").and(contains("* udp-client")))
        .stdout(contains("bind 0.0.0.0:5000").and(contains("00 01")))
        .stdout(contains("udp-server ended: status 0").and(contains("stdout: Received 2")));
}

#[test]
fn a_program_alone_is_drawn_with_its_children() {
    let drawn = trace(&["fork", "fork-wait", "--", "--count", "1", "--interval-ms", "50"]).assert().success();
    drawn.stdout(contains("* fork-wait.1").and(contains("stdout: parent is exiting...")));
}

#[test]
fn a_program_that_never_ends_is_shown_where_it_waits() {
    let drawn = trace(&["udp", "udp-server", "--seconds", "2"]).assert().success();
    drawn.stdout(contains("blocked in recvfrom 3").and(contains("udp-server is blocked in")));
}

#[test]
fn an_unknown_program_is_named_with_those_that_there_are() {
    let refused = trace(&["udp", "tcp-server"]).assert().code(2);
    refused.stderr(contains("no program tcp-server").and(contains("udp-server, udp-client")));
    trace(&["fork", "fork-wait", "--peer"]).assert().code(2).stderr(contains("leave --peer out"));
}
