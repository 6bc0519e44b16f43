//! Hostile programs, in every tier, as root and as an ordinary user: each attack is stopped, bounded or named here as
//! what the tier cannot stop. `SECURITY.md` says what is promised; this says how it is known.
//!
//! `hostile in-a-container COMMAND...` runs a command as in a container with Docker's default profile.

#[path = "../arena/mod.rs"]
mod arena;
mod bounds;
mod groups;
mod outside;
mod submissions;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use arena::{EVERYWHERE, NAMESPACES, Trial};
use grader::sandbox::Tier;
use grader::sandbox::{Arena, Plan};

/// Where the compiled attacks lie, and a port on which somebody listens outside every arena.
const PROGRAM: &str = "HOSTILE_PROGRAM";
const PORT: &str = "HOSTILE_PORT";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let [_, container, program, arguments @ ..] = words.as_slice() {
        if container == "in-a-container" {
            return arena::docker::run(program, arguments);
        }
    }
    if let Some(code) = grader::fork_server::become_fork_server_if_asked() {
        return code;
    }
    let _held = match std::env::var_os(PROGRAM) {
        Some(_) => None,
        None => match prepare() {
            Some(held) => Some(held),
            None => {
                println!("there is no C compiler (`cc`): no attack is tried");
                return ExitCode::SUCCESS;
            }
        },
    };
    if words.get(1).is_some_and(|word| word == groups::ANSWER) {
        return grader::ask::arena();
    }
    let groups: [arena::Group<'_>; 6] = [
        (&[], &[Trial { name: "hang", run: outside::hang }]),
        (&[], groups::TRIALS),
        (EVERYWHERE, STOPPED_EVERYWHERE),
        (NAMESPACES, STOPPED_BY_NAMESPACES),
        (EVERYWHERE, bounds::EVERYWHERE),
        (NAMESPACES, bounds::BY_NAMESPACES),
    ];
    let outside = [outside::tests(), submissions::tests(), groups::tests()];
    arena::main_with(&groups, outside.into_iter().flatten().collect())
}

/// Compiles the attacks where every user can execute them, and listens.
fn prepare() -> Option<(tempfile::TempDir, std::net::TcpListener)> {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().ok()?;
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).ok()?;
    let program = directory.path().join("attacks");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/attacks.c");
    let built = Command::new("cc").args(["-O1", "-pthread", "-o"]).arg(&program).arg(source).status().ok()?;
    assert!(built.success(), "the attacks do not compile");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").ok()?;
    // SAFETY: this process has only one thread so far.
    unsafe {
        std::env::set_var(PROGRAM, &program);
        std::env::set_var(PORT, listener.local_addr().ok()?.port().to_string());
    }
    Some((directory, listener))
}

fn program() -> PathBuf {
    std::env::var_os(PROGRAM).expect("the attacks are compiled").into()
}

/// Runs one attack to its end.
fn attack(arena: Arena, words: &[&str]) -> arena::Ended {
    attack_with(arena, |_| (), words)
}

fn attack_with(arena: Arena, edit: impl FnOnce(&mut Plan), words: &[&str]) -> arena::Ended {
    start_attack(arena, edit, words).end()
}

fn start_attack(arena: Arena, edit: impl FnOnce(&mut Plan), words: &[&str]) -> arena::Started {
    let program = program();
    let argv: Vec<&str> = [program.to_str().expect("UTF-8")].iter().chain(words).copied().collect();
    arena::start_program(arena, edit, &program, &argv)
}

/// Fails with every attack that was not stopped: by a refusal, or by death of SIGSYS.
fn all_stopped<'a>(arena: Arena, attacks: impl IntoIterator<Item = &'a [&'a str]>) {
    let mut through = Vec::new();
    for words in attacks {
        let ended = attack(arena, words);
        if ended.status != 1 << 8 && ended.status != libc::SIGSYS {
            through.push(format!("{words:?}: status {:#x}, {}{}", ended.status, ended.output, ended.errors));
        }
    }
    assert!(through.is_empty(), "{through:#?}");
}

const STOPPED_EVERYWHERE: &[Trial] = &[
    Trial { name: "namespaces_cannot_be_made_or_entered", run: namespaces_cannot_be_made_or_entered },
    Trial { name: "mounts_cannot_be_changed", run: mounts_cannot_be_changed },
    Trial { name: "other_processes_cannot_be_touched", run: other_processes_cannot_be_touched },
    Trial { name: "uncounted_memory_cannot_be_had", run: uncounted_memory_cannot_be_had },
    Trial { name: "strange_sockets_cannot_be_had", run: strange_sockets_cannot_be_had },
    Trial { name: "strange_calls_are_refused", run: strange_calls_are_refused },
    Trial { name: "privileges_cannot_be_gained", run: privileges_cannot_be_gained },
    Trial { name: "limits_cannot_be_raised", run: limits_cannot_be_raised },
    Trial { name: "foreign_files_cannot_be_read", run: foreign_files_cannot_be_read },
    Trial { name: "nothing_outside_can_be_written", run: nothing_outside_can_be_written },
    Trial { name: "no_descriptor_is_inherited", run: no_descriptor_is_inherited },
    Trial {
        name: "abstract_sockets_outside_are_out_of_reach",
        run: abstract_sockets_outside_are_out_of_reach,
    },
];

const STOPPED_BY_NAMESPACES: &[Trial] = &[
    Trial { name: "ports_outside_are_out_of_reach", run: ports_outside_are_out_of_reach },
    Trial { name: "root_is_read_only", run: root_is_read_only },
];

