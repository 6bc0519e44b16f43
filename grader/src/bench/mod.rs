//! The bench: all that a check may touch. Hosts, peers, programs and a clock, fresh for each check.

/// All that a check may touch.
pub struct Bench {}
