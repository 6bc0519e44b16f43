//! What Python's `struct` module means by its codes, written down anew: the yardstick for the lab `endianness`. It
//! shares no code with the programs that are measured by it, and a test compares it with Python itself.

use crate::bench::Random;

/// One code of a format: how wide its number is, and whether it has a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The letter in a format.
    pub letter: char,
    /// The width in bytes.
    pub size: usize,
    /// Whether negative numbers are among its values.
    pub signed: bool,
}

/// Which end of a number comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The most significant byte first: network byte order.
    Big,
    /// The least significant byte first.
    Little,
}

/// Every code, narrow before wide, the signed one of each width first.
pub const CODES: [Code; 8] = [
    Code { letter: 'b', size: 1, signed: true },
    Code { letter: 'B', size: 1, signed: false },
    Code { letter: 'h', size: 2, signed: true },
    Code { letter: 'H', size: 2, signed: false },
    Code { letter: 'i', size: 4, signed: true },
    Code { letter: 'I', size: 4, signed: false },
    Code { letter: 'q', size: 8, signed: true },
    Code { letter: 'Q', size: 8, signed: false },
];

impl Order {
    /// The order that the first character of a format stands for.
    pub fn of(character: char) -> Self {
        match character {
            '<' => Self::Little,
            '=' => Self::native(),
            _ => Self::Big,
        }
    }

    /// This machine's own.
    pub fn native() -> Self {
        if cfg!(target_endian = "big") { Self::Big } else { Self::Little }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Big => Self::Little,
            Self::Little => Self::Big,
        }
    }
}

impl Code {
    /// The code of that letter.
    pub fn of(letter: char) -> Self {
        CODES.into_iter().find(|code| code.letter == letter).expect("the check asks for a code that there is")
    }

    /// The code of the same width with a sign instead of without, or the other way round.
    pub fn other_sign(self) -> Self {
        let other = |code: &Code| code.size == self.size && code.signed != self.signed;
        CODES.into_iter().find(other).expect("every width has two codes")
    }

    /// The lowest value.
    pub fn lowest(self) -> i128 {
        if self.signed { -(1 << (8 * self.size - 1)) } else { 0 }
    }

    /// The highest value.
    pub fn highest(self) -> i128 {
        self.lowest() + (1 << (8 * self.size)) - 1
    }

    /// The bytes of a value.
    pub fn pack(self, order: Order, value: i128) -> Vec<u8> {
        // An arithmetic shift of a negative number brings ones from the left: two's complement.
        let mut bytes: Vec<u8> = (0..self.size).map(|index| (value >> (8 * index)) as u8).collect();
        if order == Order::Big {
            bytes.reverse();
        }
        bytes
    }

    /// The value of bytes.
    pub fn unpack(self, order: Order, bytes: &[u8]) -> i128 {
        let add = |value: i128, byte: &u8| value * 256 + i128::from(*byte);
        let value = match order {
            Order::Big => bytes.iter().fold(0, add),
            Order::Little => bytes.iter().rev().fold(0, add),
        };
        if value > self.highest() { value - (1 << (8 * self.size)) } else { value }
    }

    /// A random value that tells mistakes apart: its bytes are all different and none is 0, and the lowest one has
    /// its high bit set, as the highest one has if `high`. So another order, another width or another sign shows.
    pub fn telling(self, random: &mut Random, high: bool) -> i128 {
        loop {
            let mut bytes = random.bytes(self.size);
            bytes[self.size - 1] |= 0x80;
            bytes[0] = if high { bytes[0] | 0x80 } else { bytes[0] & 0x7f };
            let distinct = bytes.iter().enumerate().all(|(at, byte)| !bytes[..at].contains(byte));
            if distinct && !bytes.contains(&0) {
                return self.unpack(Order::Big, &bytes);
            }
        }
    }
}

/// The bytes of several values, one after another without a gap.
pub fn pack(order: Order, fields: &[(Code, i128)]) -> Vec<u8> {
    fields.iter().flat_map(|(code, value)| code.pack(order, *value)).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_edges_of_every_code_are_known() {
        assert_eq!((Code::of('b').lowest(), Code::of('b').highest()), (-128, 127));
        assert_eq!((Code::of('H').lowest(), Code::of('H').highest()), (0, 65535));
        assert_eq!((Code::of('q').lowest(), Code::of('q').highest()), (i64::MIN.into(), i64::MAX.into()));
        assert_eq!(Code::of('Q').highest(), u64::MAX.into());
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let mut random = Random::new(7, "packing");
        for code in CODES {
            for order in [Order::Big, Order::Little] {
                for value in [code.lowest(), code.highest(), code.telling(&mut random, true)] {
                    assert_eq!(code.unpack(order, &code.pack(order, value)), value);
                }
            }
        }
    }

    #[test]
    fn a_telling_value_has_no_second_reading() {
        let mut random = Random::new(7, "packing");
        for code in CODES.into_iter().filter(|code| code.size > 1) {
            let bytes = code.pack(Order::Big, code.telling(&mut random, true));
            assert_ne!(code.unpack(Order::Little, &bytes), code.unpack(Order::Big, &bytes));
            assert_ne!(code.other_sign().unpack(Order::Big, &bytes), code.unpack(Order::Big, &bytes));
        }
    }

    /// Python's own opinion, where there is a Python.
    #[test]
    fn python_packs_the_same() {
        let mut random = Random::new(11, "python");
        let mut script = "import struct\n".to_string();
        let mut expected = Vec::new();
        for _ in 0..200 {
            let character = *random.pick(&['!', '>', '<', '=']);
            let fields: Vec<(Code, i128)> = (0..random.range(1, 6))
                .map(|_| {
                    let code = *random.pick(&CODES);
                    let values = [code.lowest(), code.highest(), code.telling(&mut random, true)];
                    (code, *random.pick(&values))
                })
                .collect();
            let letters: String = fields.iter().map(|(code, _)| code.letter).collect();
            let values: Vec<String> = fields.iter().map(|(_, value)| value.to_string()).collect();
            script += &format!("print(struct.pack('{character}{letters}', {}).hex())\n", values.join(", "));
            let bytes = pack(Order::of(character), &fields);
            expected.push(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        }
        let Ok(output) = Command::new("python3").args(["-c", &script]).output() else {
            eprintln!("no python3 here: nothing to compare with");
            return;
        };
        let lines: Vec<String> =
            String::from_utf8_lossy(&output.stdout).lines().map(str::to_string).collect();
        assert_eq!(lines, expected);
    }
}