fn namespaces_cannot_be_made_or_entered(arena: Arena) {
    let attacks: [&[&str]; 7] = [
        &["unshare-user"],
        &["unshare-net"],
        &["unshare-pid"],
        &["setns"],
        &["clone-user"],
        &["clone-net-with-junk"],
        &["clone3"],
    ];
    all_stopped(arena, attacks);
}

fn mounts_cannot_be_changed(arena: Arena) {
    let attacks: [&[&str]; 6] =
        [&["mount"], &["mount-proc"], &["remount-root"], &["umount"], &["chroot"], &["pivot-root"]];
    all_stopped(arena, attacks);
}

fn other_processes_cannot_be_touched(arena: Arena) {
    let attacks: [&[&str]; 14] = [
        &["ptrace-init"],
        &["ptrace-traceme"],
        &["read-memory-of-init"],
        &["write-memory-of-init"],
        &["take-descriptor-of-init"],
        &["prlimit-init"],
        &["memory-file-of-init"],
        &["environment-of-init"],
        &["maps-of-init"],
        &["root-of-init"],
        &["descriptor-of-init"],
        &["memory-file-of-arena"],
        &["environment-of-arena"],
        &["raise-memory"],
    ];
    all_stopped(arena, attacks);
    if arena.tier != Tier::C || arena::landlock_has_scopes() {
        let signals: [&[&str]; 3] = [&["kill-arena"], &["stop-init"], &["kill-init"]];
        all_stopped(arena, signals);
    }
    // Everybody is nobody but the program itself.
    assert!([1 << 8, 0].contains(&attack(arena, &["kill-everybody"]).status));
}

fn uncounted_memory_cannot_be_had(arena: Arena) {
    let attacks: [&[&str]; 6] =
        [&["memfd"], &["memfd-secret"], &["shm"], &["semaphores"], &["message-queue"], &["posix-queue"]];
    all_stopped(arena, attacks);
}

fn strange_sockets_cannot_be_had(arena: Arena) {
    let attacks: [&[&str]; 6] =
        [&["vsock"], &["af-alg"], &["af-packet"], &["raw-socket"], &["netlink-audit"], &["lower-loopback"]];
    all_stopped(arena, attacks);
}

fn strange_calls_are_refused(arena: Arena) {
    let attacks: [&[&str]; 16] = [
        &["io-uring"],
        &["bpf"],
        &["perf"],
        &["userfaultfd"],
        &["keyctl"],
        &["add-key"],
        &["seccomp"],
        &["prctl-seccomp"],
        &["x32"],
        &["int-0x80"],
        &["module"],
        &["reboot"],
        &["hostname"],
        &["clock"],
        &["handle"],
        &["syslog"],
    ];
    all_stopped(arena, attacks);
}

fn privileges_cannot_be_gained(arena: Arena) {
    let attacks: [&[&str]; 4] = [&["setuid-0"], &["setgroups"], &["mknod"], &["new-privileges"]];
    all_stopped(arena, attacks);
}

fn limits_cannot_be_raised(arena: Arena) {
    let attacks: [&[&str]; 8] = [
        &["nice"],
        &["realtime"],
        &["raise-processes"],
        &["raise-descriptors"],
        &["raise-memory"],
        &["raise-file-size"],
        &["core-dump"],
        &["oom-score"],
    ];
    all_stopped(arena, attacks);
}

fn foreign_files_cannot_be_read(arena: Arena) {
    let grader = std::env::current_exe().expect("a path").to_string_lossy().into_owned();
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let attacks: [&[&str]; 8] = [
        &["read", "/etc/shadow"],
        &["read", "/etc/hostname"],
        &["read", &grader],
        &["read", manifest],
        &["read", "/root"],
        &["read", "/home"],
        &["read", "/dev/kmsg"],
        &["read", "/sys/kernel"],
    ];
    all_stopped(arena, attacks);
}

fn nothing_outside_can_be_written(arena: Arena) {
    let attacks: [&[&str]; 8] = [
        &["write-own-binary"],
        &["create", "/x"],
        &["create", "/usr/x"],
        &["create", "/etc/x"],
        &["create", "/dev/x"],
        &["create", "/var/tmp/x"],
        &["write", "/etc/passwd"],
        &["core-pattern"],
    ];
    all_stopped(arena, attacks);
}

fn no_descriptor_is_inherited(arena: Arena) {
    all_stopped(arena, [&["inherited-descriptors"][..]]);
}

fn abstract_sockets_outside_are_out_of_reach(arena: Arena) {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("hostile-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
    let _listener = std::os::unix::net::UnixListener::bind_addr(&address).expect("an abstract socket");
    if arena::landlock_has_scopes() {
        all_stopped(arena, [&["abstract-socket", name.as_str()][..]]);
    }
}

fn ports_outside_are_out_of_reach(arena: Arena) {
    let port = std::env::var(PORT).expect("somebody listens outside");
    all_stopped(arena, [&["outside-port", port.as_str()][..]]);
}

fn root_is_read_only(arena: Arena) {
    let ended =
        arena::shell(arena, "for d in / /usr /etc /dev /lab; do touch $d/x; done; ls -A /home /root /sys");
    assert_eq!(ended.output, "", "{ended:?}");
    if arena.tier == Tier::A {
        assert_eq!(ended.errors.lines().count(), 8, "{ended:?}");
    }
}
