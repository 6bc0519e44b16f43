//! A call or packet in the few words that fit into a ladder's column.

use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::recording::{Act, Event, Object, Outcome, Packet, Recording};

/// The object that a call was about, where it was a socket's.
pub fn object(act: &Act) -> Option<&Object> {
    match act {
        Act::Open { object, .. }
        | Act::Bind { object, .. }
        | Act::Connect { object, .. }
        | Act::Send { object, .. }
        | Act::Receive { object, .. }
        | Act::Close { object, .. } => Some(object),
        _ => None,
    }
}

/// A packet: from where to where, and what.
pub fn packet(packet: &Packet) -> String {
    match packet.headers() {
        Some(headers) => {
            format!("{} > {} {}", short(headers.from), short(headers.to), packet.in_words())
        }
        None => packet.in_words(),
    }
}

/// Loopback's address is what most have in common: the port alone tells them apart.
fn short(address: SocketAddr) -> String {
    match (address.ip().is_loopback(), address.port()) {
        (true, 0) => address.ip().to_string(),
        (true, port) => format!(":{port}"),
        (false, 0) => address.ip().to_string(),
        (false, _) => address.to_string(),
    }
}

/// A call with what it did and how it came out.
pub fn call(recording: &Recording, event: &Event) -> String {
    let mut text = act(recording, event);
    match event.outcome {
        Outcome::Pending => text.insert_str(0, "blocked in "),
        Outcome::Err(errno) => text.push_str(&format!(" = {:?}", Errno::from_raw(errno))),
        Outcome::Interrupted => text.push_str(" = EINTR"),
        Outcome::Refused(errno) => text.push_str(&format!(" = {:?}, by the sandbox", Errno::from_raw(errno))),
        Outcome::NeverReturned if !matches!(event.act, Act::Exit { .. } | Act::Killed { .. }) => {
            text.push_str(" (ended inside)");
        }
        _ => {}
    }
    if let Some(injected) = &event.injected {
        text.push_str(&format!(" [injected: {injected}]"));
    }
    text
}

fn act(recording: &Recording, event: &Event) -> String {
    let name = &event.call;
    let fd = event.fd.map(|fd| format!(" {fd}")).unwrap_or_default();
    match &event.act {
        Act::Open { family, kind, .. } => format!("{name} {}", socket(*family, *kind)),
        Act::Bind { asked, local, .. } => format!("bind{}", address(&local.or(*asked))),
        Act::Listen { backlog, .. } => format!("listen{fd} (backlog {backlog})"),
        Act::Connect { peer, .. } => format!("connect{}", address(peer)),
        Act::Accept { peer: Some(peer), .. } => format!("{name} < {}", short(*peer)),
        Act::Send { asked, done, to, head, .. } => {
            let to = to.map(|to| format!(" > {}", short(to))).unwrap_or_default();
            let part = if event.outcome.ok() && done < asked {
                format!("{done} of {asked}")
            } else {
                asked.to_string()
            };
            format!("{name} {part}: {}{to}", content(head, *asked))
        }
        Act::Receive { end: true, .. } => format!("{name}: end of stream"),
        Act::Receive { done, head, from, .. } if event.outcome.ok() => {
            let from = from.map(|from| format!(" < {}", short(from))).unwrap_or_default();
            format!("{name} {done}: {}{from}", content(head, *done))
        }
        Act::Receive { room, .. } => format!("{name}{fd} (room {room})"),
        Act::SetOption { level, name: option, value, .. } => option_in_words(*level, *option, value),
        Act::Join { group, interface, .. } => format!("join {group} on {interface}"),
        Act::Leave { group, interface, .. } => format!("leave {group} on {interface}"),
        Act::Shutdown { how, .. } => {
            format!("shutdown{fd} {}", ["read", "write", "both"].get(*how as usize).unwrap_or(&"?"))
        }
        Act::Close { object, last, unread } => format!("{name}{fd}{}", closed(object, *last, *unread)),
        Act::LeftOpen { object, last, unread } => {
            let what = recording.object_in_words(object);
            format!("left open:{fd} {what}{}", closed(object, *last, *unread))
        }
        Act::NonBlocking { on, .. } => format!("{name}{fd} O_NONBLOCK {}", if *on { "on" } else { "off" }),
        Act::WaitReady { objects, timeout, ready } => {
            let time = timeout.map(|time| format!(" {} ms", time / 1_000_000)).unwrap_or_default();
            format!("{name}{time} on {}: {ready} ready", objects.len())
        }
        Act::Pipe { read_fd, write_fd, .. } => format!("{name} {read_fd} < {write_fd}"),
        Act::Read { done, .. } => format!("{name}{fd} {done}"),
        Act::Write { asked, head, .. } => format!("{name}{fd} {}", content(head, *asked)),
        Act::Duplicate { to_fd, .. } => format!("{name}{fd} > {to_fd}"),
        Act::Fork { child, .. } => format!("{name} > {child}"),
        Act::Thread { thread } => format!("thread {thread} starts"),
        Act::Exec { path, argv } => {
            let name = path.rsplit('/').next().unwrap_or(path);
            let rest = argv.get(1..).unwrap_or_default().join(" ");
            format!("exec {name} {rest}").trim_end().to_string()
        }
        Act::Exit { code } => format!("exits with status {code}"),
        Act::Killed { signal } => format!("killed by {}", signal_name(*signal)),
        Act::Reap { child, status, .. } => match (child, status) {
            (Some(child), Some(status)) => format!("{name} > {child}, status {status}"),
            (Some(child), None) => format!("{name} > {child}"),
            _ => name.clone(),
        },
        Act::SignalAction { signal, handler, restart, .. } => {
            let restart = if *restart { " SA_RESTART" } else { "" };
            format!("{} {handler:?}{restart}", signal_name(*signal))
        }
        Act::SignalDelivered { signal } => format!("gets {}", signal_name(*signal)),
        Act::Kill { target, signal } => format!("{name} {target} {}", signal_name(*signal)),
        Act::Sleep { asked: Some(asked) } => format!("sleeps {} ms", asked / 1_000_000),
        Act::Sleep { asked: None } => "waits for a signal".to_string(),
        _ => name.clone(),
    }
}

