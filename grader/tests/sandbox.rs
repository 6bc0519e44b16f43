//! The arena and its sandbox, tried in arenas of their own: this program executes itself once more for each.

#[path = "arena/mod.rs"]
mod arena;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use arena::{EVERYWHERE, FULL, NAMESPACES, Trial, shell};
use grader::bench::Bench;
use grader::check::{Check, Level};
use grader::host::{Host, Network};
use grader::sandbox::Arena;
use grader::verdict::Stop;

/// When TCP sends an unanswered SYN again (RFC 6298): a connection that took less lost nothing.
const SYN_IS_SENT_AGAIN: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    arena::main_in(&[(FULL, IN_FULL), (NAMESPACES, IN_NAMESPACES), (EVERYWHERE, IN_EVERYWHERE)])
}

const IN_FULL: &[Trial] = &[
    Trial { name: "program_is_pid_2", run: program_is_pid_2 },
    Trial {
        name: "addresses_are_shown_and_nothing_else_of_proc",
        run: addresses_are_shown_and_nothing_else_of_proc,
    },
    Trial { name: "net_raw_and_nothing_else", run: net_raw_and_nothing_else },
];

const IN_NAMESPACES: &[Trial] = &[
    Trial { name: "root_shows_little_and_is_read_only", run: root_shows_little_and_is_read_only },
    Trial { name: "loopback_has_both_families", run: loopback_has_both_families },
    Trial { name: "pair_answers_at_once", run: pair_answers_at_once },
    Trial { name: "lacks_are_breakdowns", run: lacks_are_breakdowns },
    Trial { name: "hosts_forward_nothing", run: hosts_forward_nothing },
    Trial { name: "fork_has_two_links", run: fork_has_two_links },
    Trial { name: "fork_v6_has_addresses", run: fork_v6_has_addresses },
];

const IN_EVERYWHERE: &[Trial] = &[
    Trial { name: "statuses_are_those_of_the_bare_machine", run: statuses_are_those_of_the_bare_machine },
    Trial { name: "orphans_are_waited_for", run: orphans_are_waited_for },
    Trial { name: "orphans_die_with_the_program", run: orphans_die_with_the_program },
    Trial { name: "kill_takes_the_whole_tree", run: kill_takes_the_whole_tree },
    Trial { name: "missing_interpreter_is_named", run: missing_interpreter_is_named },
];

fn program_is_pid_2(arena: Arena) {
    let ended = shell(arena, "echo $$ $PPID; id -u; set -- /proc/[0-9]*; echo $#; ls /proc/sys");
    assert_eq!(ended.output, "2 1\n1000\n2\n", "{ended:?}");
}

/// Java looks there whether there is IPv6; it is the program's own network that shows.
fn addresses_are_shown_and_nothing_else_of_proc(arena: Arena) {
    let script = "cut -c-32 /proc/net/if_inet6; readlink /proc/net; cd /proc; \
                  for name in sys kallsyms meminfo cpuinfo version mounts bus sysrq-trigger; do \
                  test -e $name -a ! -L $name && echo $name; done; echo *[a-z]*";
    for net_raw in [false, true] {
        let ended = arena::run(arena, |plan| plan.net_raw = net_raw, script);
        let expected = "00000000000000000000000000000001\nself/net\nself thread-self\n";
        assert_eq!(ended.output, expected, "{ended:?}");
    }
}

fn statuses_are_those_of_the_bare_machine(arena: Arena) {
    for (script, status) in [
        ("exit 3", 3 << 8),
        ("kill -TERM $$", libc::SIGTERM),
        ("kill -PIPE $$", libc::SIGPIPE),
        ("kill -ABRT $$", libc::SIGABRT),
        ("kill -KILL -1; kill -KILL $$", libc::SIGKILL),
        ("kill -KILL 1; exit 4", 4 << 8),
    ] {
        let ended = shell(arena, script);
        assert_eq!(ended.status, status, "{script}: {ended:?}");
    }
}

fn root_shows_little_and_is_read_only(arena: Arena) {
    let script = "ls /; ls /home /root /work; touch /x /usr/x /etc/x; echo y > /tmp/y && cat /tmp/y";
    let ended = shell(arena, script);
    assert!(ended.output.starts_with("bin\n"), "{ended:?}");
    assert!(ended.output.ends_with("y\n"), "{ended:?}");
    assert_eq!(ended.errors.matches("No such file").count(), 3, "{ended:?}");
    assert_eq!(ended.errors.matches("Read-only").count(), 3, "{ended:?}");
}

fn orphans_are_waited_for(arena: Arena) {
    let start = Instant::now();
    let ended = arena::run(arena, |plan| plan.wait_for_orphans = true, "(sleep 0.3; echo late) & exit 7");
    assert_eq!((ended.status, ended.output.as_str()), (7 << 8, "late\n"), "{ended:?}");
    assert!(start.elapsed() >= Duration::from_millis(300));
}

fn orphans_die_with_the_program(arena: Arena) {
    let ended = shell(arena, "trap '' TERM HUP; setsid sleep 100 & exit 7");
    assert_eq!(ended.status, 7 << 8, "{ended:?}");
}

