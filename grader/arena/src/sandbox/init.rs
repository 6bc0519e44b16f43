//! What runs after the clone: init, and below it the program up to its exec. The arena may have several threads, one of
//! which may have held any lock at the moment of the clone: from here on nothing allocates and nothing locks; all that
//! is needed was prepared before.

use std::ffi::{CStr, CString};
use std::mem::zeroed;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr::{null, null_mut};

use libc::{c_char, c_int, c_ulong, pid_t};
use nix::errno::Errno;
use seccompiler::BpfProgram;

use super::landlock::Wall;
use super::plain;
use super::root::{Failed, Root, done};

/// Where init reports; gone at the program's exec.
const STATUS: RawFd = 3;
/// The program's end of the handshake; gone at its exec.
const HANDSHAKE: RawFd = 4;
/// The Landlock ruleset; gone at the exec.
const WALL: RawFd = 5;
/// What init holds open of `/proc` as long as it lives; gone at the exec.
pub const PROC: RawFd = 6;
/// The first descriptor that none of them has.
const FIRST_CLOSED: u32 = 7;

/// The first byte of what stands on the status pipe: a report, or what failed before the exec.
pub const REPORT: u8 = b'R';
/// See [`REPORT`].
pub const FAILURE: u8 = b'F';

/// Everything that init and the program need, prepared before the clone. The descriptors lie above all places to which
/// they are moved.
pub struct Prepared {
    /// Mounts that the root refers to by descriptor.
    pub trees: Vec<OwnedFd>,
    /// Contents of `uid_map` and `gid_map`, where there is a user namespace to fill.
    pub map: Option<&'static CStr>,
    /// The root, where there is a mount namespace.
    pub root: Option<Root>,
    /// Where the program begins, if there is no root of its own.
    pub directory: Option<CString>,
    /// The second wall.
    pub wall: Option<Wall>,
    /// What is executed, as it will be visible.
    pub executable: CString,
    /// `argv`, and the strings it points to.
    pub argv: Strings,
    /// `envp`.
    pub env: Strings,
    /// Descriptors 0, 1 and 2 of the program.
    pub stdio: [OwnedFd; 3],
    /// See [`STATUS`].
    pub status: OwnedFd,
    /// See [`HANDSHAKE`].
    pub handshake: OwnedFd,
    /// Readable once the arena knows of init; at its end when there is no arena any more.
    pub go: OwnedFd,
    /// The arena's end of `go`.
    pub go_writer: OwnedFd,
    /// Resource, soft and hard limit, in this order.
    pub limits: Vec<(u32, libc::rlimit)>,
    /// The capabilities that stay, as bits.
    pub capabilities: u64,
    /// The uid and gid to take (tier C under root).
    pub uid: Option<u32>,
    /// Signals to ignore.
    pub ignored_signals: Vec<i32>,
    /// The system-call filter.
    pub filter: BpfProgram,
    /// Whether init outlives the program until every orphan has ended.
    pub wait_for_orphans: bool,
}

/// Strings as exec wants them: pointers into `held`, and a null at the end.
pub struct Strings {
    pointers: Vec<*const c_char>,
    #[expect(dead_code, reason = "`pointers` point into it")]
    held: Vec<CString>,
}

impl Strings {
    /// Keeps the strings and the pointers to them.
    pub fn new(held: Vec<CString>) -> Self {
        let pointers = held.iter().map(|text| text.as_ptr()).chain([null()]).collect();
        Self { pointers, held }
    }
}

/// Init: steps 6 and 7 of the isolation, then the wait for the program and its orphans.
pub fn init(prepared: &Prepared) -> ! {
    // SAFETY: this is the only thread of a fresh process; every call below is a plain system call on descriptors and
    // memory that are ours, and none allocates.
    unsafe {
        // Without a pid namespace init must live to end the others.
        let alone = prepared.root.is_none();
        let last = if alone { libc::SIGTERM } else { libc::SIGKILL };
        libc::prctl(libc::PR_SET_PDEATHSIG, last as c_ulong);
        libc::close(prepared.go_writer.as_raw_fd());
        let mut byte = 0u8;
        if libc::read(prepared.go.as_raw_fd(), (&raw mut byte).cast(), 1) != 1 {
            libc::_exit(1);
        }
        reset_signals();
        place_descriptors(prepared);
        libc::umask(0o022);
        if let Err(failed) = enter(prepared) {
            fail(failed);
        }
        libc::syscall(libc::SYS_close_range, FIRST_CLOSED, u32::MAX, 0);
        if alone {
            block_for_reaping();
        }
        let program = libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as pid_t;
        if program == 0 {
            fail(run(prepared));
        }
        // Only now: before the fork it would have closed the program, too, to its recorder.
        libc::prctl(libc::PR_SET_DUMPABLE, 0 as c_ulong);
        if program < 0 {
            fail((c"fork", Errno::last()));
        }
        // Whoever reads the other ends must see them close when the program closes its own.
        for descriptor in [0, 1, 2, HANDSHAKE, WALL] {
            libc::close(descriptor);
        }
        if alone {
            plain::reap(program, prepared.wait_for_orphans, report)
        }
        reap(program, prepared.wait_for_orphans)
    }
}

