//! All sizes, fillings and values: the checksums must be right for every one of them.

use std::net::{Ipv4Addr, SocketAddr};

use crate::bench::{Bench, Echo};
use crate::verdict::{Because, Stop, ensure};

/// Host a's address on the link to b, and b's.
const NEAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

pub fn all_sizes_are_right(bench: &mut Bench) -> Result<(), Stop> {
    let odd = bench.random().range(2, 700) as u16 * 2 + 1;
    for size in [0, 1, 2, 3, odd, 1471, 1472] {
        ping_adds_up(bench, size, None)?;
    }
    Ok(())
}

pub fn carries_are_added(bench: &mut Bench) -> Result<(), Stop> {
    let fill = bench.random().range(0x10, 0xef) as u8;
    ping_adds_up(bench, 1471, Some(fill))?;
    for size in [56, 1001, 1472] {
        ping_adds_up(bench, size, Some(0xff))?;
    }
    let identifier = ping_adds_up(bench, 2, Some(0xff))?.identifier;
    // Most programs choose the same identifier again: then these sums carry a second time when they are folded.
    for order in [u16::from, u16::swap_bytes] {
        let (size, fill) = carries_twice(identifier, order);
        ping_adds_up(bench, size, Some(fill))?;
    }
    Ok(())
}

/// A size and a filling with which the sum of an echo request with this identifier and sequence 1 is still
/// longer than 16 bits after its upper half was added to the lower one. The sum may be made of words in either
/// `order`: it comes out right in both (RFC 1071), but carries in other places.
fn carries_twice(identifier: u16, order: fn(u16) -> u16) -> (u16, u8) {
    let sizes = (2..=1472).rev().step_by(2);
    let choices = sizes.flat_map(|size: u16| (1..=255).map(move |fill: u8| (size, fill)));
    let twice = |(size, fill): &(u16, u8)| {
        let words = u32::from(*size / 2) * u32::from(*fill) * 0x0101;
        let header: u32 = [0x0800, identifier, 1].map(|word| u32::from(order(word))).iter().sum();
        let sum = header + words;
        (sum & 0xffff) + (sum >> 16) > 0xffff
    };
    choices.into_iter().find(twice).unwrap_or((1472, 0xff))
}

/// Pings host b once, with this size and filling, and expects a right request and its answer; gives the
/// request.
fn ping_adds_up(bench: &Bench, size: u16, fill: Option<u8>) -> Result<Echo, Stop> {
    let wire = bench.wire("b", "eth0")?;
    let (size_text, fill_text) = (size.to_string(), fill.map(|fill| format!("{fill:02x}")));
    let mut arguments = vec!["192.0.2.2", "--size", &size_text];
    if let Some(fill) = &fill_text {
        arguments.extend(["--fill", fill]);
    }
    let ended = bench.run("raw-ping", &arguments)?;
    let request = wire
        .next("an echo request", |packet| packet.echo().filter(|echo| echo.kind == 8))
        .with(|unexplained| unexplained.sent(ended.command.clone()))
        .because("raw-ping asks the host")?;
    let length = request.payload.len();
    ensure(
        length == usize::from(size),
        format!("{size} bytes behind the ICMP header"),
        format!("{length} bytes"),
    )
    .with(|unexplained| ended.explain(unexplained))
    .because("--size is the number of bytes behind the ICMP header")?;
    if let Some(fill) = fill {
        let other = request.payload.iter().find(|byte| **byte != fill);
        ensure(
            other.is_none(),
            format!("every byte {fill:02x}"),
            format!("a byte {:02x}", other.unwrap_or(&0)),
        )
        .with(|unexplained| ended.explain(unexplained))
        .because("--fill sets every byte of the payload")?;
    }
    let (right, observed) = (request.right_checksum(), request.checksum);
    let likely = likely_sum(&request.message(), observed);
    ensure(observed == right, format!("checksum {right:04x}"), format!("checksum {observed:04x}"))
        .with(|unexplained| {
            let unexplained = ended.explain(unexplained);
            if let Some(likely) = likely { unexplained.likely(likely) } else { unexplained }
        })
        .because(
            "the checksum must be right for every payload: carries come in again, an odd byte is a high half",
        )?;
    ended
        .expect_stdout("Reply from 192.0.2.2: seq=1\n")
        .because("the host answers a right request, and the answer is printed")?;
    ended.expect_status(0).because("every request was answered: status 0")?;
    Ok(request)
}

/// Which way of adding up yields the wrong checksum that was seen.
fn likely_sum(message: &[u8], observed: u16) -> Option<&'static str> {
    let mut blank = message.to_vec();
    blank[2..4].fill(0);
    let sum = |odd_low: bool| {
        let words = blank.chunks(2).map(|word| match word {
            [high, low] => u32::from(*high) << 8 | u32::from(*low),
            [last] if odd_low => u32::from(*last),
            word => u32::from(word[0]) << 8,
        });
        words.sum::<u32>()
    };
    let fold = |sum: u32| (sum & 0xffff) + (sum >> 16);
    let even = &blank[..blank.len() / 2 * 2];
    let dropped: u32 = even.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    if observed == !(fold(fold(sum(true))) as u16) && blank.len() % 2 == 1 {
        return Some("the last, odd byte was added as the low half of a word");
    }
    if observed == !(fold(fold(dropped)) as u16) && blank.len() % 2 == 1 {
        return Some("the last, odd byte was left out");
    }
    if observed == !(sum(false) as u16) {
        return Some("what was carried out of 16 bits was lost instead of being added again");
    }
    let swapped =
        blank.chunks(2).map(|word| u32::from(word.get(1).copied().unwrap_or(0)) << 8 | u32::from(word[0]));
    let once = [fold(sum(false)) as u16, (fold(swapped.sum()) as u16).swap_bytes()];
    if once.contains(&!observed) {
        return Some("the carry was added only once, and that carried again");
    }
    None
}

