//! Simulated hosts: network namespaces of the arena, joined by veth links. The first one, `a`, is the arena's own.
//!
//! IPv6 is off on the links unless a check asks for it: its own chatter would stand between a program's packets.
//! Loopback has it always.

mod netlink;

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use nix::poll::{PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::stat::fstat;

use crate::verdict::Breakdown;

/// The simulated hosts of a bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Network {
    /// Host a with its loopback (127.0.0.1 and ::1) alone.
    Alone,
    /// Hosts a (192.0.2.1) and b (192.0.2.2), one link (`eth0` on both).
    Pair,
    /// Host a with two links: `eth0` 192.0.2.1/25 to b (192.0.2.2), `eth1` 192.0.2.129/25 to c (192.0.2.130); the
    /// default and multicast routes of a go by eth0.
    Fork,
    /// As `Fork`, with IPv6 on the links too: 2001:db8:1::1 and ::2 on the first, 2001:db8:2::1 and ::2 on the second.
    ForkV6,
}

/// One simulated host.
pub struct Host {
    /// `a`, `b` or `c`.
    pub name: &'static str,
    /// Its network namespace.
    namespace: OwnedFd,
    /// Its addresses with their interfaces, loopback left out.
    pub addresses: Vec<(String, IpAddr)>,
}

/// One end of a link.
struct End {
    host: usize,
    interface: &'static str,
    addresses: Vec<(IpAddr, u8)>,
    /// The router of this host's default routes, if they go by this link.
    gateways: Vec<IpAddr>,
}

const MULTICAST: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0));
const MULTICAST_PREFIX: u8 = 4;

impl Host {
    /// Builds the hosts of `network` around the arena's own namespace; every link is up and carries packets when it
    /// comes back.
    pub fn build(network: Network) -> Result<Vec<Self>, Breakdown> {
        let failed = |error| {
            let next =
                "this check needs simulated hosts: run `cargo xtask doctor`, which says what allows them";
            Breakdown::new(format!("cannot build the network of the check: {error}"), next)
        };
        lay(network).map_err(failed)
    }

    /// Runs `work` with the calling thread in this host, for example to create a socket there.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> Result<T, Breakdown> {
        enter(self.namespace.as_fd(), work)
            .map_err(|error| Breakdown::system(format!("cannot enter host {}", self.name), error))
    }

    /// The namespace's descriptor.
    pub fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}

/// Runs `work` with the calling thread in a network namespace.
pub fn enter<T>(namespace: BorrowedFd<'_>, work: impl FnOnce() -> T) -> io::Result<T> {
    let home = current()?;
    // Where there are no namespaces, there is only this one, and setns may be refused.
    if fstat(&home)?.st_ino == fstat(namespace)?.st_ino {
        return Ok(work());
    }
    struct Home(OwnedFd);
    impl Drop for Home {
        fn drop(&mut self) {
            setns(&self.0, CloneFlags::CLONE_NEWNET)
                .expect("the way back to the thread's own namespace is open");
        }
    }
    setns(namespace, CloneFlags::CLONE_NEWNET)?;
    let _home = Home(home);
    Ok(work())
}

/// Brings the loopback of the calling thread's namespace up, with ::1, and has later links come without IPv6.
pub fn raise_loopback() -> Result<(), Breakdown> {
    raise(true).map_err(|error| Breakdown::system("cannot raise the loopback interface", error))
}

fn raise(quiet: bool) -> io::Result<()> {
    let loopback = if_nametoindex("lo")?;
    // Best effort: where /proc/sys cannot be written, `keep_quiet` does for the links.
    let setting = |name: &str, value: &str| {
        let _ = fs::write(format!("/proc/sys/net/{name}"), value);
    };
    setting("ipv6/conf/lo/disable_ipv6", "0");
    setting("ipv6/conf/default/disable_ipv6", if quiet { "1" } else { "0" });
    setting("ipv6/conf/default/accept_dad", "0");
    setting("ipv6/conf/default/router_solicitations", "0");
    // A host with two links may be asked by the one and answer by the other.
    setting("ipv4/conf/all/rp_filter", "0");
    setting("ipv4/conf/default/rp_filter", "0");
    netlink::set_up(loopback)
}

fn current() -> io::Result<OwnedFd> {
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}

