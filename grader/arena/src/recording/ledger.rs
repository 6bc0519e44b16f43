//! The end-of-run ledger: what the programs left behind, each with its price.

use std::collections::{BTreeMap, BTreeSet};

use super::{Act, Object, Outcome, Recording};

/// What a program that ends may leave to the system; most do.
pub const STILL_OPEN: &str = "descriptors still open";

impl Recording {
    /// What the programs left open, unread and unwaited for, a line each. Empty where all books are balanced.
    pub fn ledger(&self) -> Vec<String> {
        let mut lines = Vec::new();
        // What many children have inherited is looked up once.
        let mut words: BTreeMap<&Object, String> = BTreeMap::new();
        let (mut left_open, mut zombies) = (self.all_left_open(), self.all_zombies());
        for who in self.processes() {
            let open = left_open.remove(who.as_str()).unwrap_or_default();
            let sockets = open.iter().filter(|(_, object)| matches!(object, Object::Socket(_))).count();
            let pipes = open.iter().filter(|(_, object)| matches!(object, Object::Pipe(_))).count();
            if sockets + pipes > 0 {
                let shown: Vec<String> = open
                    .iter()
                    .filter(|(_, object)| !matches!(object, Object::File(_) | Object::Other(_)))
                    .take(3)
                    .map(|(fd, object)| {
                        let words = words.entry(object).or_insert_with(|| self.object_in_words(object));
                        format!("{fd} ({words})")
                    })
                    .collect();
                let more = (sockets + pipes).saturating_sub(shown.len());
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                lines.push(format!("{who} ended with {STILL_OPEN}: {}{more}", shown.join(", ")));
            }
            for zombie in zombies.remove(who.as_str()).unwrap_or_default() {
                match zombie.to {
                    None => lines.push(format!("{who} never waited for its child {}", zombie.who)),
                    Some(to) if to.seen.saturating_sub(zombie.from.seen) > 500_000_000 => {
                        let tenths = (to.seen - zombie.from.seen) / 100_000_000;
                        let (whole, part) = (tenths / 10, tenths % 10);
                        lines.push(format!(
                            "{} was a zombie for {whole}.{part} s before {who} waited for it",
                            zombie.who
                        ));
                    }
                    Some(_) => {}
                }
            }
        }
        lines.extend(self.unread());
        lines.extend(self.half_closed());
        lines
    }

    /// The processes in the order of their first event.
    pub fn processes(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let first = self.events.iter().filter(|event| seen.insert(event.who.as_str()));
        first.map(|event| event.who.clone()).collect()
    }

    fn unread(&self) -> Vec<String> {
        let unread = self.events.iter().filter_map(|event| match &event.act {
            Act::Close { object, last: true, unread } | Act::LeftOpen { object, last: true, unread }
                if *unread > 0 =>
            {
                let reset = self.kind(object) == Some(libc::SOCK_STREAM);
                let price = if reset { ": its peer got a reset" } else { "" };
                let what = self.object_in_words(object);
                Some(format!("{} closed {what} with {unread} bytes unread{price}", event.who))
            }
            _ => None,
        });
        unread.collect()
    }

    /// Connections whose peer has ended its direction while the process still holds them (CLOSE_WAIT).
    fn half_closed(&self) -> Vec<String> {
        // A program that reads the same end again and again does so thousands of times: the first time tells.
        let mut seen = BTreeSet::new();
        let ended = self.events.iter().filter_map(|event| match &event.act {
            Act::Receive { object, end: true, .. } if event.outcome == Outcome::Ok(0) => {
                seen.insert((&event.who, object)).then_some((event, object))
            }
            _ => None,
        });
        let mut lines: Vec<String> = Vec::new();
        for (event, object) in ended {
            let alive =
                !self.of(&event.who).any(|event| matches!(event.act, Act::Exit { .. } | Act::Killed { .. }));
            if alive && !self.is_closed(object, event.seq) && self.holders(object).contains(&event.who) {
                let what = self.object_in_words(object);
                let line = format!("{} still holds {what}, whose peer has ended (CLOSE_WAIT)", event.who);
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
        }
        lines
    }
}
