//! A stream of bytes is not a stream of lines: pieces, many lines at once, and one direction that ends first.

use crate::bench::{Bench, quote};
use crate::suites::servers::conversation::{Client, PORT};
use crate::verdict::{Because, Stop, ensure};

/// Lines in pieces, several at once, and answers after a half-close.
pub fn takes_the_stream_as_it_comes(bench: &mut Bench, program: &str) -> Result<(), Stop> {
    const PIECES: &str =
        "TCP has no lines: a line is complete when its newline has come, in however many pieces";
    const ORDER: &str = "several requests that come at once are all answered, in their order";
    let server = bench.tcp_server(program, &[], PORT)?;
    let client = Client::connect(bench, &server)?;
    let pieces: [&[u8]; 5] = [b"a", b"dd 1", b"2\nad", b"d 30\nadd -", b"400\n"];
    client.peer.send_in_pieces(&pieces).because(PIECES)?;
    for total in [12, 42, -358] {
        client
            .expect_total(total)
            .with(|unexplained| {
                unexplained
                    .sent("in 5 pieces: a | dd 1 | 2, newline, ad | d 30, newline, add - | 400, newline")
            })
            .because(PIECES)?;
    }

    let numbers: Vec<i64> = (0..30).map(|_| bench.random().range(-5000, 5000)).collect();
    let requests: String = numbers.iter().map(|number| format!("add {number}\nwhat?\n")).collect();
    client.peer.send(requests.as_bytes()).because(ORDER)?;
    let mut total = -358;
    for number in numbers {
        total += number;
        client.expect_total(total).with(|unexplained| unexplained.sent("60 lines at once")).because(ORDER)?;
        client.expect_error().with(|unexplained| unexplained.sent("60 lines at once")).because(ORDER)?;
    }
    client.quit()?;

    if program == "forking-server" {
        total = 0;
    }
    let ending = Client::connect(bench, &server)?;
    ending.peer.send(b"add 5\nadd 6\nadd 7").because("a server reads what its clients send")?;
    ending.peer.half_close();
    const HALF: &str =
        "a client that has ended its direction still gets the answers to its lines, and then the end";
    let answers = ending.peer.receive_to_end(4096).because(HALF)?;
    let expected = format!("total {}\ntotal {}\n", total + 5, total + 11);
    ensure(answers == expected.as_bytes(), quote(expected.as_bytes()), quote(&answers))
        .with(|unexplained| {
            unexplained.sent("two lines, a third one without newline, and the end of this direction")
        })
        .because("a last line without a newline is not a line; the lines before it are answered")
}
