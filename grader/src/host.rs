//! Simulated hosts: network namespaces of the arena, joined by veth links. The first one, `a`, is the arena's own.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::check::Network;
use crate::verdict::Breakdown;

/// One simulated host.
pub struct Host {
    /// `a`, `b` or `c`.
    pub name: &'static str,
    /// Its network namespace.
    namespace: OwnedFd,
    /// Its addresses with their interfaces, loopback left out.
    pub addresses: Vec<(String, IpAddr)>,
}

impl Host {
    /// Builds the hosts of `network` around the arena's own namespace; every link is up and carries packets when it
    /// comes back.
    pub fn build(_network: Network) -> Result<Vec<Self>, Breakdown> {
        todo!()
    }

    /// Runs `work` with the calling thread in this host, for example to create a socket there.
    pub fn enter<T>(&self, _work: impl FnOnce() -> T) -> Result<T, Breakdown> {
        todo!()
    }

    /// The namespace's descriptor.
    pub fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}
