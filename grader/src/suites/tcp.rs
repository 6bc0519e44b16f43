//! Core checks of the lab `tcp`: what the course's own programs do.

use crate::check::Suite;

/// The rubric, in teaching order.
pub const SUITE: Suite = Suite {
    lab: "tcp",
    programs: &["tcp-server", "tcp-client", "upload-server", "upload-client"],
    checks: &[],
};
