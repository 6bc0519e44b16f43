//! Limits that are changed while a program runs: descriptors, processes and threads become scarce, and plenty again.

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
