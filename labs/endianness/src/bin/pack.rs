//! Writes numbers as binary in a given byte order: Python's `struct.pack` in small.
//!
//! `pack '!H' 255` writes the two bytes `00 ff`. Everything is checked before the first byte goes out, so that a
//! wrong call never leaves half a record behind.

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: pack FORMAT VALUE...");
    let words = arguments.words();
    let [format, values @ ..] = words.as_slice() else { arguments.refuse("want a format") };
    let bytes = pack(format, values).unwrap_or_else(|problem| arguments.refuse(&problem));

    // The bytes hold no line end, so stdout keeps them until it is told to let go.
    let mut stdout = io::stdout();
    match stdout.write_all(&bytes).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "cannot write to stdout: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The values laid out as `format` says, or what is wrong with them.
fn pack(format: &str, values: &[String]) -> Result<Vec<u8>, String> {
    todo!("lay out {values:?} as {format} says")
}
