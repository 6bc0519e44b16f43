//! The whole contract with the standard library: write_all, read_exact, and the answer read on another thread.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;

fn run(host: &str, port: u16, message: &str) -> std::io::Result<()> {
    let mut connection = TcpStream::connect((host, port))?;
    let mut reader = connection.try_clone()?;
    let answer = std::thread::spawn(move || {
        let mut answer = [0; 3];
        reader.read_exact(&mut answer).map(|()| answer)
    });
    connection.write_all(message.as_bytes())?;
    let answer = answer.join().map_err(|_| std::io::Error::other("the reading thread panicked"))??;
    let mut stdout = std::io::stdout();
    stdout.write_all(b"Received: ")?;
    stdout.write_all(&answer)?;
    stdout.write_all(b"\n")
}

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: tcp-client [--host ADDR] [--port PORT] [--message TEXT]");
    let host = arguments.text("--host", "127.0.0.1");
    let port = arguments.number("--port", 1..=u16::MAX, 5000);
    let message = arguments.text("--message", "Hello!");
    arguments.finish();
    match run(&host, port, &message) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot talk to {host}:{port}: {error}");
            ExitCode::FAILURE
        }
    }
}
