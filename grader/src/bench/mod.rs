//! The bench: all that a check may touch. Hosts, peers, programs and a clock, fresh for each check.
//!
//! ```ignore
//! fn two_clients_get_their_own_answers(bench: &mut Bench) -> Result<(), Stop> {
//!     let mut server = bench.udp_server("udp-server", &["--count", "2"], 5000)?;
//!     let (ann, bob) = (bench.udp_peer()?, bench.udp_peer()?);
//!     ann.send(server.local(), &258_i16.to_be_bytes())?;
//!     bob.send(server.local(), &772_i16.to_be_bytes())?;
//!     bob.expect(&773_i16.to_be_bytes()).because("the answer goes back to whoever asked")?;
//!     ann.expect(&259_i16.to_be_bytes()).because("the answer goes back to whoever asked")?;
//!     let ended = server.end().because("after --count answers the server has finished")?;
//!     ended.expect_status(0).because("a program that has finished its work ends with status 0")
//! }
//! ```

mod bytes;
mod core;
mod limit;
mod multicast;
mod process;
mod procfs;
mod random;
mod sockets;
mod tcp;
mod udp;
mod waiting;
mod wire;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

pub use bytes::{difference, quote, show};
pub use core::PATIENCE;
pub use limit::Limited;
pub use multicast::Membership;
pub use process::{Ended, Process, Start, Stdin, Stdout, describe, describe_status};
pub use procfs::ProcessInfo;
pub use random::Random;
pub use sockets::{SocketInfo, State};
pub use tcp::{TcpListener, TcpPeer};
pub use udp::UdpPeer;
pub use wire::{Datagram, Echo, ForgedHost, IpPacket, Wire, checksum};

use crate::ask::Launch;
use crate::check::Check;
use crate::host::Host;
use crate::recorder::packets::Capture;
use crate::recorder::{Options, Recorder, clock};
use crate::recording::{Packet, Recording};
use crate::sandbox::Arena;
use crate::verdict::{Because, Breakdown, Expected, Stop, Unexplained, ensure};

/// How many programs a check that starts many has running at once: enough that one is set up while another works, and
/// few enough for programs that need a lot of memory.
const AT_ONCE: usize = 4;

/// All that a check may touch.
pub struct Bench {
    core: Rc<core::Core>,
    random: Random,
    capture: RefCell<Option<Capture>>,
}

impl Bench {
    /// A fresh bench for `check`, in an arena that was entered.
    pub fn new(
        arena: Arena,
        check: &Check,
        programs: BTreeMap<String, Launch>,
        seed: u64,
        trace: bool,
    ) -> Result<Self, Breakdown> {
        let trace = trace && !check.setup.unrecorded;
        let recorder = Recorder::start(Options { trace, skip_idle: check.setup.skip_idle })?;
        recorder.bench_is_waiting(false);
        let core = core::Core {
            arena,
            recorder,
            hosts: Host::build(check.setup.network)?,
            setup: check.setup,
            programs,
            streams: RefCell::default(),
            named: RefCell::default(),
            commands: RefCell::default(),
            plain: Cell::new(check.plain),
            watching: Cell::new(false),
            found_at: Cell::new(0),
        };
        let bench =
            Self { core: Rc::new(core), random: Random::new(seed, check.name), capture: RefCell::default() };
        if check.setup.capture {
            bench.capture()?;
        }
        Ok(bench)
    }

    /// Captures the packets of every host from now on, if that is not done yet.
    pub fn capture(&self) -> Result<(), Breakdown> {
        let mut capture = self.capture.borrow_mut();
        if capture.is_none() {
            *capture = Some(Capture::start(&self.core.hosts)?);
        }
        Ok(())
    }

    /// The packets captured so far, in the order of time; each frame once, as its sender put it on the link.
    pub fn packets(&self) -> Result<Vec<Packet>, Stop> {
        let mut recording = self.core.recorder.recording();
        if let Some(capture) = self.capture.borrow_mut().as_mut() {
            capture.drain(&mut recording)?;
        }
        Ok(recording.packets.clone())
    }

