//! Shows that a number has no byte order of its own: it gets one when its bytes are laid out one after another.
//!
//! The same number is printed three times: picked apart by arithmetic with the least significant byte first, as
//! a big-endian machine would hold it, and as it travels on a network.

use std::io::{self, Write};
use std::process::ExitCode;

/// The course's example: 0x01020304, four bytes that tell their places apart.
const EXAMPLE: u32 = 16909060;

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: show-bytes [N]");
    let words = arguments.words();
    let number = match words.as_slice() {
        [] => EXAMPLE,
        [word] => arguments.parse("N", word, 0..=u32::MAX),
        _ => arguments.refuse("too many arguments"),
    };

    match show(number) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "cannot write to stdout: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the three groups. A full disk or a reader that has gone away is an error, not a panic.
fn show(number: u32) -> io::Result<()> {
    todo!("print the bytes of {number:08x} in three orders with writeln!(io::stdout(), ...)")
}
