//! Calls as no library makes them: every recorded call, with any arguments and any memory behind them. The decoder reads
//! this test's own memory, as it reads a program's.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;

use super::{Objects, View, enter, leave};
use crate::recorder::clock::Clock;
use crate::recorder::memory;
use crate::recorder::ptrace::Entry;
use crate::recorder::syscalls;
use crate::recording::Act;

const SIZE: usize = 8192;

/// One argument: a number, or a place in the memory below (also near its end, behind which is nothing).
#[derive(Clone, Debug)]
enum Argument {
    Number(u64),
    Place(usize),
}

fn argument() -> impl Strategy<Value = Argument> {
    let edges =
        vec![u64::MAX, u64::MAX - 7, 1 << 63, (1 << 63) - 1, u32::MAX.into(), 1 << 31, (1 << 47) - 8, 4096];
    prop_oneof![
        3 => (0_u64..70).prop_map(Argument::Number),
        2 => select(edges).prop_map(Argument::Number),
        1 => any::<u64>().prop_map(Argument::Number),
        4 => (0..SIZE).prop_map(Argument::Place),
        1 => (SIZE - 64..SIZE).prop_map(Argument::Place),
    ]
}

/// Two pages, of which the second cannot be read.
struct Pages(*mut u8);

impl Pages {
    fn new() -> Self {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping disturbs no other; its second half is given up to guard the end.
        unsafe {
            let start = libc::mmap(std::ptr::null_mut(), 2 * SIZE, protection, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(start.byte_add(SIZE), SIZE, libc::PROT_NONE), 0);
            Self(start.cast())
        }
    }

    /// Fills the page with words, some of which are places in it again.
    fn fill(&self, words: &[(Argument, usize)]) {
        for (word, at) in words {
            let bytes = self.value(word).to_ne_bytes();
            let at = (*at).min(SIZE - bytes.len());
            // SAFETY: the eight bytes lie within the first half.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.add(at), bytes.len()) };
        }
    }

    fn value(&self, argument: &Argument) -> u64 {
        match argument {
            Argument::Number(number) => *number,
            Argument::Place(at) => self.0 as u64 + *at as u64,
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own.
        unsafe { libc::munmap(self.0.cast(), 2 * SIZE) };
    }
}

fn config() -> ProptestConfig {
    let set = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { set.cases } else { 6000 };
    let rng_seed = if set.rng_seed == RngSeed::Random { RngSeed::Fixed(2_611) } else { set.rng_seed };
    ProptestConfig { cases, rng_seed, ..set }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_call_with_any_arguments(
        number in select(syscalls::numbers()),
        arguments in prop::array::uniform6(argument()),
        words in vec((argument(), 0..SIZE), 0..60),
        result in prop_oneof![0_i64..100, -200_i64..0, any::<i64>()],
    ) {
        let pages = Pages::new();
        pages.fill(&words);
        let (names, clock, mut objects) = (BTreeMap::new(), Clock::new(true), Objects::default());
        let pid = std::process::id() as i32;
        let mut view = View { thread: pid, process: pid, objects: &mut objects, names: &names, clock: &clock };
        let arguments = arguments.map(|argument| pages.value(&argument));
        let entry = Entry { number, arguments, instruction: 0 };
        if let Some(mut asked) = enter(&mut view, &entry) {
            leave(&mut view, &entry, &mut asked.act, result);
            match asked.act {
                Act::Send { payload: Some(payload), .. } => prop_assert!(payload.len() <= 64 << 10),
                Act::Write { head, .. } => prop_assert!(head.len() <= 512),
                Act::WaitReady { objects, .. } => prop_assert!(objects.len() <= 64),
                Act::Exec { argv, .. } => prop_assert!(argv.len() <= 64),
                _ => {}
            }
        }
    }

    #[test]
    fn any_address(bytes in vec(any::<u8>(), 0..40)) {
        let _ = memory::parse_address(&bytes);
    }
}
