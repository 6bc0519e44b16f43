use super::*;
use crate::recording::Stamp;

fn event(seq: u64, who: &str, call: &str, act: Act, outcome: Outcome) -> Event {
    let at = Stamp { real: seq * 1_000_000, seen: seq * 1_000_000 };
    let (who, call) = (who.to_string(), call.to_string());
    let (thread, fd, injected, restarts) = (0, Some(3), None, 0);
    Event { seq, enter: at, exit: at, who, thread, call, fd, act, outcome, injected, restarts }
}

fn receive(done: u64, head: &[u8]) -> Act {
    let from = "127.0.0.1:40000".parse().ok();
    Act::Receive {
        object: Object::Socket(7),
        room: 1024,
        done,
        end: false,
        from,
        head: head.to_vec(),
        flags: 0,
    }
}

fn recording(receives: u64) -> Recording {
    let local = "0.0.0.0:5000".parse().ok();
    let bind = Act::Bind { object: Object::Socket(7), asked: local, local };
    let mut events = vec![event(0, "udp-server", "bind", bind, Outcome::Ok(0))];
    events.extend(
        (1..=receives)
            .map(|seq| event(seq, "udp-server", "recvfrom", receive(2, &[0, seq as u8]), Outcome::Ok(2))),
    );
    events.push(event(receives + 1, "udp-server", "recvfrom", receive(0, &[]), Outcome::Pending));
    Recording { events, recorded: true, ..Recording::default() }
}

#[test]
fn blocked_row_is_marked() {
    let drawn = draw(&recording(2), None);
    let expected = "       ms  udp-server
      0.0  bind 0.0.0.0:5000
      1.0  recvfrom 2: 00 01 < :40000
      2.0  recvfrom 2: 00 02 < :40000
>     3.0  blocked in recvfrom 3 (room 1024)";
    assert_eq!(drawn, expected);
}

#[test]
fn long_recording_fits_and_says_what_is_missing() {
    let drawn = draw(&recording(200), None);
    assert!(drawn.lines().count() <= 25, "{drawn}");
    assert!(drawn.contains("... 183 rows left out"), "{drawn}");
    assert!(drawn.lines().last().unwrap().contains("blocked in"), "{drawn}");
}

#[test]
fn marked_row_survives_in_the_middle() {
    let drawn = draw(&recording(200), Some(100));
    assert!(drawn.lines().any(|line| line.starts_with('>') && line.contains("00 64")), "{drawn}");
}
