//! The conventions of every program, asked of the four servers.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::bench::{Bench, Process, Stdout};
use crate::recording::{Act, Outcome};
use crate::suites::servers::conversation::{Client, PORT};
use crate::verdict::{Because, Stop, ensure};

const PROGRAMS: [&str; 4] = ["iterative-server", "forking-server", "threaded-server", "select-server"];

/// Expects that a server serves.
fn expect_served(bench: &Bench, server: &Process) -> Result<(), Stop> {
    let client = Client::connect(bench, server)?;
    client.add(17, 17)?;
    client.quit()
}

/// Malformed options are refused, and good ones are not.
pub fn servers_refuse_malformed_options(bench: &mut Bench) -> Result<(), Stop> {
    let malformed: [&[&str]; 5] =
        [&["--port", "65536"], &["--port", "5x"], &["--port", "-1"], &["--verbose", "1"], &["--port"]];
    for (at, program) in PROGRAMS.into_iter().enumerate() {
        bench.refuses(program, malformed[at])?;
        bench.refuses(program, malformed[(at + 1) % malformed.len()])?;
        bench.refuses(program, malformed[(at + 2) % malformed.len()])?;
        let port = 6010 + at as u16;
        let server =
            bench.tcp_server(program, &["--port", &port.to_string(), "--host", "127.0.0.1"], port)?;
        expect_served(bench, &server)?;
        let printed = server.stdout();
        ensure(
            printed.is_empty(),
            "nothing on stdout where the port was given",
            crate::bench::quote(&printed),
        )
        .with(|unexplained| unexplained.sent(server.command()))
        .because("stdout carries only the lines that the contract names")?;
        server.kill();
    }
    Ok(())
}

/// With port 0 the address is announced, at once, also into a file.
pub fn servers_announce_the_port_they_got(bench: &mut Bench) -> Result<(), Stop> {
    const ANNOUNCES: &str = "with port 0 nobody knows the port unless the server says it, and at once";
    for (program, stdout) in
        PROGRAMS.into_iter().zip([Stdout::Pipe, Stdout::File, Stdout::File, Stdout::Pipe])
    {
        let start = bench.program(program).arguments(&["--host", "127.0.0.1", "--port", "0"]).stdout(stdout);
        let mut server = start.start()?;
        server
            .until_listening(None)
            .because("with port 0 the system picks a port, and the server listens on it")?;
        server.expect_announced().because(ANNOUNCES)?;
        expect_served(bench, &server)?;
        server.kill();

        let start = bench.program(program).arguments(&["--port", "0"]).stdout(Stdout::Full);
        expect_no_silent_failure(bench, start.start()?)?;
    }
    bench.needs_ipv6()?;
    let mut server = bench.start("select-server", &["--host", "::1", "--port", "0"])?;
    server.until_listening(None).because("--host takes an IPv6 address too")?;
    server.expect_announced().because(ANNOUNCES)
}

/// Expects of a server whose stdout is full that it says so by its status, or that it serves nevertheless.
fn expect_no_silent_failure(bench: &Bench, mut server: Process) -> Result<(), Stop> {
    const FULL: &str =
        "a write error on stdout (a full disk) is a failure like any other: status 1, and no panic";
    let ended = bench.until("the program ends, or waits for clients", || {
        let recording = bench.recorder().recording();
        let own = || recording.of(server.who());
        let listens = own().find(|event| matches!(event.act, Act::Listen { .. })).map(|event| event.seq);
        let waits = own().any(|event| {
            let waits = match event.act {
                Act::Accept { .. } => true,
                Act::WaitReady { timeout, .. } => timeout != Some(0),
                _ => false,
            };
            waits && event.outcome == Outcome::Pending && listens.is_some_and(|listens| listens < event.seq)
        });
        drop(recording);
        if server.is_running() { waits.then_some(false) } else { Some(true) }
    });
    if !ended.because(FULL)? {
        server.kill();
        return Ok(());
    }
    let ended = server.end().because(FULL)?;
    ensure(
        ended.code().is_some_and(|code| code != 0 && code != 101),
        "a status other than 0, without a panic",
        crate::bench::describe(&ended.report),
    )
    .with(|unexplained| ended.explain(unexplained))
    .because(FULL)
}

/// `--host` is the address that is bound: any interface, an IPv4 or IPv6 address, a name.
pub fn servers_bind_the_host_asked_for(bench: &mut Bench) -> Result<(), Stop> {
    const ANY: &str = "without --host a server serves any interface, so that other hosts reach it";
    const HOST: &str = "--host is the address to bind, and no other";
    // Each on ports of its own: what an earlier one leaves behind is not this check's question.
    for (program, port) in PROGRAMS.into_iter().zip((6020..).step_by(10)) {
        let mut default = bench.tcp_server(program, &[], PORT)?;
        let address = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), PORT));
        let client = Client { peer: bench.tcp_connect_from("b", address).because(ANY)? };
        client.add(1, 1)?;
        client.peer.reset();
        end(&mut default)?;
        let hosts = [
            ("127.0.0.1", port, SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            ("::1", port + 1, SocketAddr::from((Ipv6Addr::LOCALHOST, port + 1))),
        ];
        for (host, port, address) in hosts {
            let mut server =
                bench.tcp_server(program, &["--host", host, "--port", &port.to_string()], port)?;
            let bound = server.bound();
            ensure(bound == address, format!("bound to {address}"), format!("bound to {bound}"))
                .with(|unexplained| unexplained.sent(server.command()))
                .because(HOST)?;
            expect_served(bench, &server)?;
            end(&mut server)?;
        }
        let mut server = bench.tcp_server(
            program,
            &["--host", "localhost", "--port", &(port + 2).to_string()],
            port + 2,
        )?;
        let bound = server.bound();
        ensure(
            bound.ip().is_loopback(),
            "bound to an address of localhost, 127.0.0.1 or ::1",
            format!("bound to {bound}"),
        )
        .with(|unexplained| unexplained.sent(server.command()))
        .because(HOST)?;
        expect_served(bench, &server)?;
        end(&mut server)?;
    }
    Ok(())
}

/// Ends a server, so that the next one can have its port.
fn end(server: &mut Process) -> Result<(), Stop> {
    server.kill();
    server.end_with_orphans().because("SIGKILL ends a program").map(drop)
}

/// A server that cannot listen says where and why.
pub fn servers_say_why_they_cannot_listen(bench: &mut Bench) -> Result<(), Stop> {
    const SAYS: &str = "a failure names the operation, the address and the port, and ends with status 1";
    let _occupant = bench.tcp_listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 6030)))?;
    for program in PROGRAMS {
        for (host, port) in [("127.0.0.1", "6030"), ("192.0.2.99", "6031")] {
            let ended = bench.run(program, &["--host", host, "--port", port])?;
            ended.expect_status(1).because(SAYS)?;
            ended.expect_stdout("").because("stdout carries only the lines that the contract names")?;
            ended.expect_stderr_names(&[host, port]).because(SAYS)?;
        }
    }
    Ok(())
}
