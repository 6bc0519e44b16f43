//! The protocol that all four servers speak: what arrives as bytes leaves as requests.
//!
//! TCP delivers a stream of bytes, not lines: one `read` may bring half a request or seven of them. [`Requests`]
//! gathers the bytes of one connection and hands out the requests that are complete. It knows nothing of sockets,
//! so every server uses it, whether it blocks in `read` or asks `poll` first.
//!
//! A program takes this file in by `mod protocol;`.

// solution: // Yours to write, once for all four servers: gather bytes, hand out complete requests.
/// The longest line that is a request, its newline not counted. Whoever sends more is cut off: a server must
/// bound what it keeps for a client.
const LONGEST_LINE: usize = 1024;

/// The answer to a line that is no request.
pub const UNKNOWN: &str = "error: want `add N` or `quit`\n";

/// The answer to a line that is too long, before the connection is closed.
pub const TOO_LONG: &str = "error: the line is too long\n";

/// One line of a client, understood.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// `add N`: add N to the total.
    Add(i64),
    /// `quit`: close the connection.
    Quit,
    /// Any other line.
    Unknown,
    /// More bytes than a line may have.
    TooLong,
}

/// The bytes of one connection that have arrived and are not yet part of a request.
#[derive(Default)]
pub struct Requests {
    pending: Vec<u8>,
}

impl Requests {
    /// Adds what a `read` has brought, however little or much that is.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Takes out the next complete request. `None`: its newline has not come yet.
    pub fn take(&mut self) -> Option<Request> {
        match self.pending.iter().position(|&byte| byte == b'\n') {
            Some(length) if length <= LONGEST_LINE => {
                let line: Vec<u8> = self.pending.drain(..=length).collect();
                Some(understand(&line[..length]))
            }
            Some(_) => Some(Request::TooLong),
            // Waiting for the newline would mean to keep whatever the client likes to send.
            None if self.pending.len() > LONGEST_LINE => Some(Request::TooLong),
            None => None,
        }
    }
}

/// What a line, without its newline, asks for.
fn understand(line: &[u8]) -> Request {
    match line {
        b"quit" => Request::Quit,
        [b'a', b'd', b'd', b' ', number @ ..] => match parse(number) {
            Some(number) => Request::Add(number),
            None => Request::Unknown,
        },
        _ => Request::Unknown,
    }
}

/// A decimal number: an optional minus sign and one to nineteen digits, within `i64`.
fn parse(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    // `str::parse` alone would take a plus sign and any number of leading zeros as well.
    if !(1..=19).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
// :solution
