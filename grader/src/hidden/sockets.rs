//! Robust and bonus checks of the lab `sockets`.

use crate::check::Check;

/// The rubric, in teaching order.
pub const CHECKS: &[Check] = &[];
