//! udp-server with nothing but std; the answers are sent by a thread of their own, from the same socket.

use std::io::Write;
use std::net::UdpSocket;
use std::process::ExitCode;
use std::sync::mpsc::channel;

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: udp-server [--host ADDR] [--port PORT] [--count N]");
    let host = arguments.text("--host", "0.0.0.0");
    let port: u16 = arguments.number("--port", 0..=u16::MAX, 5000);
    let count: usize = arguments.number("--count", 1..=usize::MAX, 1);
    arguments.finish();

    match run(&host, port, count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "cannot serve {host}:{port}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(host: &str, port: u16, count: usize) -> std::io::Result<()> {
    let socket = UdpSocket::bind((host, port))?;
    if port == 0 {
        writeln!(std::io::stdout(), "Listening on {}", socket.local_addr()?)?;
    }
    let answers = socket.try_clone()?;
    let (sender, receiver) = channel();
    let (permit, permits) = channel();
    std::thread::spawn(move || {
        for (value, client) in receiver {
            let value: i16 = value;
            let sent = answers.send_to(&value.wrapping_add(1).to_be_bytes(), client).is_ok();
            if permit.send(sent).is_err() {
                break;
            }
        }
    });
    let mut answered = 0;
    while answered < count {
        let mut buffer = [0; 65536];
        let (length, client) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if length == 2 {
            let _ = sender.send((i16::from_be_bytes([buffer[0], buffer[1]]), client));
            answered += usize::from(permits.recv().unwrap_or(false));
        }
    }
    Ok(())
}
