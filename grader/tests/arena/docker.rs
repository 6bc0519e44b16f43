//! A stand-in for Docker's default seccomp profile and capabilities: what they refuse of the calls that matter here, as
//! moby's `profiles/seccomp/default.json` refuses it.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Refused with EPERM without CAP_SYS_ADMIN, CAP_SYS_PTRACE and their like, which a container lacks.
const REFUSED: &[i64] = &[
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_userfaultfd,
    // Since version 21 these two are allowed.
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_io_uring_setup,
    libc::SYS_sethostname,
    libc::SYS_reboot,
];

/// chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw, sys_chroot, mknod,
/// audit_write, setfcap
const KEPT: [u32; 14] = [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31];

/// Makes this process one of such a container.
pub fn imitate() {
    if nix::unistd::geteuid().is_root() {
        drop_capabilities();
    }
    nix::sys::prctl::set_no_new_privs().expect("no_new_privs");
    let namespaces = (libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWNET)
        as u64
        | (libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWCGROUP) as u64;
    let flags = (0..32).map(|bit| 1u64 << bit).filter(|flag| namespaces & flag != 0).map(|flag| {
        let set = SeccompCmpOp::MaskedEq(flag);
        SeccompRule::new(vec![SeccompCondition::new(0, SeccompCmpArgLen::Dword, set, flag).unwrap()]).unwrap()
    });
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_clone, flags.collect());
    let vsock =
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, libc::AF_VSOCK as u64).unwrap();
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(vec![vsock]).unwrap()]);
    install(rules, libc::EPERM);
    install(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS);
}

/// Runs a command in such a container.
pub fn run(program: &str, arguments: &[String]) -> std::process::ExitCode {
    use std::os::unix::process::CommandExt;
    imitate();
    let error = std::process::Command::new(program).args(arguments).exec();
    eprintln!("cannot run {program}: {error}");
    std::process::ExitCode::FAILURE
}

/// Refuses calls with an error, in this process and all that it starts.
pub fn install(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) {
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let matched = SeccompAction::Errno(errno as u32);
    let program: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, matched, arch).unwrap().try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

fn drop_capabilities() {
    for capability in (0..64).filter(|capability| !KEPT.contains(capability)) {
        // SAFETY: no memory is passed; what the kernel does not know fails.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability as libc::c_ulong, 0, 0, 0) };
    }
    let bits = KEPT.iter().fold(0u32, |bits, capability| bits | 1 << capability);
    // capset(2), version 3: effective, permitted and inheritable, low half first.
    let header = [0x2008_0522u32, 0];
    let data = [bits, bits, 0, 0, 0, 0];
    // SAFETY: both arrays have the layout of the call's structures and live through it.
    let set = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
    assert_eq!(set, 0, "capset: {}", std::io::Error::last_os_error());
}
