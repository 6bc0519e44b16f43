//! Random values for checks, the same for the same seed.

/// A small generator (SplitMix64): the values need to be unforeseen by a program, not by a cryptographer.
pub struct Random(u64);

impl Random {
    /// A generator whose values follow from `seed` and from what it is for.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
        for byte in purpose.bytes() {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Self(state)
    }

    /// Any 64-bit value.
    #[expect(
        clippy::should_implement_trait,
        reason = "it never ends, so an iterator would only be in the way"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A value from `low` to `high`, both included.
    pub fn range(&mut self, low: i64, high: i64) -> i64 {
        let span = (i128::from(high) - i128::from(low) + 1) as u128;
        (i128::from(low) + (u128::from(self.next()) % span) as i128) as i64
    }

    /// One of `choices`.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.next() as usize % choices.len()]
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }

    /// A 16-bit value whose bytes differ, also after one is added, and of which neither byte is 0: it tells byte
    /// orders, stale bytes and sign errors apart.
    pub fn telling_i16(&mut self) -> i16 {
        loop {
            let value = self.next() as i16;
            let ([a, b], [c, d]) = (value.to_be_bytes(), value.wrapping_add(1).to_be_bytes());
            if a != b && c != d && ![a, b, c, d].contains(&0) && value != i16::MAX {
                return value;
            }
        }
    }

    /// So many lower-case letters.
    pub fn word(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(b'a' + (self.next() % 26) as u8)).collect()
    }
}
