//! Core checks of the lab `endianness`: what the course's own programs do.

use crate::bench::{Bench, Ended, Random, Start, Stdin, show};
use crate::check;
use crate::check::Suite;
use crate::packing::{CODES, Code, Order, pack};
use crate::verdict::{Because, Stop, Unexplained};

/// The rubric, in teaching order.
pub const SUITE: Suite = Suite {
    lab: "endianness",
    programs: &["show-bytes", "byte-swap", "pack", "unpack"],
    checks: &[
        check!(
            shows_the_listing,
            "endianness.1",
            Core,
            8,
            ["show-bytes"],
            "Does show-bytes print the listing for 16909060?"
        )
        .plain()
        .handout("The bytes of a number"),
        check!(
            shows_significant_bytes,
            "endianness.2",
            Core,
            12,
            ["show-bytes"],
            "Does show-bytes print as many bytes as any number has?"
        )
        .after("shows_the_listing")
        .handout("The bytes of a number"),
        check!(
            swaps_as_the_four_calls,
            "endianness.3",
            Core,
            12,
            ["byte-swap"],
            "Does byte-swap print what htons, ntohs, htonl and ntohl yield here?"
        )
        .handout("Host and network byte order"),
        check!(
            packs_in_network_order,
            "endianness.4",
            Core,
            14,
            ["pack"],
            "Does pack write numbers of any width in network order?"
        )
        .handout("Packing"),
        check!(
            unpacks_in_network_order,
            "endianness.5",
            Core,
            14,
            ["unpack"],
            "Does unpack read numbers of any width in network order?"
        )
        .handout("Packing"),
        check!(
            packs_in_the_other_orders,
            "endianness.6",
            Core,
            7,
            ["pack"],
            "Does pack know little-endian and this machine's order?"
        )
        .after("packs_in_network_order")
        .handout("Packing"),
        check!(
            unpacks_in_the_other_orders,
            "endianness.6",
            Core,
            5,
            ["unpack"],
            "Does unpack know little-endian and this machine's order?"
        )
        .after("unpacks_in_network_order")
        .handout("Packing"),
        check!(
            reads_255_as_65280,
            "endianness.6",
            Core,
            3,
            ["pack", "unpack"],
            "Does a little-endian 255, read as big-endian, become 65280?"
        )
        .after("packs_in_the_other_orders")
        .handout("Host and network byte order"),
    ],
};

fn shows_the_listing(bench: &mut Bench) -> Result<(), Stop> {
    let ended = bench.run("show-bytes", &[])?;
    expect_listing(&ended, 0x0102_0304)
}

fn shows_significant_bytes(bench: &mut Bench) -> Result<(), Stop> {
    // Where one more byte begins to be needed, and one number with a digit 0 at the front of each byte.
    let mut numbers = vec![0, 255, 256, 0x0001_0000, 0x0100_0000, 0x0a0b_0c0d, u32::MAX];
    // Numbers whose bytes all differ, of which the highest needs all its bits.
    for bits in [16, 24] {
        numbers.push(Code::of('I').telling(bench.random(), true) as u32 >> (32 - bits));
    }
    let start = |number: &u32| bench.program("show-bytes").arguments(&[number.to_string()]);
    let all = bench.run_each(numbers.iter().map(start).collect())?;
    all.iter().zip(numbers).try_for_each(|(ended, number)| expect_listing(ended, number))
}

/// The listing of a number, exactly.
fn expect_listing(ended: &Ended, number: u32) -> Result<(), Stop> {
    let lines = |bytes: &[u8]| -> String {
        bytes.iter().enumerate().map(|(index, byte)| format!("Byte {index} has {byte:02x}\n")).collect()
    };
    let big = Code::of('I').pack(Order::Big, number.into());
    let mut little = Code::of('I').pack(Order::Little, number.into());
    while little.last() == Some(&0) {
        little.pop();
    }
    let listing = format!("Var has {number:08x}\n{}\n{}\n{}", lines(&little), lines(&big), lines(&big));
    ended.expect_status(0).because("a program that has done its work ends with status 0")?;
    let differs = first_differing_line(&listing, &String::from_utf8_lossy(&ended.stdout));
    let note = |unexplained: Unexplained| match &differs {
        Some(line) => unexplained.note(line),
        None => unexplained,
    };
    ended.expect_stdout(&listing).with(note).because(
        "the first group holds the bytes that the number needs, the least significant first; the other two hold all four, \
         big-endian",
    )
}

