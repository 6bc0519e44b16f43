//! Where this process may make control groups: found in what the kernel says about its mounts and its own groups, never
//! at paths that are usual.

use std::fs;
use std::path::{Path, PathBuf};

/// The controllers that bound what we bound.
const CONTROLLERS: [Controller; 2] = [Controller::Memory, Controller::Processes];

/// What a control group can bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// Memory, the kernel's own for these processes included.
    Memory,
    /// Processes and threads.
    Processes,
}

impl Controller {
    /// Its name in the kernel.
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "pids",
        }
    }
}

/// The two interfaces of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Version {
    /// A hierarchy for each controller, or for some.
    V1,
    /// One hierarchy for all.
    V2,
}

/// A group below which others may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its directory.
    pub directory: PathBuf,
    /// Its interface.
    pub version: Version,
    /// What groups below it can bound.
    pub controllers: Vec<Controller>,
}

/// The places of this process, whether or not it may write there.
pub fn of_this_process() -> Vec<Place> {
    let text = |file: &str| fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    find(&text("mountinfo"), &text("cgroup"))
}

/// The places of a process whose `/proc/self/mountinfo` and `/proc/self/cgroup` these are.
fn find(mounts: &str, memberships: &str) -> Vec<Place> {
    let mounts: Vec<Mount> = mounts.lines().filter_map(mount).collect();
    let mut places: Vec<Place> = Vec::new();
    for controller in CONTROLLERS {
        let found = in_v1(&mounts, memberships, controller).map(|directory| (directory, Version::V1));
        let found = found.or_else(|| Some((in_v2(&mounts, memberships, controller)?, Version::V2)));
        let Some((directory, version)) = found else { continue };
        match places.iter_mut().find(|place| place.directory == directory) {
            Some(place) => place.controllers.push(controller),
            None => places.push(Place { directory, version, controllers: vec![controller] }),
        }
    }
    places
}

/// A mounted hierarchy.
struct Mount {
    /// The group that is visible at `point`.
    root: String,
    point: PathBuf,
    /// `cgroup` or `cgroup2`.
    kind: String,
    /// Of the file system, not of the mount: there a hierarchy of v1 names its controllers.
    options: String,
}

impl Mount {
    /// Where a group of this hierarchy is visible.
    fn directory(&self, group: &str) -> Option<PathBuf> {
        let below = Path::new(group).strip_prefix(&self.root).ok()?;
        // A group outside this process's namespace, or outside what is mounted.
        let outside = below.components().any(|part| part == std::path::Component::ParentDir);
        let directory = self.point.join(below);
        (!outside && directory.is_dir()).then(|| directory.components().collect())
    }
}

/// A line of mountinfo (see proc_pid_mountinfo(5)) that mounts control groups.
fn mount(line: &str) -> Option<Mount> {
    let (mounted, system) = line.split_once(" - ")?;
    let mut system = system.split(' ');
    let kind = system.next().filter(|kind| kind.starts_with("cgroup"))?.to_string();
    let options = system.nth(1)?.to_string();
    let mut mounted = mounted.split(' ').skip(3).map(unescaped);
    Some(Mount { root: mounted.next()?, point: mounted.next()?.into(), kind, options })
}

/// Mountinfo writes blanks, newlines and backslashes as three octal digits.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_string(), |text, (escape, plain)| text.replace(escape, plain))
}

/// The group of this process in a hierarchy, chosen by its number and its controllers.
fn membership(memberships: &str, chosen: impl Fn(&str, &str) -> bool) -> Option<&str> {
    memberships.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers) = (fields.next()?, fields.next()?);
        fields.next().filter(|_| chosen(number, controllers))
    })
}

fn lists(text: &str, separator: char, name: &str) -> bool {
    text.trim().split(separator).any(|word| word == name)
}

fn in_v1(mounts: &[Mount], memberships: &str, controller: Controller) -> Option<PathBuf> {
    let own = membership(memberships, |_, controllers| lists(controllers, ',', controller.name()))?;
    let hierarchies =
        mounts.iter().filter(|mount| mount.kind == "cgroup" && lists(&mount.options, ',', controller.name()));
    hierarchies.filter_map(|mount| mount.directory(own)).next()
}

