//! Robust and bonus checks of the lab `endianness`.

use crate::bench::{Bench, Ended, Stdin, Stdout, show};
use crate::check;
use crate::check::Check;
use crate::packing::{CODES, Code, Order, pack};
use crate::suites::endianness::{format_of, lines, packing, random_fields, swapped, unpacking};
use crate::verdict::{Because, Stop, ensure};

/// The rubric, in teaching order.
pub const CHECKS: &[Check] = &[
    check!(
        reports_a_failed_write,
        "endianness.0",
        Robust,
        5,
        ["show-bytes", "byte-swap", "pack", "unpack"],
        "Do the programs notice that their output cannot be written?"
    )
    .handout("What your programs must do"),
    check!(
        refuses_malformed_calls,
        "endianness.0",
        Robust,
        3,
        ["show-bytes", "byte-swap", "pack", "unpack"],
        "Are too few and too many arguments refused?"
    )
    .after("shows_the_listing")
    .handout("What your programs must do"),
    check!(
        pack_refuses_values_out_of_range,
        "endianness.7",
        Robust,
        4,
        ["pack"],
        "Does pack refuse a value one beyond its code's range, with not one byte written?"
    )
    .after("packs_in_network_order")
    .handout("What must be refused"),
    check!(
        pack_refuses_wrong_formats,
        "endianness.7",
        Robust,
        3,
        ["pack"],
        "Does pack refuse wrong formats and numbers of values, with not one byte written?"
    )
    .after("packs_in_network_order")
    .handout("What must be refused"),
    check!(
        unpack_refuses_before_it_reads,
        "endianness.7",
        Robust,
        3,
        ["unpack"],
        "Does unpack refuse a wrong format before it reads?"
    )
    .after("unpacks_in_network_order")
    .handout("What must be refused"),
    check!(
        unpack_wants_exactly_its_input,
        "endianness.8",
        Robust,
        4,
        ["unpack"],
        "Does unpack print nothing for an input that is too short or too long?"
    )
    .after("unpacks_in_network_order")
    .handout("What must be refused"),
    check!(
        refuses_numbers_out_of_range,
        "endianness.9",
        Robust,
        3,
        ["byte-swap", "show-bytes"],
        "Do byte-swap and show-bytes refuse what is no number of theirs?"
    )
    .handout("What must be refused"),
    check!(
        knows_counts,
        "endianness.10",
        Bonus,
        5,
        ["pack", "unpack"],
        "Do pack and unpack know counts such as 3H?"
    )
    .handout("Counts and addresses"),
    check!(
        knows_addresses,
        "endianness.10",
        Bonus,
        5,
        ["pack", "unpack"],
        "Do pack and unpack know 4s, an IPv4 address?"
    )
    .handout("Counts and addresses"),
];

fn reports_a_failed_write(bench: &mut Bench) -> Result<(), Stop> {
    let calls: [(&str, &[&str], &[u8]); 4] = [
        ("show-bytes", &[], b""),
        ("byte-swap", &["htons", "255"], b""),
        ("pack", &["!hI", "-2", "258"], b""),
        ("unpack", &["!h"], &[0xff, 0xfd]),
    ];
    let because = "a full disk is a failure at run time: a message on stderr and status 1, never a panic, and never \
                   status 0 with the output lost";
    let start = |(program, arguments, input): (&str, &[&str], &[u8])| {
        let start = bench.program(program).arguments(arguments).stdout(Stdout::Full);
        if input.is_empty() { start } else { start.stdin(Stdin::Bytes(input.to_vec())) }
    };
    for ended in bench.run_each(calls.into_iter().map(start).collect())? {
        let sent = format!("{} > /dev/full", ended.command);
        ended.expect_status(1).with(|unexplained| unexplained.sent(&sent)).because(because)?;
        let said = !ended.stderr.trim_ascii().is_empty();
        ensure(said, "a message on stderr", "nothing on stderr")
            .with(|unexplained| unexplained.sent(&sent))
            .because(because)?;
    }
    Ok(())
}

fn refuses_malformed_calls(bench: &mut Bench) -> Result<(), Stop> {
    // Whoever refuses everything has not understood the question.
    let works = ["ntohl", "16909060"];
    let works =
        vec![bench.program("byte-swap").arguments(&works), packing(bench, "!B", &[(Code::of('B'), 7)])];
    let works = bench.run_each(works)?;
    expect_success(&works[0], lines(std::iter::once(swapped(Code::of('I'), 16_909_060))))?;
    expect_success(&works[1], [7])?;
    bench.refuses("show-bytes", &["1", "2"])?;
    bench.refuses_each("byte-swap", &[&[], &["htons"], &["htons", "1", "2"]])?;
    bench.refuses("pack", &[])?;
    bench.refuses_each("unpack", &[&[], &["!H", "!H"]])
}