/// Without a pid namespace init waits for two signals by turns; see [`plain::reap`].
unsafe fn block_for_reaping() {
    // SAFETY: a plain structure of this frame.
    unsafe {
        let mut signals: libc::sigset_t = zeroed();
        libc::sigaddset(&raw mut signals, libc::SIGCHLD);
        libc::sigaddset(&raw mut signals, libc::SIGTERM);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const signals, null_mut());
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1 as c_ulong);
    }
}

/// Handlers of the arena mean nothing here, nor does what it ignores or blocks.
unsafe fn reset_signals() {
    // SAFETY: the structures are plain and zeroed, which means SIG_DFL and an empty set. Signals that cannot be set
    // fail, and need not be.
    unsafe {
        let default: libc::sigaction = zeroed();
        for signal in 1..=64 {
            libc::sigaction(signal, &raw const default, null_mut());
        }
        let none: libc::sigset_t = zeroed();
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, null_mut());
    }
}

unsafe fn place_descriptors(prepared: &Prepared) {
    // SAFETY: all sources are open and lie above all places, so that none is overwritten before it is moved.
    unsafe {
        for (place, from) in prepared.stdio.iter().enumerate() {
            libc::dup2(from.as_raw_fd(), place as c_int);
        }
        libc::dup3(prepared.status.as_raw_fd(), STATUS, libc::O_CLOEXEC);
        libc::dup3(prepared.handshake.as_raw_fd(), HANDSHAKE, libc::O_CLOEXEC);
        if let Some(wall) = &prepared.wall {
            libc::dup3(wall.descriptor(), WALL, libc::O_CLOEXEC);
        }
        // The arena's, until the root puts something of its own there.
        libc::close(PROC);
        if prepared.trees.is_empty() {
            libc::syscall(libc::SYS_close_range, FIRST_CLOSED, u32::MAX, 0);
        }
    }
}

fn enter(prepared: &Prepared) -> Result<(), Failed> {
    if let Some(map) = prepared.map {
        write_file(c"/proc/self/setgroups", c"deny").map_err(|errno| (c"write setgroups", errno))?;
        write_file(c"/proc/self/uid_map", map).map_err(|errno| (c"write uid_map", errno))?;
        write_file(c"/proc/self/gid_map", map).map_err(|errno| (c"write gid_map", errno))?;
    }
    // When the machine runs out of memory, a program goes first. It must be said while /proc can be written.
    let _ = write_file(c"/proc/self/oom_score_adj", c"1000");
    if let Some(root) = &prepared.root {
        // SAFETY: a literal of that length.
        unsafe { libc::sethostname(c"lab".as_ptr(), 3) };
        root.mount(&prepared.trees)?;
    }
    if let Some(directory) = &prepared.directory {
        // SAFETY: a live C string.
        done(unsafe { libc::chdir(directory.as_ptr()) }).map_err(|errno| (c"chdir", errno))?;
    }
    Ok(())
}

/// The program, from its birth to its exec: steps 8, 9 and 12. It comes back only with what failed.
unsafe fn run(prepared: &Prepared) -> Failed {
    // SAFETY: as in `init`.
    unsafe {
        libc::setsid();
        let of_descriptors = |resource: u32| resource == libc::RLIMIT_NOFILE;
        if let Err(failed) = limit(prepared, |resource| !of_descriptors(resource)) {
            return failed;
        }
        if let Err(failed) = drop_privileges(prepared) {
            return failed;
        }
        if let Some(wall) = &prepared.wall {
            if let Err(failed) = wall.enforce(WALL) {
                return failed;
            }
        }
        // The wall opens what it lets through, which may be more than the program is to have room for.
        if let Err(failed) = limit(prepared, of_descriptors) {
            return failed;
        }
        let none: libc::sigset_t = zeroed();
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, null_mut());
        for signal in &prepared.ignored_signals {
            let mut ignore: libc::sigaction = zeroed();
            ignore.sa_sigaction = libc::SIG_IGN;
            libc::sigaction(*signal, &raw const ignore, null_mut());
        }
        // The credentials that travel with this byte tell the arena who we are.
        if libc::send(HANDSHAKE, c"r".as_ptr().cast(), 1, libc::MSG_NOSIGNAL) != 1 {
            libc::_exit(126);
        }
        let mut byte = 0u8;
        if libc::recv(HANDSHAKE, (&raw mut byte).cast(), 1, 0) != 1 {
            libc::_exit(126);
        }
        libc::close(HANDSHAKE);
        if let Err(errno) = install(&prepared.filter) {
            return (c"seccomp", errno);
        }
        libc::execve(
            prepared.executable.as_ptr(),
            prepared.argv.pointers.as_ptr(),
            prepared.env.pointers.as_ptr(),
        );
        (c"execve", Errno::last())
    }
}

