//! Control groups: a second bound on the memory and the processes of an arena and all its programs, which the kernel
//! keeps. The first one acts before it: the watch of each tree, and RLIMIT_NPROC. It counts what they cannot see (pipes,
//! page tables, what is taken between two looks of the watch), and the arena itself, which a program may make record much.
//!
//! The grader makes a [`Group`] for each arena and each compiler, where it may: as root, or where somebody has delegated a
//! part of the tree to its user. The arena is told of it in its spec ([`Entry`]), and goes in while it is still the grader's
//! user and has one thread; all that it starts is born there. No program can leave: it sees no control group, and
//! none of them is its uid's to write. The group is removed when the arena has been reaped. What a killed grader left is
//! removed by the next one that starts in the same place: a group's name says whose it is.
//!
//! At the bound on memory the kernel ends one process, a program's before the arena (`oom_score_adj`). The watch sees
//! that, ends the whole tree, and the report names the bound (`Inside::ended_by`). `memory.oom.group`, which would end
//! all at once, stays off: it would end the arena, too, and with it the verdict.

mod places;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use nix::poll::{PollTimeout, poll};
use serde::{Deserialize, Serialize};

use self::places::{Controller, Place, Version};
use super::{Bound, Limits, watch};
use crate::verdict::Breakdown;

/// Memory of the arena itself: its recording and its answer.
const ARENA: u64 = 512 << 20;
/// How many programs may come near their own bounds on memory at once, and how many near those on processes: the watch
/// lets each have [`Limits::resident`], and no check's programs, in any language, come near that together.
const MEMORY_OF: u64 = 2;
const PROCESSES_OF: u64 = 4;
/// Threads of the arena itself: one for each program it watches, and some more.
const ARENA_THREADS: u64 = 256;

/// What v1 lets a group have in swap: a little, since only the bound on memory alone says that it was reached.
const SWAP: u64 = 2 << 20;

/// With what the names of all our groups begin.
const PREFIX: &str = "socklab-";
/// How many names are looked at to find those of graders that are gone.
const MOST_LEFT: usize = 4096;
/// How often to look whether groups are empty whose arenas were killed: their programs die a moment later.
const ROUNDS: u32 = 200;
const ROUND_MS: u8 = 10;

/// What a group may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Memory that is the arena's own part, in bytes.
    pub arena: u64,
    /// Memory of all its programs together, in bytes.
    pub programs: u64,
    /// Processes and threads of all.
    pub processes: u64,
}

impl Bounds {
    /// Bounds of an arena whose programs have these limits each: no program that its own limits let be comes near.
    pub fn of(limits: &Limits) -> Self {
        Self {
            arena: ARENA,
            programs: MEMORY_OF * limits.resident,
            processes: PROCESSES_OF * limits.processes + ARENA_THREADS,
        }
    }

    fn memory(&self) -> u64 {
        self.arena + self.programs
    }
}

/// Held while a group is made.
static MAKING: Mutex<()> = Mutex::new(());

/// A control group, in as many hierarchies as there are; removed when it is dropped, after all its processes have ended.
#[derive(Debug)]
pub struct Group {
    entry: Entry,
}

/// What an arena must know to go into its group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    rooms: Vec<Room>,
    bounds: Bounds,
}

/// The group in one hierarchy.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Room {
    directory: PathBuf,
    version: Version,
    memory: bool,
}

/// The group in which this process is.
#[derive(Debug)]
pub struct Inside {
    bounds: Bounds,
    /// Where the kernel counts whom it ended for memory, and how often the bound was reached.
    counts: Vec<File>,
}

impl Group {
    /// Makes a group with these bounds, where that is possible.
    pub fn new(bounds: Bounds) -> Option<Self> {
        Self::make(bounds).ok()
    }

    /// Makes the group of an arena.
    pub fn for_arena() -> Option<Self> {
        Self::new(Bounds::of(&Limits::default()))
    }

