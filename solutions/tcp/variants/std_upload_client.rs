//! The whole contract with the standard library: std::io::copy into a writer that counts what passes through it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;

struct Counting<W> {
    inner: W,
    count: u64,
    sum: u32,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = self.inner.write(bytes)?;
        self.count += taken as u64;
        self.sum = bytes[..taken].iter().fold(self.sum, |sum, &byte| sum.wrapping_add(byte.into()));
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

fn run(host: &str, port: u16, magic: bool) -> std::io::Result<bool> {
    let mut connection = TcpStream::connect((host, port))?;
    if magic {
        connection.write_all(b"UPL1")?;
    }
    let mut counting = Counting { inner: &connection, count: 0, sum: 0 };
    std::io::copy(&mut std::io::stdin().lock(), &mut counting)?;
    let (sent, own_sum) = (counting.count, counting.sum);
    connection.shutdown(Shutdown::Write)?;
    let (mut count, mut sum) = ([0; 8], [0; 4]);
    connection.read_exact(&mut count)?;
    connection.read_exact(&mut sum)?;
    let (count, sum) = (u64::from_be_bytes(count), u32::from_be_bytes(sum));
    writeln!(std::io::stdout(), "Sent {sent} bytes, server counted {count}, checksum 0x{sum:08x}")?;
    Ok((count, sum) == (sent, own_sum))
}

fn main() -> ExitCode {
    let mut arguments = labkit::Arguments::new("usage: upload-client [--host ADDR] [--port PORT] [--magic 0|1]");
    let host = arguments.text("--host", "127.0.0.1");
    let port = arguments.number("--port", 1..=u16::MAX, 5000);
    let magic = arguments.number("--magic", 0..=1u8, 0);
    arguments.finish();
    match run(&host, port, magic == 1) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("the server's figures differ from our own");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("cannot upload to {host}:{port}: {error}");
            ExitCode::FAILURE
        }
    }
}
