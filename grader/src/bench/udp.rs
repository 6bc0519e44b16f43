//! The bench's own end of a UDP conversation.

use std::cell::RefCell;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use super::bytes::{difference, show};
use super::core::{Core, readable};
use crate::verdict::{Breakdown, Expected, Unexplained};

/// A UDP socket of the bench.
pub struct UdpPeer {
    core: Rc<Core>,
    socket: UdpSocket,
    /// What it sent last, for the finding.
    sent: RefCell<Option<String>>,
}

impl UdpPeer {
    /// A socket bound to `address` on the host of that name.
    pub(super) fn bind(core: &Rc<Core>, host: &str, address: SocketAddr) -> Result<Self, Breakdown> {
        let socket = core
            .host(host)
            .enter(|| UdpSocket::bind(address))?
            .map_err(|error| Breakdown::system(format!("cannot bind the bench's own {address}"), error))?;
        Self::from_socket(core, socket)
    }

    /// A peer around a socket that was made by other means, such as one that has joined a group.
    pub(super) fn from_socket(core: &Rc<Core>, socket: UdpSocket) -> Result<Self, Breakdown> {
        socket.set_nonblocking(true).map_err(|error| Breakdown::system("cannot prepare a socket", error))?;
        Ok(Self { core: core.clone(), socket, sent: RefCell::new(None) })
    }

    /// Its own address.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket has a name")
    }

    /// The socket itself, to set options.
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Sends one datagram.
    pub fn send(&self, to: SocketAddr, bytes: &[u8]) -> Result<(), Breakdown> {
        *self.sent.borrow_mut() = Some(format!("{} to {to}", show(bytes)));
        match self.socket.send_to(bytes, to) {
            Ok(_) => Ok(()),
            // An ICMP error of an earlier datagram: the program's port was closed then. The answer's absence will tell.
            Err(error) if error.raw_os_error() == Some(libc::ECONNREFUSED) => Ok(()),
            Err(error) => Err(Breakdown::system(format!("cannot send to {to}"), error)),
        }
    }

    /// The next datagram and its sender.
    pub fn receive(&self) -> Expected<(Vec<u8>, SocketAddr)> {
        self.core
            .wait(&readable(&self.socket), || self.take())
            .map_err(|late| self.edit(self.core.late(late, "a datagram")))
    }

    /// The next datagram within so long (of the programs' own time), or `None`.
    pub fn receive_within(&self, patience: Duration) -> Option<(Vec<u8>, SocketAddr)> {
        self.core.wait_within(patience, &readable(&self.socket), || self.take()).ok()
    }

    /// Expects the next datagram to be exactly `bytes`; gives its sender.
    pub fn expect(&self, bytes: &[u8]) -> Expected<SocketAddr> {
        let (observed, from) = self
            .core
            .wait(&readable(&self.socket), || self.take())
            .map_err(|late| self.edit(self.core.late(late, show(bytes))))?;
        if observed == bytes {
            return Ok(from);
        }
        let mut unexplained =
            self.edit(Unexplained::new(show(bytes), format!("{} from {from}", show(&observed))));
        if let Some(difference) = difference(bytes, &observed) {
            unexplained = unexplained.note(difference);
        }
        Err(self.core.notes(unexplained))
    }

    /// Expects the next datagram to be exactly `bytes` and to come from `sender`.
    pub fn expect_from(&self, sender: SocketAddr, bytes: &[u8]) -> Expected {
        let from = self.expect(bytes)?;
        if from == sender {
            return Ok(());
        }
        let unexplained =
            Unexplained::new(format!("{} from {sender}", show(bytes)), format!("it came from {from}"));
        Err(self.core.notes(self.edit(unexplained)))
    }

    /// A datagram that has already come.
    pub fn take(&self) -> Option<(Vec<u8>, SocketAddr)> {
        let mut buffer = vec![0; 65_536];
        loop {
            match self.socket.recv_from(&mut buffer) {
                Ok((count, from)) => return Some((buffer[..count].to_vec(), from)),
                // Errors of earlier datagrams (ICMP) are no datagrams.
                Err(error) if error.raw_os_error() == Some(libc::ECONNREFUSED) => {}
                Err(_) => return None,
            }
        }
    }

    /// Expects that no datagram has come so far. Silence is proven by order: ask it after the answer to something that
    /// was sent later.
    pub fn expect_nothing(&self) -> Expected {
        match self.take() {
            None => Ok(()),
            Some((bytes, from)) => {
                let observed = format!("{} from {from}", show(&bytes));
                Err(self.core.notes(self.edit(Unexplained::new("no datagram", observed))))
            }
        }
    }

    fn edit(&self, unexplained: Unexplained) -> Unexplained {
        match &*self.sent.borrow() {
            Some(sent) => unexplained.sent(sent.clone()),
            None => unexplained,
        }
    }
}
