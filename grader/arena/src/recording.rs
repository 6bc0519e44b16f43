//! What was recorded of the programs on the bench: system calls in one canonical form, births and deaths, packets, all
//! on one clock, and the questions that checks ask of it.
//!
//! Checks judge acts per process and what happened before what within one process (or across a fork, a socket or a
//! packet); never a raw call's name, never a global order: the same program has dozens of interleavings.

pub mod cause;
mod evidence;
mod facts;
pub mod frames;
pub mod ledger;
pub mod mistakes;
mod pcapng;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// A moment on the bench's clocks, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// `CLOCK_REALTIME`, which packets are stamped with too.
    pub real: u64,
    /// The programs' own clock: real time plus all that was skipped.
    pub seen: u64,
}

/// A kernel object behind a descriptor, the same through dup, fork and exec.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Object {
    /// A socket, by inode.
    Socket(u64),
    /// A pipe or FIFO, by inode. `Process stdin` and the like are pipes of the bench.
    Pipe(u64),
    /// A file, device or directory, by path.
    File(String),
    /// An epoll, timer, event or signal descriptor, by its kind and number.
    Other(String),
}

/// One recorded system call or process event. The entry of a call is recorded at once, with the outcome `Pending`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the recording.
    pub seq: u64,
    /// When it began.
    pub enter: Stamp,
    /// When it ended; equal to `enter` while it is pending.
    pub exit: Stamp,
    /// The process: the program's name, `udp-server.1` for its first child, and so on; never the pid.
    pub who: String,
    /// The thread within the process: 0 is the first.
    pub thread: u32,
    /// The raw call, such as `sendto`: for display only.
    pub call: String,
    /// The descriptor number it used, where it used one.
    pub fd: Option<i32>,
    /// What the process did.
    pub act: Act,
    /// How it came out.
    pub outcome: Outcome,
    /// The injection that took part in it, in words.
    pub injected: Option<String>,
    /// How often the kernel restarted it after a signal.
    pub restarts: u32,
}

/// How a call came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Still inside the call.
    Pending,
    /// Returned this.
    Ok(i64),
    /// Failed with this errno.
    Err(i32),
    /// A signal ended it early with EINTR.
    Interrupted,
    /// The process ended inside it.
    NeverReturned,
    /// The sandbox refused it with this errno.
    Refused(i32),
}

/// What a process did, in one form for every way of doing it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are named after the arguments in the man pages")]
pub enum Act {
    /// socket
    Open { object: Object, family: i32, kind: i32, protocol: i32, nonblocking: bool, cloexec: bool },
    /// socketpair
    OpenPair { a: Object, b: Object },
    /// bind; `local` is what getsockname says afterwards (the system's choice for port 0)
    Bind { object: Object, asked: Option<SocketAddr>, local: Option<SocketAddr> },
    /// listen
    Listen { object: Object, backlog: i32, local: Option<SocketAddr> },
    /// connect
    Connect { object: Object, peer: Option<SocketAddr>, local: Option<SocketAddr> },
    /// accept, accept4
    Accept { listener: Object, connection: Option<Object>, peer: Option<SocketAddr> },
    /// send, sendto, sendmsg, write, writev, sendfile, splice on a socket. `done` is 0 where it failed.
    Send {
        object: Object,
        asked: u64,
        done: u64,
        to: Option<SocketAddr>,
        head: Vec<u8>,
        flags: i32,
        payload: Option<Vec<u8>>,
    },
    /// recv, recvfrom, recvmsg, read, readv on a socket. `end` is a 0 from a stream with room asked for.
    Receive {
        object: Object,
        room: u64,
        done: u64,
        end: bool,
        from: Option<SocketAddr>,
        head: Vec<u8>,
        flags: i32,
    },
    /// setsockopt; `level` and `name` as in the headers, `value` the raw bytes
    SetOption { object: Object, level: i32, name: i32, value: Vec<u8> },
    /// joined a multicast group by any option; `interface` as given: an address, or an index in text
    Join { object: Object, group: std::net::IpAddr, interface: String, length: u32 },
    /// left a multicast group by any option
    Leave { object: Object, group: std::net::IpAddr, interface: String, length: u32 },
    /// shutdown; `how` 0 read, 1 write, 2 both
    Shutdown { object: Object, how: i32 },
    /// close of a descriptor (also by dup2 over it, close_range); `last` where no other descriptor of any process on
    /// the bench refers to the object, `unread` the bytes that were waiting in it
    Close { object: Object, last: bool, unread: u64 },
    /// a descriptor above 2 that the process left open when it ended; `last` and `unread` as in `Close`
    LeftOpen { object: Object, last: bool, unread: u64 },
    /// O_NONBLOCK set or cleared
    NonBlocking { object: Object, on: bool },
    /// select, poll, epoll_wait and their likes; timeout in nanoseconds, `None` for ever
    WaitReady { objects: Vec<Object>, timeout: Option<u64>, ready: u32 },
    /// pipe, pipe2
    Pipe { object: Object, read_fd: i32, write_fd: i32 },
    /// read on a pipe or file that is not a socket
    Read { object: Object, room: u64, done: u64 },
    /// write on a pipe or file that is not a socket; `head` its first bytes
    Write { object: Object, asked: u64, done: u64, head: Vec<u8> },
    /// dup, dup2, dup3, F_DUPFD
    Duplicate { object: Object, to_fd: i32 },
    /// fork, vfork, clone, clone3: a child process was born; `child` is empty where that failed
    Fork { child: String, vfork: bool, exit_signal: i32 },
    /// a thread was born
    Thread { thread: u32 },
    /// execve
    Exec { path: String, argv: Vec<String> },
    /// the process ended by exit
    Exit { code: i32 },
    /// the process was killed by a signal
    Killed { signal: i32 },
    /// wait4, waitid; `child` where one was reported, `status` the raw wait status (where the program asked for it);
    /// `keeps` where the child stays a zombie (WNOWAIT)
    Reap { child: Option<String>, status: Option<i32>, nohang: bool, keeps: bool },
    /// sigaction of a signal
    SignalAction { signal: i32, handler: Disposition, restart: bool, no_child_wait: bool },
    /// a signal was delivered
    SignalDelivered { signal: i32 },
    /// kill, tgkill, pidfd_send_signal
    Kill { target: String, signal: i32 },
    /// nanosleep, clock_nanosleep, pause; nanoseconds, `None` for ever
    Sleep { asked: Option<u64> },
    /// futex wait and other waits between threads
    WaitThread { timeout: Option<u64> },
    /// anything else that is recorded
    Other { arguments: Vec<u64> },
}

