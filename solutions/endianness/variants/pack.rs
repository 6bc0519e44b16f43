//! pack with nothing but std: a number's sixteen bytes, cut to size.

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: pack FORMAT VALUE...");
    let words = arguments.words();
    let Some((format, values)) = words.split_first() else { arguments.refuse("want a format") };
    let little = match format.chars().next() {
        Some('!' | '>') => false,
        Some('<') => true,
        Some('=') => cfg!(target_endian = "little"),
        _ => arguments.refuse("no order"),
    };
    let mut values = values.iter();
    let mut bytes = Vec::new();
    let mut count = None;
    for code in format.chars().skip(1) {
        if let Some(digit) = code.to_digit(10) {
            count = Some(count.unwrap_or(0) * 10 + digit as usize);
            continue;
        }
        let Some(place) = "bBhHiIqQs".find(code) else { arguments.refuse("unknown code") };
        let times = count.take();
        if code == 's' && times != Some(4) {
            arguments.refuse("s is only known as 4s");
        }
        for _ in 0..if code == 's' { 1 } else { times.unwrap_or(1) } {
            let Some(value) = values.next() else { arguments.refuse("too few values") };
            if code == 's' {
                match value.parse::<Ipv4Addr>() {
                    Ok(address) => bytes.extend(address.octets()),
                    Err(_) => arguments.refuse("not an address"),
                }
                continue;
            }
            let size = 1 << (place / 2);
            let states = 1i128 << (8 * size);
            let range = if place % 2 == 0 { -states / 2..=states / 2 - 1 } else { 0..=states - 1 };
            let number = arguments.parse("VALUE", value, range);
            let mut field = number.to_le_bytes()[..size].to_vec();
            if !little {
                field.reverse();
            }
            bytes.extend(field);
        }
    }
    if bytes.is_empty() || count.is_some() || values.next().is_some() {
        arguments.refuse("the format and the values do not match");
    }
    let mut stdout = std::io::stdout();
    match stdout.write_all(&bytes).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "cannot write to stdout: {error}");
            ExitCode::FAILURE
        }
    }
}
