//! The minimal, read-only root of a program: what stands in it is listed before the clone, where memory may be
//! allocated, and mounted after it by plain system calls.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};

use libc::c_int;
use nix::errno::Errno;

use super::Plan;
use super::init::PROC;
use super::tree::Place;
use crate::sandbox::Tier;
use crate::verdict::Breakdown;

/// Where the old root hangs while the new one is furnished.
const OLD: &str = "/old";

/// The program's own place, where it lies nowhere that the root shows anyway.
const PROGRAMS: &str = "/lab";

/// Attributes of everything that is bound from outside.
const BOUND: u64 = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID;

/// One step of furnishing the new root; every path is absolute within it.
enum Step {
    Directory(CString),
    File(CString, Vec<u8>),
    Link {
        to: CString,
        at: CString,
    },
    Bind {
        from: CString,
        at: CString,
        attributes: u64,
    },
    /// A mount that the arena brought with it, by its place among the trees.
    Tree {
        index: usize,
        at: CString,
        attributes: u64,
    },
    Tmpfs {
        at: CString,
        options: CString,
    },
    Proc,
}

/// The listed root.
pub struct Root {
    steps: Vec<Step>,
    /// What is bound so far, with all that lies below.
    shown: Vec<PathBuf>,
    /// Where the program begins.
    directory: CString,
    /// The executable's path within it.
    pub executable: CString,
}

