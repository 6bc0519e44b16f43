//! Core checks of the lab `raw`: what the course's own programs do.

use crate::check::Suite;

/// The rubric, in teaching order.
pub const SUITE: Suite = Suite { lab: "raw", programs: &["raw-ping", "raw-udp"], checks: &[] };
