//! Recordings of programs that did what they liked: whatever acts, names, payloads and frames come together, every
//! question has an answer, and every way of writing it down can be read again.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use grader::bench::IpPacket;
use grader::ladder;
use grader::recording::mistakes::SOMETIMES;
use grader::recording::{Act, Event, Object, Outcome, Packet, Recording, Stamp};
use pcap_file::pcapng::{Block, PcapNgReader};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::config;
use super::reports::words;

fn who() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => select(vec!["udp-server", "udp-server.1", "udp-server.1.1", "udp-client"]).prop_map(str::to_string),
        1 => words(),
    ]
}

fn object() -> impl Strategy<Value = Object> {
    prop_oneof![
        6 => (1_u64..5).prop_map(Object::Socket),
        2 => (1_u64..4).prop_map(Object::Pipe),
        1 => words().prop_map(Object::File),
        1 => words().prop_map(Object::Other),
    ]
}

fn address() -> impl Strategy<Value = Option<SocketAddr>> {
    let v4 = (select(vec![[127, 0, 0, 1], [226, 1, 1, 1], [0; 4]]), any::<u16>())
        .prop_map(|(ip, port)| SocketAddr::new(IpAddr::from(ip), port));
    prop::option::of(prop_oneof![v4, any::<SocketAddr>()])
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..10, select(vec![u64::MAX, u64::MAX - 1, 1 << 63, 1 << 31, 1 << 20]), any::<u64>()]
}

fn word() -> impl Strategy<Value = i32> {
    prop_oneof![-1_i32..16, select(vec![i32::MIN, i32::MAX, libc::SIGCHLD, libc::SO_REUSEADDR]), any::<i32>()]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}

fn network_act() -> impl Strategy<Value = Act> {
    let group = || select(vec![IpAddr::from([226, 1, 1, 1]), IpAddr::from(Ipv4Addr::LOCALHOST)]);
    prop_oneof![
        (object(), word(), word(), word(), any::<bool>(), any::<bool>()).prop_map(
            |(object, family, kind, protocol, nonblocking, cloexec)| Act::Open {
                object,
                family,
                kind,
                protocol,
                nonblocking,
                cloexec
            }
        ),
        (object(), object()).prop_map(|(a, b)| Act::OpenPair { a, b }),
        (object(), address(), address()).prop_map(|(object, asked, local)| Act::Bind {
            object,
            asked,
            local
        }),
        (object(), word(), address()).prop_map(|(object, backlog, local)| Act::Listen {
            object,
            backlog,
            local
        }),
        (object(), address(), address()).prop_map(|(object, peer, local)| Act::Connect {
            object,
            peer,
            local
        }),
        (object(), prop::option::of(object()), address())
            .prop_map(|(listener, connection, peer)| Act::Accept { listener, connection, peer }),
        (object(), number(), number(), address(), bytes(), word(), prop::option::of(bytes())).prop_map(
            |(object, asked, done, to, head, flags, payload)| Act::Send {
                object,
                asked,
                done,
                to,
                head,
                flags,
                payload
            }
        ),
        (object(), number(), number(), any::<bool>(), address(), bytes(), word()).prop_map(
            |(object, room, done, end, from, head, flags)| Act::Receive {
                object,
                room,
                done,
                end,
                from,
                head,
                flags
            }
        ),
        (object(), word(), word(), bytes()).prop_map(|(object, level, name, value)| Act::SetOption {
            object,
            level,
            name,
            value
        }),
        (object(), group(), words(), any::<u32>()).prop_map(|(object, group, interface, length)| Act::Join {
            object,
            group,
            interface,
            length
        }),
        (object(), group(), words(), any::<u32>())
            .prop_map(|(object, group, interface, length)| Act::Leave { object, group, interface, length }),
        (object(), word()).prop_map(|(object, how)| Act::Shutdown { object, how }),
        (vec(object(), 0..4), prop::option::of(number()), any::<u32>())
            .prop_map(|(objects, timeout, ready)| Act::WaitReady { objects, timeout, ready }),
    ]
}