pub fn zero_is_sent_as_ffff(bench: &mut Bench) -> Result<(), Stop> {
    let source_port = bench.random().range(20_000, 29_999) as u16;
    let mut rest = words_without_value(source_port, u16::from);
    while rest > 0xffff {
        rest = (rest & 0xffff) + (rest >> 16);
    }
    // With this value the sum is ffff, and its complement 0.
    let value = (0xffff - rest) as u16 as i16;
    udp_adds_up(bench, value, source_port)
}

pub fn any_value_adds_up(bench: &mut Bench) -> Result<(), Stop> {
    // A port with which the sum carries whatever the value is, in either order of the words.
    let first = bench.random().range(20_000, 29_000) as u16;
    let carries = |port: &u16| {
        [u16::from, u16::swap_bytes].iter().all(|order| words_without_value(*port, *order) > 0xffff)
    };
    let source_port = (first..first + 512).find(carries).unwrap_or(first);
    // With these values the sum's lower half is ffff, to which its upper half is added: it carries again. One is for
    // who adds words as they are, and one for who adds them with their bytes swapped.
    let twice = |order: fn(u16) -> u16| {
        let rest = words_without_value(source_port, order) & 0xffff;
        order(0xffff - rest as u16) as i16
    };
    let (plain, swapped) = (twice(u16::from), twice(u16::swap_bytes));
    for value in [bench.random().telling_i16(), plain, swapped, i16::MIN, i16::MAX, -1, 0] {
        udp_adds_up(bench, value, source_port)?;
    }
    Ok(())
}

/// The sum of all words under the UDP checksum but the value, each word in this order.
fn words_without_value(source_port: u16, order: fn(u16) -> u16) -> u32 {
    let halves = |address: Ipv4Addr| [(address.to_bits() >> 16) as u16, address.to_bits() as u16];
    let addresses = halves(NEAR).into_iter().chain(halves(FAR));
    let words = addresses.chain([17, 10, source_port, 5000, 10]);
    words.map(|word| u32::from(order(word))).sum()
}

/// Sends a value to host b and expects it to arrive with a right checksum.
fn udp_adds_up(bench: &Bench, value: i16, source_port: u16) -> Result<(), Stop> {
    let server = bench.udp_peer_on("b", SocketAddr::from((FAR, 5000)))?;
    let wire = bench.wire("b", "eth0")?;
    let (value_text, source_text) = (value.to_string(), source_port.to_string());
    let ended =
        bench.run("raw-udp", &["192.0.2.2", "--value", &value_text, "--source-port", &source_text])?;
    let (observed, right) = wire
        .next("a UDP datagram", |packet| packet.udp_checksums())
        .with(|unexplained| unexplained.sent(ended.command.clone()))
        .because("raw-udp sends one UDP datagram")?;
    ensure(observed == right, format!("UDP checksum {right:04x}"), format!("{observed:04x}"))
        .with(|unexplained| {
            let unexplained = ended.explain(unexplained);
            match (observed, right) {
                (0, 0xffff) => unexplained.likely("0000 on the wire says that there is no checksum"),
                (0, _) => unexplained.likely("the checksum was not filled in"),
                _ if [1, 0x100].iter().any(|carry| observed == right.wrapping_add(*carry)) => {
                    unexplained.likely("a carry was lost: the upper half is added until the sum fits")
                }
                _ => unexplained,
            }
        })
        .because("the checksum must be right for every value; one that comes out as 0 is sent as ffff")?;
    server
        .expect_from(SocketAddr::from((NEAR, source_port)), &value.to_be_bytes())
        .with(|unexplained| unexplained.sent(ended.command.clone()))
        .because("the server gets the value, whatever it is")?;
    ended.expect_status(0).because("a program that has finished its work ends with status 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_carry_is_found_for_every_identifier() {
        for identifier in [0, 2, 0x1234, 0xffff] {
            let (size, fill) = carries_twice(identifier, u16::from);
            let words = u32::from(size / 2) * u32::from(fill) * 0x0101;
            let sum = 0x0801 + u32::from(identifier) + words;
            assert!((sum & 0xffff) + (sum >> 16) > 0xffff);
            let (size, fill) = carries_twice(identifier, u16::swap_bytes);
            let words = u32::from(size / 2) * u32::from(fill) * 0x0101;
            let sum = 0x0108 + u32::from(identifier.swap_bytes()) + words;
            assert!((sum & 0xffff) + (sum >> 16) > 0xffff);
        }
    }

    #[test]
    fn ways_of_adding_wrongly_are_recognised() {
        let message = [8, 0, 0, 0, 0, 2, 0, 1, 0xff, 0xff, 0xff];
        assert_eq!(
            likely_sum(&message, !0x0902),
            Some("the last, odd byte was added as the low half of a word")
        );
        assert_eq!(likely_sum(&message, 0x1234), None);
    }
}
