//! Core checks of the lab `multicast`: what the course's own programs do.

use crate::check::Suite;

/// The rubric, in teaching order.
pub const SUITE: Suite =
    Suite { lab: "multicast", programs: &["mcast-sender", "mcast-receiver"], checks: &[] };
