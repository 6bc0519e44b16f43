//! Core checks of the lab `udp`: what the course's own programs do.

use crate::check::Suite;

/// The rubric, in teaching order.
pub const SUITE: Suite = Suite { lab: "udp", programs: &["udp-server", "udp-client"], checks: &[] };