    /// A program about to be started, to set more than its arguments.
    pub fn program(&self, program: &str) -> Start<'_> {
        Start::new(&self.core, program)
    }

    /// Starts a program; it runs from here on, nothing is waited for.
    pub fn start(&self, program: &str, arguments: &[&str]) -> Result<Process, Stop> {
        self.program(program).arguments(arguments).start()
    }

    /// Starts a program with an empty stdin and waits for its end.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Ended, Stop> {
        self.start(program, arguments)?.end().because("a program that has finished its work ends by itself")
    }

    /// Starts a program that reads `input` from stdin and waits for its end.
    pub fn run_with_input(&self, program: &str, arguments: &[&str], input: &[u8]) -> Result<Ended, Stop> {
        let start = self.program(program).arguments(arguments).stdin(Stdin::Bytes(input.to_vec()));
        start.start()?.end().because("a program that has finished its work ends by itself")
    }

    /// Starts a UDP server and waits until it is bound to `port` (0: to any).
    pub fn udp_server(&self, program: &str, arguments: &[&str], port: u16) -> Result<Process, Stop> {
        let mut server = self.start(program, arguments)?;
        server
            .until_bound((port != 0).then_some(port))
            .because("a server binds its port, so that clients find it")?;
        Ok(server)
    }

    /// Starts a TCP server and waits until it listens on `port` (0: on any).
    pub fn tcp_server(&self, program: &str, arguments: &[&str], port: u16) -> Result<Process, Stop> {
        let mut server = self.start(program, arguments)?;
        let port = (port != 0).then_some(port);
        server
            .until_listening(port)
            .because("a server binds its port and listens, so that clients can connect")?;
        Ok(server)
    }

    /// A UDP peer on the loopback address of host a, at a port that the system picks.
    pub fn udp_peer(&self) -> Result<UdpPeer, Stop> {
        self.udp_peer_on("a", SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// A UDP peer on the host of that name, bound to `address`.
    pub fn udp_peer_on(&self, host: &str, address: SocketAddr) -> Result<UdpPeer, Stop> {
        Ok(UdpPeer::bind(&self.core, host, address)?)
    }

    /// A UDP peer around a socket that `make` creates on the host of that name, with the options it sets.
    pub fn udp_peer_made_by(
        &self,
        host: &str,
        make: impl FnOnce() -> std::io::Result<UdpSocket>,
    ) -> Result<UdpPeer, Stop> {
        let made = self.host(host).enter(make)?;
        let socket =
            made.map_err(|error| Breakdown::system("cannot create the bench's own socket", error))?;
        Ok(UdpPeer::from_socket(&self.core, socket)?)
    }

    /// Connects to a program from host a.
    pub fn tcp_connect(&self, address: SocketAddr) -> Expected<TcpPeer> {
        TcpPeer::connect(&self.core, "a", address, false)
    }

    /// Connects to a program from the host of that name.
    pub fn tcp_connect_from(&self, host: &str, address: SocketAddr) -> Expected<TcpPeer> {
        TcpPeer::connect(&self.core, host, address, false)
    }

    /// Connects to a program from host a with a receive buffer as small as the system allows.
    pub fn tcp_connect_small(&self, address: SocketAddr) -> Expected<TcpPeer> {
        TcpPeer::connect(&self.core, "a", address, true)
    }

    /// Listens on `address` of host a.
    pub fn tcp_listen(&self, address: SocketAddr) -> Result<TcpListener, Stop> {
        Ok(TcpListener::bind(&self.core, "a", address, 16)?)
    }

    /// Listens on `address` of the host of that name, with that backlog.
    pub fn tcp_listen_on(&self, host: &str, address: SocketAddr, backlog: i32) -> Result<TcpListener, Stop> {
        Ok(TcpListener::bind(&self.core, host, address, backlog)?)
    }

    /// Breaks down where host a has no IPv6 loopback address: a container without namespaces of ours may lack it.
    pub fn needs_ipv6(&self) -> Result<(), Stop> {
        let bound = self.host("a").enter(|| UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)))?;
        bound.map(drop).map_err(|error| {
            let next = "give it one (docker run --sysctl net.ipv6.conf.all.disable_ipv6=0), then grade again";
            Breakdown::new(format!("this machine has no address ::1: {error}"), next).into()
        })
    }

    /// Breaks down where a TCP port is in use before the check begins: where there are no namespaces, others use it too,
    /// and what they leave keeps it for a minute.
    pub fn needs_free_port(&self, port: u16) -> Result<(), Stop> {
        let bind = || {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
            socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())
        };
        let bound = self.host("a").enter(bind)?;
        bound.map_err(|error| {
            let what = format!("port {port} is not free here: {error}");
            Breakdown::new(what, "grade this check alone, a minute from now").into()
        })
    }

    /// Breaks down where anybody may bind this privileged port: in containers, Docker lets them.
    pub fn needs_privileged_port(&self, port: i64) -> Result<(), Stop> {
        let path = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
        let first = self.host("a").enter(|| std::fs::read_to_string(path))?;
        let first = first.ok().and_then(|text| text.trim().parse::<i64>().ok());
        if first.is_none_or(|first| port < first) {
            return Ok(());
        }
        let next = "let it be privileged (docker run --sysctl net.ipv4.ip_unprivileged_port_start=1024)";
        Err(Breakdown::new(format!("anybody may bind port {port} here"), next).into())
    }

    /// The host of that name: `a`, `b` or `c`.
    pub fn host(&self, name: &str) -> &Host {
        self.core.host(name)
    }

    /// Every TCP and UDP socket of the host of that name.
    pub fn sockets(&self, host: &str) -> Result<Vec<SocketInfo>, Stop> {
        Ok(sockets::list(&self.core, host, sockets::Which::All)?)
    }

    /// The TCP socket with exactly these two ends on the host of that name: much cheaper than all of them.
    pub fn connection(
        &self,
        host: &str,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<Option<SocketInfo>, Stop> {
        Ok(sockets::connection(&self.core, host, local, remote)?)
    }

    /// The listening TCP sockets of the host of that name: much cheaper than all of them.
    pub fn listening_sockets(&self, host: &str) -> Result<Vec<SocketInfo>, Stop> {
        Ok(sockets::list(&self.core, host, sockets::Which::Listening)?)
    }

    /// The check's random values.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// The recorder, for injections and waits of its own.
    pub fn recorder(&self) -> &Recorder {
        &self.core.recorder
    }

    /// What was recorded so far; a breakdown where nothing is recorded on this machine.
    pub fn recording(&self) -> Result<std::sync::MutexGuard<'_, Recording>, Stop> {
        let recording = self.core.recorder.recording();
        if recording.recorded { Ok(recording) } else { Err(no_recorder().into()) }
    }

    /// Waits until `fact` gives a value; `expected` says what that is. It is looked at after every recorded event and
    /// every few milliseconds.
    pub fn until<T>(&self, expected: &str, fact: impl FnMut() -> Option<T>) -> Expected<T> {
        self.core.wait_watching(fact).map_err(|late| self.core.late(late, expected))
    }

    /// As [`until`](Self::until), with another patience than the usual one: for requirements that name a time.
    pub fn until_within<T>(
        &self,
        patience: Duration,
        expected: &str,
        fact: impl FnMut() -> Option<T>,
    ) -> Expected<T> {
        let found = self.core.wait_watching_within(patience, fact);
        found.map_err(|late| self.core.late_within(late, patience, expected))
    }

    /// Adds to a finding how each program stands and what it said.
    pub fn explain(&self, unexplained: Unexplained) -> Unexplained {
        self.core.notes(unexplained)
    }

    /// Expects that `holds`, and adds to the finding how each program stands.
    pub fn ensure(&self, holds: bool, expected: impl Into<String>, observed: impl Into<String>) -> Expected {
        ensure(holds, expected, observed).map_err(|unexplained| self.core.notes(unexplained))
    }

    /// Expects that a program refuses these arguments as the conventions say: a usage line on stderr, status 2,
    /// nothing on stdout, and (where it is recorded) nothing sent, bound or connected.
    pub fn refuses(&self, program: &str, arguments: &[&str]) -> Result<(), Stop> {
        self.refuses_each(program, &[arguments])
    }

    /// As [`refuses`](Self::refuses) for each of several calls, of which some run at the same time.
    pub fn refuses_each(&self, program: &str, calls: &[&[&str]]) -> Result<(), Stop> {
        for some in calls.chunks(AT_ONCE) {
            let start =
                |arguments: &&[&str]| self.program(program).arguments(arguments).stdin(Stdin::Silent).start();
            let started: Vec<Process> = some.iter().map(start).collect::<Result<_, Stop>>()?;
            for process in started {
                self.expect_refusal(process)?;
            }
        }
        Ok(())
    }

    fn expect_refusal(&self, mut process: Process) -> Result<(), Stop> {
        let because =
            "unknown or malformed arguments are refused before anything is done: usage on stderr, status 2";
        let ended = process.end().because(because)?;
        ended.expect_status(2).because(because)?;
        ended.expect_stdout("").because(because)?;
        let said = !ended.stderr.trim_ascii().is_empty();
        ensure(said, "a usage line on stderr", "nothing on stderr")
            .with(|unexplained| ended.explain(unexplained))
            .because(because)?;
        let touched = self.core.recorder.recording().touched_network(process.who());
        ensure(touched.is_none(), "nothing sent", touched.unwrap_or_default())
            .with(|unexplained| ended.explain(unexplained))
            .because(because)
    }

    /// Starts each of these programs, some at the same time, and waits for their ends, which come in the same order.
    pub fn run_each(&self, starts: Vec<Start<'_>>) -> Result<Vec<Ended>, Stop> {
        let mut ended = Vec::new();
        let mut starts = starts.into_iter().peekable();
        while starts.peek().is_some() {
            let some = starts.by_ref().take(AT_ONCE).map(Start::start);
            for mut process in some.collect::<Result<Vec<Process>, Stop>>()? {
                ended.push(process.end().because("a program that has finished its work ends by itself")?);
            }
        }
        Ok(ended)
    }

    /// What was recorded so far, packets included. Of a check that has just ended with a finding, what was recorded
    /// until then: that its peers closed their connections as it ended is no evidence.
    pub fn so_far(&self) -> Recording {
        const JUST_ENDED: u64 = 100_000_000;
        // Packets that cannot be read are not worth a breakdown: the verdict stands without them.
        let _ = self.packets();
        let recording = self.core.recorder.recording().clone();
        let found_at = self.core.found_at.get();
        let since = clock::read(libc::CLOCK_REALTIME).saturating_sub(found_at);
        if since < JUST_ENDED { recording.until(found_at) } else { recording }
    }

    /// Ends every program and gives what was recorded.
    pub fn finish(self) -> Recording {
        for stream in self.core.streams.borrow().iter() {
            stream.kill();
        }
        let gone = || {
            let streams = self.core.streams.borrow();
            streams.iter().all(|stream| self.core.recorder.tree_ended(&stream.who)).then_some(())
        };
        let _ = self.core.wait_within(Duration::from_secs(5), &[], gone);
        // What cannot be read any more is not worth a breakdown: the verdict stands.
        let _ = self.packets();
        std::mem::take(&mut *self.core.recorder.recording())
    }
}

/// The breakdown of a check that judges what was recorded, on a machine where nothing is.
fn no_recorder() -> Breakdown {
    let what = "this check judges recorded system calls, and ptrace is not allowed on this machine";
    Breakdown::new(what, "run `cargo xtask doctor`: it names the command that mends it")
}
