//! Robust and bonus checks of the lab `tcp`.

use crate::check::Check;

/// The rubric, in teaching order.
pub const CHECKS: &[Check] = &[];
