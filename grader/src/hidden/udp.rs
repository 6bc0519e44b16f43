//! Robust and bonus checks of the lab `udp`.

use crate::check::Check;

/// The rubric, in teaching order.
pub const CHECKS: &[Check] = &[];
