//! Robust and bonus checks of the lab `multicast`.

use crate::check::Check;

/// The rubric, in teaching order.
pub const CHECKS: &[Check] = &[];
