//! `pipeline`: runs commands joined by pipes, as a shell does for `ls ~ | grep "^d" | wc -l`, without a shell.
//!
//! Each stage is a child of this program. Between two stages lies a pipe: the left one's stdout is its write end, the
//! right one's stdin its read end. A reader meets the end of its input only when *no* process has the write end open
//! any more, so everybody closes what it does not use.

use std::ffi::OsString;
use std::process::ExitCode;

const USAGE: &str = "usage: pipeline [CMD [ARG]... ['|' CMD [ARG]...]...]";

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    todo!("split {words:?} into stages and run them; where a stage is empty, print: {USAGE}")
}
