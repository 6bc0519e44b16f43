//! The system-call filter of a program: what it may not do, and where its recorder stops it.
//!
//! Under a recorder a refusal is `SECCOMP_RET_TRAP` with the errno in its low bits: the kernel has already skipped the
//! call when the recorder sees it, so a recorder that fails leaves the door shut (the program dies of SIGSYS). Without
//! one it is a plain errno.
//!
//! It is one program and no stack of filters: the kernel would translate each of a stack at every start of a program, and
//! run each at every call.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use libc::{AF_BLUETOOTH, AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, ENOSYS, EPERM, c_long};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq, Ne};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::recorder::syscalls;
use crate::verdict::Breakdown;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Calls that are refused whatever their arguments: ways out of the namespaces, into other processes, to kernel
/// memory that no limit counts, and to kernel code that no student program has business with.
const REFUSED: &[c_long] = &[
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_fanotify_init,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_personality,
    libc::SYS_vhangup,
    libc::SYS_lookup_dcookie,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_mbind,
    libc::SYS_set_mempolicy,
    libc::SYS_seccomp,
];

/// The namespace flags of clone, in which every bit must be clear. CLONE_NEWTIME shares its bit with the exit signal
/// and exists for clone3 and unshare alone.
const NAMESPACES: u64 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u64;

/// The families of sockets that programs of the labs (and their C library) use. Bluetooth passes because the lab
/// `sockets` asks for it by name; outside the first network namespace the kernel has none.
const FAMILIES: [i32; 5] = [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_BLUETOOTH];

/// The filter. `traced` are the calls at which a recorder is told; without
/// any there is no recorder. Without `sockets`, every socket is refused. Without a pid namespace, so is a signal to
/// everybody: it would reach whatever else the user runs.
pub fn filter(traced: &[i64], sockets: bool, pid_namespace: bool) -> Result<BpfProgram, Breakdown> {
    type Key = (Vec<i64>, bool, bool);
    // An arena starts many programs behind the same filter.
    static BUILT: Mutex<BTreeMap<Key, BpfProgram>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (traced.to_vec(), sockets, pid_namespace);
    if let Some(filter) = built.get(&key) {
        return Ok(filter.clone());
    }
    let parts = parts(traced, sockets, pid_namespace)
        .map_err(|error| Breakdown::system("cannot build the system-call filter", error))?;
    let filter = chain(parts);
    built.insert(key, filter.clone());
    Ok(filter)
}

/// What the filter is made of, the strongest first: what is refused is not recorded as a call.
fn parts(traced: &[i64], sockets: bool, pid_namespace: bool) -> Result<Vec<BpfProgram>, BackendError> {
    let refusal = |rules: Rules, errno: i32| -> Result<BpfProgram, BackendError> {
        if traced.is_empty() {
            compile(rules, SeccompAction::Errno(errno as u32))
        } else {
            Ok(with_errno(compile(rules, SeccompAction::Trap)?, errno))
        }
    };
    let mut programs = Vec::new();
    if cfg!(target_arch = "x86_64") {
        programs.push(x32_is_unknown());
    }
    // Every thread that glibc makes tries clone3 first. Its flags lie in memory, where a filter cannot see them, so it
    // is unknown here, and quietly: as a refusal it would fill the recording.
    programs.push(compile(calls(&[libc::SYS_clone3]), SeccompAction::Errno(ENOSYS as u32))?);
    let io_uring = [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];
    programs.push(refusal(calls(&io_uring), ENOSYS)?);
    let mut rules = refused()?;
    if !sockets {
        // Pairs stay: programs talk to their children by them.
        rules.extend(calls(&[libc::SYS_socket]));
    }
    if !pid_namespace {
        const EVERYBODY: u64 = u32::MAX as u64;
        rules.insert(libc::SYS_kill, vec![rule(&[(0, Eq, EVERYBODY)])?]);
    }
    programs.push(refusal(rules, EPERM)?);
    if !traced.is_empty() {
        programs.push(compile(recorded(traced)?, SeccompAction::Trace(0))?);
    }
    Ok(programs)
}

/// One program that asks these one after the other: what one lets pass, the next one judges.
fn chain(programs: Vec<BpfProgram>) -> BpfProgram {
    let (mut whole, count) = (BpfProgram::new(), programs.len());
    for (at, mut program) in programs.into_iter().enumerate() {
        let length = program.len();
        let passes =
            |step: &seccompiler::sock_filter| step.code == RETURN && step.k == libc::SECCOMP_RET_ALLOW;
        for (place, step) in program.iter_mut().enumerate().filter(|(_, step)| passes(step) && at + 1 < count)
        {
            *step = instruction(JUMP, 0, 0, (length - place - 1) as u32);
        }
        whole.extend(program);
    }
    whole
}

