//! Stands in for the hidden checks where the kit was released without them.

use crate::check::Check;

/// No robust or bonus checks are there.
pub fn of(_lab: &str) -> &'static [Check] {
    &[]
}
