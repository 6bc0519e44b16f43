//! Robust and bonus checks of the lab `endianness`.

use crate::bench::{Bench, Ended, Stdout, show};
use crate::check;
use crate::check::Check;
use crate::packing::{CODES, Code, Order, pack};
use crate::suites::endianness::{format_of, lines, random_fields};
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
    for (program, arguments, input) in calls {
        let because = "a full disk is a failure at run time: a message on stderr and status 1, never a panic, and \
                       never status 0 with the output lost";
        let mut start = bench.program(program).arguments(arguments).stdout(Stdout::Full);
        if !input.is_empty() {
            start = start.stdin(crate::bench::Stdin::Bytes(input.to_vec()));
        }
        let ended = start.start()?.end().because(because)?;
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
    let call = ["ntohl", "16909060"];
    let swapped = Code::of('I').unpack(Order::Big, &Code::of('I').pack(Order::native(), 16_909_060));
    expect_success(&bench.run("byte-swap", &call)?, lines(std::iter::once(swapped)))?;
    expect_success(&bench.run("pack", &["!B", "7"])?, [7])?;
    bench.refuses("show-bytes", &["1", "2"])?;
    bench.refuses("byte-swap", &[])?;
    bench.refuses("byte-swap", &["htons"])?;
    bench.refuses("byte-swap", &["htons", "1", "2"])?;
    bench.refuses("pack", &[])?;
    bench.refuses("unpack", &[])?;
    bench.refuses("unpack", &["!H", "!H"])
}

fn expect_success(ended: &Ended, stdout: impl AsRef<[u8]>) -> Result<(), Stop> {
    let because = "a well-formed call does its work";
    ended.expect_status(0).because(because)?;
    ended.expect_stdout(stdout).because(because)
}

fn pack_refuses_values_out_of_range(bench: &mut Bench) -> Result<(), Stop> {
    for code in CODES {
        let format = format!("!{}", code.letter);
        for value in [code.lowest() - 1, code.highest() + 1] {
            bench.refuses("pack", &[&format, &value.to_string()])?;
        }
    }
    // The first fields are good: none of them may have gone out already.
    bench.refuses("pack", &["!BHi", "7", "258", "2147483648"])?;
    bench.refuses("pack", &["<Qb", "258", "128"])?;
    // Far out of every range, where a number of fixed width overflows while it is read.
    let far = format!("{}", u128::MAX);
    bench.refuses("pack", &["!Q", &format!("{far}0")])?;
    for no_number in ["seven", "1.5", "0x10", "7a", "-"] {
        bench.refuses("pack", &["!h", no_number])?;
    }
    Ok(())
}

fn pack_refuses_wrong_formats(bench: &mut Bench) -> Result<(), Stop> {
    let calls: [&[&str]; 12] = [
        &["!HH", "1"],
        &["!H", "1", "2"],
        &["!H"],
        &["!", "1"],
        &["!"],
        &["H", "1"],
        &["@H", "1"],
        &["!x", "1"],
        &["!Hf", "1", "2"],
        &["!H!", "1", "2"],
        &["!H H", "1", "2"],
        &["", "1"],
    ];
    for call in calls {
        bench.refuses("pack", call)?;
    }
    Ok(())
}

fn unpack_refuses_before_it_reads(bench: &mut Bench) -> Result<(), Stop> {
    // Its stdin stays open and empty: a program that reads first waits for ever.
    for format in ["H", "!", "", "@H", "!x", "!Hf", "<hl", "!H!"] {
        bench.refuses("unpack", &[format])?;
    }
    Ok(())
}

fn unpack_wants_exactly_its_input(bench: &mut Bench) -> Result<(), Stop> {
    for (order, letters) in [('!', "H"), ('!', "HH"), ('<', "bI"), ('>', "q")] {
        let fields = random_fields(bench, letters);
        let format = format_of(order, &fields);
        let whole = pack(Order::of(order), &fields);
        let expected = lines(fields.iter().map(|(_, value)| *value));
        expect_success(&bench.run_with_input("unpack", &[&format], &whole)?, expected)?;

        let short = &whole[..whole.len() - 1];
        let long = [&whole[..], &[0x0a]].concat();
        for input in [short, &long, &[whole.clone(), whole.clone()].concat()] {
            expect_nothing_unpacked(&bench.run_with_input("unpack", &[&format], input)?, input)?;
        }
        expect_nothing_unpacked(&bench.run("unpack", &[&format])?, &[])?;
    }
    Ok(())
}