fn process_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (object(), any::<bool>(), number()).prop_map(|(object, last, unread)| Act::Close {
            object,
            last,
            unread
        }),
        (object(), any::<bool>(), number()).prop_map(|(object, last, unread)| Act::LeftOpen {
            object,
            last,
            unread
        }),
        (object(), word(), word()).prop_map(|(object, read_fd, write_fd)| Act::Pipe {
            object,
            read_fd,
            write_fd
        }),
        (object(), number(), number()).prop_map(|(object, room, done)| Act::Read { object, room, done }),
        (object(), number(), number(), bytes()).prop_map(|(object, asked, done, head)| Act::Write {
            object,
            asked,
            done,
            head
        }),
        (object(), word()).prop_map(|(object, to_fd)| Act::Duplicate { object, to_fd }),
        (who(), any::<bool>(), word()).prop_map(|(child, vfork, exit_signal)| Act::Fork {
            child,
            vfork,
            exit_signal
        }),
        any::<u32>().prop_map(|thread| Act::Thread { thread }),
        (words(), vec(words(), 0..3)).prop_map(|(path, argv)| Act::Exec { path, argv }),
        word().prop_map(|code| Act::Exit { code }),
        word().prop_map(|signal| Act::Killed { signal }),
        (prop::option::of(who()), prop::option::of(word()), any::<bool>(), any::<bool>())
            .prop_map(|(child, status, nohang, keeps)| Act::Reap { child, status, nohang, keeps }),
        word().prop_map(|signal| Act::SignalDelivered { signal }),
        (words(), word()).prop_map(|(target, signal)| Act::Kill { target, signal }),
        prop::option::of(number()).prop_map(|asked| Act::Sleep { asked }),
        prop::option::of(number()).prop_map(|timeout| Act::WaitThread { timeout }),
        vec(any::<u64>(), 0..6).prop_map(|arguments| Act::Other { arguments }),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => any::<i64>().prop_map(Outcome::Ok),
        2 => word().prop_map(Outcome::Err),
        1 => word().prop_map(Outcome::Refused),
        1 => select(vec![Outcome::Pending, Outcome::Interrupted, Outcome::NeverReturned]),
    ]
}

/// Moments of this century, as the kernel has them.
fn stamp() -> impl Strategy<Value = Stamp> {
    (0_u64..3_000_000_000, 0_u64..1 << 61)
        .prop_map(|(real, skipped)| Stamp { real: EPOCH + real, seen: EPOCH + real + skipped })
}

const EPOCH: u64 = 1_700_000_000_000_000_000;

fn event() -> impl Strategy<Value = Event> {
    let act = prop_oneof![network_act(), process_act()];
    let call = select(vec!["sendto", "recvfrom", "accept4", "close", "signal"]);
    (act, outcome(), who(), (stamp(), stamp()), any::<u32>(), prop::option::of(word()), call).prop_map(
        |(act, outcome, who, (enter, exit), thread, fd, call)| Event {
            seq: 0,
            enter: enter.min(exit),
            exit: enter.max(exit),
            who,
            thread,
            call: call.to_string(),
            fd,
            act,
            outcome,
            injected: None,
            restarts: thread % 3,
        },
    )
}

/// A frame: of a protocol that is looked into, or any bytes, and cut somewhere.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let protocols = select(vec![1_u8, 2, 6, 17, 58, 99]);
    let v4 =
        (any::<u8>(), vec(any::<u8>(), 44), protocols.clone()).prop_map(|(first, mut packet, protocol)| {
            packet[0] = 0x40 | first & 15;
            packet[9] = protocol;
            [&[0; 12][..], &[8, 0], &packet].concat()
        });
    let v6 = (vec(any::<u8>(), 64), protocols).prop_map(|(mut packet, protocol)| {
        packet[0] = 0x60;
        packet[6] = protocol;
        [&[0; 12][..], &[0x86, 0xdd], &packet].concat()
    });
    let whole = prop_oneof![3 => v4, 2 => v6, 1 => vec(any::<u8>(), 0..80)];
    (whole, 0_usize..100).prop_map(|(mut frame, kept)| {
        frame.truncate(kept.max(frame.len().saturating_sub(kept)));
        frame
    })
}

fn packet() -> impl Strategy<Value = Packet> {
    let host = select(vec!["a", "b", "?"]);
    (stamp(), host, frame(), any::<u32>(), prop::option::of(0_u64..20)).prop_map(
        |(at, host, frame, length, cause)| Packet {
            at,
            host: host.to_string(),
            interface: "eth0".to_string(),
            outgoing: true,
            length: length.max(frame.len() as u32),
            frame,
            cause,
        },
    )
}

/// A recording of up to so many events.
pub fn recording(most: usize) -> impl Strategy<Value = Recording> {
    (vec(event(), 0..most), vec(packet(), 0..6)).prop_map(|(mut events, packets)| {
        events.iter_mut().enumerate().for_each(|(place, event)| event.seq = place as u64);
        Recording { events, packets, recorded: true, ..Recording::default() }
    })
}

