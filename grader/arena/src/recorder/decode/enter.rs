//! What a call asks for, read at its entry.

use crate::recorder::memory::{self, Part};
use crate::recorder::ptrace::Entry;
use crate::recording::{Act, Disposition, Object};

use super::{Asked, HEAD, View, descriptor, options, ready};

/// How many bytes of a datagram, and of a piece of a stream, are kept whole.
const DATAGRAM: usize = 64 << 10;
/// How many bytes of what is written to a pipe or file are kept: the lines of a program that writes them all at once.
const TEXT: usize = 512;

/// The act that a call begins; `None` where it is of no interest.
pub fn enter(view: &mut View<'_>, call: &Entry) -> Option<Asked> {
    let a = call.arguments;
    let fd = descriptor(a[0]);
    match call.number {
        libc::SYS_read => receive(view, fd, &[Part { base: a[1], length: a[2] }], 0),
        libc::SYS_write => send(view, fd, &[Part { base: a[1], length: a[2] }], None, 0),
        libc::SYS_readv => receive(view, fd, &memory::parts(view.thread, a[1], a[2]), 0),
        libc::SYS_writev => send(view, fd, &memory::parts(view.thread, a[1], a[2]), None, 0),
        libc::SYS_recvfrom => receive(view, fd, &[Part { base: a[1], length: a[2] }], descriptor(a[3])),
        libc::SYS_sendto => {
            let to = memory::address(view.thread, a[4], a[5]);
            send(view, fd, &[Part { base: a[1], length: a[2] }], to, descriptor(a[3]))
        }
        libc::SYS_recvmsg | libc::SYS_recvmmsg | libc::SYS_sendmsg | libc::SYS_sendmmsg => {
            message(view, call)
        }
        libc::SYS_sendfile => transfer(view, descriptor(a[1]), fd, a[3]),
        libc::SYS_splice => transfer(view, fd, descriptor(a[2]), a[4]),
        libc::SYS_socket | libc::SYS_socketpair | libc::SYS_bind | libc::SYS_listen | libc::SYS_connect => {
            socket(view, call)
        }
        libc::SYS_accept | libc::SYS_accept4 => {
            let act = Act::Accept { listener: view.object(fd), connection: None, peer: None };
            Some(Asked::new(act, Some(fd)))
        }
        libc::SYS_setsockopt => Some(Asked::new(options::decode(view, call), Some(fd))),
        libc::SYS_shutdown => {
            let act = Act::Shutdown { object: view.object(fd), how: descriptor(a[1]) };
            Some(Asked::new(act, Some(fd)))
        }
        libc::SYS_rt_sigaction => signal_action(view, call),
        libc::SYS_kill | libc::SYS_tkill | libc::SYS_tgkill | libc::SYS_pidfd_send_signal => kill(view, call),
        _ => descriptors(view, call)
            .or_else(|| processes(view, call))
            .or_else(|| sleeping(view, call))
            .or_else(|| ready::decode(view, call))
            .or_else(|| timers(call)),
    }
}

/// Only reads of regular files are left out: a runtime's start-up has hundreds of them.
fn is_plain_file(object: &Object) -> bool {
    matches!(object, Object::File(path) if !path.starts_with("/dev/"))
}

fn receive(view: &mut View<'_>, fd: i32, parts: &[Part], flags: i32) -> Option<Asked> {
    let object = view.object(fd);
    let room = memory::length(parts);
    let act = match object {
        Object::Socket(_) => {
            Act::Receive { object, room, done: 0, end: false, from: None, head: Vec::new(), flags }
        }
        object if is_plain_file(&object) && fd > 2 => return None,
        object => Act::Read { object, room, done: 0 },
    };
    Some(Asked::new(act, Some(fd)))
}

fn send(
    view: &mut View<'_>,
    fd: i32,
    parts: &[Part],
    to: Option<std::net::SocketAddr>,
    flags: i32,
) -> Option<Asked> {
    let object = view.object(fd);
    let asked = memory::length(parts);
    let socket = matches!(object, Object::Socket(_));
    let bytes = memory::gather(view.thread, parts, if socket { DATAGRAM } else { TEXT });
    let head = bytes[..bytes.len().min(if socket { HEAD } else { TEXT })].to_vec();
    let act = if socket {
        let payload = (bytes.len() as u64 == asked).then_some(bytes);
        Act::Send { object, asked, done: 0, to, head, flags, payload }
    } else {
        Act::Write { object, asked, done: 0, head }
    };
    Some(Asked::new(act, Some(fd)))
}

