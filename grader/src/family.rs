//! What a recording says of a program's family: who was born of whom, who printed which line and when, how each member
//! died, and who read its status. The labs about processes ask for little else.

use crate::recording::{Act, Event, Object, Outcome, Recording};

/// A program and every process that descends from it by fork.
pub struct Family<'a> {
    recording: &'a Recording,
    program: &'a str,
}

/// A process that was born of another one.
#[derive(Clone, Copy, Debug)]
pub struct Child<'a> {
    /// Its name in the recording.
    pub name: &'a str,
    /// Its number, as its parent was told; `None` where that is not known.
    pub pid: Option<i64>,
    /// The call that made it.
    pub birth: &'a Event,
}

/// A line that a process wrote to its standard output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The process.
    pub who: String,
    /// The text, without the newline.
    pub text: String,
    /// The place in the recording of the write that completed it.
    pub seq: u64,
    /// When it was complete, on the programs' own clock, in nanoseconds.
    pub at: u64,
}

impl<'a> Family<'a> {
    /// The family of `program`, which is a name in `recording`.
    pub fn of(recording: &'a Recording, program: &'a str) -> Self {
        Self { recording, program }
    }

    /// The events of one member.
    pub fn events(&self, who: &'a str) -> impl Iterator<Item = &'a Event> + use<'a> {
        self.recording.events.iter().filter(move |event| event.who == who)
    }

    /// The children of one member, in order of birth.
    pub fn children_of(&self, who: &'a str) -> Vec<Child<'a>> {
        let births = self.events(who).filter_map(|event| match &event.act {
            Act::Fork { child, .. } if !child.is_empty() => Some((child.as_str(), event)),
            _ => None,
        });
        births.map(|(name, birth)| Child { name, pid: returned(birth), birth }).collect()
    }

    /// The program's own children, in order of birth.
    pub fn children(&self) -> Vec<Child<'a>> {
        self.children_of(self.program)
    }

