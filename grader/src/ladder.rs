//! A recording drawn: one column for each process, one for the wire, time downwards; calls and packets on one clock.
//!
//! It fits on a screen. What tells least goes first, the beginning and the end are kept, and what was left out is said.

mod words;

use std::collections::HashSet;

use crate::recording::ledger::STILL_OPEN;
use crate::recording::{Act, Event, Object, Outcome, Packet, Recording};

/// Rows of a ladder, without its head and its last lines.
const ROWS: usize = 19;
/// Rows at the beginning that are kept when the middle goes.
const FIRST: usize = 6;
/// So many calls at the beginning, and at the end, of a long recording are looked at.
const LOOKED_AT: usize = 500;
const WIDTH: usize = 118;
/// The columns' most and least width, and that of the column of times.
const WIDEST: usize = 44;
const NARROWEST: usize = 18;
const TIME: usize = 11;
const MOST_COLUMNS: usize = 5;

/// One row: when, where and what.
struct Row {
    at: u64,
    column: usize,
    text: String,
    weight: u8,
    seq: Option<u64>,
    times: usize,
}

/// Whether a recording shows more than that its programs began and ended.
pub fn tells_something(recording: &Recording) -> bool {
    let tells =
        |event: &Event| weight(event) >= 2 && !matches!(event.act, Act::Exit { .. } | Act::Exec { .. });
    !recording.packets.is_empty() || recording.events.iter().any(tells)
}

/// Draws a recording. `marked` is the `seq` of the event that shows what went wrong; without it the likeliest is marked.
pub fn draw(recording: &Recording, marked: Option<u64>) -> String {
    let marked = marked.or_else(|| suspect(recording));
    let (columns, hidden) = columns(recording, marked);
    let (rows, before) = rows(recording, &columns, marked);
    let (rows, mut left_out) = choose(merge(rows), marked);
    left_out.1 += before;
    let wide = (WIDTH - TIME) / columns.len().max(1);
    let width = wide.clamp(NARROWEST, WIDEST);
    let mut lines = vec![head(&columns, width)];
    let start = rows.iter().map(|row| row.at).min().unwrap_or(0);
    let mut gap = left_out.0;
    for (index, row) in rows.iter().enumerate() {
        if index == FIRST && gap > 0 {
            lines.push(format!("{:TIME$}... {gap} rows left out", ""));
            gap = 0;
        }
        lines.push(line(row, start, width, marked));
    }
    if left_out.1 > 0 {
        lines.push(format!(
            "{:TIME$}({} calls that tell less are left out: `--record DIR` keeps all)",
            "", left_out.1
        ));
    }
    if hidden > 0 {
        lines.push(format!("{:TIME$}({hidden} more processes are left out)", ""));
    }
    lines.extend(
        recording
            .ledger()
            .into_iter()
            .filter(|line| !line.contains(STILL_OPEN))
            .take(3)
            .map(|line| format!("{:TIME$}left behind: {line}", "")),
    );
    if recording.dropped_packets > 0 {
        let dropped = recording.dropped_packets;
        lines.push(format!("{:TIME$}({dropped} packets were not captured: they came too fast)", ""));
    }
    lines.join("\n")
}

/// The processes in the order in which they began, at most so many: first those that the marked event and blocked calls
/// belong to, then those that began last. `the wire` comes beside the first where packets were captured.
fn columns(recording: &Recording, marked: Option<u64>) -> (Vec<String>, usize) {
    let processes = recording.processes();
    let wire = !recording.packets.is_empty();
    let most = MOST_COLUMNS - usize::from(wire);
    let of = |wanted: &dyn Fn(&Event) -> bool| -> HashSet<&str> {
        recording.events.iter().filter(|event| wanted(event)).map(|event| event.who.as_str()).collect()
    };
    let marked = of(&|event| Some(event.seq) == marked);
    let blocked = of(&|event| event.outcome == Outcome::Pending);
    let matters = |who: &String| (marked.contains(who.as_str()), blocked.contains(who.as_str()));
    let mut order: Vec<usize> = (0..processes.len()).collect();
    order.sort_by_key(|place| std::cmp::Reverse((matters(&processes[*place]), *place)));
    order.truncate(most);
    order.sort_unstable();
    let hidden = processes.len() - order.len();
    let mut columns: Vec<String> = order.into_iter().map(|place| processes[place].clone()).collect();
    if wire {
        columns.insert(1.min(columns.len()), WIRE.to_string());
    }
    (columns, hidden)
}

const WIRE: &str = "the wire";

/// The event that most likely shows what went wrong.
fn suspect(recording: &Recording) -> Option<u64> {
    if let Some(mistake) = recording.likeliest_mistake(&[]) {
        return Some(mistake.event);
    }
    let pending = recording.events.iter().find(|event| event.outcome == Outcome::Pending);
    let failed = || recording.events.iter().rev().find(|event| weight(event) >= 3 && is_failure(event));
    pending.or_else(failed).map(|event| event.seq)
}

