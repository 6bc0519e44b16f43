//! Options, lines, signals and payloads: what every program has to do, with a group.

use nix::sys::signal::Signal;

use super::{GROUP, PORT, REACHED, ends_well, sender, start, to_group};
use crate::bench::{Bench, Stdout, difference, quote};
use crate::verdict::{Because, Stop, ensure};

pub fn malformed_options_are_refused(bench: &mut Bench) -> Result<(), Stop> {
    let wire = bench.wire("b", "eth0")?;
    let ended = bench.run("mcast-sender", &["--message", "-5"])?;
    wire.expect_datagrams(bench, to_group(), &[b"-5"])
        .with(|unexplained| unexplained.sent(ended.command.clone()))
        .because("an option's value may begin with a minus sign")?;
    let both: [&[&str]; 8] = [
        &["--bogus", "1"],
        &["word"],
        &["--port"],
        &["--port", "0"],
        &["--port", "65536"],
        &["--count", "0"],
        &["--count", "1x"],
        &["--group", "nonsense"],
    ];
    bench.refuses_each("mcast-receiver", &both)?;
    bench.refuses_each("mcast-sender", &both)?;
    bench.refuses_each("mcast-sender", &[&["--ttl", "256"], &["--ttl", "-1"]])
}

pub fn failed_send_is_an_error(bench: &mut Bench) -> Result<(), Stop> {
    // This host has no link but its loopback, and so no route to any group.
    let ended = bench.run("mcast-sender", &[])?;
    ended
        .expect_status(1)
        .because("without a route to the group the system refuses to send: a run-time failure, status 1")?;
    ended.expect_stdout("").because("diagnostics go to stderr")?;
    ended
        .expect_stderr_names(&["226.1.1.1", "5000"])
        .because("whoever reads the message must learn what could not be sent to whom")
}

pub fn each_line_is_out_at_once(bench: &mut Bench) -> Result<(), Stop> {
    for stdout in [Stdout::Pipe, Stdout::File] {
        let (first, second) = (bench.random().word(8), bench.random().word(8));
        let mut receiver =
            bench.program("mcast-receiver").arguments(&["--count", "2"]).stdout(stdout).start()?;
        bench.until_receiving(&mut receiver, GROUP.into(), PORT, 1).because(REACHED)?;
        let sender = sender(bench)?;
        for word in [first, second] {
            sender.send(to_group(), word.as_bytes())?;
            receiver
                .expect_line(&format!("Received: {word}"))
                .because("a line is out by the time it happens, also when stdout is a pipe or a file")?;
        }
        ends_well(&mut receiver)?;
    }
    Ok(())
}

pub fn full_disk_is_an_error(bench: &mut Bench) -> Result<(), Stop> {
    let mut receiver = bench.program("mcast-receiver").stdout(Stdout::Full).start()?;
    bench.until_receiving(&mut receiver, GROUP.into(), PORT, 1).because(REACHED)?;
    sender(bench)?.send(to_group(), b"for nobody")?;
    let ended = receiver.end().because("a program that has finished its work ends by itself")?;
    ended
        .expect_status(1)
        .with(|unexplained| unexplained.note("stdout was a full disk: every write to it fails"))
        .because("a line that was not written was not printed, and that is a failure: status 1")
}

pub fn harmless_signals_do_not_end_the_wait(bench: &mut Bench) -> Result<(), Stop> {
    let word = bench.random().word(8);
    let mut receiver = start(bench, &[])?;
    for signal in [Signal::SIGCHLD, Signal::SIGWINCH, Signal::SIGURG, Signal::SIGSTOP, Signal::SIGCONT] {
        receiver.signal(signal)?;
    }
    sender(bench)?.send(to_group(), word.as_bytes())?;
    receiver
        .expect_line(&format!("Received: {word}"))
        .with(|unexplained| unexplained.sent("SIGCHLD, SIGWINCH, SIGURG, SIGSTOP, SIGCONT, then a datagram"))
        .because("a signal that is ignored by default, or that stops and continues, does not end a wait")?;
    ends_well(&mut receiver)
}

pub fn payloads_are_whole(bench: &mut Bench) -> Result<(), Stop> {
    // 1472 bytes fill an Ethernet frame; letters of one, two, three and four bytes each.
    // Blanks at both ends belong to the text as well.
    let mut message = format!("  {}", bench.random().word(12));
    while message.len() < 1470 {
        let room = 1470 - message.len();
        let letters = ['x', '\u{e9}', '\u{20ac}', '\u{1f980}'];
        let letter = *bench.random().pick(&letters);
        message.push(if letter.len_utf8() <= room { letter } else { '.' });
    }
    message.push_str("\t ");
    let mut receiver = start(bench, &["--count", "2"])?;
    let sender = sender(bench)?;
    sender.send(to_group(), b"")?;
    receiver
        .expect_line("Received: ")
        .with(|unexplained| unexplained.sent("an empty datagram"))
        .because("an empty datagram is a datagram: it is printed, and it counts")?;
    sender.send(to_group(), message.as_bytes())?;
    let because = "valid UTF-8 is printed unchanged, to the last byte: what the buffer does not hold is lost";
    let (line, expected) = (receiver.line().because(because)?, format!("Received: {message}"));
    let length = |line: &str| {
        format!("a line of {} bytes: {:?} ...", line.len(), line.chars().take(20).collect::<String>())
    };
    ensure(line == expected, length(&expected), length(&line))
        .with(|unexplained| match difference(expected.as_bytes(), line.as_bytes()) {
            Some(difference) => unexplained.sent("a datagram of 1472 bytes").note(difference),
            None => unexplained,
        })
        .because(because)?;
    ends_well(&mut receiver)?;

    let wire = bench.wire("b", "eth0")?;
    let ended = bench.run("mcast-sender", &["--message", &message])?;
    wire.expect_datagrams(bench, to_group(), &[message.as_bytes()])
        .with(|unexplained| unexplained.sent("mcast-sender --message with 1472 bytes"))
        .because("a message of up to 1472 bytes is one datagram")?;
    ended.expect_status(0).because("a program that has finished its work ends with status 0")
}

pub fn nothing_stale_is_printed(bench: &mut Bench) -> Result<(), Stop> {
    let (long, short) = (bench.random().word(40), bench.random().word(5));
    let mut receiver = start(bench, &["--count", "2"])?;
    let sender = sender(bench)?;
    for word in [&long, &short] {
        sender.send(to_group(), word.as_bytes())?;
        receiver
            .expect_line(&format!("Received: {word}"))
            .with(|unexplained| unexplained.sent(format!("{long:?}, then {short:?}")))
            .because(
                "only so many bytes of the buffer are new as recv says; the rest is of an older datagram",
            )?;
    }
    ends_well(&mut receiver)
}

pub fn bytes_that_are_no_text_do_no_harm(bench: &mut Bench) -> Result<(), Stop> {
    let word = bench.random().word(8);
    let mut receiver = start(bench, &["--count", "2"])?;
    let sender = sender(bench)?;
    let bytes = [0xff, 0xfe, b'a', 0x80, 0xc3, b'(', 0xf0, 0x9f];
    sender.send(to_group(), &bytes)?;
    let because = "anybody may send anything to a group: it is shown somehow, and the program goes on";
    let line = receiver.line().because(because)?;
    ensure(line.starts_with("Received: "), "a line that begins with \"Received: \"", quote(line.as_bytes()))
        .because(because)?;
    sender.send(to_group(), word.as_bytes())?;
    receiver.expect_line(&format!("Received: {word}")).because(because)?;
    ends_well(&mut receiver)
}
