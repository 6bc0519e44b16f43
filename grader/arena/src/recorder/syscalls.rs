//! Which system calls are recorded. The sandbox's filter stops at exactly these (RET_TRACE); all others run at full
//! speed and unseen.
//!
//! Everything that closes a descriptor must be here, because the recorder remembers what a descriptor refers to until
//! it is closed. The clock calls cost nothing: they reach the kernel only where the vDSO is switched off.

/// A recorded call.
#[derive(Clone, Copy, Debug)]
pub struct Recorded {
    /// The system-call number on this machine.
    pub number: i64,
    /// Its name.
    pub name: &'static str,
    /// Only recorded where the argument of this index has one of these values (in its lower 32 bits).
    pub only: Option<(u8, &'static [u32])>,
}

macro_rules! recorded {
    ($($name:ident => $number:ident $(if $argument:literal in $values:expr)?;)*) => {
        &[$(Recorded {
            number: libc::$number,
            name: stringify!($name),
            only: recorded!(@only $($argument, $values)?),
        }),*]
    };
    (@only) => { None };
    (@only $argument:literal, $values:expr) => { Some(($argument, $values)) };
}

/// `fcntl` duplicates a descriptor or sets its flags.
const DUPLICATE_OR_SET_FLAGS: &[u32] =
    &[libc::F_DUPFD as u32, libc::F_DUPFD_CLOEXEC as u32, libc::F_SETFL as u32];

/// `ioctl` makes a descriptor non-blocking.
const NON_BLOCKING: &[u32] = &[libc::FIONBIO as u32];

/// `futex` waits: FUTEX_WAIT, FUTEX_WAIT_BITSET, FUTEX_LOCK_PI(2), with and without PRIVATE (128) and CLOCK_REALTIME (256).
const WAITS: &[u32] = &[0, 0x80, 0x100, 0x180, 9, 9 | 0x80, 9 | 0x100, 9 | 0x180, 6, 6 | 0x80, 13, 13 | 0x80];

/// The recorded calls that every architecture has.
const COMMON: &[Recorded] = recorded! {
    socket => SYS_socket;
    socketpair => SYS_socketpair;
    bind => SYS_bind;
    listen => SYS_listen;
    connect => SYS_connect;
    accept => SYS_accept;
    accept4 => SYS_accept4;
    sendto => SYS_sendto;
    sendmsg => SYS_sendmsg;
    sendmmsg => SYS_sendmmsg;
    recvfrom => SYS_recvfrom;
    recvmsg => SYS_recvmsg;
    recvmmsg => SYS_recvmmsg;
    setsockopt => SYS_setsockopt;
    shutdown => SYS_shutdown;
    read => SYS_read;
    readv => SYS_readv;
    write => SYS_write;
    writev => SYS_writev;
    sendfile => SYS_sendfile;
    splice => SYS_splice;
    close => SYS_close;
    close_range => SYS_close_range;
    dup => SYS_dup;
    dup3 => SYS_dup3;
    fcntl => SYS_fcntl if 1 in DUPLICATE_OR_SET_FLAGS;
    ioctl => SYS_ioctl if 1 in NON_BLOCKING;
    pipe2 => SYS_pipe2;
    pselect6 => SYS_pselect6;
    ppoll => SYS_ppoll;
    epoll_pwait => SYS_epoll_pwait;
    epoll_pwait2 => SYS_epoll_pwait2;
    clone => SYS_clone;
    clone3 => SYS_clone3;
    execve => SYS_execve;
    execveat => SYS_execveat;
    wait4 => SYS_wait4;
    waitid => SYS_waitid;
    kill => SYS_kill;
    tkill => SYS_tkill;
    tgkill => SYS_tgkill;
    pidfd_send_signal => SYS_pidfd_send_signal;
    rt_sigaction => SYS_rt_sigaction;
    rt_sigsuspend => SYS_rt_sigsuspend;
    rt_sigtimedwait => SYS_rt_sigtimedwait;
    setitimer => SYS_setitimer;
    getitimer => SYS_getitimer;
    timer_create => SYS_timer_create;
    timer_settime => SYS_timer_settime;
    timer_gettime => SYS_timer_gettime;
    timer_delete => SYS_timer_delete;
    timerfd_settime => SYS_timerfd_settime;
    timerfd_gettime => SYS_timerfd_gettime;
    nanosleep => SYS_nanosleep;
    clock_nanosleep => SYS_clock_nanosleep;
    restart_syscall => SYS_restart_syscall;
    futex => SYS_futex if 1 in WAITS;
    clock_gettime => SYS_clock_gettime;
    gettimeofday => SYS_gettimeofday;
};

/// The older forms that only x86-64 has.
#[cfg(target_arch = "x86_64")]
const OLD: &[Recorded] = recorded! {
    dup2 => SYS_dup2;
    pipe => SYS_pipe;
    select => SYS_select;
    poll => SYS_poll;
    epoll_wait => SYS_epoll_wait;
    fork => SYS_fork;
    vfork => SYS_vfork;
    pause => SYS_pause;
    alarm => SYS_alarm;
    time => SYS_time;
};

/// The older forms that only x86-64 has.
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[Recorded] = &[];

/// The recorded calls, from which the sandbox's filter builds its RET_TRACE rules.
pub const RECORDED: &[&[Recorded]] = &[COMMON, OLD];

/// Their numbers, for the filter.
pub fn numbers() -> Vec<i64> {
    RECORDED.iter().flat_map(|list| list.iter()).map(|call| call.number).collect()
}

/// A recorded call by its number.
pub fn recorded(number: i64) -> Option<&'static Recorded> {
    RECORDED.iter().flat_map(|list| list.iter()).find(|call| call.number == number)
}

/// The name of a recorded call, or its number where it is another.
pub fn name(number: i64) -> String {
    recorded(number).map_or_else(|| refused_name(number), |call| call.name.to_string())
}

/// The names of calls that the sandbox refuses and that are not recorded otherwise.
fn refused_name(number: i64) -> String {
    const REFUSED: &[(i64, &str)] = &[
        (libc::SYS_unshare, "unshare"),
        (libc::SYS_setns, "setns"),
        (libc::SYS_mount, "mount"),
        (libc::SYS_ptrace, "ptrace"),
        (libc::SYS_bpf, "bpf"),
        (libc::SYS_keyctl, "keyctl"),
        (libc::SYS_add_key, "add_key"),
        (libc::SYS_memfd_create, "memfd_create"),
        (libc::SYS_shmget, "shmget"),
        (libc::SYS_prlimit64, "prlimit64"),
        (libc::SYS_userfaultfd, "userfaultfd"),
        (libc::SYS_io_uring_setup, "io_uring_setup"),
        (libc::SYS_process_vm_readv, "process_vm_readv"),
        (libc::SYS_process_vm_writev, "process_vm_writev"),
        (libc::SYS_seccomp, "seccomp"),
        (libc::SYS_prctl, "prctl"),
        (libc::SYS_chroot, "chroot"),
        (libc::SYS_perf_event_open, "perf_event_open"),
    ];
    let known = REFUSED.iter().find(|(refused, _)| *refused == number);
    known.map_or_else(|| format!("call {number}"), |(_, name)| (*name).to_string())
}