fn expect_success(ended: &Ended, stdout: impl AsRef<[u8]>) -> Result<(), Stop> {
    let because = "a well-formed call does its work";
    ended.expect_status(0).because(because)?;
    ended.expect_stdout(stdout).because(because)
}

fn pack_refuses_values_out_of_range(bench: &mut Bench) -> Result<(), Stop> {
    // The fields before it are good: none of them may have gone out already.
    let beyond = CODES.into_iter().flat_map(|code| {
        [code.lowest() - 1, code.highest() + 1]
            .map(|value| (format!("!BH{}", code.letter), value.to_string()))
    });
    let beyond: Vec<(String, String)> = beyond.collect();
    let calls: Vec<[&str; 4]> = beyond.iter().map(|(format, value)| [format, "7", "258", value]).collect();
    bench.refuses_each("pack", &calls.iter().map(|call| &call[..]).collect::<Vec<_>>())?;
    // Far out of every range, where a number of fixed width overflows while it is read: with 64 or 128 bits, this one
    // comes round to 258.
    let far = ["340282366920938463463374607431768211714", "1.5", "0x10", "-", ""];
    bench.refuses_each("pack", &far.map(|number| ["!Q", number]).each_ref().map(|call| &call[..]))
}

fn pack_refuses_wrong_formats(bench: &mut Bench) -> Result<(), Stop> {
    bench.refuses_each(
        "pack",
        &[
            &["!HH", "1"],
            &["!H", "1", "2"],
            &["!"],
            &["H", "1"],
            &["@H", "1"],
            &["!Hx", "1"],
            &["!Hf", "1", "2"],
            &["!H!", "1", "2"],
            &["!H H", "1", "2"],
            &["", "1"],
        ],
    )
}

fn unpack_refuses_before_it_reads(bench: &mut Bench) -> Result<(), Stop> {
    // Its stdin stays open and empty: a program that reads first waits for ever.
    bench.refuses_each("unpack", &[&["H"], &["!"], &[""], &["@H"], &["!Hx"], &["<hl"]])
}

fn unpack_wants_exactly_its_input(bench: &mut Bench) -> Result<(), Stop> {
    let fields = random_fields(bench, "HbI");
    let format = format_of('!', &fields);
    let whole = pack(Order::Big, &fields);
    let expected = lines(fields.iter().map(|(_, value)| *value));
    // What comes through a pipe may come in pieces, and is whole when the pipe has ended.
    let mut started = bench.program("unpack").arguments(&[&format]).stdin(Stdin::Silent).start()?;
    started.feed(&whole[..3], false);
    let taken = bench.until("unpack reads what is there", || {
        (started.has_read_its_input() || !started.is_running()).then_some(())
    });
    taken.because("the input is read from stdin")?;
    started.feed(&whole[3..], true);
    let ended = started.end().because("a program that has finished its work ends by itself")?;
    expect_success(&ended, expected)?;

    let wide = random_fields(bench, "q");
    let eight = pack(Order::Little, &wide);
    // One byte too few or too many, a whole field too few, as much again, nothing at all, and a line's end.
    let cases = [
        (&format[..], whole[..6].to_vec()),
        (&format, [&whole[..], &[0]].concat()),
        (&format, whole[..3].to_vec()),
        (&format, whole.repeat(2)),
        (&format, Vec::new()),
        ("<q", eight[..7].to_vec()),
        ("<q", [&eight[..], b"\n"].concat()),
    ];
    let start = |(format, input): &(&str, Vec<u8>)| match input.is_empty() {
        true => bench.program("unpack").arguments(&[format]),
        false => unpacking(bench, format, input),
    };
    let all = bench.run_each(cases.iter().map(start).collect())?;
    all.iter().zip(cases).try_for_each(|(ended, (_, input))| expect_nothing_unpacked(ended, &input))
}

fn expect_nothing_unpacked(ended: &Ended, input: &[u8]) -> Result<(), Stop> {
    let because = "an input of another length than the format's is not what the format describes: nothing in it can be \
                   trusted, so nothing is printed, and the program ends with status 1";
    let sent = format!("{} < {}", ended.command, show(input));
    ended.expect_stdout("").with(|unexplained| unexplained.sent(&sent)).because(because)?;
    ended.expect_status(1).with(|unexplained| unexplained.sent(&sent)).because(because)?;
    let said = !ended.stderr.trim_ascii().is_empty();
    ensure(said, "a message on stderr", "nothing on stderr")
        .with(|unexplained| unexplained.sent(&sent))
        .because("a failure at run time ends with status 1 and a message")
}

