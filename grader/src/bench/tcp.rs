//! The bench's own end of a TCP conversation, with the manners that a check asks for: in pieces, half-closed, reset,
//! silent, slow.

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::bytes::{difference, show};
use super::core::{Core, Late, readable};
use super::sockets::{self, SocketInfo, State, Which};
use crate::verdict::{Breakdown, Expected, Unexplained};

/// A connection of the bench with a program.
pub struct TcpPeer {
    core: Rc<Core>,
    stream: TcpStream,
    host: &'static str,
    sent: RefCell<Option<String>>,
}

/// A listening socket of the bench.
pub struct TcpListener {
    core: Rc<Core>,
    socket: Socket,
    host: &'static str,
}

/// What a read brought.
enum Arrival {
    Bytes(Vec<u8>),
    End,
    Failed(std::io::Error),
}

impl TcpPeer {
    /// Connects to `address` from the host of that name; `small` asks for a small receive buffer, as a slow reader has.
    pub(super) fn connect(core: &Rc<Core>, host: &str, address: SocketAddr, small: bool) -> Expected<Self> {
        let made = core.host(host).enter(|| stream_socket(address))??;
        if small {
            made.set_recv_buffer_size(4096)
                .map_err(|error| Breakdown::system("cannot set SO_RCVBUF", error))?;
        }
        made.set_nonblocking(true).map_err(|error| Breakdown::system("cannot prepare a socket", error))?;
        let failed = match made.connect(&address.into()) {
            Ok(()) => None,
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
                let outcome = retried(|| {
                    core.wait(&[(made.as_fd(), PollFlags::POLLOUT)], || match made.take_error() {
                        Ok(Some(error)) => Some(Some(error)),
                        _ => made.peer_addr().ok().map(|_| None),
                    })
                });
                match outcome {
                    Ok(error) => error,
                    Err(late) => return Err(core.late(late, format!("a connection to {address}"))),
                }
            }
            Err(error) => Some(error),
        };
        if let Some(error) = failed {
            let observed = format!("connecting fails: {}", plain(&error));
            return Err(core.notes(Unexplained::new(format!("a connection to {address}"), observed)));
        }
        Self::new(core, made.into(), core.host(host).name)
    }

    fn new(core: &Rc<Core>, stream: TcpStream, host: &'static str) -> Expected<Self> {
        let prepared = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true));
        prepared.map_err(|error| Breakdown::system("cannot prepare a connection", error))?;
        Ok(Self { core: core.clone(), stream, host, sent: RefCell::new(None) })
    }

    /// Its own address.
    pub fn address(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket has a name")
    }

    /// The program's address.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }

    /// The socket itself, to set options.
    pub fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.stream)
    }

    /// Sends all of `bytes`; waits while the program does not take them.
    pub fn send(&self, bytes: &[u8]) -> Expected {
        *self.sent.borrow_mut() = Some(show(bytes));
        let mut rest = bytes;
        while !rest.is_empty() {
            let wrote = self.core.wait(&[(self.stream.as_fd(), PollFlags::POLLOUT)], || {
                match (&self.stream).write(rest) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => None,
                    other => Some(other),
                }
            });
            match wrote {
                Ok(Ok(count)) => rest = &rest[count..],
                Ok(Err(error)) => {
                    let expected = format!("a connection that takes {} bytes", bytes.len());
                    return Err(self.finding(expected, plain(&error)));
                }
                Err(late) => {
                    let expected = format!("a program that reads {} bytes", bytes.len());
                    return Err(self.edit(self.core.late(late, expected)));
                }
            }
        }
        Ok(())
    }

    /// Sends what the connection takes at once; gives how much that was.
    pub fn send_some(&self, bytes: &[u8]) -> usize {
        (&self.stream).write(bytes).unwrap_or(0)
    }

    /// Waits until the program has read everything that was sent to it so far.
    pub fn until_taken(&self) -> Expected {
        if self.peer_address().is_none() {
            return Ok(());
        }
        let taken = self.core.wait(&[], || {
            let (own, theirs) = self.both_ends()?;
            // A connection that is gone at the other end has nothing left to read.
            (own.send_queue == 0 && theirs.is_none_or(|theirs| theirs.receive_queue == 0)).then_some(())
        });
        taken.map_err(|late| self.edit(self.core.late(late, "a program that reads what was sent")))
    }

    /// Whether everything that the program has handed to its system has come and was received here.
    pub fn has_received_all(&self) -> bool {
        let ends = self.both_ends();
        ends.is_none_or(|(own, theirs)| {
            own.receive_queue == 0 && theirs.is_none_or(|theirs| theirs.send_queue == 0)
        })
    }

    /// How the kernel sees this end and, where it still is, the program's.
    fn both_ends(&self) -> Option<(SocketInfo, Option<SocketInfo>)> {
        let (own, other) = (self.address(), self.peer_address()?);
        let end = |local, remote| sockets::connection(&self.core, self.host, local, remote).ok();
        Some((end(own, other)??, end(other, own)?))
    }

    /// Sends each piece only after the program has read the one before, so that no read can bring two of them.
    pub fn send_in_pieces(&self, pieces: &[&[u8]]) -> Expected {
        for piece in pieces {
            self.send(piece)?;
            self.until_taken()?;
        }
        let whole: Vec<String> = pieces.iter().map(|piece| show(piece)).collect();
        *self.sent.borrow_mut() = Some(format!("in {} pieces: {}", pieces.len(), whole.join(" | ")));
        Ok(())
    }

    /// The next bytes, at least one; `None` at the end of the stream.
    pub fn receive(&self) -> Expected<Option<Vec<u8>>> {
        match self.arrival() {
            Ok(Arrival::Bytes(bytes)) => Ok(Some(bytes)),
            Ok(Arrival::End) => Ok(None),
            Ok(Arrival::Failed(error)) => Err(self.finding("more bytes, or a clean end", plain(&error))),
            Err(late) => Err(self.edit(self.core.late(late, "an answer"))),
        }
    }

    /// The next bytes within so long, or `None`: nothing came, or the connection is over.
    pub fn receive_within(&self, patience: std::time::Duration) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65_536];
        let come = self.core.wait_within(patience, &readable(&self.stream), || {
            match (&self.stream).read(&mut buffer) {
                Ok(count) => Some(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => None,
                Err(_) => Some(0),
            }
        });
        come.ok().filter(|count| *count > 0).map(|count| buffer[..count].to_vec())
    }

    /// What has come so far, without waiting.
    pub fn take(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = [0; 65_536];
        while let Ok(count @ 1..) = (&self.stream).read(&mut buffer) {
            all.extend_from_slice(&buffer[..count]);
        }
        all
    }

    /// Exactly so many bytes.
    pub fn receive_exactly(&self, count: usize) -> Expected<Vec<u8>> {
        let mut all = Vec::new();
        while all.len() < count {
            match self.arrival_of(count - all.len()) {
                Ok(Arrival::Bytes(bytes)) => all.extend(bytes),
                Ok(Arrival::End) => {
                    let observed = format!("{}, and then the end of the stream", show(&all));
                    return Err(self.finding(format!("{count} bytes"), observed));
                }
                Ok(Arrival::Failed(error)) => {
                    let observed = format!("{}, and then: {}", show(&all), plain(&error));
                    return Err(self.finding(format!("{count} bytes"), observed));
                }
                Err(late) => {
                    let unexplained = self.edit(self.core.late(late, format!("{count} bytes")));
                    return Err(unexplained.note(format!("before that came {}", show(&all))));
                }
            }
        }
        Ok(all)
    }

    /// The next line of text, without its newline; of a line longer than `limit` bytes, the first so many.
    pub fn line(&self, limit: usize) -> Expected<String> {
        let mut line = Vec::new();
        while line.len() < limit {
            let observed = match self.arrival_of(self.up_to_newline(limit - line.len())) {
                Ok(Arrival::Bytes(bytes)) => match bytes.strip_suffix(b"\n") {
                    Some(rest) => {
                        line.extend(rest);
                        break;
                    }
                    None => {
                        line.extend(bytes);
                        continue;
                    }
                },
                Ok(Arrival::End) => "the end of the stream".to_string(),
                Ok(Arrival::Failed(error)) => plain(&error),
                Err(late) => {
                    let unexplained = self.edit(self.core.late(late, "a line, ended by a newline"));
                    return Err(unexplained.note(format!("before that came {}", show(&line))));
                }
            };
            let observed =
                if line.is_empty() { observed } else { format!("{}, then {observed}", show(&line)) };
            return Err(self.finding("a line, ended by a newline", observed));
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// How many bytes can be read so that none behind the next newline is among them: 1 where nothing has come yet.
    fn up_to_newline(&self, most: usize) -> usize {
        let mut buffer = vec![0; most];
        let come = self.stream.peek(&mut buffer).unwrap_or(0);
        buffer[..come].iter().position(|byte| *byte == b'\n').map_or(come, |place| place + 1).max(1)
    }

    /// Expects the next bytes to be exactly these, in however many pieces they come.
    pub fn expect(&self, bytes: &[u8]) -> Expected {
        let observed = self
            .receive_exactly(bytes.len())
            .map_err(|unexplained| unexplained.note(format!("expected were {}", show(bytes))))?;
        if observed == bytes {
            return Ok(());
        }
        let mut unexplained = self.finding(show(bytes), show(&observed));
        if let Some(difference) = difference(bytes, &observed) {
            unexplained = unexplained.note(difference);
        }
        Err(unexplained)
    }

    /// Everything up to the end of the stream, at most `limit` bytes.
    pub fn receive_to_end(&self, limit: usize) -> Expected<Vec<u8>> {
        let mut all = Vec::new();
        // As much as a busy stream brings at a time: there may be megabytes to come.
        let mut buffer = vec![0; limit.clamp(4096, 1 << 20)];
        loop {
            let come = self.core.wait(&readable(&self.stream), || match (&self.stream).read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => None,
                other => Some(other),
            });
            match come {
                Ok(Ok(0)) => return Ok(all),
                Ok(Ok(count)) => all.extend_from_slice(&buffer[..count]),
                Ok(Err(error)) => {
                    let observed = format!("{}, and then: {}", show(&all), plain(&error));
                    return Err(self.finding("the end of the stream", observed));
                }
                Err(late) => {
                    let unexplained = self.edit(self.core.late(late, "the end of the stream"));
                    return Err(unexplained.note(format!("before that came {}", show(&all))));
                }
            }
            if all.len() > limit {
                return Err(
                    self.finding(format!("at most {limit} bytes"), format!("{} bytes so far", all.len()))
                );
            }
        }
    }

    /// Expects a clean end of the stream (FIN), with nothing before it and no reset.
    pub fn expect_end(&self) -> Expected {
        match self.arrival() {
            Ok(Arrival::End) => Ok(()),
            Ok(Arrival::Bytes(bytes)) => Err(self.finding("the end of the stream", show(&bytes))),
            Ok(Arrival::Failed(error)) => Err(self.finding("a clean end of the stream", plain(&error))),
            Err(late) => Err(self.edit(self.core.late(late, "the end of the stream"))),
        }
    }

    /// Expects that the connection is over, by FIN or by reset, whatever came before.
    pub fn expect_over(&self) -> Expected {
        loop {
            match self.arrival() {
                Ok(Arrival::Bytes(_)) => {}
                Ok(Arrival::End | Arrival::Failed(_)) => return Ok(()),
                Err(late) => return Err(self.edit(self.core.late(late, "the end of the connection"))),
            }
        }
    }

    /// Expects that nothing has come so far, not even the end. Silence is proven by order: ask it after something that
    /// was done later has had its effect.
    pub fn expect_nothing(&self) -> Expected {
        let mut buffer = [0; 4096];
        match (&self.stream).read(&mut buffer) {
            Ok(0) => Err(self.finding("nothing yet", "the end of the stream")),
            Ok(count) => Err(self.finding("nothing yet", show(&buffer[..count]))),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(self.finding("nothing yet", plain(&error))),
        }
    }

    /// Ends the direction to the program (FIN), and goes on reading.
    pub fn half_close(&self) {
        // A connection that the program has reset cannot be shut down any more: what follows will tell.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Resets the connection.
    pub fn reset(self) {
        let _ = self.socket().set_linger(Some(std::time::Duration::ZERO));
    }

    fn arrival(&self) -> Result<Arrival, Late> {
        self.arrival_of(65_536)
    }

    fn arrival_of(&self, most: usize) -> Result<Arrival, Late> {
        let mut buffer = vec![0; most.min(65_536)];
        self.core.wait(&readable(&self.stream), || match (&self.stream).read(&mut buffer) {
            Ok(0) => Some(Arrival::End),
            Ok(count) => Some(Arrival::Bytes(buffer[..count].to_vec())),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => Some(Arrival::Failed(error)),
        })
    }

    fn finding(&self, expected: impl Into<String>, observed: impl Into<String>) -> Unexplained {
        self.core.notes(self.edit(Unexplained::new(expected, observed)))
    }

    fn edit(&self, unexplained: Unexplained) -> Unexplained {
        match &*self.sent.borrow() {
            Some(sent) => unexplained.sent(sent.clone()),
            None => unexplained,
        }
    }
}

impl TcpListener {
    /// Listens on `address` on the host of that name.
    pub(super) fn bind(
        core: &Rc<Core>,
        host: &str,
        address: SocketAddr,
        backlog: i32,
    ) -> Result<Self, Breakdown> {
        let listen = || -> Result<Socket, Breakdown> {
            let socket = stream_socket(address)?;
            let failed =
                |error| Breakdown::system(format!("cannot listen on the bench's own {address}"), error);
            socket.set_reuse_address(true).map_err(failed)?;
            socket.bind(&address.into()).map_err(failed)?;
            socket.listen(backlog).map_err(failed)?;
            socket.set_nonblocking(true).map_err(failed)?;
            Ok(socket)
        };
        let socket = core.host(host).enter(listen)??;
        Ok(Self { core: core.clone(), socket, host: core.host(host).name })
    }

    /// Its own address.
    pub fn address(&self) -> SocketAddr {
        self.socket
            .local_addr()
            .ok()
            .and_then(|address| address.as_socket())
            .expect("a bound socket has a name")
    }

    /// The socket itself, to set options (a receive buffer set here is inherited by connections).
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// From now on its connections hold little that has come and was not read; the sender waits the sooner.
    pub fn small_receive_buffers(&self, bytes: u32) -> Result<(), Breakdown> {
        let set = self.socket.set_recv_buffer_size(bytes as usize);
        set.map_err(|error| Breakdown::system("cannot set SO_RCVBUF", error))
    }

    /// The next connection.
    pub fn accept(&self) -> Expected<TcpPeer> {
        let accepted = self.core.wait(&readable(&self.socket), || self.socket.accept().ok());
        match accepted {
            Ok((socket, _)) => TcpPeer::new(&self.core, socket.into(), self.host),
            Err(late) => Err(self.core.late(late, format!("a connection to {}", self.address()))),
        }
    }

    /// Expects that nobody has connected so far.
    pub fn expect_nobody(&self) -> Expected {
        match self.socket.accept() {
            Ok(_) => Err(self.core.notes(Unexplained::new("no connection", "a connection"))),
            Err(_) => Ok(()),
        }
    }
}

/// The address of a TCP socket that listens on the host, on `port` or any, held by a process for which `holds` is true.
pub(super) fn listening(
    core: &Core,
    host: &str,
    port: Option<u16>,
    holds: impl Fn(u64) -> bool,
) -> Option<SocketAddr> {
    let all = sockets::list(core, host, Which::Listening).ok()?;
    let found = all.iter().find(|socket| {
        let wanted = port.is_none_or(|port| socket.local.port() == port);
        socket.state == State::Listen && wanted && holds(socket.inode)
    });
    found.map(|socket| socket.local)
}

fn stream_socket(address: SocketAddr) -> Result<Socket, Breakdown> {
    Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))
        .map_err(|error| Breakdown::system("cannot create the bench's own socket", error))
}

/// Waits for a connection although every program waits: where the backlog was full, the kernel asks again after a second.
fn retried<T>(mut wait: impl FnMut() -> Result<T, Late>) -> Result<T, Late> {
    /// The first two repetitions come after one second, and after two more.
    const REPEATED: Duration = Duration::from_secs(4);
    let begin = Instant::now();
    loop {
        match wait() {
            Err(Late::Stuck) if begin.elapsed() < REPEATED => {}
            other => return other,
        }
    }
}

/// A network error in a student's words.
fn plain(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ECONNRESET) => {
            "a reset (ECONNRESET): the program closed with data unread, or died".to_string()
        }
        Some(libc::EPIPE) => "a broken pipe (EPIPE): the program has closed the connection".to_string(),
        Some(libc::ECONNREFUSED) => "refused (ECONNREFUSED): nobody listens there".to_string(),
        _ => error.to_string(),
    }
}
