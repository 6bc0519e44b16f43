//! Reads and writes the memory of a stopped program.

use std::fs::{File, OpenOptions};
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;

/// Up to `length` bytes at `address`; fewer where the rest is not mapped.
pub fn bytes(pid: i32, address: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    if address == 0 || length == 0 {
        return Vec::new();
    }
    let remote = [RemoteIoVec { base: address as usize, len: length }];
    let read = process_vm_readv(Pid::from_raw(pid), &mut [IoSliceMut::new(&mut bytes)], &remote);
    let read = match read {
        Err(errno) if is_filtered(errno) => read_file(pid, address, &mut bytes),
        read => read.unwrap_or(0),
    };
    bytes.truncate(read);
    bytes
}

/// Writes `bytes` at `address`; false where that is not possible.
pub fn write(pid: i32, address: u64, bytes: &[u8]) -> bool {
    let remote = [RemoteIoVec { base: address as usize, len: bytes.len() }];
    match process_vm_writev(Pid::from_raw(pid), &[IoSlice::new(bytes)], &remote) {
        Err(errno) if is_filtered(errno) => {
            let file = OpenOptions::new().write(true).open(format!("/proc/{pid}/mem"));
            file.is_ok_and(|file| file.write_all_at(bytes, address).is_ok())
        }
        written => written == Ok(bytes.len()),
    }
}

/// Whether a call failed because it is not to be had at all: Docker before version 21 lets nobody have these two.
fn is_filtered(errno: Errno) -> bool {
    matches!(errno, Errno::EPERM | Errno::ENOSYS)
}

/// The same bytes from `/proc`, page by page: a read that meets an unmapped page gives nothing of those before it. Gives
/// how many there are.
fn read_file(pid: i32, address: u64, bytes: &mut [u8]) -> usize {
    const PAGE: u64 = 4096;
    let Ok(file) = File::open(format!("/proc/{pid}/mem")) else { return 0 };
    let mut read = 0;
    while read < bytes.len() {
        let at = address.wrapping_add(read as u64);
        let part = ((PAGE - at % PAGE) as usize).min(bytes.len() - read);
        if file.read_exact_at(&mut bytes[read..read + part], at).is_err() {
            break;
        }
        read += part;
    }
    read
}

/// A `u64` in this machine's order.
pub fn u64(pid: i32, address: u64) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes(pid, address, 8).try_into().ok()?))
}

/// A `u32` in this machine's order.
pub fn u32(pid: i32, address: u64) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes(pid, address, 4).try_into().ok()?))
}

/// An `i32` in this machine's order.
pub fn i32(pid: i32, address: u64) -> Option<i32> {
    u32(pid, address).map(|value| value as i32)
}

/// A string that ends in a zero byte, up to `most` bytes of it.
pub fn string(pid: i32, address: u64, most: usize) -> String {
    // A read that crosses into an unmapped page comes back short, so that the end of a page needs no care.
    let mut text = bytes(pid, address, most);
    if let Some(end) = text.iter().position(|byte| *byte == 0) {
        text.truncate(end);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The strings of an argument vector, up to `most` of them.
pub fn strings(pid: i32, address: u64, most: usize) -> Vec<String> {
    (0..most as u64)
        .map_while(|index| u64(pid, address.wrapping_add(index * 8)).filter(|pointer| *pointer != 0))
        .map(|pointer| string(pid, pointer, 4096))
        .collect()
}

/// A time in seconds and nanoseconds, in nanoseconds.
pub fn timespec(pid: i32, address: u64) -> Option<u64> {
    let (seconds, nanoseconds) = (u64(pid, address)?, u64(pid, address.wrapping_add(8))?);
    Some(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
}

/// A time in seconds and microseconds, in nanoseconds.
pub fn timeval(pid: i32, address: u64) -> Option<u64> {
    let (seconds, microseconds) = (u64(pid, address)?, u64(pid, address.wrapping_add(8))?);
    Some(seconds.saturating_mul(1_000_000_000).saturating_add(microseconds.saturating_mul(1000)))
}

/// An address of a socket; `None` for families other than the two of the Internet.
pub fn address(pid: i32, address: u64, length: u64) -> Option<SocketAddr> {
    parse_address(&bytes(pid, address, length.min(128) as usize))
}

/// The address in a `sockaddr`, a v4-mapped one as the IPv4 address that it means.
pub fn parse_address(bytes: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(bytes.get(0..2)?.try_into().ok()?));
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    match family {
        libc::AF_INET => {
            let address: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            Some(SocketAddrV4::new(Ipv4Addr::from(address), port).into())
        }
        libc::AF_INET6 => {
            let address: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            let scope =
                bytes.get(24..28).map_or(0, |scope| u32::from_ne_bytes(scope.try_into().unwrap_or([0; 4])));
            let address = Ipv6Addr::from(address);
            Some(match address.to_ipv4_mapped() {
                Some(address) => SocketAddrV4::new(address, port).into(),
                None => SocketAddrV6::new(address, port, 0, scope).into(),
            })
        }
        _ => None,
    }
}

/// One part of a scattered buffer: where it is and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its address.
    pub base: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// The parts of an `iovec` array.
pub fn parts(pid: i32, address: u64, count: u64) -> Vec<Part> {
    let raw = bytes(pid, address, (count.min(1024) * 16) as usize);
    let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap_or([0; 8]));
    raw.chunks_exact(16).map(|part| Part { base: word(&part[..8]), length: word(&part[8..]) }).collect()
}

/// What the parts hold together. The kernel refuses more than it can count; a program may ask for it all the same.
pub fn length(parts: &[Part]) -> u64 {
    parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.length))
}

/// Up to `most` bytes of what the parts hold, to the first that cannot be read: the kernel stops there, too.
pub fn gather(pid: i32, parts: &[Part], most: usize) -> Vec<u8> {
    let mut gathered = Vec::new();
    for part in parts {
        let room = most - gathered.len();
        if room == 0 {
            break;
        }
        let wanted = room.min(usize::try_from(part.length).unwrap_or(usize::MAX));
        let read = bytes(pid, part.base, wanted);
        let short = read.len() < wanted;
        gathered.extend(read);
        if short {
            break;
        }
    }
    gathered
}

/// The fields of a `msghdr` that matter here.
#[derive(Clone, Debug)]
pub struct Message {
    /// Where the address is, and how long.
    pub name: (u64, u64),
    /// Where the parts are, and how many.
    pub parts: (u64, u64),
}

/// Reads a `msghdr`.
pub fn message(pid: i32, address: u64) -> Option<Message> {
    let raw = bytes(pid, address, 32);
    let word =
        |at: usize| raw.get(at..at + 8).map(|word| u64::from_ne_bytes(word.try_into().unwrap_or([0; 8])));
    Some(Message { name: (word(0)?, word(8)? & 0xffff_ffff), parts: (word(16)?, word(24)?) })
}
