//! Memory that stays small, however much data passes through.
//!
//! One upload is looked at while it lasts: how much memory had the program needed at most when it had taken 64 KiB, and
//! how much when it had taken 17 million bytes? Where a runtime collects its garbage late, it is more by then, although
//! nothing was kept. What tells such a program from one that keeps the data is that its memory stops growing, or nearly:
//! so it is given more, and then much more.

use crate::bench::{Bench, Process, Stdin};
use crate::suites::tcp::conversation::{
    CONNECTS, ENDS, PORT, RECEIPT, RECEIVES, expect_this_receipt, figures, line, local, receipt_of, sum,
};
use crate::verdict::{Because, Stop, Unexplained};

const MEMORY: &str = "a block is read, passed on and forgotten: memory does not grow with the data";

/// After how much data the first look at the memory is taken, and after how much the second.
const LITTLE: usize = 64 << 10;
const MUCH: usize = 17_000_000;
/// How much more memory there may be at the second look. Whoever keeps a part of the data, and needs more, keeps a
/// quarter at least.
const SLACK: u64 = 4 << 20;
/// After how much data the later looks are taken, each only where the one before found too much. Node's buffers lie
/// outside of its heap, which is why it lets 150 million bytes of them come together before it looks for garbage.
const MORE: [usize; 3] = [3 * MUCH, 9 * MUCH, 27 * MUCH];
/// How much is passed on at once: each block has its own time, and the bench itself needs no more memory for more data.
const BLOCK: usize = 4 << 20;
/// At a later look memory may have grown by this part of the data that came since the one before.
const PART: usize = 8;

pub fn upload_server_needs_no_more_memory(bench: &mut Bench) -> Result<(), Stop> {
    let little = bench.random().bytes(LITTLE);
    let mut server = bench.tcp_server("upload-server", &[], PORT)?;
    let client = bench.tcp_connect(server.local()).because(CONNECTS)?;
    let receipt = needs_no_more(bench, &server, &little, 0x5a, |bytes| {
        client.send(bytes).because(RECEIVES)?;
        client.until_taken().because(RECEIVES)
    })?;
    client.half_close();
    expect_this_receipt(&client, receipt).because(RECEIPT)?;
    server.end().because(ENDS)?.expect_status(0).because(ENDS)
}

pub fn upload_client_needs_no_more_memory(bench: &mut Bench) -> Result<(), Stop> {
    const PIECE: usize = 512 << 10;
    const READS: &str = "the client reads its stdin to the end";
    const SENDS: &str = "the client sends all that it reads, and ends its direction when stdin has ended";
    const WRAPS: &str = "the sum is taken modulo 2^32: adding wraps, in a debug build too";
    let little = bench.random().bytes(LITTLE);
    let listener = bench.tcp_listen(local(PORT))?;
    let mut client = bench.program("upload-client").stdin(Stdin::Silent).start()?;
    let server = listener.accept().because(CONNECTS)?;
    let mut received = 0;
    // Bytes of ff, so that the client's own sum leaves 32 bits as well.
    let receipt = needs_no_more(bench, &client, &little, 0xff, |bytes| {
        // Piece by piece: each has its own time, on a busy machine too.
        bytes.chunks(PIECE).try_for_each(|piece| {
            client.feed(piece, false);
            // It may keep a part for later: how much memory that takes is just the question.
            let taken = || {
                received += server.take().len();
                (client.has_read_its_input() || !client.is_running()).then_some(())
            };
            bench.until("the client reads its stdin", taken).because(READS)
        })
    })?;
    client.feed(&[], true);
    let count = figures(&receipt).0 as usize;
    received += server.receive_to_end(count + 1000 - received).because(SENDS)?.len();
    bench.ensure(received == count, format!("{count} bytes"), format!("{received} bytes")).because(SENDS)?;
    server.send(&receipt).because("the client waits for the receipt")?;
    let ended = client.end().because(ENDS)?;
    ended.expect_stdout(line(count, receipt)).because(WRAPS)?;
    ended.expect_status(0).because(WRAPS)
}

/// Passes data on to a program, the bytes after the first few all being `fill`, and compares the largest memory that it
/// has had after little of it and after much. Gives the receipt for what was passed on.
fn needs_no_more(
    bench: &Bench,
    program: &Process,
    little: &[u8],
    fill: u8,
    mut pass: impl FnMut(&[u8]) -> Result<(), Stop>,
) -> Result<[u8; 12], Stop> {
    pass(little)?;
    let block = vec![fill; BLOCK];
    let mut looks = vec![(little.len(), program.peak_resident())];
    for count in [MUCH].into_iter().chain(MORE) {
        let (before, peak) = looks[looks.len() - 1];
        let more = count - before;
        for begin in (0..more).step_by(BLOCK) {
            pass(&block[..BLOCK.min(more - begin)])?;
        }
        let now = program.peak_resident();
        looks.push((count, now));
        let slack = if count == MUCH { SLACK } else { (more / PART) as u64 };
        if now <= peak + slack {
            let filled = (count - little.len()) as u32;
            let sum = sum(little).wrapping_add(filled.wrapping_mul(fill.into()));
            return Ok(receipt_of(count as u64, sum));
        }
    }
    let observed: Vec<String> =
        looks.iter().map(|(count, peak)| format!("{} KiB after {count} bytes", peak >> 10)).collect();
    let grows = Unexplained::new("at most 4 MiB more memory for more data", observed.join(", "));
    Err(bench.explain(grows)).because(MEMORY)
}