fn kill_takes_the_whole_tree(arena: Arena) {
    let start = Instant::now();
    let script = "trap '' TERM; setsid sleep 100 & setsid sleep 100 & echo up; wait";
    let started = arena::start(arena, |_| (), script);
    started.wait_for_output("up\n");
    started.tree.kill();
    let ended = started.end();
    assert_eq!(ended.status, libc::SIGKILL, "{ended:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

fn net_raw_and_nothing_else(arena: Arena) {
    let script = "grep -E '^Cap(Prm|Eff|Bnd|Amb)' /proc/self/status | cut -f2; id -u; ls /proc/1/fd";
    let ended = arena::run(arena, |plan| plan.net_raw = true, script);
    assert_eq!(ended.output, format!("{}0\n", "0000000000002000\n".repeat(4)), "{ended:?}");
    assert!(ended.errors.contains("/proc/1/fd"), "{ended:?}");
    let without = shell(arena, script);
    assert_eq!(without.output, format!("{}1000\n", "0000000000000000\n".repeat(4)), "{without:?}");
    assert!(without.errors.contains("/proc/1/fd"), "{without:?}");
}

fn loopback_has_both_families(_arena: Arena) {
    for address in ["127.0.0.1:5000", "[::1]:5000"] {
        let listener = TcpListener::bind(address).expect(address);
        TcpStream::connect(address).expect(address);
        drop(listener);
    }
}

fn pair_answers_at_once(_arena: Arena) {
    let hosts = Host::build(Network::Pair).unwrap();
    let address = SocketAddr::from(([192, 0, 2, 2], 5000));
    assert_eq!(hosts[1].addresses, [("eth0".to_string(), address.ip())]);
    let listener = hosts[1].enter(|| TcpListener::bind(address)).unwrap().unwrap();
    let start = Instant::now();
    TcpStream::connect(address).unwrap();
    let took = start.elapsed();
    assert!(took < SYN_IS_SENT_AGAIN, "the first connection took {took:?}");
    let (_, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip(), IpAddr::from([192, 0, 2, 1]));
}

fn lacks_are_breakdowns(arena: Arena) {
    let check = Check::new("lacks", "", Level::Core, 0, &[], "", |_| Ok(()));
    let bench = Bench::new(arena, &check, Default::default(), 1, false).unwrap();
    let is_breakdown = |result| matches!(result, Err(Stop::Breakdown(_)));
    assert!(bench.needs_ipv6().is_ok() && bench.needs_privileged_port(700).is_ok());
    assert!(bench.needs_free_port(5000).is_ok());
    let _taken = TcpListener::bind("127.0.0.1:5000").unwrap();
    assert!(is_breakdown(bench.needs_free_port(5000)));
    std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0").unwrap();
    assert!(is_breakdown(bench.needs_privileged_port(700)));
    std::fs::write("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "1").unwrap();
    assert!(is_breakdown(bench.needs_ipv6()));
}

fn hosts_forward_nothing(_arena: Arena) {
    // As on a machine with Docker, of which a new namespace takes over the settings.
    std::fs::write("/proc/sys/net/ipv4/conf/default/forwarding", "1").unwrap();
    let hosts = Host::build(Network::Fork).unwrap();
    for (host, interface) in [(0, "eth0"), (0, "eth1"), (1, "eth0"), (2, "eth0")] {
        let path = format!("/proc/sys/net/ipv4/conf/{interface}/forwarding");
        let forwards = hosts[host].enter(|| std::fs::read_to_string(path)).unwrap().unwrap();
        assert_eq!(forwards.trim(), "0", "host {}, {interface}", hosts[host].name);
    }
}

fn fork_has_two_links(_arena: Arena) {
    let hosts = Host::build(Network::Fork).unwrap();
    let group = Ipv4Addr::new(226, 1, 1, 1);
    let receivers = [1, 2].map(|host: usize| {
        let receiver = hosts[host].enter(|| UdpSocket::bind("0.0.0.0:5000")).unwrap().unwrap();
        hosts[host].enter(|| receiver.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)).unwrap().unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        receiver
    });
    for (receiver, source, text) in
        [(&receivers[0], [192, 0, 2, 1], "one"), (&receivers[1], [192, 0, 2, 129], "two")]
    {
        let sender = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        sender.set_multicast_if_v4(&Ipv4Addr::from(source)).unwrap();
        sender.send_to(text.as_bytes(), &SocketAddr::from((group, 5000)).into()).unwrap();
        let mut buffer = [0; 16];
        let (length, from) = receiver.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from.ip()), (text.as_bytes(), IpAddr::from(source)));
    }
}

fn fork_v6_has_addresses(_arena: Arena) {
    let hosts = Host::build(Network::ForkV6).unwrap();
    let listener = hosts[2].enter(|| TcpListener::bind("[2001:db8:2::2]:5000")).unwrap().unwrap();
    let start = Instant::now();
    TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert!(start.elapsed() < SYN_IS_SENT_AGAIN, "{:?}", start.elapsed());
}

fn missing_interpreter_is_named(arena: Arena) {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("program");
    std::fs::write(&path, "#!/nowhere/python\n").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let breakdown = arena::start_program(arena, |_| (), &path, &["program"]).breakdown();
    assert!(breakdown.what.contains("execve") && breakdown.what.contains("No such file"), "{breakdown:?}");
}
