//! bind-name by the standard library: `TcpListener::bind` also listens, which does no harm.

use std::io::{self, Write};
use std::net::TcpListener;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: bind-name [HOST] [PORT]");
    let words = arguments.words();
    let port = words.get(1).map_or(5000, |port| arguments.parse("PORT", port, 0..=u16::MAX));
    let host = match words.first() {
        Some(host) if host.starts_with('-') => arguments.refuse("no options, please"),
        Some(host) if !host.is_empty() => host,
        _ => "0.0.0.0",
    };
    if words.len() > 2 {
        arguments.refuse("too many words");
    }
    let done = TcpListener::bind((host, port)).and_then(|listener| {
        let name = listener.local_addr()?;
        writeln!(io::stdout(), "{name}")
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "bind-name {host}:{port}: {error}");
            ExitCode::FAILURE
        }
    }
}
