//! The standard library alone: `Command` for fork and exec, `io::pipe` in between. `Command` resets SIGPIPE and the signal mask.

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, Stdio};

enum Stage {
    Running(Child),
    NeverRan(i32),
}

fn main() -> ExitCode {
    let mut words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if words.is_empty() {
        let home = std::env::var_os("HOME").unwrap_or_else(|| ".".into());
        words = vec!["ls".into(), home, "|".into(), "grep".into(), "^d".into(), "|".into(), "wc".into(), "-l".into()];
    }
    let stages: Vec<&[OsString]> = words.split(|word| word == "|").collect();
    if stages.iter().any(|stage| stage.is_empty()) {
        complain("usage: pipeline [CMD [ARG]... ['|' CMD [ARG]...]...]");
        return ExitCode::from(2);
    }

    let mut started = Vec::new();
    let mut input = Some(Stdio::inherit());
    let mut refused = None;
    for (position, stage) in stages.iter().enumerate() {
        let last = position + 1 == stages.len();
        let (next, output) = if last {
            (None, Stdio::inherit())
        } else {
            match std::io::pipe() {
                Ok((reader, writer)) => (Some(Stdio::from(reader)), Stdio::from(writer)),
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        };
        let mut command = Command::new(&stage[0]);
        command.args(&stage[1..]).stdin(input.take().unwrap_or_else(Stdio::null)).stdout(output);
        match command.spawn() {
            Ok(child) => started.push(Stage::Running(child)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                refused = Some(error);
                break;
            }
            Err(error) => {
                complain(&format!("pipeline: {}: {error}", stage[0].to_string_lossy()));
                started.push(Stage::NeverRan(if error.kind() == ErrorKind::NotFound { 127 } else { 126 }));
            }
        }
        input = next;
    }
    drop(input);

    let mut result = 0;
    for stage in started {
        result = match stage {
            Stage::NeverRan(status) => status,
            Stage::Running(mut child) => match child.wait() {
                Ok(status) => status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
                Err(error) => {
                    refused = Some(error);
                    1
                }
            },
        };
    }
    if let Some(error) = refused {
        complain(&format!("pipeline: {error}"));
        return ExitCode::FAILURE;
    }
    ExitCode::from(result as u8)
}

fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "{message}");
}
