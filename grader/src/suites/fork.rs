//! Core checks of the lab `fork`: what the course's own programs do.

use crate::check::Suite;

/// The rubric, in teaching order.
pub const SUITE: Suite = Suite {
    lab: "fork",
    programs: &["fork-nowait", "fork-wait", "fork-zombie", "fork-reap", "fork-many"],
    checks: &[],
};
