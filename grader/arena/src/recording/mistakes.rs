//! Likely mistakes, recognised from recorded facts alone: each with its sentence and the words under which the handouts
//! teach it. None is found by matching text.

use std::collections::{BTreeMap, BTreeSet};

use super::{Act, Event, Object, Outcome, Recording};

/// A mistake that the recorded facts speak for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Its name.
    pub name: &'static str,
    /// What was seen and what it means.
    pub sentence: String,
    /// The `seq` of the event that shows it.
    pub event: u64,
}

/// A row of the table: a mistake that can be recognised.
pub struct Rule {
    /// What it is called in reports.
    pub name: &'static str,
    /// The lab whose handout teaches it, and the heading there.
    pub handout: Option<(&'static str, &'static str)>,
    /// The event that shows it, and what was seen.
    find: fn(&Recording, &str) -> Option<(u64, String)>,
}

const fn rule(
    name: &'static str,
    lab: &'static str,
    heading: &'static str,
    find: fn(&Recording, &str) -> Option<(u64, String)>,
) -> Rule {
    Rule { name, handout: Some((lab, heading)), find }
}

/// What is a mistake wherever it is seen; the first that fits is the likeliest.
pub const ALWAYS: &[Rule] = &[
    Rule { name: "refused-by-the-sandbox", handout: None, find: refused },
    rule("port-bytes-swapped", "udp", "Numbers on the wire", port_bytes_swapped),
    rule("address-bytes-swapped", "udp", "Numbers on the wire", address_bytes_swapped),
    rule("reuse-after-bind", "tcp", "TIME_WAIT, and SO_REUSEADDR", reuse_after_bind),
    rule("whole-buffer-sent-back", "udp", "A datagram stands alone", whole_buffer_sent_back),
    rule("stale-bytes-sent", "tcp", "A recv gives what there is", stale_bytes_sent),
    rule("short-send-ignored", "tcp", "A send takes what it can", short_send_ignored),
    rule("interrupted-and-gave-up", "fork", "Signals while you sleep or wait", interrupted_and_gave_up),
    rule("accept-error-was-fatal", "servers", "The contract", accept_error_was_fatal),
    rule("used-the-listener", "tcp", "The life of a connection", used_the_listener),
    rule("busy-loop", "servers", "Why waiting is the problem", busy_loop),
];

/// What may be right in some places (a server may close on junk, and a program may be killed before it cleans up): a
/// check for which it is a mistake names it.
pub const SOMETIMES: &[Rule] = &[
    rule("one-receive-taken-for-a-message", "tcp", "A recv gives what there is", one_receive_for_a_message),
    rule("closed-with-unread-data", "tcp", "How a connection ends", closed_with_unread_data),
    rule("membership-left-to-the-kernel", "multicast", "Leaving", membership_left_to_the_kernel),
    rule("never-waited", "fork", "Zombies", never_waited),
];

impl Rule {
    fn seen(&self, recording: &Recording, who: &str) -> Option<Mistake> {
        let (event, mut sentence) = (self.find)(recording, who)?;
        if let Some((lab, heading)) = self.handout {
            sentence.push_str(&format!("   (handout of {lab}: \"{heading}\")"));
        }
        Some(Mistake { name: self.name, sentence, event })
    }
}

impl Recording {
    /// The likeliest mistake of any program: of those that are mistakes wherever they are seen, and of those that the
    /// check `names`.
    pub fn likeliest_mistake(&self, names: &[&str]) -> Option<Mistake> {
        let processes = self.processes();
        let named = SOMETIMES.iter().filter(|rule| names.contains(&rule.name));
        let rules: Vec<&Rule> = ALWAYS.iter().chain(named).collect();
        let programs = processes.iter().filter(|who| !who.contains('.'));
        programs.flat_map(|who| rules.iter().filter_map(|rule| rule.seen(self, who))).next()
    }
}