fn calls(numbers: &[i64]) -> Rules {
    numbers.iter().map(|number| (*number, Vec::new())).collect()
}

/// The calls at which the recorder is told, each only with the arguments that it asks for.
fn recorded(numbers: &[i64]) -> Result<Rules, BackendError> {
    let mut rules = calls(numbers);
    for call in numbers.iter().filter_map(|number| syscalls::recorded(*number)) {
        let Some((index, values)) = call.only else { continue };
        let of_value = |value: &u32| rule(&[(index, Eq, u64::from(*value))]);
        rules.insert(call.number, values.iter().map(of_value).collect::<Result<_, _>>()?);
    }
    Ok(rules)
}

fn refused() -> Result<Rules, BackendError> {
    let mut rules = calls(REFUSED);
    let flags = (0..u64::BITS).map(|bit| 1u64 << bit).filter(|bit| NAMESPACES & bit != 0);
    let namespaces = flags.map(|flag| rule(&[(0, MaskedEq(flag), flag)])).collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_clone, namespaces);
    // Limits of other processes: for the same uid the kernel asks for no capability.
    rules.insert(libc::SYS_prlimit64, vec![rule(&[(0, Ne, 0)])?]);
    // seccomp() by its old name.
    rules.insert(libc::SYS_prctl, vec![rule(&[(0, Eq, libc::PR_SET_SECCOMP as u64)])?]);
    let other_families = FAMILIES.map(|family| (0, Ne, family as u64));
    let netlink = (0, Eq, AF_NETLINK as u64);
    rules.insert(
        libc::SYS_socket,
        vec![rule(&other_families)?, rule(&[netlink, (2, Ne, libc::NETLINK_ROUTE as u64)])?],
    );
    rules.insert(libc::SYS_socketpair, vec![rule(&other_families)?]);
    Ok(rules)
}

/// A rule that holds where every argument's low half compares as said: the kernel too looks at no more of those that
/// are compared here (but for the flags of clone, whose namespace bits all lie there).
fn rule(arguments: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule, BackendError> {
    let conditions = arguments
        .iter()
        .map(|(index, op, value)| SeccompCondition::new(*index, SeccompCmpArgLen::Dword, op.clone(), *value))
        .collect::<Result<_, _>>()?;
    SeccompRule::new(conditions)
}

/// Compiles rules to a program that looks only at the rules near a call's number. seccompiler asks for one number after
/// the other, and on installation the kernel runs the program for every number there is, which took a third of a
/// millisecond for each start of a program.
fn compile(mut rules: Rules, matched: SeccompAction) -> Result<BpfProgram, BackendError> {
    if rules.len() <= NEAR {
        return compile_all(rules, matched);
    }
    let mut parts = Vec::new();
    while !rules.is_empty() {
        let next = rules.keys().nth(NEAR).copied();
        let later = next.map(|next| rules.split_off(&next)).unwrap_or_default();
        let first = rules.keys().next().copied().unwrap_or_default();
        parts.push((first, compile_all(std::mem::replace(&mut rules, later), matched.clone())?));
    }
    Ok(choose(&parts))
}

/// How many calls are asked for one after the other.
const NEAR: usize = 8;

fn compile_all(rules: Rules, matched: SeccompAction) -> Result<BpfProgram, BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, SeccompAction::Allow, matched, arch)?.try_into()
}

/// A program that goes to the last of these whole programs whose first number is not above that of the call. (Of a
/// foreign architecture the numbers mean nothing here, and each program refuses it first of all.)
fn choose(parts: &[(i64, BpfProgram)]) -> BpfProgram {
    if let [(_, only)] = parts {
        return only.clone();
    }
    let load = instruction(LOAD, 0, 0, 0);
    let (earlier, later) = parts.split_at(parts.len() / 2);
    let border = later[0].0;
    let (earlier, later) = (choose(earlier), choose(later));
    // The jumps of a condition reach no more than 255 instructions far.
    let to_later = instruction(JUMP, 0, 0, earlier.len() as u32);
    let mut program = vec![load, instruction(JUMP_IF_AT_LEAST, 0, 1, border as u32), to_later];
    program.extend(earlier);
    program.extend(later);
    program
}

/// seccompiler leaves the data bits of TRAP empty; there the errno stands that the recorder puts in place of a result.
fn with_errno(mut program: BpfProgram, errno: i32) -> BpfProgram {
    for instruction in &mut program {
        if instruction.code == RETURN && instruction.k == libc::SECCOMP_RET_TRAP {
            instruction.k |= errno as u32;
        }
    }
    program
}

