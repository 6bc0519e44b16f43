//! The select server: one process, one thread, all clients at once.
//!
//! The kernel is asked which sockets have something to do (here by `poll`; `select` and `epoll` answer the same
//! question), and only those are touched. No socket ever blocks the program: it waits in one place only, for all
//! of them. So a client needs no process and no thread, only a little memory for what is half read and half
//! written, and the total needs no lock, because nothing happens at the same time.
//!
//! Protocol: see `protocol.rs` and the handout.

// solution: // When protocol.rs is written:  mod protocol;
mod protocol;
// :solution

use std::io::{self, Write};
use std::process::ExitCode;

use socket2::Socket;

// solution:
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use protocol::{Request, Requests};
use socket2::{Domain, Protocol, Type};

/// How many bytes of answers are kept for a client that does not fetch them. Beyond that nothing more is read from
/// it until it does: so it waits for itself, and the server's memory stays bounded.
const OUTPUT_LIMIT: usize = 64 * 1024;

/// How long accept is left alone after it found no descriptor free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
// :solution

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: select-server [--host ADDR] [--port PORT]");
    let host = arguments.text("--host", "0.0.0.0");
    let port = arguments.number("--port", 0..=u16::MAX, 5000);
    arguments.finish();

    let served = open_listener(&host, port).and_then(|listener| serve_forever(&listener));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // Not `eprintln!`: it panics where stderr cannot be written to.
            let _ = writeln!(io::stderr(), "{reason}");
            ExitCode::FAILURE
        }
    }
}

/// Opens the listening socket on the first address of `host` that can be bound. Port 0 lets the system choose a
/// port; which one is then printed.
fn open_listener(host: &str, port: u16) -> Result<Socket, String> {
    // solution: todo!("socket, SO_REUSEADDR, bind and listen on {host} port {port}")
    let addresses = (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("cannot resolve {host} port {port}: {error}"))?;
    let mut refusal = format!("cannot resolve {host} port {port}: it has no address");
    for address in addresses {
        match listen_on(address) {
            Ok(listener) => {
                if port == 0 {
                    announce(&listener).map_err(|error| format!("cannot write to stdout: {error}"))?;
                }
                return Ok(listener);
            }
            Err(error) => refusal = format!("cannot bind {address}: {error}"),
        }
    }
    Err(refusal)
    // :solution
}

// solution:
/// A socket that listens on `address`: socket, setsockopt, bind, listen.
fn listen_on(address: SocketAddr) -> io::Result<Socket> {
    let listener = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Before bind: connections of an earlier run that linger in TIME_WAIT do not keep the port from us then.
    listener.set_reuse_address(true)?;
    listener.bind(&address.into())?;
    // The backlog: so many connections may wait, complete, until accept fetches them.
    listener.listen(128)?;
    Ok(listener)
}

/// Prints the address that the system has given to `listener`.
fn announce(listener: &Socket) -> io::Result<()> {
    let address = listener.local_addr()?;
    match address.as_socket() {
        Some(address) => writeln!(io::stdout(), "Listening on {address}"),
        None => Ok(()),
    }
}
// :solution

/// Serves all clients at once. Nothing that a client does ends this loop; it returns only if waiting itself fails.
fn serve_forever(listener: &Socket) -> Result<(), String> {
    // solution: todo!("wait until {listener:?} or a client has something to do, do it, wait again")
    raise_descriptor_limit();
    // accept must not block either: a client may be gone again between poll's answer and our accept.
    listener
        .set_nonblocking(true)
        .map_err(|error| format!("cannot make the listener non-blocking: {error}"))?;

    let mut total: i64 = 0;
    let mut clients: Vec<Client> = Vec::new();
    let mut accept_again: Option<Instant> = None;
    loop {
        let pause = accept_again.map(|instant| instant.saturating_duration_since(Instant::now()));
        let accepting = pause.is_none_or(|pause| pause.is_zero());
        if accepting {
            accept_again = None;
        }
        let ready = match wait(listener, &clients, accepting, pause) {
            Ok(ready) => ready,
            Err(error) => return Err(format!("cannot wait for the sockets: {error}")),
        };

        // Existing clients first: a new one is added behind them, and the order of `ready` stays true.
        let mut ready_clients = ready.clients.into_iter();
        clients.retain_mut(|client| {
            let ready = ready_clients.next().unwrap_or(PollFlags::empty());
            client.go_on(ready, &mut total)
        });
        if ready.listener {
            // All that wait now: asking poll again for each of them would cost as much as all clients together.
            loop {
                match accept(listener) {
                    Ok(Some(client)) => clients.push(client),
                    Ok(None) => break,
                    Err(error) => {
                        // No descriptor is free. The waiting client keeps the listener ready, so poll would return
                        // at once, again and again: leave the listener out of the question for a while.
                        let _ = writeln!(io::stderr(), "cannot accept: {error}");
                        accept_again = Some(Instant::now() + ACCEPT_PAUSE);
                        break;
                    }
                }
            }
        }
    }
    // :solution
}

