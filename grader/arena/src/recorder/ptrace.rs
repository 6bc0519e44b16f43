//! The few ptrace(2) and wait(2) calls that the recorder is made of, with their stops in one enum.
//!
//! Requests to a thread that was killed meanwhile fail with ESRCH; its death is reported by wait like any other, so
//! callers let such failures pass.

use std::io;

use libc::{c_int, c_long, c_void, pid_t};

/// What a tracee, or a child of the recorder's thread, reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// At the entry of a recorded call: the filter's RET_TRACE.
    Entry,
    /// At the exit of a call, because it was resumed with [`resume_to_exit`].
    Leave,
    /// A child process or thread was born; its id as this thread sees it.
    Born(pid_t),
    /// A new program was loaded; the thread's id before (another one where a thread that did not lead called exec).
    Loaded(pid_t),
    /// About to end with this raw status; memory and descriptors are still there.
    Ending(i32),
    /// Stopped with its whole process by a stop signal.
    Halted(i32),
    /// Just attached, interrupted, or woken from a group stop.
    Trap,
    /// A signal is about to be delivered.
    Signal(i32),
    /// Gone, with this raw wait status. It has been reaped.
    Gone(i32),
}

const OPTIONS: c_int = libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACEEXIT
    | libc::PTRACE_O_TRACESECCOMP
    | libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_EXITKILL;

/// Reports the next thing that happened to any tracee or child of this thread, or `None` when there is nothing.
pub fn poll() -> Option<(pid_t, Stop)> {
    poll_for(-1)
}

/// Reports what happened to one tracee, or `None` when there is nothing yet.
pub fn poll_one(pid: pid_t) -> Option<Stop> {
    poll_for(pid).map(|(_, stop)| stop)
}

fn poll_for(which: pid_t) -> Option<(pid_t, Stop)> {
    loop {
        let mut status: c_int = 0;
        let options = libc::__WALL | libc::__WNOTHREAD | libc::WNOHANG;
        // SAFETY: `status` is a valid place for the kernel to write one int.
        let pid = unsafe { libc::waitpid(which, &raw mut status, options) };
        match pid {
            0 => return None,
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            -1 => return None,
            _ => {
                if let Some(stop) = understand(pid, status) {
                    return Some((pid, stop));
                }
            }
        }
    }
}

fn understand(pid: pid_t, status: c_int) -> Option<Stop> {
    if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
        return Some(Stop::Gone(status));
    }
    let signal = libc::WSTOPSIG(status);
    Some(match status >> 16 {
        libc::PTRACE_EVENT_SECCOMP => Stop::Entry,
        libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
            Stop::Born(pid_t::try_from(message(pid)?).unwrap_or(0))
        }
        libc::PTRACE_EVENT_EXEC => Stop::Loaded(pid_t::try_from(message(pid)?).unwrap_or(pid)),
        libc::PTRACE_EVENT_EXIT => Stop::Ending(message(pid).map_or(0, |status| (status & 0xffff) as i32)),
        libc::PTRACE_EVENT_STOP if signal == libc::SIGTRAP => Stop::Trap,
        libc::PTRACE_EVENT_STOP => Stop::Halted(signal),
        _ if signal == libc::SIGTRAP | 0x80 => Stop::Leave,
        _ => Stop::Signal(signal),
    })
}

fn request(request: libc::c_uint, pid: pid_t, address: usize, data: usize) -> io::Result<c_long> {
    // SAFETY: callers pass, for each request, an address and data of the kind ptrace(2) asks for: integers, or
    // pointers to live values of the right type that outlast the call.
    let result = unsafe { libc::ptrace(request, pid, address as *mut c_void, data as *mut c_void) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Attaches to a thread without stopping it; it dies with this thread.
pub fn seize(pid: pid_t) -> io::Result<()> {
    request(libc::PTRACE_SEIZE, pid, 0, OPTIONS as usize).map(drop)
}

/// Whether ptrace is permitted at all: a filter or an LSM that forbids it answers before the pid is looked at.
pub fn permitted() -> bool {
    // ESRCH is the right answer for a pid that cannot exist.
    let answer = request(libc::PTRACE_SEIZE, pid_t::MAX, 0, OPTIONS as usize);
    let allowed = answer.is_err_and(|error| error.raw_os_error() == Some(libc::ESRCH));
    // Yama's scope 3 forbids every attach, and says so only when there is somebody to attach to.
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    allowed && scope.trim() != "3"
}

/// Lets a stopped thread run on, with a signal to deliver or 0.
pub fn resume(pid: pid_t, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_CONT, pid, 0, signal as usize).map(drop)
}

/// Lets a stopped thread run to the exit of its call.
pub fn resume_to_exit(pid: pid_t, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_SYSCALL, pid, 0, signal as usize).map(drop)
}

