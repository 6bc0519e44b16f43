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
    // solution: todo!("print the bytes of {number:08x} in three orders with writeln!(io::stdout(), ...)")
    let mut stdout = io::stdout().lock();

    // Shifting and masking work on the value: the machine's own byte order plays no part in the result.
    writeln!(stdout, "Var has {number:08x}")?;
    let significant_bits = u32::BITS - number.leading_zeros();
    for index in 0..significant_bits.div_ceil(8) {
        let byte = (number >> (8 * index)) & 0xff;
        writeln!(stdout, "Byte {index} has {byte:02x}")?;
    }

    // The high byte first.
    writeln!(stdout)?;
    print_bytes(&mut stdout, number.to_be_bytes())?;

    // `to_be` is C's htonl: the number whose bytes in *this machine's* memory (`to_ne_bytes`) are in network
    // order. That it prints the same is the point: network byte order is big-endian.
    writeln!(stdout)?;
    print_bytes(&mut stdout, number.to_be().to_ne_bytes())
    // :solution
}
// solution:

/// Prints the bytes in the order in which they lie in memory.
fn print_bytes(stdout: &mut impl Write, bytes: [u8; 4]) -> io::Result<()> {
    for (index, byte) in bytes.iter().enumerate() {
        writeln!(stdout, "Byte {index} has {byte:02x}")?;
    }
    Ok(())
}
// :solution