    fn make(bounds: Bounds) -> Result<Self, String> {
        static TURN: AtomicU64 = AtomicU64::new(0);
        let places = places();
        if places.is_empty() {
            return Err("none that bounds memory or processes is handed down to this process".into());
        }
        let name = format!("{}{}", prefix(std::process::id()), TURN.fetch_add(1, Ordering::Relaxed));
        let mut group = Self { entry: Entry { rooms: Vec::new(), bounds } };
        let mut refused = String::new();
        let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        for place in places {
            let directory = place.directory.join(&name);
            let memory = place.controllers.contains(&Controller::Memory);
            let room = Room { directory, version: place.version, memory };
            let made = fs::create_dir(&room.directory).and_then(|()| {
                room.set(&bounds, &place.controllers).inspect_err(|_| drop(fs::remove_dir(&room.directory)))
            });
            match made {
                Ok(()) => group.entry.rooms.push(room),
                Err(error) => refused = format!("{}: {error}", place.directory.display()),
            }
        }
        if group.entry.rooms.is_empty() { Err(refused) } else { Ok(group) }
    }

    /// What the arena is told.
    pub fn entry(&self) -> Entry {
        self.entry.clone()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let mut rounds = ROUNDS;
        self.entry.rooms.iter().for_each(|room| remove(&room.directory, &mut rounds));
    }
}

impl Room {
    /// Sets the bounds of these controllers. Swap is no way around them.
    fn set(&self, bounds: &Bounds, controllers: &[Controller]) -> io::Result<()> {
        let put = |file: &str, value: u64| write(&self.directory.join(file), &value.to_string());
        for controller in controllers {
            match (controller, self.version) {
                (Controller::Processes, _) => put("pids.max", bounds.processes)?,
                (Controller::Memory, Version::V1) => {
                    put("memory.limit_in_bytes", bounds.memory())?;
                    // Both are there only where the kernel has them; the second is inherited, and would let a process
                    // wait for ever.
                    let _ = put("memory.memsw.limit_in_bytes", bounds.memory() + SWAP);
                    let _ = put("memory.oom_control", 0);
                }
                (Controller::Memory, Version::V2) => {
                    put("memory.max", bounds.memory())?;
                    let _ = put("memory.swap.max", 0);
                }
            }
        }
        Ok(())
    }

    /// The file by which a process with one thread goes in. In v1 it is the one for threads: the kernel then need not wait
    /// until it knows every process of the machine to be at rest (some milliseconds).
    fn door(&self) -> PathBuf {
        self.directory.join(match self.version {
            Version::V1 => "tasks",
            Version::V2 => "cgroup.procs",
        })
    }

    /// The files that say `oom_kill` and how often the bound was reached.
    fn counts(&self) -> &'static [&'static str] {
        match self.version {
            _ if !self.memory => &[],
            Version::V1 => &["memory.oom_control", "memory.failcnt"],
            Version::V2 => &["memory.events"],
        }
    }
}

impl Entry {
    /// Takes this process, which must have one thread, into the group, for the rest of its life.
    pub(super) fn enter(&self) -> Result<&'static Inside, Breakdown> {
        let mut counts = Vec::new();
        for room in &self.rooms {
            let failed = |error: io::Error| {
                Breakdown::system(
                    format!("cannot enter the control group {}", room.directory.display()),
                    error,
                )
            };
            counts.extend(room.counts().iter().filter_map(|file| File::open(room.directory.join(file)).ok()));
            write(&room.door(), "0").map_err(failed)?;
        }
        Ok(Box::leak(Box::new(Inside { bounds: self.bounds, counts })))
    }

    /// The files by which a process could go in, or elsewhere: no program may be able to write them.
    pub fn doors(&self) -> Vec<PathBuf> {
        self.rooms.iter().flat_map(|room| [room.door(), room.directory.join("cgroup.procs")]).collect()
    }
}

impl Inside {
    /// Whether the kernel has ended a process of this group because it reached its bound on memory. (That alone: the
    /// machine, or a group above this one, may run out of memory, too.)
    pub(super) fn has_killed(&self) -> bool {
        let mut text = String::new();
        for file in &self.counts {
            let mut bytes = [0; 512];
            let length = file.read_at(&mut bytes, 0).unwrap_or(0);
            text += &String::from_utf8_lossy(&bytes[..length]);
        }
        has_killed(&text)
    }

