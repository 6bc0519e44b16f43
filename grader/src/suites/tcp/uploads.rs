//! The half-close: the end of the data is told by shutdown, and the receipt comes after it.

use super::conversation::{CONNECTS, ENDS, PORT, RECEIPT, RECEIVES, expect_receipt, line, local, receipt};
use crate::bench::{Bench, Stdin, difference, show};
use crate::verdict::{Because, Stop, Unexplained};

pub fn upload_server_answers_after_the_end(bench: &mut Bench) -> Result<(), Stop> {
    const LATER: &str = "the receipt is about all of the data: it can be sent only after end of file";
    let mut server = bench.tcp_server("upload-server", &[], PORT)?;
    let client = bench.tcp_connect(server.local()).because(CONNECTS)?;
    let mut data = Vec::new();
    for size in [300, 1, 700] {
        let piece = bench.random().bytes(size);
        if let Err(unmet) = client.send(&piece).and_then(|()| client.until_taken()) {
            // What came too early says more than that nothing is read any more.
            client.expect_nothing().because(LATER)?;
            return Err(unmet).because(RECEIVES);
        }
        client.expect_nothing().because(LATER)?;
        data.extend(piece);
    }
    client.half_close();
    expect_receipt(&client, &data).with(|unmet| bench.explain(unmet)).because(RECEIPT)?;
    let ended = server.end().because("one connection is all that the server serves without --count")?;
    ended.expect_status(0).because(ENDS)
}

pub fn upload_client_ends_its_direction(bench: &mut Bench) -> Result<(), Stop> {
    const SHUTDOWN: &str = "when stdin has ended the client ends its direction by shutdown, or the server waits for more for ever";
    const STILL: &str =
        "shutdown of the writing direction leaves the other one open: the client waits for the receipt";
    let data = bench.random().bytes(3000);
    let listener = bench.tcp_listen(local(PORT))?;
    let mut client = bench.program("upload-client").stdin(Stdin::Bytes(data.clone())).start()?;
    let server = listener.accept().because("without options the client connects to 127.0.0.1, port 5000")?;
    let received = server.receive_to_end(data.len() + 1000).because(SHUTDOWN)?;
    if received != data {
        let mut unmet = Unexplained::new(show(&data), show(&received));
        if let Some(difference) = difference(&data, &received) {
            unmet = unmet.note(difference);
        }
        return Err(unmet).because("the client sends exactly the bytes of its stdin");
    }
    client.expect_running().because(STILL)?;
    let answer = receipt(&data);
    server.send(&answer).because(STILL)?;
    let ended = client.end().because(ENDS)?;
    ended
        .expect_stdout(line(data.len(), answer))
        .because("the client prints its own count and the server's figures")?;
    ended.expect_status(0).because(ENDS)
}