/// A step that failed, for the report: its name and the system's reason.
pub type Failed = (&'static CStr, Errno);

impl Root {
    /// Lists what the root of `plan` shows.
    pub fn list(plan: &Plan, place: &Place) -> Result<Self, Breakdown> {
        let (directory, executable) = (c"/tmp".to_owned(), CString::default());
        let mut root = Self { steps: Vec::new(), shown: Vec::new(), directory, executable };
        let listed = root.list_all(plan, place);
        let next = "check that the path exists and that everybody may read it";
        listed
            .map_err(|error| Breakdown::new(format!("cannot lay out the program's files: {error}"), next))?;
        Ok(root)
    }

    fn list_all(&mut self, plan: &Plan, place: &Place) -> io::Result<()> {
        self.list_system()?;
        self.list_etc(plan)?;
        self.list_devices()?;
        self.directory("/proc")?;
        match plan.arena.tier {
            Tier::A => self.steps.push(Step::Proc),
            // The dynamic linker and rustc's own tools find what belongs to them by /proc/self/exe. What this shows of
            // other processes is what everybody may read.
            _ if place.directory.is_some() => self.bind(Path::new("/proc"), Path::new("/proc"))?,
            _ => {}
        }
        self.directory("/tmp")?;
        self.steps
            .push(Step::Tmpfs { at: text("/tmp")?, options: text("mode=1777,size=16m,nr_inodes=4096")? });
        for path in plan.readable.iter().chain(&place.directory) {
            match place.trees.iter().position(|(tree, _)| tree == path) {
                Some(index) => self.tree(index, path, BOUND | libc::MOUNT_ATTR_NODEV)?,
                None => self.bind(path, path)?,
            }
        }
        if let Some(directory) = &place.directory {
            self.directory = text(directory)?;
        }
        let program = std::path::absolute(&plan.program)?;
        let executable = if self.shows(&program) {
            program.clone()
        } else {
            let at = Path::new(PROGRAMS).join(program.file_name().unwrap_or_default());
            self.bind(&program, &at)?;
            at
        };
        if let Some(path) = &place.writable {
            let attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
            match place.trees.iter().position(|(tree, _)| tree == path) {
                Some(index) => self.tree(index, path, attributes)?,
                None => self.bind_as(path, path, attributes)?,
            }
        }
        self.executable = text(&executable)?;
        Ok(())
    }

    /// `/usr`, and `/bin`, `/lib` and their like as links into it or as directories, as on this machine.
    fn list_system(&mut self) -> io::Result<()> {
        self.bind(Path::new("/usr"), Path::new("/usr"))?;
        for name in ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"] {
            let Ok(meta) = fs::symlink_metadata(name) else { continue };
            if meta.is_symlink() {
                let to = text(&fs::read_link(name)?)?;
                self.steps.push(Step::Link { to, at: text(name)? });
            } else {
                self.bind(Path::new(name), Path::new(name))?;
            }
        }
        Ok(())
    }

    fn list_etc(&mut self, plan: &Plan) -> io::Result<()> {
        self.directory("/etc")?;
        let mut hosts = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost\n");
        for (address, name) in &plan.names {
            hosts += &format!("{address} {name}\n");
        }
        let user = if plan.net_raw { "root:x:0:0" } else { "student:x:1000:1000" };
        let group = if plan.net_raw { "root:x:0:" } else { "student:x:1000:" };
        for (name, content) in [
            ("/etc/hosts", hosts),
            (
                "/etc/passwd",
                format!("{user}::/tmp:/bin/sh\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n"),
            ),
            ("/etc/group", format!("{group}\nnogroup:x:65534:\n")),
            ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\nservices: files\n".into()),
            ("/etc/host.conf", "multi on\n".into()),
            ("/etc/resolv.conf", String::new()),
            ("/etc/services", "echo 7/tcp\necho 7/udp\nhttp 80/tcp\n".into()),
            (
                "/etc/protocols",
                "ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6-icmp 58 IPv6-ICMP\n".into(),
            ),
        ] {
            self.steps.push(Step::File(text(name)?, content.into_bytes()));
        }
        for name in ["/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime"] {
            if Path::new(name).exists() {
                self.bind(Path::new(name), Path::new(name))?;
            }
        }
        for directory in settings_of_languages() {
            self.bind(&directory, &directory)?;
        }
        Ok(())
    }

    fn list_devices(&mut self) -> io::Result<()> {
        self.directory("/dev")?;
        for name in ["null", "zero", "full", "random", "urandom"] {
            let path = Path::new("/dev").join(name);
            self.bind(&path, &path)?;
        }
        for (at, to) in [
            ("/dev/fd", "/proc/self/fd"),
            ("/dev/stdin", "/proc/self/fd/0"),
            ("/dev/stdout", "/proc/self/fd/1"),
            ("/dev/stderr", "/proc/self/fd/2"),
            // Python's multiprocessing wants semaphores there.
            ("/dev/shm", "../tmp"),
        ] {
            self.steps.push(Step::Link { to: text(to)?, at: text(at)? });
        }
        Ok(())
    }

    fn directory(&mut self, path: impl AsRef<Path>) -> io::Result<()> {
        self.steps.push(Step::Directory(text(path.as_ref())?));
        Ok(())
    }

    fn shows(&self, path: &Path) -> bool {
        self.shown.iter().any(|shown| path.starts_with(shown))
    }

    /// Shows `from` at `at`, read-only, unless it is in view already.
    fn bind(&mut self, from: &Path, at: &Path) -> io::Result<()> {
        if self.shows(at) { Ok(()) } else { self.bind_as(from, at, BOUND | libc::MOUNT_ATTR_NODEV) }
    }

    /// A link is followed now: an absolute one would lead astray once the root has changed.
    fn bind_as(&mut self, from: &Path, at: &Path, attributes: u64) -> io::Result<()> {
        let because = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", from.display()));
        let real = fs::canonicalize(from).map_err(because)?;
        let kind = fs::metadata(&real).map_err(because)?.file_type();
        self.prepare_place(at, kind.is_dir())?;
        let mut old = PathBuf::from(OLD);
        old.extend(real.components().skip(1));
        let attributes =
            if kind.is_char_device() { attributes & !libc::MOUNT_ATTR_NODEV } else { attributes };
        self.steps.push(Step::Bind { from: text(&old)?, at: text(at)?, attributes });
        Ok(())
    }

    /// Shows a directory that the arena brought with it.
    fn tree(&mut self, index: usize, at: &Path, attributes: u64) -> io::Result<()> {
        self.prepare_place(at, true)?;
        self.steps.push(Step::Tree { index, at: text(at)?, attributes });
        Ok(())
    }

    fn prepare_place(&mut self, at: &Path, directory: bool) -> io::Result<()> {
        if !at.is_absolute() || at.components().any(|part| part == Component::ParentDir) {
            return Err(io::Error::other(format!("{} is not a plain absolute path", at.display())));
        }
        let mut parents: Vec<&Path> = at.ancestors().skip(1).collect();
        parents.pop();
        for parent in parents.into_iter().rev() {
            self.directory(parent)?;
        }
        if directory {
            self.directory(at)?;
        } else {
            self.steps.push(Step::File(text(at)?, Vec::new()));
        }
        self.shown.push(at.to_path_buf());
        Ok(())
    }

    /// Furnishes the root and goes there. Runs in init, in a mount namespace of its own, without allocating.
    pub fn mount(&self, trees: &[OwnedFd]) -> Result<(), Failed> {
        mount(c"none", c"/", None, libc::MS_REC | libc::MS_PRIVATE, None)
            .map_err(|errno| (c"mount / private", errno))?;
        // Any directory will do; what is in it comes back into view as soon as the new root has become /.
        let options = Some(c"mode=0755,size=1m,nr_inodes=1024");
        mount(c"root", c"/tmp", Some(c"tmpfs"), libc::MS_NOSUID, options)
            .map_err(|errno| (c"mount tmpfs", errno))?;
        done(
            // SAFETY: both paths are literals; the calls touch no memory of ours.
            unsafe {
                if libc::mkdir(c"/tmp/old".as_ptr(), 0o700) < 0 {
                    -1
                } else {
                    libc::syscall(libc::SYS_pivot_root, c"/tmp".as_ptr(), c"/tmp/old".as_ptr()) as c_int
                }
            },
        )
        .map_err(|errno| (c"pivot_root", errno))?;
        // SAFETY: a literal path.
        done(unsafe { libc::chdir(c"/".as_ptr()) }).map_err(|errno| (c"chdir /", errno))?;
        for step in &self.steps {
            step.take(trees)?;
        }
        // SAFETY: literal paths.
        done(unsafe { libc::umount2(c"/old".as_ptr(), libc::MNT_DETACH) })
            .map_err(|errno| (c"umount /old", errno))?;
        // SAFETY: as above.
        done(unsafe { libc::rmdir(c"/old".as_ptr()) }).map_err(|errno| (c"rmdir /old", errno))?;
        attributes(c"/", BOUND | libc::MOUNT_ATTR_NODEV, 0).map_err(|errno| (c"make / read-only", errno))?;
        // SAFETY: a C string that lives as long as this root.
        done(unsafe { libc::chdir(self.directory.as_ptr()) }).map_err(|errno| (c"chdir", errno))
    }
}

