//! The standard streams of a program: where they come from and go to, and how the bench moves them.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};

use crate::sandbox::{self, Tier};
use crate::verdict::Breakdown;

/// More output than this is not kept; more than four times this ends the program.
const KEPT: usize = 4 << 20;
/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// What a program reads from its standard input.
#[derive(Clone, Debug, Default)]
pub enum Stdin {
    /// Nothing: the end of the stream at once.
    #[default]
    Empty,
    /// These bytes, then the end of the stream.
    Bytes(Vec<u8>),
    /// Nothing, and no end either, until the check feeds it.
    Silent,
}

/// Where a program's standard output goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdout {
    /// Into a pipe that the bench reads.
    #[default]
    Pipe,
    /// Into a regular file, which the bench reads as it grows.
    File,
    /// Into a full disk: every write fails with ENOSPC.
    Full,
    /// Into a pipe that nobody reads any more: every write fails with EPIPE.
    Closed,
}

/// One output of a program.
#[derive(Default)]
pub struct Output {
    reader: Option<File>,
    /// Where it is read to, made once: every turn of a wait reads.
    buffer: Vec<u8>,
    /// What came so far.
    pub bytes: Vec<u8>,
    /// How much came so far, kept or not.
    pub total: usize,
}

/// The standard streams of one program, moved by the bench whenever it waits.
pub struct Streams {
    /// The program's name on the bench.
    pub who: String,
    pub stdout: Output,
    pub stderr: Output,
    stdin: Option<File>,
    feed: Vec<u8>,
    fed: usize,
    /// Whether stdin ends after that.
    ends: bool,
    /// Bytes moved in any direction.
    pub moved: u64,
    init: OwnedFd,
    tier: Tier,
}

/// The bench's own ends of a program's streams.
pub(super) struct Ends {
    pub stdin: Option<File>,
    pub stdout: Option<File>,
    pub stderr: File,
}

impl Stdin {
    /// The program's end, and the bench's where it has one.
    pub(super) fn open(&self) -> Result<(OwnedFd, Option<File>), Breakdown> {
        match self {
            Self::Empty => Ok((open("/dev/null", false)?, None)),
            Self::Silent | Self::Bytes(_) => {
                // The program's own end blocks, as a shell's would: only ours must not.
                let (reader, writer) = new_pipe()?;
                set_nonblocking(&writer)?;
                Ok((reader, Some(File::from(writer))))
            }
        }
    }
}

impl Stdout {
    /// The program's end, and the bench's where it has one.
    pub(super) fn open(self) -> Result<(OwnedFd, Option<File>), Breakdown> {
        match self {
            Self::Pipe => {
                let (reader, writer) = pipe()?;
                Ok((writer, Some(reader)))
            }
            Self::Closed => Ok((pipe()?.1, None)),
            Self::Full => Ok((open("/dev/full", true)?, None)),
            Self::File => {
                let file = tempfile::NamedTempFile::new()
                    .map_err(|error| Breakdown::system("cannot create a temporary file", error))?;
                let reader = file.reopen().map_err(|error| Breakdown::system("cannot open a file", error))?;
                Ok((OwnedFd::from(file.into_file()), Some(reader)))
            }
        }
    }
}

fn open(path: &str, write: bool) -> Result<OwnedFd, Breakdown> {
    let opened = std::fs::OpenOptions::new().read(!write).write(write).open(path);
    opened.map(Into::into).map_err(|error| Breakdown::system(format!("cannot open {path}"), error))
}

/// A pipe whose reading end, the bench's, does not block.
pub(super) fn pipe() -> Result<(File, OwnedFd), Breakdown> {
    let (reader, writer) = new_pipe()?;
    set_nonblocking(&reader)?;
    Ok((File::from(reader), writer))
}

fn new_pipe() -> Result<(OwnedFd, OwnedFd), Breakdown> {
    nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|error| Breakdown::system("cannot create a pipe", error))
}

