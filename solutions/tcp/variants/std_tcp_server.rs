//! The whole contract with the standard library: a thread per connection, each joined before the next is accepted.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;

fn serve(mut connection: TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match connection.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => connection.write_all(b"Hi!")?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn run(host: &str, port: u16, count: u32) -> std::io::Result<()> {
    let listener = TcpListener::bind((host, port))
        .map_err(|error| std::io::Error::other(format!("cannot bind {host}:{port}: {error}")))?;
    if port == 0 {
        writeln!(std::io::stdout(), "Listening on {}", listener.local_addr()?)?;
    }
    for connection in listener.incoming().take(count as usize) {
        let connection = connection?;
        if let Ok(Err(error)) = std::thread::spawn(|| serve(connection)).join() {
            eprintln!("lost a client: {error}");
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: tcp-server [--host ADDR] [--port PORT] [--count N]");
    let host = arguments.text("--host", "0.0.0.0");
    let port = arguments.number("--port", 0..=u16::MAX, 5000);
    let count = arguments.number("--count", 1..=u32::MAX, 1);
    arguments.finish();
    match run(&host, port, count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
