//! Writes numbers as binary in a given byte order: Python's `struct.pack` in small.
//!
//! `pack '!H' 255` writes the two bytes `00 ff`. Everything is checked before the first byte goes out, so that a
//! wrong call never leaves half a record behind.

use std::io::{self, Write};
// solution:
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
// :solution
use std::process::ExitCode;
// solution:

use byteorder::{BigEndian, ByteOrder, LittleEndian, NativeEndian, WriteBytesExt};
// :solution

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
    // solution: todo!("lay out {values:?} as {format} says")
    let (order, codes) = parse_format(format)?;
    if codes.len() != values.len() {
        return Err(format!("{format} takes {} values, not {}", codes.len(), values.len()));
    }
    match order {
        '!' | '>' => pack_in_order::<BigEndian>(&codes, values),
        '<' => pack_in_order::<LittleEndian>(&codes, values),
        _ => pack_in_order::<NativeEndian>(&codes, values),
    }
    // :solution
}
// solution:

/// The order and the codes of a format, one code for each value: `!2Hb` is `!` and `H`, `H`, `b`.
fn parse_format(format: &str) -> Result<(char, Vec<char>), String> {
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
}

/// Packs each value by its code; `Order` says where the high byte goes.
fn pack_in_order<Order: ByteOrder>(codes: &[char], values: &[String]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for (&code, value) in codes.iter().zip(values) {
        if code == 's' {
            let address: Ipv4Addr = value.parse().map_err(|_| format!("{value}: not an IPv4 address"))?;
            bytes.extend(address.octets());
            continue;
        }
        let range = range(code);
        let number = value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
            format!("{value}: {code} takes a number from {} to {}", range.start(), range.end())
        })?;
        append::<Order>(&mut bytes, code, number).expect("memory takes every byte");
    }
    Ok(bytes)
}

/// What the numbers of a code may be. `i128` is wide enough for the lowest `q` and for the highest `Q`.
fn range(code: char) -> RangeInclusive<i128> {
    match code {
        'b' => i8::MIN.into()..=i8::MAX.into(),
        'B' => u8::MIN.into()..=u8::MAX.into(),
        'h' => i16::MIN.into()..=i16::MAX.into(),
        'H' => u16::MIN.into()..=u16::MAX.into(),
        'i' => i32::MIN.into()..=i32::MAX.into(),
        'I' => u32::MIN.into()..=u32::MAX.into(),
        'q' => i64::MIN.into()..=i64::MAX.into(),
        _ => u64::MIN.into()..=u64::MAX.into(),
    }
}

/// Appends one number, which is known to be in the range of its code: `as` only drops bytes that say nothing.
/// A single byte has no order, so `b` and `B` do not ask for one.
fn append<Order: ByteOrder>(bytes: &mut Vec<u8>, code: char, number: i128) -> io::Result<()> {
    match code {
        'b' => bytes.write_i8(number as i8),
        'B' => bytes.write_u8(number as u8),
        'h' => bytes.write_i16::<Order>(number as i16),
        'H' => bytes.write_u16::<Order>(number as u16),
        'i' => bytes.write_i32::<Order>(number as i32),
        'I' => bytes.write_u32::<Order>(number as u32),
        'q' => bytes.write_i64::<Order>(number as i64),
        _ => bytes.write_u64::<Order>(number as u64),
    }
}
// :solution