fn refused(recording: &Recording, who: &str) -> Option<(u64, String)> {
    let event = recording.of_tree(who).find(|event| matches!(event.outcome, Outcome::Refused(_)))?;
    let sentence = format!("the sandbox refused {}: no lab needs that call", event.call);
    Some((event.seq, sentence))
}

/// The port that the program was told to use, by its arguments or the labs' default.
fn wanted_port(recording: &Recording, who: &str) -> u16 {
    let argv = recording.of(who).find_map(|event| match &event.act {
        Act::Exec { argv, .. } if event.outcome.ok() => Some(argv),
        _ => None,
    });
    let given = argv.and_then(|argv| {
        let place = argv.iter().position(|word| word == "--port")?;
        argv.get(place + 1)?.parse().ok()
    });
    given.unwrap_or(5000)
}

fn addresses(event: &Event) -> Option<std::net::SocketAddr> {
    match &event.act {
        Act::Bind { asked, .. } => *asked,
        Act::Connect { peer, .. } => *peer,
        Act::Send { to, .. } => *to,
        _ => None,
    }
}

fn port_bytes_swapped(recording: &Recording, who: &str) -> Option<(u64, String)> {
    let port = wanted_port(recording, who);
    let swapped = port.swap_bytes();
    if swapped == port {
        return None;
    }
    let mut acts = recording.of_tree(who);
    let event = acts.find(|event| addresses(event).is_some_and(|address| address.port() == swapped))?;
    let sentence = format!(
        "it used port {swapped}, which is {port} with its two bytes swapped: the port went into the address in this \
         machine's own order (htons was left out, or done twice)"
    );
    Some((event.seq, sentence))
}

fn address_bytes_swapped(recording: &Recording, who: &str) -> Option<(u64, String)> {
    let event = recording
        .of_tree(who)
        .find(|event| addresses(event).is_some_and(|address| address.ip().to_string() == "1.0.0.127"))?;
    let sentence =
        "it used the address 1.0.0.127, which is 127.0.0.1 with its bytes reversed (htonl was left out)";
    Some((event.seq, sentence.to_string()))
}

fn reuse_after_bind(recording: &Recording, who: &str) -> Option<(u64, String)> {
    let mut bound = BTreeSet::new();
    let event = recording.of_tree(who).find(|event| match &event.act {
        Act::Bind { object, .. } => {
            bound.insert(object);
            false
        }
        Act::SetOption { object, level: libc::SOL_SOCKET, name: libc::SO_REUSEADDR, .. } => {
            bound.contains(object)
        }
        _ => false,
    })?;
    let sentence = "it set SO_REUSEADDR after bind, where it has no effect any more".to_string();
    Some((event.seq, sentence))
}

/// Every send on a socket with the receives on it before, by the same process: room, bytes and head of each.
fn answers<'a>(recording: &'a Recording, who: &'a str) -> Vec<(&'a Event, Vec<Received<'a>>)> {
    let mut received: BTreeMap<(&str, &Object), Vec<Received<'a>>> = BTreeMap::new();
    let mut answers = Vec::new();
    for event in recording.of_tree(who).filter(|event| event.outcome.ok()) {
        match &event.act {
            Act::Receive { object, room, done, head, .. } => {
                let before = received.entry((&event.who, object)).or_default();
                before.push((*room, *done, head));
                if before.len() > REMEMBERED {
                    before.remove(0);
                }
            }
            Act::Send { object, .. } => {
                if let Some(before) = received.get(&(event.who.as_str(), object)) {
                    answers.push((event, before.clone()));
                }
            }
            _ => {}
        }
    }
    answers
}

type Received<'a> = (u64, u64, &'a [u8]);

/// How many receives before a send are looked at for what is left of them in the buffer.
const REMEMBERED: usize = 4;

