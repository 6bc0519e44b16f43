//! Captures every frame that crosses a link of the bench, by one packet socket for each host, read when all is over.
//!
//! Nothing runs meanwhile: the socket's buffer holds what comes, and the kernel counts what it could not hold. Each
//! frame is kept once: as its sender put it on a link, and on loopback as it came back.

use std::collections::BTreeMap;
use std::io::IoSliceMut;
use std::os::fd::AsRawFd;

use nix::net::if_::if_nameindex;
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::host::Host;
use crate::recording::cause::Causes;
use crate::recording::{Packet, Recording, Stamp};
use crate::verdict::Breakdown;

/// Room for what comes before the capture is read.
const BUFFER: usize = 16 << 20;
/// Of longer frames only the beginning is kept: a bulk transfer would fill the recording.
const KEPT: usize = 2048;
/// More frames than this are counted, not kept.
const MOST: usize = 20_000;

/// A running capture.
pub struct Capture {
    sockets: Vec<Tap>,
    kept: usize,
}

/// The packet socket of one host.
struct Tap {
    host: String,
    interfaces: BTreeMap<usize, String>,
    socket: Socket,
}

impl Capture {
    /// Captures on every interface of these hosts from now on.
    pub fn start(hosts: &[Host]) -> Result<Self, Breakdown> {
        let failed = |error| Breakdown::system("cannot capture packets", error);
        let mut sockets = Vec::new();
        for host in hosts {
            let (socket, interfaces) = host.enter(|| (open(), interfaces()))?;
            sockets.push(Tap { host: host.name.to_string(), interfaces, socket: socket.map_err(failed)? });
        }
        Ok(Self { sockets, kept: 0 })
    }

    /// Moves what was captured since into the recording, in the order of time, and attributes it to system calls.
    pub fn drain(&mut self, recording: &mut Recording) -> Result<(), Breakdown> {
        let mut packets = Vec::new();
        for Tap { host, interfaces, socket } in &self.sockets {
            while let Some(frame) = receive(socket)? {
                let interface = interfaces.get(&frame.interface).map_or("?", String::as_str);
                // Loopback shows every frame twice; elsewhere the other copy is the receiver's.
                let wanted = if interface == "lo" { !frame.outgoing } else { frame.outgoing };
                if !wanted {
                    continue;
                }
                if self.kept == MOST {
                    recording.dropped_packets += 1;
                    continue;
                }
                self.kept += 1;
                packets.push(Packet {
                    at: Stamp { real: frame.at, seen: recording.seen_at(frame.at) },
                    host: host.clone(),
                    interface: interface.to_string(),
                    outgoing: true,
                    length: frame.length,
                    frame: frame.bytes,
                    cause: None,
                });
            }
            recording.dropped_packets += dropped(socket);
        }
        packets.sort_by_key(|packet| packet.at.real);
        let causes = Causes::of(recording);
        for packet in &mut packets {
            packet.cause = causes.find(packet);
        }
        recording.packets.extend(packets);
        Ok(())
    }
}

fn open() -> std::io::Result<Socket> {
    // Protocol ETH_P_ALL, in network byte order.
    let every = Protocol::from(i32::from((libc::ETH_P_ALL as u16).to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), Some(every))?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    // Without the privilege to force it, the system's limit has to do: what is lost is counted.
    if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).is_err() {
        socket.set_recv_buffer_size(BUFFER)?;
    }
    Ok(socket)
}

struct Frame {
    at: u64,
    interface: usize,
    outgoing: bool,
    length: u32,
    bytes: Vec<u8>,
}

fn receive(socket: &Socket) -> Result<Option<Frame>, Breakdown> {
    let mut buffer = vec![0; KEPT];
    let mut space = nix::cmsg_space!(nix::sys::time::TimeSpec);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    // With MSG_TRUNC the length is that of the whole frame.
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
    let message = match recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags) {
        Ok(message) => message,
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR | nix::errno::Errno::ENETDOWN) => {
            return Ok(None);
        }
        Err(error) => return Err(Breakdown::system("cannot read the captured packets", error)),
    };
    let at = message.cmsgs().ok().into_iter().flatten().find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(time) => {
            Some(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
        }
        _ => None,
    });
    let link = message.address;
    let length = message.bytes;
    buffer.truncate(length.min(KEPT));
    Ok(Some(Frame {
        at: at.unwrap_or_else(|| super::clock::read(libc::CLOCK_REALTIME)),
        interface: link.as_ref().map_or(0, LinkAddr::ifindex),
        outgoing: link.is_some_and(|link| is_outgoing(&link)),
        length: u32::try_from(length).unwrap_or(u32::MAX),
        bytes: buffer,
    }))
}

fn is_outgoing(link: &LinkAddr) -> bool {
    let raw: &libc::sockaddr_ll = link.as_ref();
    raw.sll_pkttype == libc::PACKET_OUTGOING
}

/// The interfaces of the host that this thread is in.
fn interfaces() -> BTreeMap<usize, String> {
    let list = if_nameindex().ok();
    let names = list.iter().flatten();
    names
        .map(|interface| (interface.index() as usize, interface.name().to_string_lossy().into_owned()))
        .collect()
}

/// How many frames the kernel could not hold since the last look.
fn dropped(socket: &Socket) -> u64 {
    let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut length = size_of::<libc::tpacket_stats>() as libc::socklen_t;
    // SAFETY: the kernel fills at most `length` bytes of the live value.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    };
    if result == 0 { u64::from(statistics.tp_drops) } else { 0 }
}
