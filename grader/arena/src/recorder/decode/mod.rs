//! From system calls to acts: what a call asks for at its entry, and what it brought at its exit.
//!
//! Every way of doing a thing becomes the same act (`send`, `write` and `sendmsg` on a socket are all a `Send`), so that
//! checks judge what a program did and not how it spelled it.

mod enter;
#[cfg(test)]
mod fuzz;
mod leave;
mod options;
mod ready;

use std::collections::BTreeMap;

use crate::recorder::clock::Clock;
use crate::recorder::descriptors;
use crate::recording::{Act, Object};

pub use enter::{clone_flags, enter, is_timer};
pub use leave::leave;
pub use ready::{Timeout, timeout_argument};

/// How many bytes of what was sent or received an act shows.
pub const HEAD: usize = 32;

/// A process while one of its threads is stopped: its memory and descriptors, as far as decoding needs them.
pub struct View<'a> {
    /// The stopped thread.
    pub thread: i32,
    /// Its process.
    pub process: i32,
    /// What is known of the process's descriptors.
    pub objects: &'a mut Objects,
    /// The names of the processes by the pids that the program itself sees.
    pub names: &'a BTreeMap<i32, String>,
    /// The clock that it sees.
    pub clock: &'a Clock,
}

/// What is known of a process's descriptors; all calls that close one are recorded and make it forgotten.
#[derive(Debug, Default)]
pub struct Objects {
    known: BTreeMap<i32, Object>,
}

impl Objects {
    /// What a descriptor refers to.
    pub fn get(&mut self, process: i32, fd: i32) -> Option<Object> {
        if let Some(object) = self.known.get(&fd) {
            return Some(object.clone());
        }
        let object = descriptors::object(process, fd)?;
        self.known.insert(fd, object.clone());
        Some(object)
    }

    /// A descriptor was or may be closed.
    pub fn forget(&mut self, fd: i32) {
        self.known.remove(&fd);
    }

    /// Any descriptor may have been closed.
    pub fn forget_all(&mut self) {
        self.known.clear();
    }
}

impl View<'_> {
    /// What a descriptor refers to; descriptors that are not open have an object without a name.
    pub fn object(&mut self, fd: i32) -> Object {
        self.objects.get(self.process, fd).unwrap_or(Object::Other(String::new()))
    }

    /// The name of a process by the pid that the program sees.
    pub fn name(&self, pid: i32) -> String {
        self.names.get(&pid).cloned().unwrap_or_else(|| format!("pid {pid}"))
    }
}

/// What a call asks for.
#[derive(Debug)]
pub struct Asked {
    /// The act, with the fields open that only its exit tells.
    pub act: Act,
    /// The descriptor that it uses.
    pub fd: Option<i32>,
    /// Whether its exit matters.
    pub exit: bool,
    /// Objects that it closes besides.
    pub closes: Vec<(i32, Object)>,
}

impl Asked {
    fn new(act: Act, fd: Option<i32>) -> Self {
        Self { act, fd, exit: true, closes: Vec::new() }
    }

    fn at_once(mut self) -> Self {
        self.exit = false;
        self
    }
}

/// What descriptor arguments are: the lower half of the register.
pub fn descriptor(argument: u64) -> i32 {
    argument as u32 as i32
}
