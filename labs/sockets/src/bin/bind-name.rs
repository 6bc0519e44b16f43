//! Gives a socket a name and asks the system which one it got.
//!
//! `bind-name [HOST] [PORT]` resolves HOST (none, or an empty one, is any interface), binds a TCP socket to the
//! address and the port (5000 if none is given, 0 lets the system choose) and prints what getsockname says.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: bind-name [HOST] [PORT]");
    let words = arguments.words();
    let host = words.first().map_or("", String::as_str);
    let port = words.get(1).map_or(5000, |port| arguments.parse("PORT", port, 0..=u16::MAX));
    if words.len() > 2 || host.starts_with('-') {
        arguments.refuse("want a host and a port at most, and no options");
    }

    let printed = bind_name(host, port).and_then(|name| {
        // Not `println!`: it panics where stdout cannot be written to, on a full disk for example.
        writeln!(io::stdout(), "{name}").map_err(|error| format!("cannot write to stdout: {error}"))
    });
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            let _ = writeln!(io::stderr(), "{reason}");
            ExitCode::FAILURE
        }
    }
}

/// Binds a TCP socket to the first address of `host` that can be bound and returns the name that it got.
fn bind_name(host: &str, port: u16) -> Result<SocketAddr, String> {
    todo!("resolve {host:?}, bind a TCP socket to it and port {port}, and ask for its name")
}
