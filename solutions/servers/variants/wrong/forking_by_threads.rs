//! Threads where children are asked for. The totals are for each connection, so the answers are right.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: forking-server [--host ADDR] [--port PORT]");
    let host = arguments.text("--host", "0.0.0.0");
    let port = arguments.number("--port", 0..=u16::MAX, 5000);
    arguments.finish();
    match run(&host, port) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{host}:{port}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(host: &str, port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((host, port))?;
    if port == 0 {
        writeln!(io::stdout(), "Listening on {}", listener.local_addr()?)?;
    }
    for client in listener.incoming() {
        match client {
            Ok(client) => {
                let started = thread::Builder::new().stack_size(256 * 1024).spawn(move || {
                    if let Err(error) = serve(client) {
                        let _ = writeln!(io::stderr(), "{error}");
                    }
                });
                if let Err(error) = started {
                    let _ = writeln!(io::stderr(), "no thread: {error}");
                }
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
    Ok(())
}

fn serve(client: TcpStream) -> io::Result<()> {
    let mut total = 0i64;
    let mut lines = BufReader::new(&client);
    loop {
        let mut line = Vec::new();
        lines.by_ref().take(1025).read_until(b'\n', &mut line)?;
        let Some(text) = line.strip_suffix(b"\n") else {
            if line.len() == 1025 {
                (&client).write_all(b"error: too long\n")?;
            }
            return Ok(());
        };
        if text == b"quit" {
            return Ok(());
        }
        match number(text) {
            Some(number) => {
                total = total.wrapping_add(number);
                (&client).write_all(format!("total {total}\n").as_bytes())?;
            }
            None => (&client).write_all(b"error: ?\n")?,
        }
    }
}

fn number(line: &[u8]) -> Option<i64> {
    let number = std::str::from_utf8(line).ok()?.strip_prefix("add ")?;
    let digits = number.strip_prefix('-').unwrap_or(number);
    (digits.len() <= 19 && digits.chars().all(|digit| digit.is_ascii_digit())).then(|| number.parse().ok())?
}