/// Which line differs first, in words.
fn first_differing_line(expected: &str, observed: &str) -> Option<String> {
    let (mut expected, mut observed) = (expected.lines(), observed.lines());
    let said = |line: Option<&str>| line.map_or("no line".to_string(), |line| format!("{line:?}"));
    for number in 1.. {
        match (expected.next(), observed.next()) {
            (None, None) => break,
            (expected, observed) if expected == observed => {}
            (expected, observed) => {
                return Some(format!(
                    "line {number}: expected {}, observed {}",
                    said(expected),
                    said(observed)
                ));
            }
        }
    }
    None
}

fn swaps_as_the_four_calls(bench: &mut Bench) -> Result<(), Stop> {
    let mut calls = Vec::new();
    for call in ["htons", "ntohs", "htonl", "ntohl"] {
        let code = Code::of(if call.ends_with('s') { 'H' } else { 'I' });
        // A number of few digits, which a program that turns the digits round takes for a short one.
        calls.push((call, code, if call.starts_with('h') { 255 } else { 258 }));
        calls.push((call, code, code.telling(bench.random(), true)));
    }
    let start = |(call, _, number): &(&str, Code, i128)| {
        bench.program("byte-swap").arguments(&[call.to_string(), number.to_string()])
    };
    let all = bench.run_each(calls.iter().map(start).collect())?;
    all.iter().zip(calls).try_for_each(|(ended, (_, code, number))| expect_swapped(ended, code, number))
}

/// The number that the calls for this width yield.
pub(crate) fn swapped(code: Code, number: i128) -> i128 {
    // The call's result is the number whose bytes in this machine's memory are in network order.
    code.unpack(Order::Big, &code.pack(Order::native(), number))
}

fn expect_swapped(ended: &Ended, code: Code, number: i128) -> Result<(), Stop> {
    ended.expect_status(0).because("a program that has done its work ends with status 0")?;
    let observed = String::from_utf8_lossy(&ended.stdout).trim().parse::<i128>().ok();
    let wide = Code::of(if code.size == 2 { 'I' } else { 'H' });
    let likely = match observed {
        Some(observed) if observed == number => Some("the number came back as it was: nothing was converted"),
        Some(observed) if observed == wide.unpack(Order::Little, &wide.pack(Order::Big, number)) => Some(
            "a call for the other width was used: the s of htons is a short of two bytes, the l of htonl four",
        ),
        _ => None,
    };
    ended.expect_stdout(format!("{}\n", swapped(code, number))).with(|unexplained| suspect(unexplained, likely)).because(
        "on a little-endian machine the four calls reverse the bytes, on a big-endian one they do nothing",
    )
}

/// Values of one format each: its order and its fields.
type Record = (char, Vec<(Code, i128)>);

fn packs_in_network_order(bench: &mut Bench) -> Result<(), Stop> {
    let records = in_network_order(bench.random());
    expect_packed(bench, &records)
}

fn packs_in_the_other_orders(bench: &mut Bench) -> Result<(), Stop> {
    let records = in_the_other_orders(bench.random());
    expect_packed(bench, &records)
}

/// One field for a simple start; then every code with either sign, in any order, so that wide ones follow narrow ones,
/// where a compiler would leave a gap; and both ends of every range.
fn in_network_order(random: &mut Random) -> Vec<Record> {
    let first = Code::of('h');
    let first = (first, first.telling(random, false));
    let high = every_code(random, |_| true);
    let low = every_code(random, |_| false);
    let ends = CODES.into_iter().flat_map(|code| [(code, code.lowest()), (code, code.highest())]);
    vec![('!', vec![first]), ('!', high), ('>', low), ('!', ends.collect())]
}