/// In v2 a group whose groups have a controller holds no process itself (only the root is exempt). So it is either the
/// own group, where that is the root, or the one above it; that it hands the controller down is for whoever owns it to
/// decide: here nothing is enabled, and nobody moved.
fn in_v2(mounts: &[Mount], memberships: &str, controller: Controller) -> Option<PathBuf> {
    let own = membership(memberships, |number, controllers| number == "0" && controllers.is_empty())?;
    let hands_down = |directory: &Path| {
        let enabled = fs::read_to_string(directory.join("cgroup.subtree_control")).unwrap_or_default();
        lists(&enabled, ' ', controller.name())
    };
    mounts.iter().filter(|mount| mount.kind == "cgroup2").find_map(|mount| {
        let directory = mount.directory(own)?;
        let above = directory.parent().filter(|above| above.starts_with(&mount.point));
        let candidates = [Some(directory.as_path()), above];
        candidates.into_iter().flatten().find(|place| hands_down(place)).map(Path::to_path_buf)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of groups, and the words of the kernel about it.
    struct Tree {
        directory: tempfile::TempDir,
        mounts: String,
    }

    impl Tree {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let mounts =
                "24 1 0:22 / /proc rw,nosuid - proc proc rw\n31 23 0:28 / /sys rw - tmpfs tmpfs rw\n";
            Self { directory, mounts: mounts.into() }
        }

        fn path(&self, place: &str) -> PathBuf {
            self.directory.path().join(place)
        }

        /// Mounts the group `root` of a hierarchy at `place`.
        fn mount(&mut self, place: &str, root: &str, kind: &str, options: &str) {
            let point = self.path(place);
            fs::create_dir_all(&point).unwrap();
            let point = point.to_str().unwrap().replace(' ', "\\040");
            self.mounts +=
                &format!("32 31 0:29 {root} {point} rw,relatime shared:9 - {kind} {kind} {options}\n");
        }

        /// A group of v2 that hands these controllers down.
        fn group(&self, place: &str, enabled: &str) {
            fs::create_dir_all(self.path(place)).unwrap();
            fs::write(self.path(place).join("cgroup.subtree_control"), format!("{enabled}\n")).unwrap();
        }

        /// The places, with paths below the tree.
        fn find(&self, memberships: &str) -> Vec<(String, Version, Vec<Controller>)> {
            let short = |place: Place| {
                let below = place.directory.strip_prefix(self.directory.path()).unwrap();
                (below.to_str().unwrap().to_string(), place.version, place.controllers)
            };
            find(&self.mounts, memberships).into_iter().map(short).collect()
        }
    }

    const BOTH: [Controller; 2] = CONTROLLERS;

    #[test]
    fn v1_has_a_hierarchy_for_each_controller() {
        let mut tree = Tree::new();
        tree.mount("cpu", "/", "cgroup", "rw,cpu,cpuacct");
        tree.mount("of memory", "/", "cgroup", "rw,memory");
        tree.mount("pids", "/", "cgroup", "rw,pids");
        fs::create_dir(tree.path("of memory/session")).unwrap();
        let found = tree.find("9:name=systemd:/\n8:pids:/\n4:memory:/session\n2:cpu,cpuacct:/\n0::/\n");
        let own = |place: &str, controller| (place.to_string(), Version::V1, vec![controller]);
        assert_eq!(found, [own("of memory/session", Controller::Memory), own("pids", Controller::Processes)]);
    }

    #[test]
    fn v1_may_have_both_controllers_in_one_hierarchy() {
        let mut tree = Tree::new();
        tree.mount("both", "/", "cgroup", "rw,pids,memory");
        assert_eq!(tree.find("4:pids,memory:/\n"), [("both".to_string(), Version::V1, BOTH.to_vec())]);
    }

    #[test]
    fn container_sees_its_own_group_at_the_top() {
        let mut tree = Tree::new();
        tree.mount("memory", "/docker/4711", "cgroup", "rw,memory");
        let found = tree.find("4:memory:/docker/4711\n");
        assert_eq!(found, [("memory".to_string(), Version::V1, vec![Controller::Memory])]);
        assert_eq!(tree.find("4:memory:/docker/12\n"), []);
        assert_eq!(tree.find("4:memory:/docker/4711/../..\n"), []);
    }

    #[test]
    fn v2_has_a_place_where_controllers_are_handed_down() {
        let mut tree = Tree::new();
        tree.mount("", "/", "cgroup2", "rw,nsdelegate");
        tree.group("", "cpu memory pids");
        tree.group("user", "memory pids");
        tree.group("user/session", "");
        let place = |place: &str| vec![(place.to_string(), Version::V2, BOTH.to_vec())];
        assert_eq!(tree.find("0::/user/session\n"), place("user"), "beside the own group");
        assert_eq!(tree.find("0::/\n"), place(""), "the root may hold processes and hand down");
    }

    #[test]
    fn v2_has_no_place_where_nothing_is_handed_down() {
        let mut tree = Tree::new();
        tree.mount("", "/", "cgroup2", "rw");
        tree.group("", "memory pids");
        tree.group("user", "cpu memory.x");
        tree.group("user/session", "");
        assert_eq!(tree.find("0::/user/session\n"), [], "two levels up is not ours to use");
        tree.group("user", "pids");
        let found = tree.find("0::/user/session\n");
        assert_eq!(found, [("user".to_string(), Version::V2, vec![Controller::Processes])]);
    }

    #[test]
    fn nothing_above_what_is_mounted_is_a_place() {
        let mut tree = Tree::new();
        tree.mount("seen", "/user/session", "cgroup2", "rw");
        tree.group("", "memory pids");
        tree.group("seen", "");
        assert_eq!(tree.find("0::/user/session\n"), []);
    }

    #[test]
    fn hybrid_takes_each_controller_where_it_is() {
        let mut tree = Tree::new();
        tree.mount("unified", "/", "cgroup2", "rw");
        tree.mount("memory", "/", "cgroup", "rw,memory");
        tree.group("unified", "pids");
        let found = tree.find("4:memory:/\n0::/\n");
        let memory = ("memory".to_string(), Version::V1, vec![Controller::Memory]);
        assert_eq!(found, [memory, ("unified".to_string(), Version::V2, vec![Controller::Processes])]);
    }

    #[test]
    fn nonsense_is_no_place() {
        for (mounts, memberships) in [("", ""), ("- cgroup\n1 2 - cgroup2 x\n", "0::\n::\n:"), (" - ", "x")] {
            assert_eq!(find(mounts, memberships), []);
        }
    }
}