/// What a signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names of signal(7)")]
pub enum Disposition {
    Default,
    Ignore,
    Handler,
}

/// A frame that crossed a link of the bench.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Packet {
    /// When it crossed.
    pub at: Stamp,
    /// The host that sent it: `a`, `b` or `c`.
    pub host: String,
    /// The interface it left by, such as `eth0`.
    pub interface: String,
    /// Whether that host sent it (every frame is recorded once, where it left).
    pub outgoing: bool,
    /// How long the frame is.
    pub length: u32,
    /// The frame from its link-layer header on; of a long one, its beginning.
    pub frame: Vec<u8>,
    /// The `seq` of the event that caused it, where it is known.
    pub cause: Option<u64>,
}

/// All that happened on a bench.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Recording {
    /// In the order in which the recorder saw them.
    pub events: Vec<Event>,
    /// In the order in which they were captured; filled when the capture is read.
    pub packets: Vec<Packet>,
    /// Packets that were lost to the capture.
    pub dropped_packets: u64,
    /// Events that were too many to keep. Births and deaths are always kept.
    pub lost_events: u64,
    /// Whether events are recorded at all (ptrace is allowed here).
    pub recorded: bool,
}

impl Outcome {
    /// Whether the call succeeded.
    pub fn ok(&self) -> bool {
        matches!(self, Self::Ok(_))
    }
}

impl Recording {
    /// The events of one process (not of its children), in its own order.
    pub fn of<'a>(&'a self, who: &'a str) -> impl Iterator<Item = &'a Event> {
        self.events.iter().filter(move |event| event.who == who)
    }

    /// The events after that of this `seq`.
    pub fn after(&self, seq: u64) -> &[Event] {
        &self.events[self.events.partition_point(|event| event.seq <= seq)..]
    }

    /// What had been recorded at a moment of real time: calls that had not returned then are pending again.
    pub fn until(mut self, real: u64) -> Self {
        self.events.retain(|event| event.enter.real <= real);
        self.packets.retain(|packet| packet.at.real <= real);
        for event in self.events.iter_mut().filter(|event| event.exit.real > real) {
            (event.outcome, event.exit) = (Outcome::Pending, event.enter);
            match &mut event.act {
                Act::Receive { done, end, from, .. } => (*done, *end, *from) = (0, false, None),
                Act::Accept { connection, peer, .. } => (*connection, *peer) = (None, None),
                Act::Reap { child, status, .. } => (*child, *status) = (None, None),
                _ => {}
            }
        }
        self
    }

    /// The events of one process and all that descend from it.
    pub fn of_tree<'a>(&'a self, who: &'a str) -> impl Iterator<Item = &'a Event> {
        self.events.iter().filter(move |event| descends(&event.who, who))
    }

    /// The processes born of `who` by fork, in order of birth.
    pub fn children<'a>(&'a self, who: &'a str) -> Vec<&'a str> {
        self.of(who)
            .filter_map(|event| match &event.act {
                // A fork that was refused has no child.
                Act::Fork { child, .. } if !child.is_empty() => Some(child.as_str()),
                _ => None,
            })
            .collect()
    }
}

/// Whether a process is the named one or descends from it.
pub fn descends(who: &str, from: &str) -> bool {
    who.strip_prefix(from).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