    /// The bound that ended a tree whose end was a kill. Where the arena itself has used more than its part, nobody knows
    /// whether it was the programs' fault.
    pub(super) fn ended_by(&self) -> Result<Option<Bound>, Breakdown> {
        if !self.has_killed() {
            return Ok(None);
        }
        if watch::own_memory() > self.bounds.arena {
            let what = "the arena of this check used up the memory that it shares with its programs";
            return Err(Breakdown::new(what, "grade this check alone; if it stays so, report it"));
        }
        Ok(Some(Bound::Memory(self.bounds.programs)))
    }
}

/// What v1's or v2's counts come to: `oom_kill N` and the bare number of failcnt, or `oom_kill N` and `oom N`.
fn has_killed(counts: &str) -> bool {
    let is_some = |number: &str| number.trim().parse::<u64>().is_ok_and(|number| number > 0);
    let killed = counts.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(is_some));
    let reached = counts.lines().any(|line| is_some(line.strip_prefix("oom ").unwrap_or(line)));
    killed && reached
}

/// What control groups there are for arenas, in a few words; or why there are none.
pub fn describe() -> Result<String, String> {
    let group = Group::make(Bounds::of(&Limits::default()))?;
    let kinds = places()
        .iter()
        .filter(|place| group.entry.rooms.iter().any(|room| room.directory.starts_with(&place.directory)));
    let words = kinds.flat_map(|place| {
        let version = if place.version == Version::V1 { "v1" } else { "v2" };
        place.controllers.iter().map(move |controller| match controller {
            Controller::Memory => format!("memory ({version})"),
            Controller::Processes => format!("number of processes ({version})"),
        })
    });
    Ok(words.collect::<Vec<_>>().join(" and "))
}

/// The groups there are of the grader of that pid.
pub fn left_by(pid: u32) -> Vec<PathBuf> {
    let own = format!("{PREFIX}{pid}-");
    groups(places()).filter(|(_, name)| name.starts_with(&own)).map(|(path, _)| path).collect()
}

/// Removes every group of this grader, whose arenas were killed and which is about to end: it makes no more.
pub fn remove_all() {
    std::mem::forget(MAKING.lock().unwrap_or_else(PoisonError::into_inner));
    let mut rounds = ROUNDS;
    left_by(std::process::id()).iter().for_each(|directory| remove(directory, &mut rounds));
}

/// The places of this process; the groups that dead graders left there are gone.
fn places() -> &'static [Place] {
    static PLACES: OnceLock<Vec<Place>> = OnceLock::new();
    PLACES.get_or_init(|| {
        let places = places::of_this_process();
        sweep(&places);
        places
    })
}

fn groups(places: &[Place]) -> impl Iterator<Item = (PathBuf, String)> {
    let entries =
        places.iter().flat_map(|place| fs::read_dir(&place.directory).into_iter().flatten().flatten());
    let named = entries.filter_map(|entry| Some((entry.path(), entry.file_name().into_string().ok()?)));
    named.filter(|(_, name)| name.starts_with(PREFIX)).take(MOST_LEFT)
}

/// Removes the groups whose graders are gone. One that is not empty yet is left to the next grader.
fn sweep(places: &[Place]) {
    for (path, name) in groups(places) {
        let pid = name[PREFIX.len()..].split('-').next().and_then(|pid| pid.parse().ok());
        // A pid is used again; when its process began is not.
        if pid.is_some_and(|pid| !name.starts_with(&prefix(pid))) {
            let _ = fs::remove_dir(path);
        }
    }
}

/// With what the names of a grader's groups begin: its pid, and when it began, in the kernel's clock ticks.
fn prefix(pid: u32) -> String {
    let stat = i32::try_from(pid).ok().and_then(|pid| watch::proc_text(pid, "stat")).unwrap_or_default();
    let behind_the_name = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let began = behind_the_name.split_ascii_whitespace().nth(19).unwrap_or("gone");
    format!("{PREFIX}{pid}-{began}-")
}

/// Removes a group, after its last process has ended.
fn remove(directory: &Path, rounds: &mut u32) {
    let busy = |error: io::Error| error.kind() == io::ErrorKind::ResourceBusy;
    while fs::remove_dir(directory).is_err_and(busy) && *rounds > 0 {
        *rounds -= 1;
        let _ = poll(&mut [], PollTimeout::from(ROUND_MS));
    }
}