fn closed(object: &Object, last: bool, unread: u64) -> String {
    match (object, last, unread) {
        (Object::Socket(_), true, 1..) => format!(" with {unread} bytes unread"),
        (Object::Socket(_), false, _) => " (open elsewhere)".to_string(),
        (Object::Other(kind), ..) if kind.is_empty() => " (not open)".to_string(),
        _ => String::new(),
    }
}

fn address(address: &Option<SocketAddr>) -> String {
    address.map(|address| format!(" {address}")).unwrap_or_default()
}

fn socket(family: i32, kind: i32) -> String {
    let family = match family {
        libc::AF_INET => "IPv4",
        libc::AF_INET6 => "IPv6",
        libc::AF_UNIX => "Unix",
        libc::AF_PACKET => "packet",
        libc::AF_NETLINK => "netlink",
        _ => "other",
    };
    let kind = match kind {
        libc::SOCK_STREAM => "stream",
        libc::SOCK_DGRAM => "datagram",
        libc::SOCK_RAW => "raw",
        _ => "other",
    };
    format!("{family} {kind}")
}

fn option_in_words(level: i32, name: i32, value: &[u8]) -> String {
    let known = match (level, name) {
        (libc::SOL_SOCKET, libc::SO_REUSEADDR) => "SO_REUSEADDR",
        (libc::SOL_SOCKET, libc::SO_REUSEPORT) => "SO_REUSEPORT",
        (libc::SOL_SOCKET, libc::SO_RCVTIMEO) => "SO_RCVTIMEO",
        (libc::SOL_SOCKET, libc::SO_SNDTIMEO) => "SO_SNDTIMEO",
        (libc::SOL_SOCKET, libc::SO_BROADCAST) => "SO_BROADCAST",
        (libc::SOL_SOCKET, libc::SO_LINGER) => "SO_LINGER",
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => "SO_KEEPALIVE",
        (libc::IPPROTO_IP, libc::IP_MULTICAST_TTL) => "IP_MULTICAST_TTL",
        (libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP) => "IP_MULTICAST_LOOP",
        (libc::IPPROTO_IP, libc::IP_MULTICAST_IF) => "IP_MULTICAST_IF",
        (libc::IPPROTO_IP, libc::IP_MULTICAST_ALL) => "IP_MULTICAST_ALL",
        (libc::IPPROTO_IP, libc::IP_HDRINCL) => "IP_HDRINCL",
        (libc::IPPROTO_IP, libc::IP_TTL) => "IP_TTL",
        (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) => "IPV6_V6ONLY",
        (libc::IPPROTO_TCP, libc::TCP_NODELAY) => "TCP_NODELAY",
        _ => return format!("setsockopt {level} {name}"),
    };
    let value = match value {
        [byte] => byte.to_string(),
        [a, b, c, d] if known == "IP_MULTICAST_IF" => IpAddr::from([*a, *b, *c, *d]).to_string(),
        [a, b, c, d] => i32::from_ne_bytes([*a, *b, *c, *d]).to_string(),
        _ => return known.to_string(),
    };
    format!("{known} {value}")
}

fn signal_name(signal: i32) -> String {
    Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |signal| signal.as_str().to_string())
}

/// The first bytes: as text where they are text, in hexadecimal otherwise.
fn content(head: &[u8], whole: u64) -> String {
    let text = std::str::from_utf8(head).ok().filter(|text| {
        !text.is_empty()
            && text.chars().all(|c| !c.is_control() || c == '\n')
            && text.chars().any(char::is_alphanumeric)
    });
    let more = |shown: usize| if (shown as u64) < whole { ".." } else { "" };
    if let Some(text) = text.filter(|text| text.len() > 2 || whole > 2) {
        let shown: String = text.chars().take(24).collect();
        return format!("{shown:?}{}", more(shown.len()));
    }
    let shown: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{}{}", shown.join(" "), more(shown.len()))
}
