//! Reads binary in a given byte order and prints the numbers: Python's `struct.unpack` in small.
//!
//! `printf '\x00\xff' | unpack '!H'` prints 255. The input must be exactly as long as the format says.

// solution:
use std::io::Read;
// :solution
use std::io::{self, Write};
// solution:
use std::net::Ipv4Addr;
// :solution
use std::process::ExitCode;
// solution:

use byteorder::{BigEndian, ByteOrder, LittleEndian, NativeEndian, ReadBytesExt};
// :solution

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
    // solution: todo!("take {format} apart, or say what is wrong with it")
    let mut characters = format.chars();
    let order = match characters.next() {
        Some(order @ ('!' | '>' | '<' | '=')) => order,
        _ => return Err(format!("{format}: want one of ! > < = first")),
    };

    let mut codes = Vec::new();
    let mut count = String::new();
    for character in characters {
        match character {
            '0'..='9' => count.push(character),
            // The 4 of `4s` belongs to the code: it is one value of four bytes.
            's' if count == "4" => {
                codes.push('s');
                count.clear();
            }
            'b' | 'B' | 'h' | 'H' | 'i' | 'I' | 'q' | 'Q' => {
                let times = if count.is_empty() { "1" } else { &count };
                let times: u16 =
                    times.parse().map_err(|_| format!("{format}: the count {count} is too big"))?;
                codes.extend(std::iter::repeat_n(character, times.into()));
                count.clear();
            }
            _ => return Err(format!("{format}: unknown code {count}{character}")),
        }
    }
    if codes.is_empty() || !count.is_empty() {
        return Err(format!("{format}: want a code at the end"));
    }
    Ok((order, codes))
    // :solution
}

/// Reads the whole of stdin and prints one value a line; nothing where the input is too short or too long.
fn read_and_print(order: char, codes: &[char]) -> Result<(), String> {
    // solution: todo!("read stdin and print the values of {codes:?} in the order {order}")
    let wanted: usize = codes.iter().map(|&code| size(code)).sum();

    // One byte more than the format wants is enough to see that the input is too long.
    let mut bytes = Vec::new();
    let at_most = wanted as u64 + 1;
    io::stdin()
        .take(at_most)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot read stdin: {error}"))?;
    if bytes.len() != wanted {
        let found = if bytes.len() > wanted { "more" } else { &bytes.len().to_string() };
        return Err(format!("the format takes {wanted} bytes, stdin holds {found}"));
    }

    let printed = match order {
        '!' | '>' => print_in_order::<BigEndian>(codes, &bytes),
        '<' => print_in_order::<LittleEndian>(codes, &bytes),
        _ => print_in_order::<NativeEndian>(codes, &bytes),
    };
    printed.map_err(|error| format!("cannot write to stdout: {error}"))
    // :solution
}
// solution:

/// How many bytes a code stands for.
fn size(code: char) -> usize {
    match code {
        'b' | 'B' => 1,
        'h' | 'H' => 2,
        'i' | 'I' | 's' => 4,
        _ => 8,
    }
}

/// Prints each value; `Order` says whether the high byte comes first or last.
fn print_in_order<Order: ByteOrder>(codes: &[char], mut bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for code in codes {
        // A read from a slice takes the bytes off its front. The sign is part of the type: the same two bytes
        // ff ff are -1 as `h` and 65535 as `H`.
        let line = match code {
            'b' => bytes.read_i8()?.to_string(),
            'B' => bytes.read_u8()?.to_string(),
            'h' => bytes.read_i16::<Order>()?.to_string(),
            'H' => bytes.read_u16::<Order>()?.to_string(),
            'i' => bytes.read_i32::<Order>()?.to_string(),
            'I' => bytes.read_u32::<Order>()?.to_string(),
            'q' => bytes.read_i64::<Order>()?.to_string(),
            'Q' => bytes.read_u64::<Order>()?.to_string(),
            // An address has no order of its own choice: its bytes are always in network order.
            _ => Ipv4Addr::from(bytes.read_u32::<BigEndian>()?).to_string(),
        };
        writeln!(stdout, "{line}")?;
    }
    Ok(())
}
// :solution
