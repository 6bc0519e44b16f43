//! The whole contract with the standard library: a buffered reader that first takes the magic bytes one by one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;

fn receive_upload(mut reader: impl BufRead, mut connection: &TcpStream) -> std::io::Result<()> {
    let (mut count, mut sum) = (0u64, std::num::Wrapping(0u32));
    loop {
        let length = match reader.fill_buf() {
            Ok([]) => break,
            Ok(bytes) => {
                sum += bytes.iter().map(|&byte| std::num::Wrapping(u32::from(byte))).sum::<std::num::Wrapping<u32>>();
                bytes.len()
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        count += length as u64;
        reader.consume(length);
    }
    connection.write_all(&[&count.to_be_bytes()[..], &sum.0.to_be_bytes()].concat())
}

fn greet(mut reader: impl Read, mut connection: &TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 100];
    while reader.read(&mut buffer)? > 0 {
        connection.write_all(b"Hi!")?;
    }
    Ok(())
}

fn serve(connection: &TcpStream, dual: bool) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(10_000, connection);
    if !dual {
        return receive_upload(reader, connection);
    }
    let mut start = Vec::new();
    for expected in *b"UPL1" {
        let mut byte = [0];
        if reader.read(&mut byte)? == 0 {
            break;
        }
        start.push(byte[0]);
        if byte[0] != expected {
            break;
        }
    }
    if start == b"UPL1" {
        receive_upload(reader, connection)
    } else {
        greet(start.as_slice().chain(reader), connection)
    }
}

fn run(host: &str, port: u16, count: u32, dual: bool) -> std::io::Result<()> {
    let listener = TcpListener::bind((host, port))
        .map_err(|error| std::io::Error::other(format!("cannot bind {host}:{port}: {error}")))?;
    if port == 0 {
        writeln!(std::io::stdout(), "Listening on {}", listener.local_addr()?)?;
    }
    for _ in 0..count {
        let (connection, client) = listener.accept()?;
        if let Err(error) = serve(&connection, dual) {
            eprintln!("lost {client}: {error}");
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let usage = "usage: upload-server [--host ADDR] [--port PORT] [--count N] [--dual 0|1]";
    let mut arguments = labkit::Arguments::new(usage);
    let host = arguments.text("--host", "0.0.0.0");
    let port = arguments.number("--port", 0..=u16::MAX, 5000);
    let count = arguments.number("--count", 1..=u32::MAX, 1);
    let dual = arguments.number("--dual", 0..=1u8, 0);
    arguments.finish();
    match run(&host, port, count, dual == 1) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