fn is_failure(event: &Event) -> bool {
    match event.outcome {
        Outcome::Err(errno) => errno != libc::EAGAIN && errno != libc::EINPROGRESS,
        Outcome::Refused(_) | Outcome::Interrupted => true,
        _ => matches!(event.act, Act::Killed { .. }),
    }
}

/// The rows of all that is drawn, and how many calls of a very long recording's middle are not even looked at.
fn rows(recording: &Recording, columns: &[String], marked: Option<u64>) -> (Vec<Row>, usize) {
    let place = |name: &str| columns.iter().position(|column| column == name);
    let errands = errands(recording);
    let mut drawn: Vec<(&Event, usize)> = recording
        .events
        .iter()
        .filter(|event| !words::object(&event.act).is_some_and(|object| errands.contains(object)))
        .filter_map(|event| Some((event, place(&event.who)?)))
        .collect();
    let (all, mut index) = (drawn.len(), 0);
    drawn.retain(|(event, _)| {
        index += 1;
        index <= LOOKED_AT || index + LOOKED_AT > all || Some(event.seq) == marked
    });
    let left_out = all - drawn.len();
    let row = |(event, column): (&Event, usize)| {
        let (text, seq) = (words::call(recording, event), Some(event.seq));
        Row { at: moment(event), column, text, weight: weight(event), seq, times: 1 }
    };
    let mut rows: Vec<Row> = drawn.into_iter().map(row).collect();
    if let Some(column) = place(WIRE) {
        rows.extend(recording.packets.iter().map(|packet| Row {
            at: packet.at.seen,
            column,
            text: words::packet(packet),
            weight: packet_weight(packet),
            seq: None,
            times: 1,
        }));
    }
    rows.sort_by_key(|row| row.at);
    (rows, left_out)
}

/// The sockets that the C library opens on its own errands, to look up a name and to put its addresses in order.
fn errands(recording: &Recording) -> HashSet<&Object> {
    let mut errands = HashSet::new();
    for event in &recording.events {
        match &event.act {
            Act::Open { object, family: libc::AF_NETLINK, .. } => drop(errands.insert(object)),
            Act::Connect { object, peer: None, .. } if !event.outcome.ok() => drop(errands.insert(object)),
            Act::Connect { object, peer: Some(peer), .. } if peer.port() == 0 => drop(errands.insert(object)),
            // Inodes are used again.
            Act::Open { object, .. } => drop(errands.remove(object)),
            _ => {}
        }
    }
    errands
}

/// Where an event stands: a call that waited for something stands where that came.
fn moment(event: &Event) -> u64 {
    match event.act {
        Act::Receive { .. }
        | Act::Accept { .. }
        | Act::Reap { .. }
        | Act::WaitReady { .. }
        | Act::Read { .. }
            if event.outcome != Outcome::Pending =>
        {
            event.exit.seen
        }
        _ => event.enter.seen,
    }
}

/// A ladder that is drawn while things happen: rows in the order in which calls end, nothing merged, nothing left out but
/// the noise of a program's start.
#[derive(Default)]
pub struct Live {
    columns: Vec<String>,
    /// The events before this one are all drawn or not worth it; of those behind it, the ones drawn already.
    drawn: std::collections::BTreeSet<u64>,
    next: usize,
    start: Option<u64>,
}

impl Live {
    /// Nothing is drawn yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The rows of the calls that have ended since the last time.
    pub fn new_lines(&mut self, recording: &Recording) -> Vec<String> {
        let mut lines = Vec::new();
        for event in recording.events.iter().skip(self.next) {
            if event.outcome != Outcome::Pending && self.drawn.insert(event.seq) {
                lines.extend(self.line(recording, event));
            }
        }
        let ended = |event: &&Event| event.outcome != Outcome::Pending;
        self.next += recording.events.iter().skip(self.next).take_while(ended).count();
        lines
    }

    /// The rows of the calls that have not ended.
    pub fn pending_lines(&mut self, recording: &Recording) -> Vec<String> {
        let pending = recording.events.iter().filter(|event| event.outcome == Outcome::Pending);
        pending.flat_map(|event| self.line(recording, event)).collect()
    }

    /// The row of an event, with a head before the first one of its process.
    fn line(&mut self, recording: &Recording, event: &Event) -> Vec<String> {
        if weight(event) == 0 {
            return Vec::new();
        }
        let start = *self.start.get_or_insert(event.enter.seen);
        let mut lines = Vec::new();
        let column = self.columns.iter().position(|column| *column == event.who).unwrap_or_else(|| {
            self.columns.push(event.who.clone());
            lines.push(format!("{:TIME$}{}* {}", "", " ".repeat((self.columns.len() - 1) * LIVE), event.who));
            self.columns.len() - 1
        });
        let at = moment(event).max(start);
        let text = words::call(recording, event);
        let row = Row { at, column, text, weight: 0, seq: None, times: 1 };
        lines.push(line(&row, start, LIVE, None));
        lines
    }
}