fn whole_buffer_sent_back(recording: &Recording, who: &str) -> Option<(u64, String)> {
    answers(recording, who).into_iter().find_map(|(event, before)| {
        let (Act::Send { asked, .. }, Some((room, done, _))) = (&event.act, before.last().copied()) else {
            return None;
        };
        if *asked != room || done >= room || room <= 8 {
            return None;
        }
        let sentence = format!(
            "it received {done} bytes into a buffer of {room} and sent all {room} back: only the bytes that came are \
             the message"
        );
        Some((event.seq, sentence))
    })
}

fn stale_bytes_sent(recording: &Recording, who: &str) -> Option<(u64, String)> {
    answers(recording, who).into_iter().find_map(|(event, before)| {
        let (Act::Send { asked, head, .. }, Some((room, done, _))) = (&event.act, before.last().copied())
        else {
            return None;
        };
        let rest = head.get(usize::try_from(done).ok()?..).filter(|rest| !rest.is_empty())?;
        let left =
            before.iter().any(|(_, more, old)| *more == *asked && old.get(done as usize..) == Some(rest));
        if *asked <= done || *asked >= room || !left {
            return None;
        }
        let sentence =
            format!("it received {done} bytes and sent {asked}: the rest is left from an earlier message");
        Some((event.seq, sentence))
    })
}

fn short_send_ignored(recording: &Recording, who: &str) -> Option<(u64, String)> {
    let unsent = recording.sent_less_and_never_the_rest(who).into_iter().next()?;
    let event = recording.events.iter().find(|event| event.seq == unsent.event)?;
    let sentence = format!(
        "{} took only {} of {} bytes, as it may, and the rest was never sent",
        event.call, unsent.done, unsent.asked
    );
    Some((event.seq, sentence))
}

fn interrupted_and_gave_up(recording: &Recording, who: &str) -> Option<(u64, String)> {
    recording.of_tree(who).find_map(|event| {
        if event.outcome != Outcome::Interrupted {
            return None;
        }
        let later = recording.after(event.seq).iter();
        let next = later.filter(|later| later.who == event.who && later.thread == event.thread);
        let gave_up = next
            .filter(|later| {
                !matches!(later.act, Act::SignalDelivered { .. } | Act::Write { .. } | Act::Close { .. })
            })
            .find(|later| !matches!(later.act, Act::LeftOpen { .. }))
            .is_some_and(|later| matches!(later.act, Act::Exit { code } if code != 0));
        gave_up.then(|| {
            let sentence = format!(
                "a signal ended {} with EINTR, and the program gave up instead of calling again",
                event.call
            );
            Some((event.seq, sentence))
        })?
    })
}

fn accept_error_was_fatal(recording: &Recording, who: &str) -> Option<(u64, String)> {
    recording.of_tree(who).find_map(|event| {
        let Outcome::Err(errno @ (libc::ECONNABORTED | libc::EMFILE | libc::ENFILE)) = event.outcome else {
            return None;
        };
        let accepts = matches!(event.act, Act::Accept { .. });
        let later = || recording.after(event.seq).iter().filter(|later| later.who == event.who);
        let again = || later().any(|later| matches!(later.act, Act::Accept { .. }));
        let ended = || later().any(|later| matches!(later.act, Act::Exit { .. } | Act::Killed { .. }));
        (accepts && !again() && ended()).then(|| {
            let name = nix::errno::Errno::from_raw(errno);
            let sentence =
                format!("accept failed with {name:?}, which concerns one connection, and the server ended");
            Some((event.seq, sentence))
        })?
    })
}