fn set_nonblocking(fd: &OwnedFd) -> Result<(), Breakdown> {
    fcntl(fd.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
        .map(|_| ())
        .map_err(|error| Breakdown::system("cannot prepare a pipe", error))
}

impl Output {
    fn pump(&mut self) -> u64 {
        let Some(reader) = &mut self.reader else { return 0 };
        if self.buffer.is_empty() {
            self.buffer = vec![0; CHUNK];
        }
        let mut moved = 0;
        loop {
            match reader.read(&mut self.buffer) {
                // The end of a pipe is final; a file may still grow.
                Ok(0) => {
                    if reader.metadata().is_ok_and(|metadata| !metadata.is_file()) {
                        self.reader = None;
                    }
                    return moved;
                }
                Ok(count) => {
                    moved += count as u64;
                    self.total += count;
                    let room = KEPT.saturating_sub(self.bytes.len()).min(count);
                    self.bytes.extend_from_slice(&self.buffer[..room]);
                    if moved > KEPT as u64 {
                        return moved;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return moved,
            }
        }
    }
}

impl Streams {
    /// The streams of a program that was started with the other ends of `ends`; `init` is what ends it.
    pub(super) fn new(who: &str, ends: Ends, stdin: Stdin, init: OwnedFd, tier: Tier) -> Self {
        let ends_by_itself = matches!(stdin, Stdin::Bytes(_));
        Self {
            who: who.to_string(),
            stdout: Output { reader: ends.stdout, ..Output::default() },
            stderr: Output { reader: Some(ends.stderr), ..Output::default() },
            stdin: ends.stdin,
            feed: if let Stdin::Bytes(bytes) = stdin { bytes } else { Vec::new() },
            fed: 0,
            ends: ends_by_itself,
            moved: 0,
            init,
            tier,
        }
    }

    /// Adds to what the program will read; after the `last` piece its stdin ends.
    pub(super) fn feed(&mut self, bytes: &[u8], last: bool) {
        self.feed.drain(..self.fed);
        self.fed = 0;
        self.feed.extend_from_slice(bytes);
        self.ends = last;
        self.pump();
    }

    /// Whether the program has taken all that it was fed with out of the pipe.
    pub(super) fn are_read(&self) -> bool {
        if self.fed < self.feed.len() {
            return false;
        }
        let Some(stdin) = &self.stdin else { return true };
        let mut waiting: libc::c_int = 0;
        // SAFETY: FIONREAD writes one integer, and `waiting` is one.
        let asked = unsafe { libc::ioctl(stdin.as_raw_fd(), libc::FIONREAD, &raw mut waiting) };
        asked == 0 && waiting == 0
    }

    /// Moves what can be moved without waiting.
    pub fn pump(&mut self) {
        self.moved += self.stdout.pump() + self.stderr.pump();
        if self.stdout.total.max(self.stderr.total) > 4 * KEPT {
            sandbox::kill(self.tier, &self.init);
        }
        if let Some(stdin) = &mut self.stdin {
            while self.fed < self.feed.len() {
                match stdin.write(&self.feed[self.fed..]) {
                    Ok(count) => {
                        self.fed += count;
                        self.moved += count as u64;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                    // Nobody will read the rest.
                    Err(_) => {
                        self.stdin = None;
                        return;
                    }
                }
            }
            if self.ends {
                self.stdin = None;
            }
        }
    }

    /// Ends the program and everything that it started.
    pub fn kill(&self) {
        sandbox::kill(self.tier, &self.init);
    }

    /// Adds what is worth waking up for.
    pub fn watch<'fd>(&'fd self, set: &mut Vec<PollFd<'fd>>) {
        for output in [&self.stdout, &self.stderr] {
            if let Some(reader) = &output.reader {
                if reader.metadata().is_ok_and(|metadata| !metadata.is_file()) {
                    set.push(PollFd::new(reader.as_fd(), PollFlags::POLLIN));
                }
            }
        }
        if let Some(stdin) = &self.stdin {
            if self.fed < self.feed.len() {
                set.push(PollFd::new(stdin.as_fd(), PollFlags::POLLOUT));
            }
        }
    }
}