/// Writes to a file that is there.
fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { arena: 1 << 20, programs: 2 << 20, processes: 7 };

    /// A directory that looks like a group.
    fn room(version: Version, files: &[&str]) -> (tempfile::TempDir, Room) {
        let directory = tempfile::tempdir().unwrap();
        files.iter().for_each(|file| fs::write(directory.path().join(file), "").unwrap());
        let room = Room { directory: directory.path().to_path_buf(), version, memory: true };
        (directory, room)
    }

    fn text(directory: &tempfile::TempDir, file: &str) -> Option<String> {
        fs::read_to_string(directory.path().join(file)).ok()
    }

    #[test]
    fn v2_gets_its_bounds() {
        let files = ["memory.max", "memory.swap.max", "pids.max", "cgroup.procs", "memory.events"];
        let (directory, room) = room(Version::V2, &files);
        room.set(&BOUNDS, &[Controller::Memory, Controller::Processes]).unwrap();
        let written = files.map(|file| text(&directory, file).unwrap());
        assert_eq!(written, ["3145728", "0", "7", "", ""]);
        let inside = Entry { rooms: vec![room], bounds: BOUNDS }.enter().unwrap();
        assert_eq!(text(&directory, "cgroup.procs").unwrap(), "0");
        assert!(!inside.has_killed());
        fs::write(directory.path().join("memory.events"), "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\n")
            .unwrap();
        assert!(inside.has_killed());
    }

    #[test]
    fn v1_gets_its_bounds() {
        let files = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.oom_control", "tasks"];
        let (directory, room) = room(Version::V1, &[&files[..], &["memory.failcnt"]].concat());
        room.set(&BOUNDS, &[Controller::Memory]).unwrap();
        let written = files.map(|file| text(&directory, file).unwrap());
        assert_eq!(written, ["3145728", "5242880", "0", ""]);
        Entry { rooms: vec![room], bounds: BOUNDS }.enter().unwrap();
        assert_eq!(text(&directory, "tasks").unwrap(), "0");
    }

    #[test]
    fn swap_that_is_not_counted_is_no_reason_to_go_without() {
        let (directory, room) = room(Version::V2, &["memory.max"]);
        room.set(&BOUNDS, &[Controller::Memory]).unwrap();
        assert_eq!(text(&directory, "memory.swap.max"), None);
    }

    #[test]
    fn bound_that_cannot_be_set_makes_no_group() {
        let (_directory, room) = room(Version::V2, &["memory.max"]);
        assert!(room.set(&BOUNDS, &[Controller::Memory, Controller::Processes]).is_err());
    }

    #[test]
    fn only_a_kill_at_the_own_bound_counts() {
        for (counts, expected) in [
            ("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n31\n", true),
            ("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n31\n", false),
            ("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n0\n", false),
            ("low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n", true),
            ("low 0\nhigh 0\nmax 3\noom 0\noom_kill 1\noom_group_kill 0\n", false),
            ("", false),
        ] {
            assert_eq!(has_killed(counts), expected, "{counts:?}");
        }
    }

    #[test]
    fn program_within_its_limits_is_within_the_groups_bounds() {
        let (limits, bounds) = (Limits::default(), Bounds::of(&Limits::default()));
        assert!(bounds.programs > limits.resident && bounds.processes > limits.processes);
    }

    #[test]
    fn dead_graders_groups_are_swept_and_no_others() {
        let directory = tempfile::tempdir().unwrap();
        let place = |directory: &Path| Place {
            directory: directory.to_path_buf(),
            version: Version::V2,
            controllers: vec![Controller::Memory],
        };
        let own = format!("{}0", prefix(std::process::id()));
        let pid_used_again = format!("{PREFIX}{}-1-0", std::process::id());
        let gone = format!("{PREFIX}{}-5-3", u32::MAX);
        let names = [&own, &pid_used_again, &gone, "socklab-x", "other-1-1-1"];
        names.iter().for_each(|name| fs::create_dir(directory.path().join(name)).unwrap());
        sweep(&[place(directory.path())]);
        let left = names.map(|name| directory.path().join(name).exists());
        assert_eq!(left, [true, false, false, true, true]);
    }
}
