//! What you can try alone: `cargo test -p endianness`. The grader asks more, and explains more.

use assert_cmd::Command;
use predicates::str::contains;
use rstest::rstest;

/// A program of this lab. In `solutions/` the same tests run against the reference, whose programs have a suffix.
macro_rules! program {
    ($name:literal) => {
        Command::new(
            option_env!(concat!("CARGO_BIN_EXE_", $name))
                .or(option_env!(concat!("CARGO_BIN_EXE_", $name, "-solution")))
                .expect("cargo builds the program before its tests"),
        )
    };
}

#[test]
fn show_bytes_prints_the_listing_of_the_handout() {
    program!("show-bytes").assert().success().stdout(
        "Var has 01020304\nByte 0 has 04\nByte 1 has 03\nByte 2 has 02\nByte 3 has 01\n\n\
         Byte 0 has 01\nByte 1 has 02\nByte 2 has 03\nByte 3 has 04\n\n\
         Byte 0 has 01\nByte 1 has 02\nByte 2 has 03\nByte 3 has 04\n",
    );
}

#[rstest]
#[case::one_byte("7", "Var has 00000007\nByte 0 has 07\n\n")]
#[case::no_byte("0", "Var has 00000000\n\n")]
fn show_bytes_prints_only_significant_bytes_first(#[case] number: &str, #[case] first_group: &'static str) {
    program!("show-bytes").arg(number).assert().success().stdout(predicates::str::starts_with(first_group));
}

#[cfg(target_endian = "little")]
#[rstest]
#[case("htons", "255", "65280\n")]
#[case("ntohs", "513", "258\n")]
#[case("htonl", "16909060", "67305985\n")]
#[case("ntohl", "255", "4278190080\n")]
fn byte_swap_reverses_on_this_machine(
    #[case] call: &str,
    #[case] number: &str,
    #[case] result: &'static str,
) {
    program!("byte-swap").args([call, number]).assert().success().stdout(result);
}

#[rstest]
#[case::network(&["!H", "255"], &[0x00, 0xff])]
#[case::little(&["<H", "255"], &[0xff, 0x00])]
#[case::negative(&["!h", "-2"], &[0xff, 0xfe])]
#[case::several(&[">Bi", "7", "258"], &[0x07, 0x00, 0x00, 0x01, 0x02])]
fn pack_writes_exactly_the_bytes(#[case] arguments: &[&str], #[case] bytes: &'static [u8]) {
    program!("pack").args(arguments).assert().success().stdout(bytes);
}

#[rstest]
#[case::network("!H", &[0x00, 0xff], "255\n")]
#[case::the_figure(">H", &[0xff, 0x00], "65280\n")]
#[case::negative("!h", &[0xff, 0xfe], "-2\n")]
#[case::several("<Hb", &[0x01, 0x02, 0x80], "513\n-128\n")]
fn unpack_prints_one_value_a_line(
    #[case] format: &str,
    #[case] input: &'static [u8],
    #[case] lines: &'static str,
) {
    program!("unpack").arg(format).write_stdin(input).assert().success().stdout(lines);
}

#[rstest]
#[case::out_of_range(&["!b", "128"])]
#[case::too_few_values(&["!HH", "1"])]
#[case::unknown_code(&["!x", "1"])]
#[case::no_order(&["H", "1"])]
fn pack_refuses_and_writes_nothing(#[case] arguments: &[&str]) {
    program!("pack").args(arguments).assert().code(2).stdout("");
}

#[rstest]
#[case::too_short(&[0x01])]
#[case::too_long(&[0x01, 0x02, 0x03])]
fn unpack_wants_exactly_its_input(#[case] input: &'static [u8]) {
    program!("unpack").arg("!H").write_stdin(input).assert().code(1).stdout("");
}

#[test]
fn a_number_out_of_range_is_refused() {
    program!("byte-swap").args(["htons", "65536"]).assert().code(2).stdout("");
    program!("show-bytes").arg("4294967296").assert().code(2).stdout("").stderr(contains("usage"));
}