fn refuses_numbers_out_of_range(bench: &mut Bench) -> Result<(), Stop> {
    // The last numbers before the edge are still good.
    let last = [("htons", Code::of('H')), ("ntohl", Code::of('I'))];
    let last = last.map(|(call, code)| (call, code, code.highest() - 1));
    let start = |(call, _, number): &(&str, Code, i128)| {
        bench.program("byte-swap").arguments(&[call.to_string(), number.to_string()])
    };
    let works = bench.run_each(last.iter().map(start).collect())?;
    for (ended, (_, code, number)) in works.iter().zip(last) {
        expect_success(ended, lines(std::iter::once(swapped(code, number))))?;
    }
    // The longest one comes round to 255 in 64 bits.
    bench.refuses_each(
        "byte-swap",
        &[
            &["htons", "65536"],
            &["ntohs", "65536"],
            &["htonl", "4294967296"],
            &["ntohl", "4294967296"],
            &["ntohs", "-1"],
            &["htonl", "1.5"],
            &["htons", "0x10"],
            &["htons", ""],
            &["ntohs", "18446744073709551871"],
            &["htonq", "255"],
            &["255", "htons"],
        ],
    )?;
    bench.refuses_each(
        "show-bytes",
        &[&["4294967296"], &["-1"], &["0xff"], &["1.5"], &["18446744073709551871"]],
    )
}

fn knows_counts(bench: &mut Bench) -> Result<(), Stop> {
    let because = "a count in front of a code repeats it: 3H is HHH";
    let mut calls = Vec::new();
    for (counted, letters) in [("!3H2bq", "HHHbbq"), ("<B12h1i", "Bhhhhhhhhhhhhi")] {
        let fields = random_fields(bench, letters);
        let order = counted.chars().next().unwrap_or_default();
        calls.push((counted, pack(Order::of(order), &fields), fields));
    }
    let packs = calls.iter().map(|(format, _, fields)| packing(bench, format, fields));
    let unpacks = calls.iter().map(|(format, bytes, _)| unpacking(bench, format, bytes));
    let all = bench.run_each(packs.chain(unpacks).collect())?;
    let (packed, unpacked) = all.split_at(calls.len());
    for ((packed, unpacked), (_, bytes, fields)) in packed.iter().zip(unpacked).zip(&calls) {
        packed.expect_status(0).because(because)?;
        packed.expect_stdout(bytes).because(because)?;
        unpacked.expect_status(0).because(because)?;
        unpacked.expect_stdout(lines(fields.iter().map(|(_, value)| *value))).because(because)?;
    }
    bench.refuses_each("pack", &[&["!3H", "1", "2"], &["!2H", "1", "2", "3"], &["!H3", "1"]])?;
    bench.refuses("unpack", &["!3"])
}

fn knows_addresses(bench: &mut Bench) -> Result<(), Stop> {
    let because =
        "an address is four bytes, in the order in which it is written, whatever the order of the numbers";
    let group = [226, 1, 1, 1];
    let interface: Vec<u8> = Code::of('I').pack(Order::Big, Code::of('I').telling(bench.random(), true));
    let port = Code::of('H').telling(bench.random(), true);
    let dotted = |bytes: &[u8]| bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(".");

    let port_in = |order: char| Code::of('H').pack(Order::of(order), port);
    let record = |order: char| [&group[..], &port_in(order), &interface].concat();
    let (port, interface) = (port.to_string(), dotted(&interface));
    let group = dotted(&group);
    let pack = |format: &str| bench.program("pack").arguments(&[format, &group, &port, &interface]);
    let ended = bench.run_each(vec![
        bench.program("pack").arguments(&["!4s4s", &group, "0.0.0.0"]),
        pack("!4sH4s"),
        pack("<4sH4s"),
        unpacking(bench, "<4sH4s", &record('<')),
    ])?;
    let mreq = "ip_mreq is the group and then the interface, 8 bytes";
    let printed = format!("{group}\n{port}\n{interface}\n").into_bytes();
    let expected = [vec![226, 1, 1, 1, 0, 0, 0, 0], record('!'), record('<'), printed];
    for (ended, (expected, because)) in
        ended.iter().zip(expected.iter().zip([mreq, because, because, because]))
    {
        ended.expect_status(0).because(because)?;
        ended.expect_stdout(expected).because(because)?;
    }
    bench.refuses_each(
        "pack",
        &[&["!4s", "226.1.1.256"], &["!4s", "somewhere"], &["!3s", "226.1.1.1"], &["!s", "226.1.1.1"]],
    )?;
    bench.refuses("unpack", &["!5s"])
}