/// `recvmsg`, `sendmsg` and the first message of `recvmmsg`, `sendmmsg`.
fn message(view: &mut View<'_>, call: &Entry) -> Option<Asked> {
    let fd = descriptor(call.arguments[0]);
    let message = memory::message(view.thread, call.arguments[1])?;
    let parts = memory::parts(view.thread, message.parts.0, message.parts.1);
    let many = matches!(call.number, libc::SYS_recvmmsg | libc::SYS_sendmmsg);
    let flags = descriptor(call.arguments[if many { 3 } else { 2 }]);
    if matches!(call.number, libc::SYS_recvmsg | libc::SYS_recvmmsg) {
        return receive(view, fd, &parts, flags);
    }
    let to = memory::address(view.thread, message.name.0, message.name.1);
    send(view, fd, &parts, to, flags)
}

/// `sendfile` and `splice`: bytes that never pass through the program's memory.
fn transfer(view: &mut View<'_>, from: i32, to: i32, asked: u64) -> Option<Asked> {
    let (source, target) = (view.object(from), view.object(to));
    Some(match (source, target) {
        (_, object @ Object::Socket(_)) => {
            let act =
                Act::Send { object, asked, done: 0, to: None, head: Vec::new(), flags: 0, payload: None };
            Asked::new(act, Some(to))
        }
        (object @ Object::Socket(_), _) => {
            let (head, room) = (Vec::new(), asked);
            Asked::new(
                Act::Receive { object, room, done: 0, end: false, from: None, head, flags: 0 },
                Some(from),
            )
        }
        (_, object) => Asked::new(Act::Write { object, asked, done: 0, head: Vec::new() }, Some(to)),
    })
}

fn socket(view: &mut View<'_>, call: &Entry) -> Option<Asked> {
    let a = call.arguments;
    let (fd, unknown) = (descriptor(a[0]), Object::Other(String::new()));
    Some(match call.number {
        libc::SYS_socket => {
            let flags = descriptor(a[1]);
            let act = Act::Open {
                object: unknown,
                family: descriptor(a[0]),
                kind: flags & 0xf,
                protocol: descriptor(a[2]),
                nonblocking: flags & libc::SOCK_NONBLOCK != 0,
                cloexec: flags & libc::SOCK_CLOEXEC != 0,
            };
            Asked::new(act, None)
        }
        libc::SYS_socketpair => Asked::new(Act::OpenPair { a: unknown.clone(), b: unknown }, None),
        libc::SYS_bind => {
            let asked = memory::address(view.thread, a[1], a[2]);
            Asked::new(Act::Bind { object: view.object(fd), asked, local: None }, Some(fd))
        }
        libc::SYS_listen => {
            let act = Act::Listen { object: view.object(fd), backlog: descriptor(a[1]), local: None };
            Asked::new(act, Some(fd))
        }
        libc::SYS_connect => {
            let peer = memory::address(view.thread, a[1], a[2]);
            Asked::new(Act::Connect { object: view.object(fd), peer, local: None }, Some(fd))
        }
        _ => return None,
    })
}

