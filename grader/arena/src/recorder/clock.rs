//! The clocks of the bench: real time, which packets are stamped with too, and the programs' own, which skips the time
//! in which all of them sleep.
//!
//! While it skips, the programs' clock is frozen: it moves by jumps to the next deadline, and by a small tick for every
//! reading (so that a loop that waits for time to pass comes to an end). A program that sleeps ten seconds then
//! measures ten seconds, however busy the machine is.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::recording::Stamp;

/// How far the frozen clock moves when it is read, in nanoseconds; it doubles with every so many readings in a row.
const TICK: u64 = 10_000;
const READINGS_BEFORE_GROWTH: u64 = 64;
const LARGEST_TICK: u64 = 10_000_000;
/// The furthest jump, a hundred years: who sleeps longer than that wakes early.
const FURTHEST: u64 = 100 * 366 * 86_400 * 1_000_000_000;

/// What the kernel says of a clock, in nanoseconds.
pub fn read(clock: i32) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the kernel to write one timespec.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    if result != 0 {
        return 0;
    }
    (time.tv_sec as u64).saturating_mul(1_000_000_000) + time.tv_nsec as u64
}

/// The programs' clock.
#[derive(Debug)]
pub struct Clock {
    skips: bool,
    real: u64,
    monotonic: u64,
    boot: u64,
    passed: AtomicU64,
    readings: AtomicU64,
}

impl Clock {
    /// A clock that shows real time, or one that is frozen and skips.
    pub fn new(skips: bool) -> Self {
        Self {
            skips,
            real: read(libc::CLOCK_REALTIME),
            monotonic: read(libc::CLOCK_MONOTONIC),
            boot: read(libc::CLOCK_BOOTTIME),
            passed: AtomicU64::new(0),
            readings: AtomicU64::new(0),
        }
    }

    /// Whether it is frozen and skips.
    pub fn skips(&self) -> bool {
        self.skips
    }

    /// Now, on both clocks.
    pub fn now(&self) -> Stamp {
        let real = read(libc::CLOCK_REALTIME);
        Stamp { real, seen: if self.skips { self.real + self.passed() } else { real } }
    }

    /// How much time has passed for the programs.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// What the programs see of a clock, without moving it.
    pub fn seen(&self, clock: i32) -> u64 {
        match self.base(clock) {
            Some(base) if self.skips => base + self.passed(),
            _ => read(clock),
        }
    }

    /// What a program reads of a clock, in nanoseconds; `None` where that is not a clock of ours (processor time).
    pub fn program_reads(&self, clock: i32) -> Option<u64> {
        let base = self.base(clock)?;
        let readings = self.readings.fetch_add(1, Ordering::Relaxed);
        let growth = (readings / READINGS_BEFORE_GROWTH).min(20);
        let tick = (TICK << growth).min(LARGEST_TICK);
        Some(base + self.passed.fetch_add(tick, Ordering::Relaxed) + tick)
    }

    /// Moves to a moment that lies ahead, given as time passed.
    pub fn jump(&self, to: u64) {
        self.passed.fetch_max(to.min(FURTHEST), Ordering::Relaxed);
        self.work_was_done();
    }

    /// A program did something other than reading the clock.
    pub fn work_was_done(&self) {
        self.readings.store(0, Ordering::Relaxed);
    }

    /// Whether a clock is one of the programs' own, and none of processor time.
    pub fn is_ours(&self, clock: i32) -> bool {
        self.base(clock).is_some()
    }

    fn base(&self, clock: i32) -> Option<u64> {
        match clock {
            libc::CLOCK_REALTIME
            | libc::CLOCK_REALTIME_COARSE
            | libc::CLOCK_REALTIME_ALARM
            | libc::CLOCK_TAI => Some(self.real),
            libc::CLOCK_MONOTONIC | libc::CLOCK_MONOTONIC_COARSE | libc::CLOCK_MONOTONIC_RAW => {
                Some(self.monotonic)
            }
            libc::CLOCK_BOOTTIME | libc::CLOCK_BOOTTIME_ALARM => Some(self.boot),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_clock_moves_by_jumps_and_readings_only() {
        let clock = Clock::new(true);
        let before = clock.seen(libc::CLOCK_MONOTONIC);
        assert_eq!(clock.seen(libc::CLOCK_MONOTONIC), before);
        clock.jump(5_000_000_000);
        assert_eq!(clock.seen(libc::CLOCK_MONOTONIC), before + 5_000_000_000);
        assert!(clock.program_reads(libc::CLOCK_REALTIME) > Some(clock.real + 5_000_000_000));
        assert_eq!(clock.program_reads(libc::CLOCK_PROCESS_CPUTIME_ID), None);
    }

    #[test]
    fn a_sleep_for_ever_does_not_leave_the_calendar() {
        let clock = Clock::new(true);
        clock.jump(u64::MAX);
        assert!(clock.now().seen > clock.now().real);
        assert!(clock.seen(libc::CLOCK_REALTIME) < clock.program_reads(libc::CLOCK_REALTIME).unwrap());
    }

    #[test]
    fn a_loop_that_only_reads_the_clock_comes_to_an_end() {
        let clock = Clock::new(true);
        let end = clock.seen(libc::CLOCK_MONOTONIC) + 2_000_000_000;
        let readings =
            (0..).take_while(|_| clock.program_reads(libc::CLOCK_MONOTONIC).unwrap() < end).count();
        assert!(readings < 2_000, "{readings} readings");
    }
}
