//! A check is a plain function and a row in a `const` table, in teaching order; the table is the rubric.

use crate::bench::Bench;
pub use crate::host::Network;
use crate::verdict::Stop;

/// The checks of one lab.
pub struct Suite {
    /// The lab's name, which is also its directory.
    pub lab: &'static str,
    /// The programs that a submission of this lab must have.
    pub programs: &'static [&'static str],
    /// The core checks; the robust and bonus ones stand in `hidden/`.
    pub checks: &'static [Check],
}

/// How much a requirement asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What the course's own example program does.
    Core,
    /// What the course warns about, and what the real world does to a program.
    Robust,
    /// Beyond, worth extra points.
    Bonus,
}

/// One question about a program, its points and its function.
#[derive(Clone, Copy)]
pub struct Check {
    /// The name of the function, by which reports and mutants call the check.
    pub name: &'static str,
    /// The requirement of the handout that it asks for, such as `udp.2`.
    pub requirement: &'static str,
    /// Core and robust points of a lab make 100, bonus at most 20 on top.
    pub level: Level,
    /// The points it is worth.
    pub points: u32,
    /// What it asks, as the student reads it.
    pub question: &'static str,
    /// The programs it starts.
    pub programs: &'static [&'static str],
    /// The check itself.
    pub run: fn(&mut Bench) -> Result<(), Stop>,
    /// The check that must have passed before this one makes sense.
    pub after: Option<&'static str>,
    /// The heading of the handout's section that teaches what is asked for.
    pub handout: &'static str,
    /// Whether it starts its programs without any option: the course's plain Python programs must pass it too.
    pub plain: bool,
    /// Those of the mistakes that are right in other places (`recording/mistakes.rs`) which are mistakes here.
    pub mistakes: &'static [&'static str],
    /// Whether it waits for a third of a second and more, so that it had better begin before the others.
    pub long: bool,
    /// What the bench must provide.
    pub setup: Setup,
}

/// What a check's bench must provide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Setup {
    /// The simulated hosts.
    pub network: Network,
    /// Whether sleeping costs no time: the clock of the programs jumps while all of them sleep.
    pub skip_idle: bool,
    /// Whether the programs get CAP_NET_RAW (inside their network namespace).
    pub net_raw: bool,
    /// Whether it judges recorded system calls: without a recorder it breaks down, and never fails.
    pub recorder: bool,
    /// Whether no system call is recorded: for thousands of clients, of whose calls nothing is asked.
    pub unrecorded: bool,
    /// Whether packets are captured on every host.
    pub capture: bool,
}

impl Check {
    /// A row of the table; use the macro [`check!`](crate::check!).
    pub const fn new(
        name: &'static str,
        requirement: &'static str,
        level: Level,
        points: u32,
        programs: &'static [&'static str],
        question: &'static str,
        run: fn(&mut Bench) -> Result<(), Stop>,
    ) -> Self {
        let setup = Setup {
            network: Network::Alone,
            skip_idle: false,
            net_raw: false,
            recorder: false,
            unrecorded: false,
            capture: false,
        };
        let (after, handout, mistakes): (_, _, &[&str]) = (None, "", &[]);
        Self {
            name,
            requirement,
            level,
            points,
            question,
            programs,
            run,
            after,
            handout,
            plain: false,
            mistakes,
            long: false,
            setup,
        }
    }

    /// Only asked when the named check of the same lab has passed.
    pub const fn after(mut self, check: &'static str) -> Self {
        self.after = Some(check);
        self
    }

    /// The heading of the handout's section that teaches it.
    pub const fn handout(mut self, section: &'static str) -> Self {
        self.handout = section;
        self
    }

    /// Here these are mistakes, too.
    pub const fn mistakes(mut self, names: &'static [&'static str]) -> Self {
        self.mistakes = names;
        self
    }

    /// Starts its programs without any option.
    pub const fn plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// Waits long, for a timeout or a pause that it must see: it begins early.
    pub const fn long(mut self) -> Self {
        self.long = true;
        self
    }

    /// Needs these simulated hosts.
    pub const fn network(mut self, network: Network) -> Self {
        self.setup.network = network;
        self
    }

    /// Runs on virtual time; needs the recorder.
    pub const fn skip_idle(mut self) -> Self {
        self.setup.skip_idle = true;
        self.setup.recorder = true;
        self
    }

    /// Its programs need raw sockets.
    pub const fn net_raw(mut self) -> Self {
        self.setup.net_raw = true;
        self
    }

    /// Judges recorded system calls.
    pub const fn recorder(mut self) -> Self {
        self.setup.recorder = true;
        self
    }

    /// Asks for so much, and nothing about single calls, that a recorder would only cost time.
    pub const fn unrecorded(mut self) -> Self {
        self.setup.unrecorded = true;
        self
    }

    /// Judges captured packets.
    pub const fn capture(mut self) -> Self {
        self.setup.capture = true;
        self
    }
}

/// `check!(function, "udp.2", Core, 10, ["udp-server"], "Does the server answer 41 with 42?")`: a row of a suite.
#[macro_export]
macro_rules! check {
    ($run:path, $requirement:literal, $level:ident, $points:literal, [$($program:literal),* $(,)?], $question:literal) => {
        $crate::check::Check::new(
            $crate::check::last_segment(stringify!($run)),
            $requirement,
            $crate::check::Level::$level,
            $points,
            &[$($program),*],
            $question,
            $run,
        )
    };
}

/// The last segment of a path: the function's own name.
pub const fn last_segment(path: &'static str) -> &'static str {
    let bytes = path.as_bytes();
    let mut start = bytes.len();
    while start > 0 && bytes[start - 1] != b':' && bytes[start - 1] != b' ' {
        start -= 1;
    }
    let (_, name) = bytes.split_at(start);
    match std::str::from_utf8(name) {
        Ok(name) => name,
        Err(_) => path,
    }
}
