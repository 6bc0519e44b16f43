//! socket-table by the bare system call, for families that no crate has names for.

use std::io::{self, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::libc;

fn main() -> ExitCode {
    labkit::Arguments::new("usage: socket-table").finish();
    let families = [
        ("AF_INET", libc::AF_INET, libc::IPPROTO_ICMP),
        ("AF_INET6", libc::AF_INET6, libc::IPPROTO_ICMPV6),
        ("AF_UNIX", libc::AF_UNIX, 0),
        ("AF_BLUETOOTH", libc::AF_BLUETOOTH, 1),
    ];
    let types =
        [("SOCK_STREAM", libc::SOCK_STREAM), ("SOCK_DGRAM", libc::SOCK_DGRAM), ("SOCK_RAW", libc::SOCK_RAW)];
    let mut text = String::new();
    for (family, number, raw) in families {
        for (kind, ty) in types {
            // SAFETY: socket takes no pointers.
            let fd = unsafe { libc::socket(number, ty, if ty == libc::SOCK_RAW { raw } else { 0 }) };
            let answer = match Errno::result(fd) {
                Ok(fd) => {
                    // SAFETY: the descriptor is new, and nobody else's.
                    drop(unsafe { OwnedFd::from_raw_fd(fd) });
                    "ok".to_string()
                }
                Err(errno) => format!("{errno:?}"),
            };
            text.push_str(&format!("{family} {kind} {answer}\n"));
        }
    }
    if io::stdout().write_all(text.as_bytes()).is_err() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
