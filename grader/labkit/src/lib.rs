//! The option parser of every lab's programs.
//!
//! Parsing arguments is not the exercise, so it is given. It follows the conventions of the handouts: options are
//! `--name value`, numbers are decimal digits with an optional minus sign where the type is signed, and anything
//! unknown or malformed ends the program with a usage line on stderr and status 2, before it has done anything.
//!
//! ```no_run
//! let mut arguments = labkit::Arguments::new("usage: udp-server [--host ADDR] [--port PORT] [--count N]");
//! let host: String = arguments.text("--host", "0.0.0.0");
//! let port: u16 = arguments.number("--port", 0..=u16::MAX, 5000);
//! let count: u32 = arguments.number("--count", 1..=u32::MAX, 1);
//! arguments.finish();
//! ```

use std::fmt::Display;
use std::io::Write;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The arguments that the program was started with, taken out one by one.
pub struct Arguments {
    usage: &'static str,
    /// `None` for an argument that is not text: it is malformed wherever it is asked for.
    rest: Vec<Option<String>>,
}

impl Arguments {
    /// The arguments of this process; `usage` is the line that a malformed one prints.
    pub fn new(usage: &'static str) -> Self {
        let rest = std::env::args_os().skip(1).map(|argument| argument.into_string().ok()).collect();
        Self { usage, rest }
    }

    /// The value of the option `name`, or `default` where it was not given. An empty value is malformed.
    pub fn text(&mut self, name: &str, default: &str) -> String {
        match self.take(name) {
            Some(value) if value.is_empty() => self.refuse(&format!("{name} needs a value")),
            Some(value) => value,
            None => default.to_string(),
        }
    }

    /// The value of the numeric option `name`, which must lie in `range`, or `default` where it was not given.
    pub fn number<T>(&mut self, name: &str, range: RangeInclusive<T>, default: T) -> T
    where
        T: FromStr + PartialOrd + Display,
    {
        match self.take(name) {
            Some(value) => self.parse(name, &value, range),
            None => default,
        }
    }

    /// `value` as a number in `range`; `name` says in the message what it is.
    pub fn parse<T>(&self, name: &str, value: &str, range: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display,
    {
        let digits = value.strip_prefix('-').unwrap_or(value);
        let decimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        match value.parse::<T>() {
            Ok(number) if decimal && range.contains(&number) => number,
            _ => self.refuse(&format!(
                "{name} {value}: want a number from {} to {}",
                range.start(),
                range.end()
            )),
        }
    }

    /// The arguments that are left, as words without a name. Call it after every option was taken.
    pub fn words(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        for argument in std::mem::take(&mut self.rest) {
            match argument {
                Some(word) => words.push(word),
                None => self.refuse("an argument is not valid UTF-8"),
            }
        }
        words
    }

    /// Refuses whatever was not taken: an unknown option, or a word too many.
    pub fn finish(mut self) {
        if let Some(word) = self.words().first() {
            self.refuse(&format!("unknown argument {word}"));
        }
    }

    /// Prints the problem and the usage line on stderr and ends the program with status 2.
    pub fn refuse(&self, problem: &str) -> ! {
        // Not `eprintln!`: it panics where stderr cannot be written to.
        let _ = writeln!(std::io::stderr(), "{problem}\n{}", self.usage);
        std::process::exit(2)
    }

    /// Takes the option `name` and its value out of the arguments. Only a name at an option's place counts: the
    /// value of one option may look like the name of another.
    fn take(&mut self, name: &str) -> Option<String> {
        let mut at = 0;
        while at < self.rest.len() {
            let argument = self.rest[at].as_deref();
            if argument == Some(name) {
                if at + 1 == self.rest.len() {
                    self.refuse(&format!("{name} needs a value"));
                }
                self.rest.remove(at);
                return match self.rest.remove(at) {
                    Some(value) => Some(value),
                    None => self.refuse(&format!("the value of {name} is not valid UTF-8")),
                };
            }
            let is_option = argument.is_some_and(|argument| argument.starts_with("--"));
            at += if is_option { 2 } else { 1 };
        }
        None
    }
}
