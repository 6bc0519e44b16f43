//! Reads binary in a given byte order and prints the numbers: Python's `struct.unpack` in small.
//!
//! `printf '\x00\xff' | unpack '!H'` prints 255. The input must be exactly as long as the format says.

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: unpack FORMAT");
    let words = arguments.words();
    let [format] = words.as_slice() else { arguments.refuse("want a format and nothing else") };
    let (order, codes) = parse_format(format).unwrap_or_else(|problem| arguments.refuse(&problem));

    match read_and_print(order, &codes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(io::stderr(), "{problem}");
            ExitCode::FAILURE
        }
    }
}

/// The order and the codes of a format, one code for each value: `!2Hb` is `!` and `H`, `H`, `b`.
fn parse_format(format: &str) -> Result<(char, Vec<char>), String> {
    todo!("take {format} apart, or say what is wrong with it")
}

/// Reads the whole of stdin and prints one value a line; nothing where the input is too short or too long.
fn read_and_print(order: char, codes: &[char]) -> Result<(), String> {
    todo!("read stdin and print the values of {codes:?} in the order {order}")
}
