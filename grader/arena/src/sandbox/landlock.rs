//! Landlock: a second wall within the minimal root, and the only wall around files where there are no namespaces. Its
//! scopes also keep a program's signals and abstract sockets among its own processes.
//!
//! A kernel without it leaves this wall out; the report of the machine says so where it is the only one.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreated,
    Scope,
};
use libc::{c_int, c_long};
use nix::errno::Errno;

use super::root::{Failed, done};
use crate::verdict::Breakdown;

/// The newest version whose rights this code knows.
const NEWEST: ABI = ABI::V7;
const CREATE_RULESET_VERSION: c_int = 1;
const RULE_PATH_BENEATH: c_int = 1;

/// What is allowed below a path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading and executing.
    Read,
    /// Reading, and writing to what is there.
    Device,
    /// Everything.
    Write,
}

/// A ruleset that lacks its rules: they name paths as the program will see them.
pub struct Wall {
    ruleset: OwnedFd,
    rules: Vec<(CString, u64)>,
}

/// The arguments of landlock_add_rule(2) for a path.
#[repr(C, packed)]
struct PathBeneath {
    allowed_access: u64,
    parent: RawFd,
}

/// Prepares the wall; `None` where the kernel has no Landlock. Paths that are not directories must be visible now.
pub fn prepare(paths: &[(PathBuf, Access)]) -> Result<Option<Wall>, Breakdown> {
    let Some(handled) = handled() else { return Ok(None) };
    let failed = |error: landlock::RulesetError| Breakdown::system("cannot prepare Landlock", error);
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(handled)
        .and_then(|ruleset| ruleset.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create);
    let ruleset: RulesetCreated = ruleset.map_err(failed)?;
    let Some(ruleset) = Option::<OwnedFd>::from(ruleset) else { return Ok(None) };
    let rules = paths.iter().filter_map(|(path, access)| {
        let mut allowed = allowed(*access) & handled;
        if path.exists() && !path.is_dir() {
            allowed &= AccessFs::from_file(NEWEST);
        }
        Some((CString::new(path.as_os_str().as_bytes()).ok()?, allowed.bits()))
    });
    Ok(Some(Wall { ruleset, rules: rules.collect() }))
}

/// The rights that this kernel knows.
fn handled() -> Option<BitFlags<AccessFs>> {
    let version = version().min(NEWEST as c_long);
    (version > 0).then(|| AccessFs::from_all(ABI::from(version as i32)))
}

/// The version of Landlock that this kernel has: 0 without it, 6 and more with scopes for signals and abstract sockets.
pub fn version() -> c_long {
    // SAFETY: with this flag the call takes no memory and returns a number.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, CREATE_RULESET_VERSION)
    };
    version.max(0)
}

fn allowed(access: Access) -> BitFlags<AccessFs> {
    match access {
        Access::Read => AccessFs::from_read(NEWEST),
        Access::Device => {
            AccessFs::from_read(NEWEST) | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev
        }
        Access::Write => AccessFs::from_all(NEWEST),
    }
}

impl Wall {
    /// The same, with its ruleset on another descriptor.
    pub fn moved(self, to: impl FnOnce(OwnedFd) -> Result<OwnedFd, Breakdown>) -> Result<Self, Breakdown> {
        Ok(Self { ruleset: to(self.ruleset)?, rules: self.rules })
    }

    /// The ruleset's descriptor.
    pub fn descriptor(&self) -> RawFd {
        self.ruleset.as_raw_fd()
    }

    /// Puts the calling process behind the wall. `ruleset` is where its descriptor is by now. Does not allocate. A path
    /// that is not there needs no rule.
    pub fn enforce(&self, ruleset: RawFd) -> Result<(), Failed> {
        for (path, allowed) in &self.rules {
            // SAFETY: `path` is a live C string.
            let parent = unsafe { libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
            if parent < 0 {
                continue;
            }
            let rule = PathBeneath { allowed_access: *allowed, parent };
            // SAFETY: `rule` has the layout that this type of rule has and lives through the call; `parent` is ours.
            let added = unsafe {
                let added = libc::syscall(
                    libc::SYS_landlock_add_rule,
                    ruleset,
                    RULE_PATH_BENEATH,
                    &raw const rule,
                    0,
                );
                libc::close(parent);
                added
            };
            done(added as c_int).map_err(|errno| (c"landlock_add_rule", errno))?;
        }
        // SAFETY: no memory is passed.
        let restricted = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0) };
        done(restricted as c_int).map_err(|errno: Errno| (c"landlock_restrict_self", errno))
    }
}

/// What a program may reach where it has the machine's own root before it; `settings`: those that name users, hosts and
/// services, too.
pub fn of_the_machine(
    program: &Path,
    readable: &[PathBuf],
    writable: &[PathBuf],
    settings: bool,
) -> Vec<(PathBuf, Access)> {
    const SYSTEM: [&str; 9] = [
        "/usr",
        "/bin",
        "/sbin",
        "/lib",
        "/lib32",
        "/lib64",
        "/proc",
        "/etc/alternatives",
        "/etc/ld.so.cache",
    ];
    const SETTINGS: [&str; 9] = [
        "/etc/group",
        "/etc/host.conf",
        "/etc/hosts",
        "/etc/localtime",
        "/etc/nsswitch.conf",
        "/etc/passwd",
        "/etc/protocols",
        "/etc/resolv.conf",
        "/etc/services",
    ];
    const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
    let settings =
        settings.then(|| SETTINGS.iter().map(PathBuf::from).chain(super::root::settings_of_languages()));
    let system = SYSTEM.iter().map(PathBuf::from).chain(settings.into_iter().flatten());
    let system = system.map(|path| (path, Access::Read));
    let devices = DEVICES.iter().map(|path| (PathBuf::from(path), Access::Device));
    let readable = readable.iter().map(PathBuf::as_path).chain([program]);
    let readable = readable.map(|path| (path.to_path_buf(), Access::Read));
    let writable = writable.iter().map(|path| (path.clone(), Access::Write));
    system.chain(devices).chain(readable).chain(writable).collect()
}

/// What a program may reach within the minimal root: all of it, most of it only for reading.
pub fn of_the_root(writable: &[PathBuf]) -> Vec<(PathBuf, Access)> {
    let own = [("/", Access::Read), ("/dev", Access::Device), ("/tmp", Access::Write)];
    let own = own.into_iter().map(|(path, access)| (PathBuf::from(path), access));
    own.chain(writable.iter().map(|path| (path.clone(), Access::Write))).collect()
}
