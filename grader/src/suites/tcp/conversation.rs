//! What the checks of the lab `tcp` say to a server, and what must hold for its answers.

use std::net::{Ipv4Addr, SocketAddr};

use crate::bench::{Bench, Process, Random, TcpPeer, show};
use crate::recording::{Act, Event};
use crate::verdict::{Because, Expected, Stop, Unexplained, ensure};

/// The port of all four programs.
pub const PORT: u16 = 5000;

/// Why a connection must be possible.
pub const CONNECTS: &str = "the system completes connections for a listening socket, also before accept";
/// Why data must be taken.
pub const RECEIVES: &str = "the server receives until end of file";
/// Why a program must end.
pub const ENDS: &str = "a program that has finished its work ends by itself, with status 0";
/// How many answers there may be.
pub const BOUNDS: &str = "a message is answered at least once, and at most once for each of its bytes";
/// What a receipt is.
pub const RECEIPT: &str =
    "the receipt is the count (8 bytes) and the sum (4 bytes), both in network byte order";

/// A port of this host's loopback address.
pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Sends one byte, to which there is exactly one answer, and expects that.
pub fn answers_a_byte(client: &TcpPeer, random: &mut Random) -> Result<(), Stop> {
    const ANSWERS: &str = "whatever the server receives, it answers with `Hi!`, however short it is";
    let message = random.word(1);
    client.send(message.as_bytes()).because(RECEIVES)?;
    client.expect(b"Hi!").because(ANSWERS)
}

/// Expects nothing but whole answers: at least one, at most one for each byte of `message`.
pub fn expect_answers(observed: &[u8], message: &[u8]) -> Expected {
    let whole = observed.len() % 3 == 0 && observed.chunks(3).all(|answer| answer == b"Hi!");
    let count = observed.len() / 3;
    let expected = match message.len() {
        1 => "`Hi!` once".to_string(),
        most => format!("`Hi!`, at least once and at most {most} times"),
    };
    let unmet = ensure(whole && (1..=message.len()).contains(&count), expected, show(observed));
    unmet.with(|unmet| {
        let unmet = unmet.sent(show(message));
        if observed == message {
            unmet.likely("the server sends back what it received: that is an echo")
        } else if observed.starts_with(b"Hi!\n") || observed.starts_with(b"Hi!\0") {
            unmet.likely("the answer is three bytes long: no newline and no zero byte belongs to it")
        } else {
            unmet
        }
    })
}

/// Adds what the recording shows of a server that does not take the end of file for an end.
pub fn with_reads_past_the_end(bench: &Bench, server: &Process, unmet: Unexplained) -> Unexplained {
    let recording = bench.recorder().recording();
    let ends = |event: &&Event| matches!(event.act, Act::Receive { end: true, .. });
    if recording.events.iter().filter(|event| event.who.starts_with(server.who())).filter(ends).count() < 3 {
        return unmet;
    }
    unmet.likely(
        "a receive that gives 0 is the end of file, not a message: the server reads it again and again",
    )
}

/// The sum of a receipt.
pub fn sum(data: &[u8]) -> u32 {
    // Eight bytes at a time, as four sums side by side: this runs over many megabytes, without optimisation.
    const LANES: u64 = 0x00ff_00ff_00ff_00ff;
    let mut sum: u32 = 0;
    // A lane of 16 bits holds the sum of 128 pairs of bytes.
    for block in data.chunks(8 * 128) {
        let mut lanes: u64 = 0;
        let mut words = block.chunks_exact(8);
        for word in &mut words {
            let word = word.try_into().map_or(0, u64::from_le_bytes);
            lanes += (word & LANES) + ((word >> 8) & LANES);
        }
        for lane in 0..4 {
            sum = sum.wrapping_add(((lanes >> (16 * lane)) & 0xffff) as u32);
        }
        for byte in words.remainder() {
            sum = sum.wrapping_add((*byte).into());
        }
    }
    sum
}

/// The receipt for `data`.
pub fn receipt(data: &[u8]) -> [u8; 12] {
    receipt_of(data.len() as u64, sum(data))
}

/// A receipt with these figures.
pub fn receipt_of(count: u64, sum: u32) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&count.to_be_bytes());
    bytes[8..].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// The line that the client prints.
pub fn line(sent: usize, receipt: [u8; 12]) -> String {
    let (count, sum) = figures(&receipt);
    format!("Sent {sent} bytes, server counted {count}, checksum 0x{sum:08x}\n")
}

/// Expects the receipt for `data` and then the end of the stream.
pub fn expect_receipt(client: &TcpPeer, data: &[u8]) -> Expected {
    expect_this_receipt(client, receipt(data))
}

/// Expects this receipt and then the end of the stream.
pub fn expect_this_receipt(client: &TcpPeer, wanted: [u8; 12]) -> Expected {
    let observed = client.receive_exactly(12)?;
    if observed != wanted {
        let (count, sum) = figures(&wanted);
        let sent = format!("{count} bytes with the sum {sum}");
        let mut unmet = Unexplained::new(show(&wanted), show(&observed)).sent(sent);
        if let Some(mistake) = mistaken_receipt(&observed, count, sum) {
            unmet = unmet.likely(mistake);
        }
        return Err(unmet);
    }
    client.expect_end()
}

/// The two figures of a receipt: count and sum.
pub fn figures(receipt: &[u8; 12]) -> (u64, u32) {
    let count = u64::from_be_bytes(std::array::from_fn(|at| receipt[at]));
    (count, u32::from_be_bytes(std::array::from_fn(|at| receipt[8 + at])))
}

/// What is probably wrong with a receipt, recognised from its bytes.
fn mistaken_receipt(observed: &[u8], count: u64, sum: u32) -> Option<String> {
    if observed[..8] == count.to_le_bytes() || observed[8..] == sum.to_le_bytes() {
        return Some("low byte first: this machine's own order went on the wire".to_string());
    }
    if observed[..4] == sum.to_be_bytes() && observed[4..] == count.to_be_bytes() {
        return Some("the sum came before the count".to_string());
    }
    let counted = u64::from_be_bytes(std::array::from_fn(|at| observed[at]));
    let summed = u32::from_be_bytes(std::array::from_fn(|at| observed[8 + at]));
    if counted < count && counted > 0 {
        return Some(format!(
            "only {counted} of {count} bytes were counted: the rest came after the first reads"
        ));
    }
    if counted > count {
        return Some(format!("{counted} bytes were counted, and only {count} are data"));
    }
    (counted == count && summed == u32::MAX)
        .then(|| "the sum stops at its largest value instead of wrapping".to_string())
}

/// One whole conversation with a server: it is asked, it answers, and it sees the end. `whom` says in the reason who
/// must be served.
pub fn is_served(client: &TcpPeer, program: &str, reason: &str) -> Result<(), Stop> {
    if program == "tcp-server" {
        client.send(b"x").because(reason)?;
        client.expect(b"Hi!").because(reason)?;
        client.half_close();
        return client.expect_end().because(reason);
    }
    client.send(b"abc").because(reason)?;
    client.half_close();
    expect_receipt(client, b"abc").because(reason)
}

/// Connects to a server and has one whole conversation with it.
pub fn serves(bench: &Bench, server: &Process, program: &str, reason: &str) -> Result<(), Stop> {
    let client = bench.tcp_connect(server.local()).because(reason)?;
    is_served(&client, program, reason)
}
