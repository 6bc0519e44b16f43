//! Four children, made before anybody has connected, that all accept.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
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
    for _ in 0..4 {
        // SAFETY: there is one thread only.
        if let Ok(nix::unistd::ForkResult::Child) = unsafe { nix::unistd::fork() } {
            let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::SIGKILL);
            break;
        }
    }
    for client in listener.incoming() {
        match client {
            Ok(client) => {
                if let Err(error) = serve(client, &mut 0) {
                    let _ = writeln!(io::stderr(), "{error}");
                }
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    Ok(())
}

fn serve(client: TcpStream, total: &mut i64) -> io::Result<()> {
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
                *total = total.wrapping_add(number);
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
