//! Limits: descriptors, processes and threads become scarce while a program runs, and plenty again; connections hold
//! little.

use super::Bench;
use super::process::Process;
use crate::verdict::Breakdown;

/// What is made scarce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// Descriptor numbers: a call that would give this number or a higher one fails with EMFILE.
    Descriptors,
    /// Processes and threads of the whole bench host: fork and thread creation beyond fail with EAGAIN.
    Processes,
}

impl Process {
    /// Sets the program's soft limit (that of its first process; children born later inherit it) and gives the one
    /// before.
    pub fn limit(&self, limited: Limited, most: u64) -> Result<u64, Breakdown> {
        let resource = match limited {
            Limited::Descriptors => libc::RLIMIT_NOFILE,
            Limited::Processes => libc::RLIMIT_NPROC,
        };
        let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `before` is a valid place for the limits; a null pointer for the new ones means to leave them.
        let read = unsafe { libc::prlimit(self.pid(), resource, std::ptr::null(), &mut before) };
        let limits = libc::rlimit { rlim_cur: most.min(before.rlim_max), rlim_max: before.rlim_max };
        // SAFETY: `limits` is valid, and a null pointer for the old ones means that they are not wanted.
        let set = unsafe { libc::prlimit(self.pid(), resource, &limits, std::ptr::null_mut()) };
        if read < 0 || set < 0 {
            let error = std::io::Error::last_os_error();
            return Err(Breakdown::system(format!("cannot set a limit of {}", self.who()), error));
        }
        Ok(before.rlim_cur)
    }
}

impl Bench {
    /// From now on a connection on host a holds at most so many bytes that its sender has handed over and its receiver
    /// has no room for. Usually these are megabytes, which a slow reader's server would have to produce first.
    pub fn small_send_buffers(&self, bytes: u32) -> Result<(), Breakdown> {
        // The three values are the least, the usual and the largest size (tcp(7), tcp_wmem).
        let sizes = format!("4096 {} {bytes}", bytes.min(16_384));
        let written = self.host("a").enter(|| {
            // What a full buffer did not take is sent again after a time that doubles: to a second at most, where the
            // kernel can be told so (Linux 6.15).
            let _ = std::fs::write("/proc/sys/net/ipv4/tcp_rto_max_ms", "1000");
            std::fs::write("/proc/sys/net/ipv4/tcp_wmem", sizes)
        })?;
        written.map_err(|error| Breakdown::system("cannot bound the send buffers of a host", error))
    }
}
