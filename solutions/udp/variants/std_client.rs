//! udp-client with nothing but std: a connected socket and a read timeout.

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new(
        "usage: udp-client [--host HOST] [--port PORT] [--value V] [--timeout-ms T] [--tries N]",
    );
    let host = arguments.text("--host", "127.0.0.1");
    let port: u16 = arguments.number("--port", 1..=u16::MAX, 5000);
    let value: i16 = arguments.number("--value", i16::MIN..=i16::MAX, 1);
    let timeout_ms: u32 = arguments.number("--timeout-ms", 1..=u32::MAX, 1000);
    let tries: u32 = arguments.number("--tries", 1..=u32::MAX, 3);
    arguments.finish();

    let timeout = Duration::from_millis(timeout_ms.into());
    let mut stderr = io::stderr();
    let addresses: Vec<SocketAddr> = match (host.as_str(), port).to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            let _ = writeln!(stderr, "cannot resolve {host}:{port}: {error}");
            return ExitCode::FAILURE;
        }
    };
    for address in addresses {
        match ask(address, value, timeout, tries) {
            Ok(answer) => {
                return match writeln!(io::stdout(), "Received {answer}") {
                    Ok(()) => ExitCode::SUCCESS,
                    Err(error) => {
                        let _ = writeln!(stderr, "cannot write to stdout: {error}");
                        ExitCode::FAILURE
                    }
                };
            }
            Err(error) => {
                let _ = writeln!(stderr, "cannot ask {address}: {error}");
            }
        }
    }
    ExitCode::FAILURE
}

fn ask(address: SocketAddr, value: i16, timeout: Duration, tries: u32) -> io::Result<i16> {
    let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    for _ in 0..tries {
        // A refusal of an earlier request shows at the next send: it is one lost request, and we go on.
        let _ = socket.send(&value.to_be_bytes());
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left.max(Duration::from_micros(1))))?;
            let mut buffer = [0; 65536];
            match socket.recv(&mut buffer) {
                Ok(2) => return Ok(i16::from_be_bytes([buffer[0], buffer[1]])),
                Ok(_) => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error),
            }
        }
    }
    Err(io::Error::new(ErrorKind::TimedOut, "no answer"))
}