// solution:
/// Every client takes a descriptor, and the usual limit of 1024 of them is only the soft one: any program may raise
/// it up to the hard limit. Where that fails, the server works with what it has.
fn raise_descriptor_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// What poll has found.
struct Ready {
    listener: bool,
    /// One entry for each client, in the order of the clients.
    clients: Vec<PollFlags>,
}

/// Waits until a socket has something to do: the one place where this program waits. With a `pause` it comes back
/// after that time in any case.
fn wait(
    listener: &Socket,
    clients: &[Client],
    accepting: bool,
    pause: Option<Duration>,
) -> nix::Result<Ready> {
    let listening = if accepting { PollFlags::POLLIN } else { PollFlags::empty() };
    let mut sockets = vec![PollFd::new(listener.as_fd(), listening)];
    sockets.extend(clients.iter().map(|client| PollFd::new(client.connection.as_fd(), client.interest())));
    let timeout = match pause {
        // A part of a millisecond is rounded up: rounded down it would be no wait at all.
        Some(pause) if !accepting => {
            PollTimeout::try_from(pause + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        }
        _ => PollTimeout::NONE,
    };
    match poll(&mut sockets, timeout) {
        // A signal ends poll whatever its handler's flags say. Nothing is ready then, and the caller asks again.
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(error) => return Err(error),
    }
    let mut answers = sockets.iter().map(|socket| socket.revents().unwrap_or(PollFlags::empty()));
    let listener = answers.next().is_some_and(|ready| ready.contains(PollFlags::POLLIN));
    Ok(Ready { listener, clients: answers.collect() })
}

/// Accepts a client. `None`: there was none after all. An error means that the system has nothing to give.
fn accept(listener: &Socket) -> io::Result<Option<Client>> {
    let connection = match listener.accept() {
        Ok((connection, _peer)) => connection,
        Err(error) => {
            return match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted => Ok(None),
                _ => Err(error),
            };
        }
    };
    // An accepted socket does not inherit this from the listener, on Linux at least.
    connection.set_nonblocking(true)?;
    Ok(Some(Client { connection, requests: Requests::default(), answers: Vec::new(), reading: true }))
}

/// A client and where its conversation stands: what a thread would keep on its stack.
struct Client {
    connection: Socket,
    requests: Requests,
    /// Answers that the connection has not taken yet.
    answers: Vec<u8>,
    /// Whether requests are still to come. After that only the answers have to leave.
    reading: bool,
}

impl Client {
    /// What to ask poll for. Writable is asked for only while there is something to write: a connection is
    /// writable nearly always, so poll would return at once, for ever.
    fn interest(&self) -> PollFlags {
        let mut interest = PollFlags::empty();
        if self.reading && self.answers.len() < OUTPUT_LIMIT {
            interest |= PollFlags::POLLIN;
        }
        if !self.answers.is_empty() {
            interest |= PollFlags::POLLOUT;
        }
        interest
    }

    /// Does what `ready` says can be done without waiting. Returns whether the client stays; one that does not is
    /// dropped, which closes its connection.
    fn go_on(&mut self, ready: PollFlags, total: &mut i64) -> bool {
        if ready.is_empty() {
            return true;
        }
        // An error or a hang-up (which poll reports unasked) shows in whichever of the two calls is made.
        let may_read = self.interest().contains(PollFlags::POLLIN);
        let done = match may_read && ready.intersects(!PollFlags::POLLOUT) {
            true => self.read(total).and_then(|()| self.write()),
            false => self.write(),
        };
        match done {
            Ok(()) => self.reading || !self.answers.is_empty(),
            Err(error) => {
                let _ = writeln!(io::stderr(), "a connection broke: {error}");
                false
            }
        }
    }

    /// Reads once and answers all requests that are complete by then. There may be more to read: poll will say so,
    /// and the other clients get their turn before.
    fn read(&mut self, total: &mut i64) -> io::Result<()> {
        let mut chunk = [0; 2048];
        match self.connection.read(&mut chunk) {
            Ok(0) => self.reading = false,
            Ok(received) => self.requests.push(&chunk[..received]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        while self.reading {
            let Some(request) = self.requests.take() else { break };
            match request {
                Request::Add(number) => {
                    *total = total.wrapping_add(number);
                    self.answers.extend_from_slice(format!("total {total}\n").as_bytes());
                }
                Request::Unknown => self.answers.extend_from_slice(protocol::UNKNOWN.as_bytes()),
                Request::TooLong => {
                    self.answers.extend_from_slice(protocol::TOO_LONG.as_bytes());
                    self.reading = false;
                }
                Request::Quit => self.reading = false,
            }
        }
        Ok(())
    }

    /// Writes as many answers as the connection takes now; the rest stays for the next time.
    fn write(&mut self) -> io::Result<()> {
        while !self.answers.is_empty() {
            match self.connection.write(&self.answers) {
                Ok(taken) => drop(self.answers.drain(..taken)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
// :solution