fn lay(network: Network) -> io::Result<Vec<Host>> {
    let mut hosts = vec![Host { name: "a", namespace: current()?, addresses: Vec::new() }];
    let (names, links): (&[&'static str], _) = match network {
        Network::Alone => return Ok(hosts),
        Network::Pair => (&["b"], vec![link("eth0", 1, (0, 24), None)]),
        Network::Fork => {
            (&["b", "c"], vec![link("eth0", 1, (0, 25), None), link("eth1", 2, (128, 25), None)])
        }
        Network::ForkV6 => {
            (&["b", "c"], vec![link("eth0", 1, (0, 25), Some(1)), link("eth1", 2, (128, 25), Some(2))])
        }
    };
    let quiet = network != Network::ForkV6;
    raise(quiet)?;
    let home = current()?;
    for name in names {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let made = current();
        let raised = raise(quiet);
        setns(&home, CloneFlags::CLONE_NEWNET)?;
        raised?;
        hosts.push(Host { name, namespace: made?, addresses: Vec::new() });
    }
    for [near, far] in &links {
        netlink::add_veth(near.interface, far.interface, hosts[far.host].namespace.as_raw_fd())?;
    }
    let ends: Vec<&End> = links.iter().flatten().collect();
    for end in &ends {
        enter(hosts[end.host].namespace(), || end.configure())??;
        let addresses = end.addresses.iter().filter(|(address, _)| !is_link_local(address));
        hosts[end.host].addresses.extend(addresses.map(|(address, _)| (end.interface.to_string(), *address)));
    }
    // A veth is idle until the kernel's own worker has seen that both ends are up: asking waits for it. Without that
    // the first packet is lost now and then, and comes again only after a second.
    for end in &ends {
        enter(hosts[end.host].namespace(), || ask_for_carrier(end.interface))??;
    }
    for end in &ends {
        enter(hosts[end.host].namespace(), || end.configure_v6())??;
    }
    for end in ends.iter().filter(|_| !quiet) {
        enter(hosts[end.host].namespace(), || end.await_v6())??;
    }
    for end in &ends {
        enter(hosts[end.host].namespace(), || end.route())??;
    }
    Ok(hosts)
}

/// The link from `interface` of host a to `eth0` of another host: the addresses after `base` in 192.0.2.0, and those of
/// the IPv6 network of that number.
fn link(interface: &'static str, other: usize, (base, prefix): (u8, u8), v6: Option<u16>) -> [End; 2] {
    let addresses = |number: u8| {
        let v4 = IpAddr::from(Ipv4Addr::new(192, 0, 2, base + number));
        let mut addresses = vec![(v4, prefix)];
        if let Some(network) = v6 {
            let host = u16::from(number);
            addresses.push((IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, network, 0, 0, 0, 0, host)), 64));
            addresses.push((IpAddr::from(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, network, host)), 64));
        }
        addresses
    };
    let end = |host: usize, interface: &'static str, number: u8, neighbour: u8| {
        // Host a has one default route, by eth0; the others know no way but a.
        let gateways = addresses(neighbour).into_iter().map(|(address, _)| address);
        let gateways = gateways.filter(|address| interface == "eth0" && !is_link_local(address)).collect();
        End { host, interface, addresses: addresses(number), gateways }
    };
    [end(0, interface, 1, 2), end(other, "eth0", 2, 1)]
}

fn is_link_local(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.segments()[0] == 0xfe80)
}

impl End {
    fn configure(&self) -> io::Result<()> {
        let index = if_nametoindex(self.interface)?;
        // Fails where the kernel has no IPv6, which is then quiet anyway.
        let _ = netlink::keep_quiet(index);
        netlink::forward_nothing(index)?;
        for (address, prefix) in self.addresses.iter().filter(|(address, _)| address.is_ipv4()) {
            netlink::add_address(index, *address, *prefix)?;
        }
        netlink::set_up(index)
    }

    /// Adds the IPv6 addresses, which want a link that is ready.
    fn configure_v6(&self) -> io::Result<()> {
        let index = if_nametoindex(self.interface)?;
        for (address, prefix) in self.addresses.iter().filter(|(address, _)| address.is_ipv6()) {
            netlink::add_address(index, *address, *prefix)?;
        }
        Ok(())
    }

    /// A new IPv6 address means nothing until a worker of the kernel has come to it: the host does not answer its
    /// neighbours, who then ask again only after a second. The last thing the worker does is to add a route.
    fn await_v6(&self) -> io::Result<()> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let deadline = Instant::now() + PATIENCE;
        let addresses = self.addresses.iter().filter_map(|(address, _)| match address {
            IpAddr::V6(address) => Some(format!("{:032x} 80 ", address.to_bits())),
            IpAddr::V4(_) => None,
        });
        let wanted: Vec<String> = addresses.collect();
        while Instant::now() < deadline {
            // A line begins with the network and its prefix length, both hexadecimal.
            let table = fs::read_to_string("/proc/thread-self/net/ipv6_route")?;
            if wanted.iter().all(|route| table.lines().any(|line| line.starts_with(route))) {
                return Ok(());
            }
            poll(&mut [], PollTimeout::from(1u8))?;
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "an IPv6 address does not become usable"))
    }

    fn route(&self) -> io::Result<()> {
        if self.gateways.is_empty() {
            return Ok(());
        }
        let index = if_nametoindex(self.interface)?;
        netlink::add_route(index, MULTICAST, MULTICAST_PREFIX, None)?;
        for gateway in &self.gateways {
            let everything = match gateway {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            };
            netlink::add_route(index, everything, 0, Some(*gateway))?;
        }
        Ok(())
    }
}

/// `ETHTOOL_GLINK`: whether the interface has a carrier. The kernel finishes all pending link changes first.
fn ask_for_carrier(interface: &str) -> io::Result<()> {
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    const ETHTOOL_GLINK: u32 = 0xa;
    const SIOCETHTOOL: libc::c_ulong = 0x8946;
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut value = Value { command: ETHTOOL_GLINK, data: 0 };
    // SAFETY: all zeroes is a valid value of this plain structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *place = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the request and the value it points to live through the call, which fills in the value.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    match (result, value.data) {
        (0, 1) => Ok(()),
        (0, _) => Err(io::Error::other(format!("{interface} has no carrier"))),
        _ => Err(io::Error::last_os_error()),
    }
}