fn in_the_other_orders(random: &mut Random) -> Vec<Record> {
    let either = |random: &mut Random| random.range(0, 1) == 1;
    let fields = ['<', '='].map(|order| (order, every_code(random, either)));
    let first = Code::of('I');
    let first = (first, first.telling(random, false));
    [vec![('<', vec![first])], fields.into()].concat()
}

/// A field of every code, in any order, with telling values.
fn every_code(random: &mut Random, high: impl Fn(&mut Random) -> bool) -> Vec<(Code, i128)> {
    let mut codes = CODES.to_vec();
    for at in (1..codes.len()).rev() {
        codes.swap(at, random.range(0, at as i64) as usize);
    }
    let field = |code: Code| {
        let high = high(random);
        (code, code.telling(random, high))
    };
    codes.into_iter().map(field).collect()
}

/// Fields with those codes and telling values, the sign of each left to chance.
pub(crate) fn random_fields(bench: &mut Bench, letters: &str) -> Vec<(Code, i128)> {
    let field = |letter| {
        let code = Code::of(letter);
        let high = bench.random().range(0, 1) == 1;
        (code, code.telling(bench.random(), high))
    };
    letters.chars().map(field).collect()
}

/// The format of fields without counts, such as `!hI`.
pub(crate) fn format_of(order: char, fields: &[(Code, i128)]) -> String {
    std::iter::once(order).chain(fields.iter().map(|(code, _)| code.letter)).collect()
}

/// A call of `pack` for these fields.
pub(crate) fn packing<'a>(bench: &'a Bench, format: &str, fields: &[(Code, i128)]) -> Start<'a> {
    let values: Vec<String> = fields.iter().map(|(_, value)| value.to_string()).collect();
    bench.program("pack").arguments(&[format]).arguments(&values)
}

/// A call of `unpack` for these bytes.
pub(crate) fn unpacking<'a>(bench: &'a Bench, format: &str, bytes: &[u8]) -> Start<'a> {
    bench.program("unpack").arguments(&[format]).stdin(Stdin::Bytes(bytes.to_vec()))
}

/// Runs `pack` for each record and expects exactly the bytes that its fields are.
fn expect_packed(bench: &Bench, records: &[Record]) -> Result<(), Stop> {
    let start = |(order, fields): &Record| packing(bench, &format_of(*order, fields), fields);
    let all = bench.run_each(records.iter().map(start).collect())?;
    let mut each = all.iter().zip(records);
    each.try_for_each(|(ended, (order, fields))| expect_bytes(ended, *order, fields))
}

fn expect_bytes(ended: &Ended, order: char, fields: &[(Code, i128)]) -> Result<(), Stop> {
    ended.expect_status(0).because("a program that has done its work ends with status 0")?;
    let expected = pack(Order::of(order), fields);
    let because = match order {
        '!' | '>' => {
            "network byte order puts the high byte first, and the fields follow each other without a gap"
        }
        '<' => "little-endian puts the low byte first, and the fields follow each other without a gap",
        _ => "= is the order of this machine's own memory",
    };
    ended
        .expect_stdout(&expected)
        .with(|unexplained| suspect(unexplained, suspect_packed(Order::of(order), fields, &ended.stdout)))
        .because(because)
}

/// What must have gone wrong for these bytes to come out, where only one thing can have.
fn suspect_packed(order: Order, fields: &[(Code, i128)], observed: &[u8]) -> Option<&'static str> {
    let expected = pack(order, fields);
    let text = || fields.iter().map(|(_, value)| value.to_string()).collect::<Vec<_>>();
    if observed == pack(order.other(), fields) {
        return Some(match order {
            Order::Big => "low byte first: the bytes went out little-endian",
            Order::Little => "high byte first: the bytes went out big-endian",
        });
    }
    if observed.iter().rev().eq(&expected) {
        return Some("the whole record was reversed, not each field by itself");
    }
    if observed.strip_suffix(b"\n") == Some(&expected) {
        return Some("a newline follows the bytes: it was printed as a line, not written as it is");
    }
    if [" ", "\n", ""].iter().any(|gap| observed.trim_ascii_end() == text().join(gap).as_bytes()) {
        return Some("the numbers were written as text, in decimal digits");
    }
    if observed.len() > expected.len() && fields.len() > 1 {
        return Some("there are gaps between the fields, as a compiler leaves them to align a struct");
    }
    None
}

