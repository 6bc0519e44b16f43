//! Core checks of the lab `servers`: what the course's own programs do.

use crate::check::Suite;

/// The rubric, in teaching order.
pub const SUITE: Suite = Suite {
    lab: "servers",
    programs: &["iterative-server", "forking-server", "threaded-server", "select-server"],
    checks: &[],
};
