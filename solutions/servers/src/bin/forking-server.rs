//! The forking server: a process for each client.
//!
//! The parent only accepts. For each connection it forks, and the child serves that client and ends. The kernel
//! keeps the clients apart and shares the processors between them, and a client that stays silent holds nobody up.
//! A child has a *copy* of its parent's memory, so every connection counts from 0: a total for all clients would
//! need memory that is shared on purpose.
//!
//! After fork both processes hold both sockets. Each closes the one that is not its own: a connection ends only
//! with the last descriptor that refers to it, and so does the listening socket.
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
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid};
use protocol::{Request, Requests};
use socket2::{Domain, Protocol, SockAddr, Type};
// :solution

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: forking-server [--host ADDR] [--port PORT]");
    let host = arguments.text("--host", "0.0.0.0");
    let port = arguments.number("--port", 0..=u16::MAX, 5000);
    arguments.finish();

    match open_listener(&host, port) {
        Ok(listener) => serve_forever(listener),
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

/// Accepts clients and forks a child for each. Returns in the children only: their work is done then.
fn serve_forever(listener: Socket) -> ExitCode {
    // solution: todo!("accept on {listener:?}, fork, serve in the child, close in the parent, reap")
    if let Err(error) = reap_children() {
        let _ = writeln!(io::stderr(), "cannot handle SIGCHLD: {error}");
        return ExitCode::FAILURE;
    }
    let server = getpid();
    loop {
        let (connection, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                pause_after(&error);
                continue;
            }
        };
        // SAFETY: this process has a single thread, so the child's copy of its memory is whole: no other thread
        // can have been caught halfway, holding a lock that the child would wait for in vain.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                // The listening socket belongs to the parent. With a copy open here the port would stay taken for
                // as long as this client is connected, even when the parent is gone.
                drop(listener);
                end_with(server);
                if let Err(error) = serve(connection) {
                    report(&peer, &error);
                }
                // Out of the loop: a child that stayed in it would accept clients itself.
                return ExitCode::SUCCESS;
            }
            Ok(ForkResult::Parent { .. }) => {
                // The connection belongs to the child. With a copy open here the client would never see its end.
                drop(connection);
            }
            // The limit of processes, or memory. Dropping the connection costs this client only.
            Err(error) => report(&peer, &error.into()),
        }
    }
    // :solution
}

// solution:
/// From now on every child that ends is waited for at once, so that none stays as a zombie.
fn reap_children() -> nix::Result<()> {
    // SA_RESTART: accept goes on waiting after the handler has run. SA_NOCLDSTOP: only ends are of interest.
    let flags = SaFlags::SA_RESTART | SaFlags::SA_NOCLDSTOP;
    let action = SigAction::new(SigHandler::Handler(reap), flags, SigSet::empty());
    // SAFETY: `reap` only calls waitpid, which is on the list of functions that a signal handler may call.
    unsafe { sigaction(Signal::SIGCHLD, &action) }.map(drop)
}

/// The handler of SIGCHLD.
extern "C" fn reap(_signal: std::ffi::c_int) {
    // The code that was interrupted may be about to look at errno.
    let errno = Errno::last_raw();
    // Signals are not counted: ten children that end together may cause a single SIGCHLD. So wait until there is
    // nobody left to wait for, but do not wait for those that still serve (WNOHANG).
    while !matches!(
        waitpid(None, Some(WaitPidFlag::WNOHANG)),
        Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD)
    ) {}
    Errno::set_raw(errno);
}

/// Makes this child end when `server`, its parent, ends: a server that is told to stop stops as a whole.
fn end_with(server: Pid) {
    let asked = prctl::set_pdeathsig(Signal::SIGTERM);
    // The parent may have ended before the request was made. Then nobody is going to send that signal.
    if asked.is_err() || getppid() != server {
        std::process::exit(1);
    }
}

/// Answers the requests of one client until it quits or closes its direction of the connection.
fn serve(mut connection: Socket) -> io::Result<()> {
    let mut total: i64 = 0;
    let mut requests = Requests::default();
    let mut chunk = [0; 2048];
    loop {
        let received = match connection.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(received) => received,
            // A signal has arrived and nothing was read: ask again.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        requests.push(&chunk[..received]);

        // Answers to requests that came together also leave together, in one segment if they fit.
        let mut answers = String::new();
        let mut last = false;
        while let Some(request) = requests.take() {
            match request {
                Request::Add(number) => {
                    total = total.wrapping_add(number);
                    answers.push_str(&format!("total {total}\n"));
                }
                Request::Unknown => answers.push_str(protocol::UNKNOWN),
                Request::TooLong => {
                    answers.push_str(protocol::TOO_LONG);
                    last = true;
                }
                Request::Quit => last = true,
            }
            if last {
                break;
            }
        }
        connection.write_all(answers.as_bytes())?;
        if last {
            return Ok(());
        }
    }
}

/// Says why a client's connection has ended early. That costs this client its connection and nobody else anything.
fn report(peer: &SockAddr, error: &io::Error) {
    match peer.as_socket() {
        Some(peer) => drop(writeln!(io::stderr(), "connection with {peer}: {error}")),
        None => drop(writeln!(io::stderr(), "connection: {error}")),
    }
}

/// After a failed accept: the server goes on in any case.
fn pause_after(error: &io::Error) {
    match error.kind() {
        // A signal came first, or the client gave up while it waited in the backlog: on to the next one.
        ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
        // Out of descriptors or memory. The client still waits in the backlog, so accept would fail again at once:
        // without a pause this loop would burn a processor until somebody else frees something.
        _ => {
            let _ = writeln!(io::stderr(), "cannot accept: {error}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}
// :solution