fn unpacks_in_network_order(bench: &mut Bench) -> Result<(), Stop> {
    let records = in_network_order(bench.random());
    expect_unpacked(bench, &records)
}

fn unpacks_in_the_other_orders(bench: &mut Bench) -> Result<(), Stop> {
    let records = in_the_other_orders(bench.random());
    expect_unpacked(bench, &records)
}

/// Runs `unpack` on the bytes that each record is and expects its values, one a line.
fn expect_unpacked(bench: &Bench, records: &[Record]) -> Result<(), Stop> {
    let start = |(order, fields): &Record| {
        unpacking(bench, &format_of(*order, fields), &pack(Order::of(*order), fields))
    };
    let all = bench.run_each(records.iter().map(start).collect())?;
    let mut each = all.iter().zip(records);
    each.try_for_each(|(ended, (order, fields))| expect_values(ended, *order, fields))
}

fn expect_values(ended: &Ended, order: char, fields: &[(Code, i128)]) -> Result<(), Stop> {
    let sent = format!("{} < {}", ended.command, show(&pack(Order::of(order), fields)));
    ended
        .expect_status(0)
        .with(|unexplained| unexplained.sent(&sent))
        .because("a program that has done its work ends with status 0")?;
    let because = match order {
        '!' | '>' => {
            "in network byte order the high byte comes first; the code says how wide the number is and whether it has a sign"
        }
        '<' => {
            "little-endian has the low byte first; the code says how wide the number is and whether it has a sign"
        }
        _ => "= is the order of this machine's own memory",
    };
    ended
        .expect_stdout(lines(fields.iter().map(|(_, value)| *value)))
        .with(|unexplained| {
            suspect(unexplained.sent(&sent), suspect_unpacked(Order::of(order), fields, &ended.stdout))
        })
        .because(because)
}

/// Values as `unpack` prints them.
pub(crate) fn lines(values: impl Iterator<Item = i128>) -> String {
    values.map(|value| format!("{value}\n")).collect()
}

/// What must have gone wrong for these lines to come out, where only one thing can have.
fn suspect_unpacked(order: Order, fields: &[(Code, i128)], observed: &[u8]) -> Option<&'static str> {
    let reading = |read: &dyn Fn(Code, &[u8]) -> i128| {
        lines(fields.iter().map(|(code, value)| read(*code, &code.pack(order, *value)))).into_bytes()
    };
    if observed == reading(&|code, bytes| code.unpack(order.other(), bytes)) {
        return Some("the numbers were read from the wrong end");
    }
    let unsigned = |code: Code| if code.signed { code.other_sign() } else { code };
    if observed == reading(&|code, bytes| unsigned(code).unpack(order, bytes)) {
        return Some("a signed number was read as an unsigned one: small letters have a sign");
    }
    let signed = |code: Code| if code.signed { code } else { code.other_sign() };
    if observed == reading(&|code, bytes| signed(code).unpack(order, bytes)) {
        return Some("an unsigned number was read as a signed one: capital letters have no sign");
    }
    None
}

fn reads_255_as_65280(bench: &mut Bench) -> Result<(), Stop> {
    let because = "255 is 00 ff; little-endian it lies as ff 00, and ff 00 read from the big end is 65280";
    let packed = bench.run("pack", &["<H", "255"])?;
    packed.expect_status(0).because(because)?;
    packed.expect_stdout([0xff, 0x00]).because(because)?;
    let ended = bench.run_with_input("unpack", &[">H"], &packed.stdout)?;
    ended.expect_status(0).because(because)?;
    ended.expect_stdout("65280\n").because(because)
}

/// Adds a likely mistake, where one was recognised.
fn suspect(unexplained: Unexplained, likely: Option<&str>) -> Unexplained {
    match likely {
        Some(mistake) => unexplained.likely(mistake),
        None => unexplained,
    }
}
