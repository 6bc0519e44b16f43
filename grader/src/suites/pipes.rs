//! Core checks of the lab `pipes`: what the course's own programs do.

use crate::check::Suite;

/// The rubric, in teaching order.
pub const SUITE: Suite = Suite { lab: "pipes", programs: &["pipeline"], checks: &[] };
