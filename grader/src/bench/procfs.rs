//! What /proc says of the programs' processes.

use std::fmt;
use std::fs;

use crate::sandbox::{children, proc_text};

/// One process as it is now.
#[derive(Clone, Debug)]
pub struct ProcessInfo {
    /// Its pid as the bench sees it.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// `R`, `S`, `Z`, `T`, `t` and so on; a traced process that sleeps may show `t`.
    pub state: char,
    /// Its short name.
    pub name: String,
    /// How many threads it has.
    pub threads: u32,
    /// Resident memory in bytes.
    pub resident: u64,
    /// Processor time so far, in clock ticks.
    pub ticks: u64,
}

impl ProcessInfo {
    /// Whether it has ended and was not waited for yet.
    pub fn is_zombie(&self) -> bool {
        self.state == 'Z'
    }

    /// Whether it holds the socket or pipe of that inode.
    pub fn holds(&self, inode: u64) -> bool {
        inodes(self.pid).contains(&inode)
    }
}

impl fmt::Display for ProcessInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            'Z' => "a zombie".to_string(),
            'R' => "running".to_string(),
            'S' | 't' => "waiting".to_string(),
            'T' => "stopped".to_string(),
            other => format!("in state {other}"),
        };
        write!(f, "{} {} ({} threads)", self.name, state, self.threads)
    }
}

/// The process `pid`, where it exists.
pub fn info(pid: i32) -> Option<ProcessInfo> {
    parse_stat(pid, &proc_text(pid, "stat")?)
}

/// Reads `/proc/<pid>/stat` (proc(5)), in which only the name is the process's own doing.
pub(crate) fn parse_stat(pid: i32, text: &str) -> Option<ProcessInfo> {
    // The name stands in parentheses and may itself hold some.
    let (head, tail) = text.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_string();
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    Some(ProcessInfo {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        state: fields.first()?.chars().next()?,
        name,
        threads: number(17)? as u32,
        resident: number(21)?.saturating_mul(4096),
        ticks: number(11)?.saturating_add(number(12)?),
    })
}

/// The largest resident set that the process has had since its exec, in bytes. (What wait4 reports may also be that of
/// the process which it was forked from.)
pub fn peak_resident(pid: i32) -> Option<u64> {
    let text = proc_text(pid, "status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

/// The program `pid` and every other process below its init, zombies included; the program comes first.
pub fn tree(pid: i32, init: i32) -> Vec<ProcessInfo> {
    let mut found: Vec<ProcessInfo> = info(pid).into_iter().collect();
    let mut parents = vec![init];
    let mut at = 0;
    // A tree is bounded by the process limit; the bound here only keeps a broken /proc from looping.
    while at < parents.len() && at < 10_000 {
        for child in children(parents[at]) {
            if parents.contains(&child) {
                continue;
            }
            parents.push(child);
            if child != pid {
                found.extend(info(child));
            }
        }
        at += 1;
    }
    found
}

/// The descriptors of a process, with what each refers to.
pub fn descriptors(pid: i32) -> Vec<(i32, String)> {
    let mut all = Vec::new();
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return all };
    for entry in entries.flatten() {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let target = fs::read_link(entry.path()).map(|path| path.to_string_lossy().into_owned());
        all.push((number, target.unwrap_or_default()));
    }
    all.sort();
    all
}

/// The inodes of the sockets and pipes that a process holds.
pub fn inodes(pid: i32) -> Vec<u64> {
    descriptors(pid).into_iter().filter_map(|(_, target)| inode(&target)).collect()
}

/// The inode behind a descriptor's link. A file may be called `x:[1]`, but its path begins at the root.
pub(crate) fn inode(target: &str) -> Option<u64> {
    let rest = target.strip_prefix("socket:[").or_else(|| target.strip_prefix("pipe:["))?;
    rest.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A process calls itself what it likes.
        #[test]
        fn a_name_forges_no_field(name in ".{0,16}", state in "[RSZTt]") {
            let text = format!("42 ({name}) {state} 7 1 1 0 -1 4194560 1 2 3 4 5 6 0 0 20 0 3 0 9 8 11 0");
            let read = parse_stat(42, &text).unwrap();
            prop_assert_eq!((read.parent, read.threads, read.ticks), (7, 3, 11));
            prop_assert_eq!((read.state.to_string(), read.name), (state, name));
        }

        #[test]
        fn any_text(text in any::<String>(), numbers in "[0-9() -]{0,80}") {
            let _ = (parse_stat(1, &text), parse_stat(1, &numbers), inode(&text), inode(&numbers));
        }
    }

    #[test]
    fn a_file_is_no_socket_whatever_it_is_called() {
        assert_eq!(inode("socket:[12]"), Some(12));
        assert_eq!(inode("pipe:[12]"), Some(12));
        assert_eq!(inode("/tmp/socket:[12]"), None);
        assert_eq!(inode("anon_inode:[12]"), None);
    }

    #[test]
    fn a_name_that_is_no_text_hides_no_process() {
        let thread = std::thread::spawn(|| {
            std::fs::write("/proc/thread-self/comm", b"\xff)\n(").unwrap();
            let id = nix::unistd::gettid().as_raw();
            (id, info(id), proc_text(id, "status"))
        });
        let (id, read, status) = thread.join().unwrap();
        assert_eq!(read.map(|read| read.pid), Some(id));
        assert!(status.is_some());
    }
}
