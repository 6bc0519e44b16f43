//! The whole contract with a thread that receives, and a channel to the one that sends. It does not hurry: after an answer
//! it pauses, as the command `ping` does.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| u64::from(word[0]) << 8 | word.get(1).map_or(0, |low| u64::from(*low)));
    let total: u64 = words.sum();
    // Modulo 0xffff is what folding computes, except that it makes ffff of a multiple.
    match total % 0xffff {
        0 if total != 0 => 0,
        rest => !(rest as u16),
    }
}

fn main() {
    let mut arguments = labkit::Arguments::new("usage: raw-ping HOST [options]");
    let count: u32 = arguments.number("--count", 1..=u32::MAX, 1);
    let timeout: u32 = arguments.number("--timeout-ms", 1..=u32::MAX, 1000);
    let size: usize = arguments.number("--size", 0..=1472, 56);
    let fill = arguments.text("--fill", "2a");
    let fill = match u8::from_str_radix(&fill, 16) {
        Ok(byte) if fill.len() == 2 && !fill.starts_with('+') => byte,
        _ => arguments.refuse("--fill: two hexadecimal digits"),
    };
    let words = arguments.words();
    if words.len() != 1 || words[0].starts_with('-') {
        arguments.refuse("one host, please");
    }
    match run(&words[0], count, Duration::from_millis(timeout.into()), &vec![fill; size]) {
        Ok(answered) => std::process::exit(i32::from(answered < count)),
        Err(problem) => {
            eprintln!("{}: {problem}", words[0]);
            std::process::exit(1);
        }
    }
}

fn run(host: &str, count: u32, timeout: Duration, payload: &[u8]) -> Result<u32, String> {
    let found = (host, 0).to_socket_addrs().map_err(|error| error.to_string())?;
    let target = found.filter_map(|a| if let SocketAddr::V4(v4) = a { Some(*v4.ip()) } else { None }).next();
    let target: Ipv4Addr = target.ok_or("no IPv4 address")?;
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))
        .map_err(|error| format!("{error}: is CAP_NET_RAW there?"))?;
    let identifier = std::process::id() as u16 ^ 0x5aa5;
    let (give, take) = mpsc::channel();
    let mut receiver = socket.try_clone().map_err(|error| error.to_string())?;
    std::thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok(length) = receiver.read(&mut buffer) {
            let packet = &buffer[..length];
            let icmp = &packet[usize::from(packet[0] & 15) * 4..];
            let wanted = packet[12..16] == target.octets()
                && icmp.len() >= 8
                && icmp[0] == 0
                && icmp[4..6] == identifier.to_be_bytes();
            if wanted && give.send(u16::from_be_bytes([icmp[6], icmp[7]])).is_err() {
                return;
            }
        }
    });
    let mut answered = 0;
    for number in 1..=count {
        let sequence = number as u16;
        let mut message = vec![8, 0, 0, 0];
        message.extend(identifier.to_be_bytes());
        message.extend(sequence.to_be_bytes());
        message.extend(payload);
        let checksum = sum(&message);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
        socket.send_to(&message, &SocketAddrV4::new(target, 0).into()).map_err(|error| error.to_string())?;
        let end = Instant::now() + timeout;
        loop {
            match take.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(got) if got == sequence => {
                    let mut stdout = std::io::stdout();
                    stdout
                        .write_all(format!("Reply from {target}: seq={sequence}\n").as_bytes())
                        .map_err(|error| error.to_string())?;
                    answered += 1;
                    if number < count {
                        std::thread::sleep(Duration::from_millis(500));
                    }
                    break;
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }
    if answered < count {
        eprintln!("{host}: {} requests without an answer", count - answered);
    }
    Ok(answered)
}