fn descriptors(view: &mut View<'_>, call: &Entry) -> Option<Asked> {
    let a = call.arguments;
    let fd = descriptor(a[0]);
    if call.number == libc::SYS_close {
        let object = view.object(fd);
        view.objects.forget(fd);
        if is_plain_file(&object) && fd > 2 {
            return None;
        }
        return Some(Asked::new(Act::Close { object, last: false, unread: 0 }, Some(fd)).at_once());
    }
    if call.number == libc::SYS_close_range {
        return close_range(view, a);
    }
    if call.number == libc::SYS_pipe2 || is_old_pipe(call.number) {
        let act = Act::Pipe { object: Object::Other(String::new()), read_fd: -1, write_fd: -1 };
        return Some(Asked::new(act, None));
    }
    if call.number == libc::SYS_dup || call.number == libc::SYS_dup3 || is_old_dup2(call.number) {
        let to_fd = if call.number == libc::SYS_dup { -1 } else { descriptor(a[1]) };
        let mut asked = Asked::new(Act::Duplicate { object: view.object(fd), to_fd }, Some(fd));
        if to_fd >= 0 && to_fd != fd {
            asked.closes.extend(view.objects.get(view.process, to_fd).map(|object| (to_fd, object)));
            view.objects.forget(to_fd);
        }
        return Some(asked);
    }
    if call.number == libc::SYS_fcntl {
        let object = view.object(fd);
        let act = match descriptor(a[1]) {
            libc::F_SETFL => Act::NonBlocking { object, on: descriptor(a[2]) & libc::O_NONBLOCK != 0 },
            _ => Act::Duplicate { object, to_fd: -1 },
        };
        return Some(Asked::new(act, Some(fd)));
    }
    if call.number == libc::SYS_ioctl {
        let on = memory::i32(view.thread, a[2]) != Some(0);
        return Some(Asked::new(Act::NonBlocking { object: view.object(fd), on }, Some(fd)));
    }
    None
}

fn close_range(view: &mut View<'_>, a: [u64; 6]) -> Option<Asked> {
    const ONLY_MARK: u64 = 4; // CLOSE_RANGE_CLOEXEC
    let (first, last) = (a[0] as u32, a[1] as u32);
    if a[2] & ONLY_MARK != 0 {
        return None;
    }
    let mut asked = Asked::new(Act::Other { arguments: a[..3].to_vec() }, None);
    let open = crate::recorder::descriptors::all(view.process);
    asked.closes = open.into_iter().filter(|(fd, _)| (first..=last).contains(&(*fd as u32))).collect();
    view.objects.forget_all();
    Some(asked)
}

#[cfg(target_arch = "x86_64")]
fn is_old_pipe(number: i64) -> bool {
    number == libc::SYS_pipe
}

#[cfg(not(target_arch = "x86_64"))]
fn is_old_pipe(_number: i64) -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
fn is_old_dup2(number: i64) -> bool {
    number == libc::SYS_dup2
}

#[cfg(not(target_arch = "x86_64"))]
fn is_old_dup2(_number: i64) -> bool {
    false
}

fn processes(view: &mut View<'_>, call: &Entry) -> Option<Asked> {
    let a = call.arguments;
    if let Some(flags) = clone_flags(view.thread, call) {
        let act = if flags & libc::CLONE_THREAD as u64 != 0 {
            Act::Thread { thread: 0 }
        } else {
            let vfork = flags & libc::CLONE_VFORK as u64 != 0;
            Act::Fork { child: String::new(), vfork, exit_signal: (flags & 0xff) as i32 }
        };
        return Some(Asked::new(act, None));
    }
    match call.number {
        libc::SYS_execve | libc::SYS_execveat => {
            let shift = usize::from(call.number == libc::SYS_execveat);
            let path = memory::string(view.thread, a[shift], 4096);
            let argv = memory::strings(view.thread, a[1 + shift], 64);
            Some(Asked::new(Act::Exec { path, argv }, None))
        }
        libc::SYS_wait4 | libc::SYS_waitid => {
            let options = descriptor(a[if call.number == libc::SYS_wait4 { 2 } else { 3 }]);
            let nohang = options & libc::WNOHANG != 0;
            let keeps = call.number == libc::SYS_waitid && options & libc::WNOWAIT != 0;
            Some(Asked::new(Act::Reap { child: None, status: None, nohang, keeps }, None))
        }
        _ => None,
    }
}

/// The flags of a call that makes a process or thread, its exit signal in the lowest byte.
pub fn clone_flags(thread: i32, call: &Entry) -> Option<u64> {
    if call.number == libc::SYS_clone {
        return Some(call.arguments[0]);
    }
    if call.number == libc::SYS_clone3 {
        let flags = memory::u64(thread, call.arguments[0])?;
        return Some(flags & !0xff | memory::u64(thread, call.arguments[0].wrapping_add(32))? & 0xff);
    }
    #[cfg(target_arch = "x86_64")]
    {
        if call.number == libc::SYS_fork {
            return Some(libc::SIGCHLD as u64);
        }
        if call.number == libc::SYS_vfork {
            return Some(libc::SIGCHLD as u64 | libc::CLONE_VFORK as u64 | libc::CLONE_VM as u64);
        }
    }
    None
}