/// Lets a thread in a group stop stay stopped, and wake by SIGCONT as it would without a tracer.
pub fn listen(pid: pid_t) -> io::Result<()> {
    request(libc::PTRACE_LISTEN, pid, 0, 0).map(drop)
}

/// Lets a stopped thread run one instruction, with a signal to deliver or 0.
pub fn step(pid: pid_t, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_SINGLESTEP, pid, 0, signal as usize).map(drop)
}

/// Asks a running thread to stop with [`Stop::Trap`].
pub fn interrupt(pid: pid_t) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT, pid, 0, 0).map(drop)
}

fn message(pid: pid_t) -> Option<u64> {
    let mut message: libc::c_ulong = 0;
    request(libc::PTRACE_GETEVENTMSG, pid, 0, (&raw mut message).addr()).ok()?;
    Some(message)
}

/// The siginfo of the signal that is about to be delivered.
pub fn signal_information(pid: pid_t) -> Option<libc::siginfo_t> {
    // SAFETY: siginfo_t is plain data, valid as zeros.
    let mut information: libc::siginfo_t = unsafe { std::mem::zeroed() };
    request(libc::PTRACE_GETSIGINFO, pid, 0, (&raw mut information).addr()).ok()?;
    Some(information)
}

/// The number and arguments of a call at its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The system-call number.
    pub number: i64,
    /// Its six arguments.
    pub arguments: [u64; 6],
    /// Where the thread will go on.
    pub instruction: u64,
}

fn syscall_information(pid: pid_t) -> Option<libc::ptrace_syscall_info> {
    // SAFETY: ptrace_syscall_info is plain data, valid as zeros.
    let mut information: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::ptrace_syscall_info>();
    request(libc::PTRACE_GET_SYSCALL_INFO, pid, size, (&raw mut information).addr()).ok()?;
    Some(information)
}

/// The call at whose entry a thread stands.
pub fn entry(pid: pid_t) -> Option<Entry> {
    let information = syscall_information(pid)?;
    match information.op {
        // SAFETY: `op` says which member of the union the kernel filled.
        libc::PTRACE_SYSCALL_INFO_SECCOMP => unsafe {
            let call = information.u.seccomp;
            Some(Entry {
                number: call.nr as i64,
                arguments: call.args,
                instruction: information.instruction_pointer,
            })
        },
        // SAFETY: as above.
        libc::PTRACE_SYSCALL_INFO_ENTRY => unsafe {
            let call = information.u.entry;
            Some(Entry {
                number: call.nr as i64,
                arguments: call.args,
                instruction: information.instruction_pointer,
            })
        },
        _ => None,
    }
}

/// What the call at whose exit a thread stands returns.
pub fn result(pid: pid_t) -> Option<i64> {
    let information = syscall_information(pid)?;
    if information.op != libc::PTRACE_SYSCALL_INFO_EXIT {
        return None;
    }
    // SAFETY: `op` says which member of the union the kernel filled.
    Some(unsafe { information.u.exit.sval })
}

/// Reads a register set into `bytes`; whether that was possible.
pub fn register_set(pid: pid_t, kind: i32, bytes: &mut [u8]) -> bool {
    let mut place = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    request(libc::PTRACE_GETREGSET, pid, kind as usize, (&raw mut place).addr()).is_ok()
}

/// Writes a register set; whether that was possible.
pub fn set_register_set(pid: pid_t, kind: i32, bytes: &[u8]) -> bool {
    let mut place = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    request(libc::PTRACE_SETREGSET, pid, kind as usize, (&raw mut place).addr()).is_ok()
}
