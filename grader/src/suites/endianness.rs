//! Core checks of the lab `endianness`: what the course's own programs do.

use crate::check::Suite;

/// The rubric, in teaching order.
pub const SUITE: Suite =
    Suite { lab: "endianness", programs: &["show-bytes", "byte-swap", "pack", "unpack"], checks: &[] };