fn signal_action(view: &View<'_>, call: &Entry) -> Option<Asked> {
    let a = call.arguments;
    let handler = memory::u64(view.thread, a[1])?;
    let flags = memory::u64(view.thread, a[1].wrapping_add(8))? as i32;
    let handler = match handler as usize {
        libc::SIG_DFL => Disposition::Default,
        libc::SIG_IGN => Disposition::Ignore,
        _ => Disposition::Handler,
    };
    let act = Act::SignalAction {
        signal: descriptor(a[0]),
        handler,
        restart: flags & libc::SA_RESTART != 0,
        no_child_wait: flags & libc::SA_NOCLDWAIT != 0,
    };
    Some(Asked::new(act, None).at_once())
}

fn kill(view: &View<'_>, call: &Entry) -> Option<Asked> {
    let a = call.arguments;
    let (first, second) = (descriptor(a[0]), descriptor(a[1]));
    let (target, signal) = match call.number {
        libc::SYS_tgkill => (view.name(first), descriptor(a[2])),
        libc::SYS_pidfd_send_signal => (format!("pidfd {first}"), second),
        _ => match first {
            0 => ("own group".to_string(), second),
            -1 => ("all".to_string(), second),
            group if group < -1 => (format!("group of {}", view.name(group.wrapping_neg())), second),
            pid => (view.name(pid), second),
        },
    };
    Some(Asked::new(Act::Kill { target, signal }, None))
}

fn sleeping(view: &View<'_>, call: &Entry) -> Option<Asked> {
    let a = call.arguments;
    let asked = match call.number {
        libc::SYS_nanosleep => memory::timespec(view.thread, a[0]),
        libc::SYS_clock_nanosleep => {
            let asked = memory::timespec(view.thread, a[2])?;
            let absolute = descriptor(a[1]) & libc::TIMER_ABSTIME != 0;
            Some(if absolute { asked.saturating_sub(view.clock.seen(descriptor(a[0]))) } else { asked })
        }
        libc::SYS_rt_sigsuspend => None,
        libc::SYS_rt_sigtimedwait => memory::timespec(view.thread, a[2]),
        libc::SYS_futex => {
            return Some(Asked::new(Act::WaitThread { timeout: futex_timeout(view, a) }, None));
        }
        number if is_pause(number) => None,
        _ => return None,
    };
    Some(Asked::new(Act::Sleep { asked }, None))
}

/// The timeout of a futex wait from now on: relative in FUTEX_WAIT, a moment in the others (futex(2)).
fn futex_timeout(view: &View<'_>, a: [u64; 6]) -> Option<u64> {
    let given = memory::timespec(view.thread, a[3]).filter(|_| a[3] != 0)?;
    let operation = descriptor(a[1]);
    if operation & 0x7f == libc::FUTEX_WAIT {
        return Some(given);
    }
    let clock = if operation & libc::FUTEX_CLOCK_REALTIME != 0 || operation & 0x7f == libc::FUTEX_LOCK_PI {
        libc::CLOCK_REALTIME
    } else {
        libc::CLOCK_MONOTONIC
    };
    Some(given.saturating_sub(view.clock.seen(clock)))
}

#[cfg(target_arch = "x86_64")]
fn is_pause(number: i64) -> bool {
    number == libc::SYS_pause
}

#[cfg(not(target_arch = "x86_64"))]
fn is_pause(_number: i64) -> bool {
    false
}

fn timers(call: &Entry) -> Option<Asked> {
    let only_asks = matches!(
        call.number,
        libc::SYS_getitimer
            | libc::SYS_timer_create
            | libc::SYS_timer_gettime
            | libc::SYS_timer_delete
            | libc::SYS_timerfd_gettime
    );
    (only_asks || is_timer(call.number))
        .then(|| Asked::new(Act::Other { arguments: call.arguments[..4].to_vec() }, None))
}

/// Whether a call starts or stops a timer, after which a program can go on by itself.
pub fn is_timer(number: i64) -> bool {
    #[cfg(target_arch = "x86_64")]
    if number == libc::SYS_alarm {
        return true;
    }
    matches!(number, libc::SYS_setitimer | libc::SYS_timer_settime | libc::SYS_timerfd_settime)
}