fn one_receive_for_a_message(recording: &Recording, who: &str) -> Option<(u64, String)> {
    let closed = recording.of_tree(who).filter_map(|event| match &event.act {
        Act::Close { object, last: true, unread } | Act::LeftOpen { object, last: true, unread }
            if *unread > 0 =>
        {
            Some((object, *unread))
        }
        _ => None,
    });
    for (object, unread) in closed.filter(|(object, _)| recording.kind(object) == Some(libc::SOCK_STREAM)) {
        let mut receives = recording.of_tree(who).filter_map(|event| match &event.act {
            Act::Receive { object: from, done, .. } if from == object && *done > 0 => Some((event, *done)),
            _ => None,
        });
        if let (Some((event, done)), None) = (receives.next(), receives.next()) {
            let sentence = format!(
                "{} gave {done} bytes, and the {unread} that came after them were never read: one receive is not one \
                 message",
                event.call
            );
            return Some((event.seq, sentence));
        }
    }
    None
}

fn closed_with_unread_data(recording: &Recording, who: &str) -> Option<(u64, String)> {
    recording.of_tree(who).find_map(|event| {
        let (Act::Close { object, last: true, unread } | Act::LeftOpen { object, last: true, unread }) = &event.act
        else {
            return None;
        };
        (*unread > 0 && recording.kind(object) == Some(libc::SOCK_STREAM)).then(|| {
            let sentence =
                format!("it closed a connection with {unread} bytes unread, so that the peer got a reset instead of an end");
            Some((event.seq, sentence))
        })?
    })
}

fn used_the_listener(recording: &Recording, who: &str) -> Option<(u64, String)> {
    let mut listeners = BTreeSet::new();
    for event in recording.of_tree(who) {
        match &event.act {
            Act::Listen { object, .. } => drop(listeners.insert(object)),
            // The system gives the number to another socket once it is closed.
            Act::Close { object, .. } => drop(listeners.remove(object)),
            Act::Receive { object, .. } | Act::Send { object, .. } if listeners.contains(object) => {
                let sentence = format!(
                    "it called {} on the listening socket: a connection is the new descriptor that accept returns",
                    event.call
                );
                return Some((event.seq, sentence));
            }
            _ => {}
        }
    }
    None
}

fn membership_left_to_the_kernel(recording: &Recording, who: &str) -> Option<(u64, String)> {
    let group = recording.memberships_left_to_the_kernel(who).into_iter().next()?;
    let event = recording
        .of_tree(who)
        .find(|event| matches!(&event.act, Act::Join { group: joined, .. } if *joined == group))?;
    let sentence = format!("it never left the group {group}: the system did that when the socket was closed");
    Some((event.seq, sentence))
}

fn never_waited(recording: &Recording, who: &str) -> Option<(u64, String)> {
    let zombie = recording.zombies(who).into_iter().find(|zombie| zombie.to.is_none())?;
    let event = recording
        .of(who)
        .find(|event| matches!(&event.act, Act::Fork { child, .. } if *child == zombie.who))?;
    let sentence = format!("it never waited for its child {}, which stayed a zombie", zombie.who);
    Some((event.seq, sentence))
}

/// How many calls in a row that bring nothing make a busy loop.
const BUSY: usize = 500;

fn busy_loop(recording: &Recording, who: &str) -> Option<(u64, String)> {
    let mut run = 0;
    for event in recording.of_tree(who) {
        let nothing = match &event.act {
            Act::WaitReady { timeout: Some(0), .. } => true,
            // That a socket is ready brings nothing yet, nor does a complaint.
            Act::WaitReady { .. } => continue,
            Act::Write { .. } if event.fd == Some(2) => continue,
            Act::Receive { .. } => event.outcome == Outcome::Err(libc::EAGAIN),
            Act::Accept { .. } => {
                matches!(event.outcome, Outcome::Err(libc::EAGAIN | libc::EMFILE | libc::ENFILE))
            }
            Act::Reap { child: None, nohang: true, .. } => event.outcome == Outcome::Ok(0),
            _ => false,
        };
        run = if nothing { run + 1 } else { 0 };
        if run == BUSY {
            let sentence =
                format!("it called {} {BUSY} times in a row and got nothing: a busy loop", event.call);
            return Some((event.seq, sentence));
        }
    }
    None
}

#[cfg(test)]
#[path = "mistakes_tests.rs"]
mod tests;
