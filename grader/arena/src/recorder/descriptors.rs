//! What the descriptors of a stopped program refer to.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::recording::Object;

/// The object behind descriptor `fd` of a process, if that is open.
pub fn object(pid: i32, fd: i32) -> Option<Object> {
    if fd < 0 {
        return None;
    }
    match fs::read_link(format!("/proc/{pid}/fd/{fd}")) {
        Ok(link) => Some(named(&link.to_string_lossy())),
        // A program that made itself non-dumpable hides the links, but not the descriptors themselves.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => by_copy(pid, fd),
        Err(_) => None,
    }
}

fn named(link: &str) -> Object {
    let number = |prefix: &str| {
        link.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(']')).and_then(|inode| inode.parse().ok())
    };
    if let Some(inode) = number("socket:[") {
        Object::Socket(inode)
    } else if let Some(inode) = number("pipe:[") {
        Object::Pipe(inode)
    } else if link.starts_with('/') {
        Object::File(link.to_string())
    } else {
        Object::Other(link.strip_prefix("anon_inode:").unwrap_or(link).to_string())
    }
}

fn by_copy(pid: i32, fd: i32) -> Option<Object> {
    let copy = copy(pid, fd)?;
    let stat = nix::sys::stat::fstat(&copy).ok()?;
    Some(match stat.st_mode & libc::S_IFMT {
        libc::S_IFSOCK => Object::Socket(stat.st_ino),
        libc::S_IFIFO => Object::Pipe(stat.st_ino),
        _ => Object::Other(format!("{}:{}", stat.st_dev, stat.st_ino)),
    })
}

/// Every open descriptor of a process with its object, in order.
pub fn all(pid: i32) -> Vec<(i32, Object)> {
    let Ok(directory) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let mut open: Vec<_> = directory
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let fd = entry.file_name().to_string_lossy().parse().ok()?;
            Some((fd, named(&fs::read_link(entry.path()).ok()?.to_string_lossy())))
        })
        .collect();
    open.sort_by_key(|(fd, _)| *fd);
    open
}

/// A copy of a process's descriptor (pidfd_getfd).
pub fn copy(pid: i32, fd: i32) -> Option<OwnedFd> {
    // SAFETY: both calls take integers only; a result of 0 or more is a new descriptor that nobody else owns.
    unsafe {
        let process = libc::syscall(libc::SYS_pidfd_open, pid, 0) as i32;
        if process < 0 {
            return None;
        }
        let process = OwnedFd::from_raw_fd(process);
        let copy = libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) as i32;
        (copy >= 0).then(|| OwnedFd::from_raw_fd(copy))
    }
}

/// What getsockname says of a socket.
pub fn local_address(socket: &OwnedFd) -> Option<SocketAddr> {
    name(socket, libc::getsockname)
}

/// What getpeername says of a socket.
pub fn peer_address(socket: &OwnedFd) -> Option<SocketAddr> {
    name(socket, libc::getpeername)
}

type Namer = unsafe extern "C" fn(libc::c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int;

fn name(socket: &OwnedFd, call: Namer) -> Option<SocketAddr> {
    let mut raw = [0_u8; 128];
    let mut length = raw.len() as libc::socklen_t;
    // SAFETY: `raw` has the `length` bytes that the kernel may fill, and both outlive the call.
    let result = unsafe { call(socket.as_raw_fd(), raw.as_mut_ptr().cast(), &raw mut length) };
    if result != 0 { None } else { super::memory::parse_address(&raw[..(length as usize).min(raw.len())]) }
}

/// The bytes that wait to be read from a descriptor.
pub fn unread(descriptor: &OwnedFd) -> u64 {
    let mut waiting: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int to the valid place it is given.
    let result = unsafe { libc::ioctl(descriptor.as_raw_fd(), libc::FIONREAD, &raw mut waiting) };
    if result == 0 { u64::try_from(waiting).unwrap_or(0) } else { 0 }
}

/// Whether a socket carries a stream (SO_TYPE).
pub fn is_stream(socket: &OwnedFd) -> bool {
    let kind = nix::sys::socket::getsockopt(socket, nix::sys::socket::sockopt::SockType);
    kind == Ok(nix::sys::socket::SockType::Stream)
}

/// The objects that an epoll descriptor watches (the first few dozen), as descriptor numbers of the process.
pub fn watched(pid: i32, epoll: i32) -> Vec<i32> {
    use std::io::Read;
    let Ok(mut file) = fs::File::open(format!("/proc/{pid}/fdinfo/{epoll}")) else { return Vec::new() };
    let mut raw = [0_u8; 4096];
    let length = file.read(&mut raw).unwrap_or(0);
    String::from_utf8_lossy(&raw[..length])
        .lines()
        .filter_map(|line| line.strip_prefix("tfd:")?.split_whitespace().next()?.parse().ok())
        .collect()
}

/// One descriptor number in `/proc/<pid>/status`-style files: the last value of the named line.
pub fn status_number(pid: i32, key: &str) -> Option<i32> {
    let status = crate::sandbox::proc_text(pid, "status")?;
    let line = status.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().last()?.parse().ok()
}
