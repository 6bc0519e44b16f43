//! Core checks of the lab `sockets`: what the course's own programs do.

use crate::check::Suite;

/// The rubric, in teaching order.
pub const SUITE: Suite = Suite { lab: "sockets", programs: &["socket-table", "bind-name"], checks: &[] };