/// Asks everything that can be asked.
fn ask(recording: &Recording) {
    for who in recording.processes().iter().take(8).map(String::as_str).chain(["udp-server"]) {
        let _ = (recording.listening_on(who, 5000), recording.bound_to(who, 5000, libc::SOCK_DGRAM));
        let _ = (recording.blocked_in(who), recording.left_open(who), recording.open_sockets(who));
        let _ = (recording.zombies(who), recording.sent_less_and_never_the_rest(who));
        let _ = (recording.memberships_left_to_the_kernel(who), recording.empty_waits(who));
        let _ = (recording.standing(who), recording.touched_network(who));
        let _ = recording.injected(who).count();
    }
    let names: Vec<&str> = SOMETIMES.iter().map(|rule| rule.name).collect();
    let _ = (recording.likeliest_mistake(&names), recording.wait_cycle(), recording.ledger());
    let causes = grader::recording::cause::Causes::of(recording);
    for packet in &recording.packets {
        let _ = (packet.in_words(), causes.find(packet), recording.cause_in_words(packet));
        let _ = recording.seen_at(packet.at.real);
    }
    for event in recording.events.iter().take(50) {
        let _ = recording.call_in_words(event);
    }
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn every_question_has_an_answer(recording in recording(20), cut in stamp()) {
        ask(&recording);
        ask(&recording.clone().until(cut.real));
    }

    #[test]
    fn every_recording_can_be_drawn(recording in recording(40)) {
        let lines = ladder::draw(&recording, Some(3));
        prop_assert!(lines.lines().count() < 200);
        let mut live = ladder::Live::new();
        live.new_lines(&recording);
        live.pending_lines(&recording);
    }

    #[test]
    fn what_is_written_can_be_read(recording in recording(20)) {
        let json = serde_json::to_string(&recording).expect("it can be written");
        let read: Recording = serde_json::from_str(&grader::report::escape_json(&json)).expect("it can be read");
        prop_assert_eq!(serde_json::to_string(&read).expect("it can be written"), json);
        let mut file = Vec::new();
        recording.write_pcapng(&mut file).expect("into memory");
        let mut reader = PcapNgReader::new(file.as_slice()).expect("it is pcapng");
        let mut frames = Vec::new();
        while let Some(block) = reader.next_block() {
            if let Block::EnhancedPacket(packet) = block.expect("a whole block") {
                frames.push((packet.data.to_vec(), packet.timestamp.as_nanos() as u64));
            }
        }
        let written = recording.packets.iter().map(|packet| (packet.frame.clone(), packet.at.real));
        prop_assert_eq!(frames, written.collect::<Vec<_>>());
    }

    #[test]
    fn packets_from_a_wire(frame in frame(), skip in 0_usize..15) {
        let packet = IpPacket { bytes: frame.into_iter().skip(skip).collect(), at: Duration::ZERO };
        let _ = (packet.udp(), packet.udp_checksums());
        if let Some(echo) = packet.echo() {
            prop_assert_eq!(echo.reply().reply().payload, echo.payload);
        }
    }
}

/// A program that does nothing but make a long recording costs the grader seconds, not minutes.
#[test]
fn a_recording_as_long_as_they_get() {
    const LONG: u64 = 100_000;
    let forks = |place: u64| {
        let at = Stamp { real: EPOCH + place, seen: EPOCH + place };
        let child = format!("udp-server.{}", place / 2 + 1);
        let (who, act) = if place % 2 == 0 {
            ("udp-server".to_string(), Act::Fork { child, vfork: false, exit_signal: libc::SIGCHLD })
        } else {
            (child, Act::Exit { code: 0 })
        };
        event_of(place, at, who, act)
    };
    let sends = |place: u64| {
        let at = Stamp { real: EPOCH + place, seen: EPOCH + place };
        let object = Object::Socket(place);
        let send = Act::Send { object, asked: 9, done: 1, to: None, head: vec![1], flags: 0, payload: None };
        event_of(place, at, "udp-server".to_string(), send)
    };
    for (name, events) in
        [("forks", (0..LONG).map(forks).collect::<Vec<_>>()), ("sends", (0..LONG).map(sends).collect())]
    {
        let recording = Recording { events, recorded: true, ..Recording::default() };
        let start = Instant::now();
        ladder::draw(&recording, None);
        assert!(start.elapsed() < Duration::from_secs(10), "{name}: {:?}", start.elapsed());
    }
}

fn event_of(seq: u64, at: Stamp, who: String, act: Act) -> Event {
    Event {
        seq,
        enter: at,
        exit: at,
        who,
        thread: 0,
        call: "call".to_string(),
        fd: None,
        act,
        outcome: Outcome::Ok(1),
        injected: None,
        restarts: 0,
    }
}
