//! What it means that a descriptor is closed: whether it is the last one of its object on the bench, what is unread then,
//! and what a process that ends leaves open.

use crate::recording::{Act, Object, Outcome};

use super::descriptors;
use super::trace::Tracer;

impl Tracer {
    /// Records what a process that ends leaves for the kernel to close.
    pub(super) fn left_open(&mut self, pid: i32, process: i32) {
        for (fd, object) in descriptors::all(pid) {
            if fd > 2 {
                let (last, unread) = self.about_to_close(process, fd, &object);
                self.record(pid, "exit", Some(fd), Act::LeftOpen { object, last, unread }, Outcome::Ok(0));
            }
        }
    }

    /// Whether a descriptor that is about to be closed is the last one of its object on the bench, and what waits unread.
    pub(super) fn about_to_close(&self, process: i32, fd: i32, object: &Object) -> (bool, u64) {
        if !matches!(object, Object::Socket(_)) {
            return (false, 0);
        }
        let unread = descriptors::copy(process, fd).map_or(0, |socket| descriptors::unread(&socket));
        (self.is_last(process, fd, object), unread)
    }

    fn is_last(&self, process: i32, fd: i32, object: &Object) -> bool {
        let Some(own) = self.processes.get(&process) else { return true };
        if self.known.duplicated.contains(object) && self.holds(process, object, Some(fd)) {
            return false;
        }
        // A process on its way out no longer counts: whoever closes after its end was recorded is the last.
        let others = self
            .processes
            .values()
            .filter(|other| other.tree == own.tree && other.pid != process && other.alive > 0);
        !others.into_iter().any(|other| self.holds(other.pid, object, None))
    }

    /// Whether a process has a descriptor of an object, besides those that it is just closing and this one.
    fn holds(&self, process: i32, object: &Object, besides: Option<i32>) -> bool {
        let threads = self.threads.values().filter(|thread| thread.process == process);
        let closing: Vec<i32> = threads.filter_map(|thread| thread.closing).chain(besides).collect();
        descriptors::all(process).iter().any(|(fd, same)| same == object && !closing.contains(fd))
    }
}