fn expect_nothing_unpacked(ended: &Ended, input: &[u8]) -> Result<(), Stop> {
    let because = "an input of another length than the format's is not what the format describes: nothing in it can be \
                   trusted, so nothing is printed, and the program ends with status 1";
    let sent = format!("{} < {}", ended.command, show(input));
    ended.expect_stdout("").with(|unexplained| unexplained.sent(&sent)).because(because)?;
    ended.expect_status(1).with(|unexplained| unexplained.sent(&sent)).because(because)
}

fn refuses_numbers_out_of_range(bench: &mut Bench) -> Result<(), Stop> {
    // The last numbers before the edge are still good.
    let native = |code: Code, number| {
        lines(std::iter::once(code.unpack(Order::Big, &code.pack(Order::native(), number))))
    };
    for (call, code) in [("htons", 'H'), ("ntohs", 'H'), ("htonl", 'I'), ("ntohl", 'I')] {
        let code = Code::of(code);
        let last = code.highest() - 1;
        expect_success(&bench.run("byte-swap", &[call, &last.to_string()])?, native(code, last))?;
        bench.refuses("byte-swap", &[call, &(code.highest() + 1).to_string()])?;
    }
    for no_number in ["-1", "seven", "1.5", "0xff", "99999999999999999999999"] {
        bench.refuses("byte-swap", &["ntohs", no_number])?;
        bench.refuses("show-bytes", &[no_number])?;
    }
    bench.refuses("show-bytes", &["4294967296"])?;
    bench.refuses("byte-swap", &["htonq", "255"])?;
    bench.refuses("byte-swap", &["255", "htons"])
}

fn knows_counts(bench: &mut Bench) -> Result<(), Stop> {
    let because = "a count in front of a code repeats it: 3H is HHH";
    for (order, counted, letters) in
        [('!', "3H", "HHH"), ('<', "2bq", "bbq"), ('>', "B2i1h", "Biih"), ('=', "12h", "hhhhhhhhhhhh")]
    {
        let fields = random_fields(bench, letters);
        let bytes = pack(Order::of(order), &fields);
        let format = format!("{order}{counted}");
        let mut arguments = vec![format.clone()];
        arguments.extend(fields.iter().map(|(_, value)| value.to_string()));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let packed = bench.run("pack", &arguments)?;
        packed.expect_status(0).because(because)?;
        packed.expect_stdout(&bytes).because(because)?;
        let unpacked = bench.run_with_input("unpack", &[&format], &bytes)?;
        unpacked.expect_status(0).because(because)?;
        unpacked.expect_stdout(lines(fields.iter().map(|(_, value)| *value))).because(because)?;
    }
    bench.refuses("pack", &["!3H", "1", "2"])?;
    bench.refuses("pack", &["!2H", "1", "2", "3"])?;
    bench.refuses("pack", &["!H3", "1"])?;
    bench.refuses("unpack", &["!3"])
}

fn knows_addresses(bench: &mut Bench) -> Result<(), Stop> {
    let because =
        "an address is four bytes, in the order in which it is written, whatever the order of the numbers";
    let group = [226, 1, 1, 1];
    let interface: Vec<u8> = Code::of('I').pack(Order::Big, Code::of('I').telling(bench.random(), true));
    let port = Code::of('H').telling(bench.random(), true);
    let dotted = |bytes: &[u8]| bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(".");

    let packed = bench.run("pack", &["!4s4s", &dotted(&group), "0.0.0.0"])?;
    packed.expect_status(0).because(because)?;
    packed
        .expect_stdout([226, 1, 1, 1, 0, 0, 0, 0])
        .because("ip_mreq is the group and then the interface, 8 bytes")?;
    for order in ['!', '<'] {
        let format = format!("{order}4sH4s");
        let bytes = [&group[..], &Code::of('H').pack(Order::of(order), port), &interface].concat();
        let packed =
            bench.run("pack", &[&format, &dotted(&group), &port.to_string(), &dotted(&interface)])?;
        packed.expect_status(0).because(because)?;
        packed.expect_stdout(&bytes).because(because)?;
        let unpacked = bench.run_with_input("unpack", &[&format], &bytes)?;
        unpacked.expect_status(0).because(because)?;
        unpacked
            .expect_stdout(format!("{}\n{port}\n{}\n", dotted(&group), dotted(&interface)))
            .because(because)?;
    }
    bench.refuses("pack", &["!4s", "226.1.1.256"])?;
    bench.refuses("pack", &["!4s", "somewhere"])?;
    bench.refuses("pack", &["!3s", "226.1.1.1"])?;
    bench.refuses("pack", &["!s", "226.1.1.1"])?;
    bench.refuses("unpack", &["!s"])?;
    bench.refuses("unpack", &["!5s"])
}