impl Step {
    fn take(&self, trees: &[OwnedFd]) -> Result<(), Failed> {
        match self {
            Self::Directory(path) => {
                // SAFETY: `path` is a C string that lives as long as the step.
                match done(unsafe { libc::mkdir(path.as_ptr(), 0o755) }) {
                    Err(Errno::EEXIST) => Ok(()),
                    made => made.map_err(|errno| (c"mkdir", errno)),
                }
            }
            Self::File(path, content) => write(path, content).map_err(|errno| (c"write a file", errno)),
            Self::Link { to, at } => {
                // SAFETY: C strings that live as long as the step.
                done(unsafe { libc::symlink(to.as_ptr(), at.as_ptr()) }).map_err(|errno| (c"symlink", errno))
            }
            Self::Bind { from, at, attributes: set } => {
                mount(from, at, None, libc::MS_BIND | libc::MS_REC, None)
                    .map_err(|errno| (c"bind", errno))?;
                attributes(at, *set, libc::AT_RECURSIVE).map_err(|errno| (c"make a bind read-only", errno))
            }
            Self::Tree { index, at, attributes: set } => {
                move_mount(&trees[*index], at).map_err(|errno| (c"move a mount", errno))?;
                attributes(at, *set, libc::AT_RECURSIVE).map_err(|errno| (c"make a mount read-only", errno))
            }
            Self::Tmpfs { at, options } => {
                let flags = libc::MS_NOSUID | libc::MS_NODEV;
                mount(c"tmp", at, Some(c"tmpfs"), flags, Some(options))
                    .map_err(|errno| (c"mount /tmp", errno))
            }
            Self::Proc => mount_proc().map_err(|errno| (c"mount /proc", errno)),
        }
    }
}