fn limit(prepared: &Prepared, chosen: impl Fn(u32) -> bool) -> Result<(), Failed> {
    for (resource, limit) in prepared.limits.iter().filter(|(resource, _)| chosen(*resource)) {
        // SAFETY: `limit` is a live structure.
        done(unsafe { libc::setrlimit(*resource as _, limit) }).map_err(|errno| (c"setrlimit", errno))?;
    }
    Ok(())
}

/// Takes the uid, gives up every capability but those of `prepared`, and the way back to more.
unsafe fn drop_privileges(prepared: &Prepared) -> Result<(), Failed> {
    const LAST_CAPABILITY: u64 = 63;
    let keep = prepared.capabilities;
    // SAFETY: as in `init`. The uid is taken by the bare call, since the C library's would ask its other threads,
    // which do not exist here.
    unsafe {
        for capability in (0..=LAST_CAPABILITY).filter(|capability| keep & (1 << capability) == 0) {
            // Fails from the last one that the kernel knows on, and where there is nothing to drop.
            libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
        }
        if let Some(uid) = prepared.uid {
            libc::prctl(libc::PR_SET_KEEPCAPS, 1 as c_ulong);
            done(libc::syscall(libc::SYS_setgroups, 0, null::<u32>()) as c_int)
                .map_err(|e| (c"setgroups", e))?;
            done(libc::syscall(libc::SYS_setresgid, uid, uid, uid) as c_int)
                .map_err(|e| (c"setresgid", e))?;
            done(libc::syscall(libc::SYS_setresuid, uid, uid, uid) as c_int)
                .map_err(|e| (c"setresuid", e))?;
            // The change of uid wiped both; the recorder reads a program's memory only where it may be dumped.
            libc::prctl(libc::PR_SET_DUMPABLE, 1 as c_ulong);
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong);
        }
        set_capabilities(keep).map_err(|errno| (c"capset", errno))?;
        for capability in (0..=LAST_CAPABILITY).filter(|capability| keep & (1 << capability) != 0) {
            libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as c_ulong, capability, 0, 0);
        }
        done(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as c_ulong, 0 as c_ulong, 0 as c_ulong, 0 as c_ulong))
            .map_err(|errno| (c"no_new_privs", errno))
    }
}

unsafe fn set_capabilities(keep: u64) -> Result<(), Errno> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: c_int,
    }
    #[repr(C)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let header = Header { version: VERSION_3, pid: 0 };
    let half = |bits: u64| Data { effective: bits as u32, permitted: bits as u32, inheritable: bits as u32 };
    let data = [half(keep & 0xffff_ffff), half(keep >> 32)];
    // SAFETY: the structures are those of capset(2), version 3, and live through the call.
    done(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) as c_int })
}

unsafe fn install(filter: &BpfProgram) -> Result<(), Errno> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut().cast() };
    // SAFETY: `program` describes the live slice `filter`, whose elements have the layout of `sock_filter`.
    done(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) as c_int
    })
}

/// Waits for the program, reports how it ended, and ends: the kernel then kills whatever is left in the namespace.
unsafe fn reap(program: pid_t, wait_for_orphans: bool) -> ! {
    // SAFETY: plain system calls on memory of this frame.
    unsafe {
        loop {
            let mut status = 0;
            let mut usage: libc::rusage = zeroed();
            let pid = libc::wait4(-1, &raw mut status, libc::__WALL, &raw mut usage);
            if pid < 0 && Errno::last() == Errno::EINTR {
                continue;
            }
            if pid == program {
                report(status, &usage);
            }
            if pid < 0 || (pid == program && !wait_for_orphans) {
                libc::_exit(0);
            }
        }
    }
}

/// The report as bytes: [`REPORT`], then status, user and system time in microseconds and resident KiB, as 64-bit
/// numbers.
fn report(status: c_int, usage: &libc::rusage) {
    let micros = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
    let numbers = [i64::from(status), micros(usage.ru_utime), micros(usage.ru_stime), usage.ru_maxrss];
    let mut bytes = [0u8; 33];
    bytes[0] = REPORT;
    for (place, number) in bytes[1..].chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_ne_bytes());
    }
    // SAFETY: a live buffer. A report that cannot be written is one that is missing: the arena knows what that means.
    unsafe { libc::write(STATUS, bytes.as_ptr().cast(), bytes.len()) };
}

/// Says what failed, on the status pipe, and ends.
fn fail((name, errno): Failed) -> ! {
    let mut bytes = [0u8; 64];
    bytes[0] = FAILURE;
    bytes[1..5].copy_from_slice(&(errno as i32).to_ne_bytes());
    let name = name.to_bytes();
    let length = name.len().min(bytes.len() - 5);
    bytes[5..5 + length].copy_from_slice(&name[..length]);
    // SAFETY: a live buffer of at least that length.
    unsafe {
        libc::write(STATUS, bytes.as_ptr().cast(), 5 + length);
        libc::_exit(126)
    }
}

fn write_file(path: &CStr, text: &CStr) -> Result<(), Errno> {
    // SAFETY: C strings that live through the calls; the descriptor is closed again.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        done(file)?;
        let written = done(libc::write(file, text.as_ptr().cast(), text.count_bytes()) as c_int);
        libc::close(file);
        written
    }
}
