//! Likely mistakes, recognised from recorded facts alone: each with its sentence and the words under which the handouts
//! teach it. None is found by matching text.

use std::collections::{HashMap, HashSet};

use super::{Act, Event, Object, Outcome, Recording};

/// A mistake that the recorded facts speak for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Its name.
    pub name: &'static str,
    /// What was seen and what it means.
    pub sentence: String,
    /// What the handouts call the subject.
    pub subject: &'static str,
    /// The `seq` of the event that shows it.
    pub event: u64,
}

type Rule = fn(&Recording, &str) -> Option<Mistake>;

/// What is a mistake wherever it is seen; the first that fits is the likeliest.
const ALWAYS: &[Rule] = &[
    refused,
    port_bytes_swapped,
    address_bytes_swapped,
    reuse_after_bind,
    whole_buffer_sent_back,
    stale_bytes_sent,
    short_send_ignored,
    interrupted_and_gave_up,
    accept_error_was_fatal,
    used_the_listener,
    busy_loop,
];

/// What may be right in some places: a server may close on junk, and a program may be killed before it cleans up.
const SOMETIMES: &[Rule] = &[closed_with_unread_data, membership_left_to_the_kernel, never_waited];

impl Recording {
    /// The likeliest mistake of any program, of those that are mistakes wherever they are seen.
    pub fn likeliest_mistake(&self) -> Option<Mistake> {
        let processes = self.processes();
        let programs = processes.iter().filter(|who| !who.contains('.'));
        programs.flat_map(|who| ALWAYS.iter().filter_map(|rule| rule(self, who))).next()
    }

    /// The likely mistakes of a program, likeliest first, for a check that looks for such.
    pub fn likely_mistakes(&self, who: &str) -> Vec<Mistake> {
        ALWAYS.iter().chain(SOMETIMES).filter_map(|rule| rule(self, who)).collect()
    }
}

fn mistake(name: &'static str, subject: &'static str, event: &Event, sentence: String) -> Option<Mistake> {
    Some(Mistake { name, sentence, subject, event: event.seq })
}

fn refused(recording: &Recording, who: &str) -> Option<Mistake> {
    let event = recording.of_tree(who).find(|event| matches!(event.outcome, Outcome::Refused(_)))?;
    let sentence = format!("the sandbox refused {}: no lab needs that call", event.call);
    mistake("refused", "The sandbox", event, sentence)
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

fn port_bytes_swapped(recording: &Recording, who: &str) -> Option<Mistake> {
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
    mistake("port-bytes-swapped", "Network byte order", event, sentence)
}

fn address_bytes_swapped(recording: &Recording, who: &str) -> Option<Mistake> {
    let event = recording
        .of_tree(who)
        .find(|event| addresses(event).is_some_and(|address| address.ip().to_string() == "1.0.0.127"))?;
    let sentence =
        "it used the address 1.0.0.127, which is 127.0.0.1 with its bytes reversed (htonl was left out)";
    mistake("address-bytes-swapped", "Network byte order", event, sentence.to_string())
}

fn reuse_after_bind(recording: &Recording, who: &str) -> Option<Mistake> {
    let mut bound = HashSet::new();
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
    mistake("reuse-after-bind", "SO_REUSEADDR", event, sentence)
}

/// Every send on a socket with the receives on it before, by the same process: room, bytes and head of each.
fn answers<'a>(recording: &'a Recording, who: &'a str) -> Vec<(&'a Event, Vec<Received<'a>>)> {
    let mut received: HashMap<(&str, &Object), Vec<Received<'a>>> = HashMap::new();
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

fn whole_buffer_sent_back(recording: &Recording, who: &str) -> Option<Mistake> {
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
        mistake("whole-buffer-sent-back", "How many bytes came", event, sentence)
    })
}

fn stale_bytes_sent(recording: &Recording, who: &str) -> Option<Mistake> {
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
        mistake("stale-bytes-sent", "How many bytes came", event, sentence)
    })
}

fn short_send_ignored(recording: &Recording, who: &str) -> Option<Mistake> {
    let unsent = recording.sent_less_and_never_the_rest(who).into_iter().next()?;
    let event = recording.events.iter().find(|event| event.seq == unsent.event)?;
    let sentence = format!(
        "{} took only {} of {} bytes, as it may, and the rest was never sent",
        event.call, unsent.done, unsent.asked
    );
    mistake("short-send-ignored", "Sending everything", event, sentence)
}

fn interrupted_and_gave_up(recording: &Recording, who: &str) -> Option<Mistake> {
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
            mistake("interrupted-and-gave-up", "Signals and EINTR", event, sentence)
        })?
    })
}

fn accept_error_was_fatal(recording: &Recording, who: &str) -> Option<Mistake> {
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
            mistake("accept-error-was-fatal", "Errors of accept", event, sentence)
        })?
    })
}

fn closed_with_unread_data(recording: &Recording, who: &str) -> Option<Mistake> {
    recording.of_tree(who).find_map(|event| {
        let (Act::Close { object, last: true, unread } | Act::LeftOpen { object, last: true, unread }) = &event.act
        else {
            return None;
        };
        (*unread > 0 && recording.kind(object) == Some(libc::SOCK_STREAM)).then(|| {
            let sentence =
                format!("it closed a connection with {unread} bytes unread, so that the peer got a reset instead of an end");
            mistake("closed-with-unread-data", "Closing a connection", event, sentence)
        })?
    })
}

fn used_the_listener(recording: &Recording, who: &str) -> Option<Mistake> {
    let mut listeners = HashSet::new();
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
                return mistake("used-the-listener", "Two kinds of sockets", event, sentence);
            }
            _ => {}
        }
    }
    None
}

fn membership_left_to_the_kernel(recording: &Recording, who: &str) -> Option<Mistake> {
    let group = recording.memberships_left_to_the_kernel(who).into_iter().next()?;
    let event = recording
        .of_tree(who)
        .find(|event| matches!(&event.act, Act::Join { group: joined, .. } if *joined == group))?;
    let sentence = format!("it never left the group {group}: the system did that when the socket was closed");
    mistake("membership-left-to-the-kernel", "Leaving a group", event, sentence)
}

fn never_waited(recording: &Recording, who: &str) -> Option<Mistake> {
    let zombie = recording.zombies(who).into_iter().find(|zombie| zombie.to.is_none())?;
    let event = recording
        .of(who)
        .find(|event| matches!(&event.act, Act::Fork { child, .. } if *child == zombie.who))?;
    let sentence = format!("it never waited for its child {}, which stayed a zombie", zombie.who);
    mistake("never-waited", "Zombies", event, sentence)
}

/// How many calls in a row that bring nothing make a busy loop.
const BUSY: usize = 500;

fn busy_loop(recording: &Recording, who: &str) -> Option<Mistake> {
    let mut run = 0;
    for event in recording.of_tree(who) {
        let nothing = match &event.act {
            Act::WaitReady { timeout: Some(0), .. } => true,
            Act::Receive { .. } | Act::Accept { .. } => event.outcome == Outcome::Err(libc::EAGAIN),
            Act::Reap { child: None, nohang: true, .. } => event.outcome == Outcome::Ok(0),
            _ => false,
        };
        run = if nothing { run + 1 } else { 0 };
        if run == BUSY {
            let sentence =
                format!("it called {} {BUSY} times in a row and got nothing: a busy loop", event.call);
            return mistake("busy-loop", "Waiting without spinning", event, sentence);
        }
    }
    None
}

#[cfg(test)]
#[path = "mistakes_tests.rs"]
mod tests;
