//! The rubric: one suite a lab. The core checks stand here, the robust and bonus ones in [`hidden`](crate::hidden).

use crate::check::{Check, Suite};

pub(crate) mod endianness;
pub(crate) mod fork;
mod multicast;
pub(crate) mod pipes;
mod raw;
pub(crate) mod servers;
pub(crate) mod sockets;
pub mod tcp;
pub(crate) mod udp;

/// Every lab's suite, in teaching order.
pub const SUITES: &[Suite] = &[
    endianness::SUITE,
    sockets::SUITE,
    udp::SUITE,
    tcp::SUITE,
    fork::SUITE,
    pipes::SUITE,
    servers::SUITE,
    multicast::SUITE,
    raw::SUITE,
];

/// The suite of `lab`.
pub fn of(lab: &str) -> Option<&'static Suite> {
    SUITES.iter().find(|suite| suite.lab == lab)
}

impl Suite {
    /// Every check of the lab, core first.
    pub fn all(&self) -> impl Iterator<Item = &'static Check> {
        self.checks.iter().chain(crate::hidden::of(self.lab))
    }

    /// The check of that name.
    pub fn find(&self, name: &str) -> Option<&'static Check> {
        self.all().find(|check| check.name == name)
    }
}