/// Calls by x32 numbers (bit 30 set) pass the same architecture check as those of x86-64 and would pass every list of
/// numbers: they are unknown here.
fn x32_is_unknown() -> BpfProgram {
    vec![
        instruction(LOAD, 0, 0, 0),
        instruction(JUMP_IF_AT_LEAST, 0, 1, 0x4000_0000),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | ENOSYS as u32),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

/// Loads a word of `seccomp_data`; the first one is the number of the call.
const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const JUMP_IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> seccompiler::sock_filter {
    seccompiler::sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::{NEAR, Rules, calls, chain, compile, compile_all, parts, recorded, refused};
    use crate::recorder::syscalls;
    use seccompiler::{BpfProgram, SeccompAction};

    // linux/audit.h
    const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
    const AUDIT_ARCH_AARCH64: u32 = 0xc000_00b7;

    /// What a filter says of a call, by the instructions that seccompiler and this module use.
    fn says(program: &BpfProgram, number: u32, arguments: [u64; 6]) -> u32 {
        let arch = if cfg!(target_arch = "x86_64") { AUDIT_ARCH_X86_64 } else { AUDIT_ARCH_AARCH64 };
        let mut data = vec![number, arch, 0, 0];
        data.extend(arguments.iter().flat_map(|argument| [*argument as u32, (*argument >> 32) as u32]));
        let (mut place, mut value) = (0, 0);
        loop {
            let step = &program[place];
            place += 1;
            let jump = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
            match u32::from(step.code) {
                code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                    value = data[step.k as usize / 4]
                }
                code if code == libc::BPF_ALU | libc::BPF_AND | libc::BPF_K => value &= step.k,
                code if code == libc::BPF_JMP | libc::BPF_JA => place += step.k as usize,
                code if code == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K => place += jump(value == step.k),
                code if code == libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K => place += jump(value >= step.k),
                code if code == libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K => place += jump(value > step.k),
                code if code == libc::BPF_RET | libc::BPF_K => return step.k,
                code => panic!("an instruction that nobody uses: {code:#x}"),
            }
        }
    }

    /// Of arguments that might matter, namespaces' flags among them.
    const BITS: [u32; 12] = [0, 1, 2, 16, 17, 25, 26, 27, 28, 29, 30, 33];

    /// Calls that filters may be asked about.
    fn questions() -> impl Iterator<Item = (u32, [u64; 6])> {
        let numbers = (0..600).chain([0x4000_0000, 0x4000_0029, u32::MAX]);
        numbers.flat_map(|number| BITS.map(|bit| (number, 1u64 << bit))).flat_map(|(number, argument)| {
            [[0; 6], [argument; 6], [argument, 0, 0, 0, 0, 0], [2, argument, 16, 0, 1, 0]]
                .map(|arguments| (number, arguments))
        })
    }

    fn alike(rules: impl Fn() -> Rules) {
        let chosen = compile(rules(), SeccompAction::Trap).expect("a filter");
        let whole = compile_all(rules(), SeccompAction::Trap).expect("a filter");
        let mut matched = 0;
        for (number, arguments) in questions() {
            let said = says(&chosen, number, arguments);
            assert_eq!(said, says(&whole, number, arguments), "call {number} with {arguments:?}");
            matched += u32::from(said == libc::SECCOMP_RET_TRAP);
        }
        assert!(matched > 0);
    }

    #[test]
    fn one_filter_says_what_a_stack_of_its_parts_would() {
        let traced = syscalls::numbers();
        for (traced, sockets, pid_namespace) in [
            (&traced[..], true, true),
            (&traced, true, false),
            (&[], true, true),
            (&[], false, true),
            (&[], false, false),
        ] {
            let parts = parts(traced, sockets, pid_namespace).expect("parts");
            let whole = chain(parts.clone());
            assert!(whole.len() <= libc::BPF_MAXINSNS as usize, "{} instructions", whole.len());
            for (number, arguments) in questions() {
                // Of a stack, the action counts that stands lowest as a signed number (seccomp(2)).
                let said = parts.iter().map(|part| says(part, number, arguments));
                let strongest = said.min_by_key(|said| (said & libc::SECCOMP_RET_ACTION_FULL) as i32);
                assert_eq!(
                    Some(says(&whole, number, arguments)),
                    strongest,
                    "call {number} with {arguments:?}"
                );
            }
        }
    }

    #[test]
    fn choosing_by_number_changes_nothing() {
        alike(|| refused().expect("rules"));
        alike(|| recorded(&syscalls::numbers()).expect("rules"));
        for count in [1, NEAR, NEAR + 1, 2 * NEAR, 5 * NEAR + 3] {
            alike(|| calls(&(10..).take(count).collect::<Vec<i64>>()));
        }
    }
}