    /// Every member, the program first.
    pub fn members(&self) -> Vec<&'a str> {
        let mut all = vec![self.program];
        let mut at = 0;
        while at < all.len() {
            let children = self.children_of(all[at]);
            all.extend(children.iter().map(|child| child.name));
            at += 1;
        }
        all
    }

    /// Whether any member made a thread.
    pub fn makes_threads(&self) -> bool {
        let members = self.members();
        self.recording
            .events
            .iter()
            .any(|event| matches!(event.act, Act::Thread { .. }) && members.contains(&event.who.as_str()))
    }

    /// The forks of one member that the system refused.
    pub fn refused_forks(&self, who: &'a str) -> usize {
        self.events(who)
            .filter(|event| matches!(event.act, Act::Fork { .. }))
            .filter(|event| matches!(event.outcome, Outcome::Err(_)))
            .count()
    }

    /// The event of a member's death.
    pub fn death(&self, who: &'a str) -> Option<&'a Event> {
        self.events(who).find(|event| matches!(event.act, Act::Exit { .. } | Act::Killed { .. }))
    }

    /// The call by which `parent` took over the status of `child`. Whoever does not want to know the status (a null
    /// pointer) has taken it over all the same.
    pub fn reaped(&self, parent: &'a str, child: &str) -> Option<&'a Event> {
        self.events(parent).find(|event| match &event.act {
            Act::Reap { child: Some(reported), status, keeps: false, .. } => {
                reported == child && status.is_none_or(is_an_end)
            }
            _ => false,
        })
    }

    /// How often a wait of `who` came back at once and told nothing.
    pub fn empty_waits(&self, who: &'a str) -> usize {
        self.events(who)
            .filter(|event| matches!(event.act, Act::Reap { child: None, nohang: true, .. }))
            .filter(|event| event.outcome == Outcome::Ok(0))
            .count()
    }

    /// The sleeps of a limited length that `who` began between two places of the recording: a sleep proper, or a poll or
    /// select on nothing.
    pub fn sleeps(&self, who: &'a str, after: u64, before: u64) -> Vec<&'a Event> {
        let sleeps = self.events(who).filter(|event| match &event.act {
            Act::Sleep { asked } => asked.is_some_and(|asked| asked > 0),
            Act::WaitReady { objects, timeout, .. } => {
                objects.is_empty() && timeout.is_some_and(|timeout| timeout > 0)
            }
            _ => false,
        });
        sleeps.filter(|event| after < event.seq && event.seq < before).collect()
    }

    /// The lines that one member wrote to descriptor 1, in its own order; text without a newline at the end is a line
    /// too.
    pub fn lines_of(&self, who: &'a str) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut open: Vec<u8> = Vec::new();
        let mut last = (0, 0);
        for event in self.events(who) {
            let (Some(1), Some((head, done))) = (event.fd, written(&event.act)) else { continue };
            last = (event.seq, event.exit.seen);
            for byte in &head[..head.len().min(done)] {
                match byte {
                    b'\n' => lines.push(line(who, &std::mem::take(&mut open), last)),
                    byte => open.push(*byte),
                }
            }
            if done > head.len() {
                open.extend_from_slice("...".as_bytes());
            }
        }
        if !open.is_empty() {
            lines.push(line(who, &open, last));
        }
        lines
    }

    /// What the descriptor `fd` of a member was when it first read or wrote there.
    pub fn first_used(&self, who: &'a str, fd: i32) -> Option<&'a Object> {
        self.events(who).filter(|event| event.fd == Some(fd)).find_map(|event| match &event.act {
            Act::Read { object, .. }
            | Act::Write { object, .. }
            | Act::Send { object, .. }
            | Act::Receive { object, .. } => Some(object),
            _ => None,
        })
    }

    /// The programs that a member became by exec, in order. The program's own start counts for the program.
    pub fn execs(&self, who: &'a str) -> Vec<(&'a str, &'a [String])> {
        let execs = self.events(who).filter(|event| event.outcome.ok());
        execs
            .filter_map(|event| match &event.act {
                Act::Exec { path, argv } => Some((path.as_str(), argv.as_slice())),
                _ => None,
            })
            .collect()
    }
}

/// Whether a raw wait status tells of an end, not of a stop or of going on.
pub fn is_an_end(status: i32) -> bool {
    libc::WIFEXITED(status) || libc::WIFSIGNALED(status)
}

/// The pairs `(PID, STATUS)` among the lines of an output, in order.
pub fn status_pairs(output: &[u8]) -> Vec<(i64, i64)> {
    let text = String::from_utf8_lossy(output);
    let pair = |line: &str| {
        let (pid, status) = line.strip_prefix('(')?.strip_suffix(')')?.split_once(", ")?;
        Some((pid.parse().ok()?, status.parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

fn returned(event: &Event) -> Option<i64> {
    match event.outcome {
        Outcome::Ok(value) if value > 0 => Some(value),
        _ => None,
    }
}

fn written(act: &Act) -> Option<(&[u8], usize)> {
    match act {
        Act::Write { head, done, .. } | Act::Send { head, done, .. } => Some((head, *done as usize)),
        _ => None,
    }
}

fn line(who: &str, text: &[u8], (seq, at): (u64, u64)) -> Line {
    Line { who: who.to_string(), text: String::from_utf8_lossy(text).into_owned(), seq, at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Stamp;

    fn event(seq: u64, who: &str, act: Act, outcome: Outcome) -> Event {
        let stamp = Stamp { real: seq, seen: seq * 10 };
        Event {
            seq,
            enter: stamp,
            exit: stamp,
            who: who.to_string(),
            thread: 0,
            call: String::new(),
            fd: Some(1),
            act,
            outcome,
            injected: None,
            restarts: 0,
        }
    }

    fn write(seq: u64, who: &str, text: &str) -> Event {
        let object = Object::Pipe(1);
        let done = text.len() as u64;
        let act = Act::Write { object, asked: done, done, head: text.as_bytes().to_vec() };
        event(seq, who, act, Outcome::Ok(done as i64))
    }

    #[test]
    fn a_line_written_in_pieces_is_one_line() {
        let fork = Act::Fork { child: "p.1".to_string(), vfork: false, exit_signal: libc::SIGCHLD };
        let recording = Recording {
            events: vec![
                event(1, "p", fork, Outcome::Ok(7)),
                write(2, "p.1", "child is running..."),
                write(3, "p", "a\nb"),
                write(4, "p.1", " 0\n"),
            ],
            recorded: true,
            ..Recording::default()
        };
        let family = Family::of(&recording, "p");
        assert_eq!(family.members(), ["p", "p.1"]);
        assert_eq!(family.children()[0].pid, Some(7));
        let child = family.lines_of("p.1");
        assert_eq!(child, [Line { who: "p.1".into(), text: "child is running... 0".into(), seq: 4, at: 40 }]);
        let texts: Vec<String> = family.lines_of("p").into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["a", "b"]);
    }

    #[test]
    fn pairs_are_found_among_other_lines() {
        assert_eq!(status_pairs(b"child exits...\n(12, 768)\n(x, 1)\n(3,4)\n"), [(12, 768)]);
    }

    #[test]
    fn a_stop_is_not_an_end() {
        assert!(is_an_end(768));
        assert!(is_an_end(9));
        assert!(!is_an_end(0x137f));
        assert!(!is_an_end(0xffff));
    }
}