/// Mounts a `/proc` in which processes are to be seen and nothing of the machine, and besides them `/proc/net`: the link
/// to `self/net`, where the addresses of a process's own network stand. Java asks there whether there is IPv6 at all.
///
/// With `subset=pid` the kernel finds no name any more that is not a process's; but it keeps those that it knows and that
/// are in use. So the link is looked up first, and init holds it open as long as the program lives.
fn mount_proc() -> Result<(), Errno> {
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_RDONLY;
    let pids = Some(c"subset=pid");
    if mount(c"proc", c"/proc", Some(c"proc"), flags, None).is_err() {
        // A kernel may refuse the whole of it where it grants this part; then there is no such link.
        return mount(c"proc", c"/proc", Some(c"proc"), flags, pids);
    }
    // SAFETY: a literal path, and a place that nothing else has. Where there is no such link, there is none to be shown.
    unsafe {
        let link = libc::open(c"/proc/net".as_ptr(), libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC);
        if link != PROC {
            libc::dup3(link, PROC, libc::O_CLOEXEC);
            libc::close(link);
        }
    }
    mount(c"proc", c"/proc", None, flags | libc::MS_REMOUNT, pids)?;
    // SAFETY: a literal path. A kernel that does not know the option, or does not take it now, must not go unnoticed.
    match done(unsafe { libc::access(c"/proc/sys".as_ptr(), libc::F_OK) }) {
        Ok(()) => Err(Errno::ENOTSUP),
        Err(_) => Ok(()),
    }
}

fn write(path: &CStr, content: &[u8]) -> Result<(), Errno> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    // SAFETY: `path` is a C string and `content` a live slice; the descriptor is closed below.
    unsafe {
        let file = libc::open(path.as_ptr(), flags, 0o644);
        done(file)?;
        let written = libc::write(file, content.as_ptr().cast(), content.len());
        let result = done(written as c_int);
        libc::close(file);
        result
    }
}

fn mount(
    from: &CStr,
    at: &CStr,
    kind: Option<&CStr>,
    flags: u64,
    options: Option<&CStr>,
) -> Result<(), Errno> {
    let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: every pointer is null or a live C string.
    done(unsafe { libc::mount(from.as_ptr(), at.as_ptr(), pointer(kind), flags, pointer(options).cast()) })
}

fn move_mount(tree: &OwnedFd, at: &CStr) -> Result<(), Errno> {
    // SAFETY: both paths are live C strings.
    done(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            at.as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH,
        ) as c_int
    })
}

fn attributes(at: &CStr, set: u64, flags: c_int) -> Result<(), Errno> {
    // SAFETY: all zeroes is a valid value of this plain structure.
    let mut attributes: libc::mount_attr = unsafe { std::mem::zeroed() };
    attributes.attr_set = set;
    // SAFETY: `at` and `attributes` live through the call, and the size is that of the structure.
    done(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            at.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        ) as c_int
    })
}

/// The directories of `/etc` that hold settings without which a language's runtime does not start, or lacks its own
/// modules: Java and PHP only link to them from `/usr`. Nothing else of `/etc` is shown, so each is named.
pub fn settings_of_languages() -> Vec<PathBuf> {
    const LANGUAGES: [&str; 8] = [
        "java-8-openjdk",
        "java-11-openjdk",
        "java-17-openjdk",
        "java-21-openjdk",
        "java-25-openjdk",
        "mono",
        "perl",
        "php",
    ];
    let present = LANGUAGES.iter().map(|name| Path::new("/etc").join(name)).filter(|path| path.is_dir());
    present.collect()
}

/// The result of a call that returns -1 where it fails.
pub fn done(result: c_int) -> Result<(), Errno> {
    if result < 0 { Err(Errno::last()) } else { Ok(()) }
}

fn text(path: impl AsRef<Path>) -> io::Result<CString> {
    CString::new(path.as_ref().as_os_str().as_bytes()).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{} holds a NUL", path.as_ref().display()))
    })
}