/// The width of a live ladder's column: it does not know how many there will be.
const LIVE: usize = 40;

fn packet_weight(packet: &Packet) -> u8 {
    match packet.headers() {
        // An acknowledgement alone tells little.
        Some(headers) if headers.payload_length == 0 && packet.in_words() == "TCP ACK" => 1,
        Some(_) => 3,
        None => 1,
    }
}

/// How much an event tells: 3 what the labs are about, 0 the noise of a program's start.
fn weight(event: &Event) -> u8 {
    if event.outcome == Outcome::Pending || event.injected.is_some() {
        return 4;
    }
    let socket = |object: &Object| matches!(object, Object::Socket(_));
    match &event.act {
        _ if matches!(event.outcome, Outcome::Refused(_)) => 3,
        Act::Bind { .. } | Act::Listen { .. } | Act::Connect { .. } | Act::Accept { .. } => 3,
        Act::Send { .. }
        | Act::Receive { .. }
        | Act::Shutdown { .. }
        | Act::Join { .. }
        | Act::Leave { .. } => 3,
        Act::Fork { .. } | Act::Exit { .. } | Act::Killed { .. } | Act::Reap { .. } => 3,
        Act::Close { object, .. } | Act::LeftOpen { object, .. } if socket(object) => 3,
        Act::Close { object: Object::Pipe(_), .. } | Act::LeftOpen { object: Object::Pipe(_), .. } => 2,
        Act::Write { .. } if event.fd == Some(1) => 3,
        Act::Exec { .. }
        | Act::Sleep { .. }
        | Act::Kill { .. }
        | Act::Pipe { .. }
        | Act::Duplicate { .. } => 2,
        Act::SetOption { .. } | Act::Open { .. } | Act::OpenPair { .. } | Act::SignalDelivered { .. } => 2,
        Act::WaitReady { timeout, .. } if *timeout != Some(0) => 2,
        Act::Write { .. } | Act::Thread { .. } | Act::Read { object: Object::Pipe(_), .. } => 1,
        Act::SignalAction { signal: libc::SIGCHLD | libc::SIGTERM | libc::SIGINT, .. } => 2,
        Act::Close { object: Object::Other(kind), .. } if kind.is_empty() => 2,
        _ => 0,
    }
}

/// Rows that say the same in one column, one after another, become one.
fn merge(rows: Vec<Row>) -> Vec<Row> {
    let mut merged: Vec<Row> = Vec::new();
    for row in rows {
        match merged.last_mut() {
            Some(last) if last.column == row.column && last.text == row.text => last.times += row.times,
            _ => merged.push(row),
        }
    }
    merged
}

/// What fits: rows that tell more before rows that tell less, then the beginning and the end. Returns the rows, how
/// many of the middle are missing, and how many that tell less.
fn choose(rows: Vec<Row>, marked: Option<u64>) -> (Vec<Row>, (usize, usize)) {
    let is_marked = |row: &Row| marked.is_some() && row.seq == marked;
    let all = rows.len();
    let least = (1..=3)
        .find(|least| rows.iter().filter(|row| row.weight >= *least || is_marked(row)).count() <= ROWS);
    let least = least.unwrap_or(3);
    let mut kept: Vec<Row> = rows.into_iter().filter(|row| row.weight >= least || is_marked(row)).collect();
    let lesser = all - kept.len();
    let middle = kept.len().saturating_sub(ROWS);
    if middle > 0 {
        let place = kept.iter().position(is_marked);
        let last = kept.len() - (ROWS - FIRST);
        let mut index = 0;
        kept.retain(|_| {
            index += 1;
            index <= FIRST || index > last || place == Some(index - 1)
        });
    }
    (kept, (middle, lesser))
}

fn head(columns: &[String], width: usize) -> String {
    let names: String = columns.iter().map(|name| cell(name, width)).collect();
    format!("{:>width$}  {}", "ms", names.trim_end(), width = TIME - 2)
}

fn line(row: &Row, start: u64, width: usize, marked: Option<u64>) -> String {
    let mark = if row.seq.is_some() && row.seq == marked { '>' } else { ' ' };
    let (ms, tenths) = ((row.at - start) / 1_000_000, (row.at - start) / 100_000 % 10);
    let text = if row.times > 1 { format!("{} x{}", row.text, row.times) } else { row.text.clone() };
    let before = " ".repeat(row.column * width);
    // A row's text may run on over the columns behind it, which are empty in this row.
    let room = WIDTH.saturating_sub(TIME + row.column * width).max(width);
    format!("{mark}{:>time$}  {before}{}", format!("{ms}.{tenths}"), shorten(&text, room), time = TIME - 3)
}

fn cell(text: &str, width: usize) -> String {
    let text = shorten(text, width - 1);
    format!("{text:width$}")
}

fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_string();
    }
    let kept: String = text.chars().take(width.saturating_sub(2)).collect();
    format!("{kept}..")
}

#[cfg(test)]
mod tests;
