use super::*;
use crate::recording::{Disposition, Event};

/// A recording in which the processes do these things, one after another, all with success.
pub fn recording(acts: Vec<(&str, Act)>) -> Recording {
    let event = |(seq, (who, act)): (usize, (&str, Act))| {
        let at = Stamp { real: seq as u64 * 1000, seen: seq as u64 * 1000 };
        let (who, call, outcome) = (who.to_string(), String::new(), Outcome::Ok(0));
        Event {
            seq: seq as u64,
            enter: at,
            exit: at,
            who,
            thread: 0,
            call,
            fd: Some(3),
            act,
            outcome,
            injected: None,
            restarts: 0,
        }
    };
    Recording {
        events: acts.into_iter().enumerate().map(event).collect(),
        recorded: true,
        ..Recording::default()
    }
}

fn socket() -> Object {
    Object::Socket(7)
}

fn open(kind: i32) -> Act {
    Act::Open {
        object: socket(),
        family: libc::AF_INET,
        kind,
        protocol: 0,
        nonblocking: false,
        cloexec: false,
    }
}

fn bind(local: &str) -> Act {
    Act::Bind { object: socket(), asked: local.parse().ok(), local: local.parse().ok() }
}

fn close() -> Act {
    Act::Close { object: socket(), last: true, unread: 0 }
}

fn fork(child: &str) -> Act {
    Act::Fork { child: child.to_string(), vfork: false, exit_signal: libc::SIGCHLD }
}

fn reap(child: Option<&str>) -> Act {
    Act::Reap { child: child.map(str::to_string), status: None, nohang: false, keeps: false }
}

fn send(asked: u64, done: u64) -> Act {
    Act::Send { object: socket(), asked, done, to: None, head: Vec::new(), flags: 0, payload: None }
}

#[test]
fn bound_until_closed() {
    let mut acts = vec![("s", open(libc::SOCK_DGRAM)), ("s", bind("0.0.0.0:5000"))];
    let bound = recording(acts.clone());
    assert_eq!(bound.bound_to("s", 5000, libc::SOCK_DGRAM), "0.0.0.0:5000".parse().ok());
    assert_eq!(bound.bound_to("s", 5000, libc::SOCK_STREAM), None);
    assert_eq!(bound.bound_to("s", 5001, libc::SOCK_DGRAM), None);
    acts.push(("s", close()));
    assert_eq!(recording(acts).bound_to("s", 5000, libc::SOCK_DGRAM), None);
}

#[test]
fn zombie_from_exit_to_wait() {
    let acts =
        vec![("p", fork("p.1")), ("p.1", Act::Exit { code: 0 }), ("p", close()), ("p", reap(Some("p.1")))];
    let zombies = recording(acts).zombies("p");
    assert_eq!(zombies.len(), 1);
    assert_eq!((zombies[0].from.real, zombies[0].to.map(|to| to.real)), (1000, Some(3000)));
}

#[test]
fn no_zombie_where_they_are_ignored() {
    let ignore = Act::SignalAction {
        signal: libc::SIGCHLD,
        handler: Disposition::Ignore,
        restart: false,
        no_child_wait: false,
    };
    let acts = vec![("p", ignore), ("p", fork("p.1")), ("p.1", Act::Exit { code: 0 })];
    assert!(recording(acts).zombies("p").is_empty());
    let never = vec![("p", fork("p.1")), ("p.1", Act::Exit { code: 0 })];
    assert_eq!(recording(never).zombies("p")[0].to, None);
    let orphan = vec![("p", fork("p.1")), ("p", Act::Exit { code: 0 }), ("p.1", Act::Exit { code: 0 })];
    assert!(recording(orphan).zombies("p").is_empty());
}

#[test]
fn rest_that_was_never_sent() {
    let stream = open(libc::SOCK_STREAM);
    let once = recording(vec![("s", stream.clone()), ("s", send(16, 5)), ("s", close())]);
    assert_eq!(once.sent_less_and_never_the_rest("s"), [Unsent { event: 1, asked: 16, done: 5 }]);
    let looped = recording(vec![("s", stream), ("s", send(16, 5)), ("s", send(11, 11)), ("s", close())]);
    assert!(looped.sent_less_and_never_the_rest("s").is_empty());
}

#[test]
fn membership_left_to_the_kernel() {
    let group: std::net::IpAddr = [226, 1, 1, 1].into();
    let join = Act::Join { object: socket(), group, interface: String::new(), length: 8 };
    let leave = Act::Leave { object: socket(), group, interface: String::new(), length: 8 };
    let kept = recording(vec![("r", join.clone()), ("r", close())]);
    assert!(
        kept.memberships_left_to_the_kernel("r").contains(&group) && !kept.left_before_closing("r", group)
    );
    let left = recording(vec![("r", join), ("r", leave), ("r", close())]);
    assert!(left.memberships_left_to_the_kernel("r").is_empty() && left.left_before_closing("r", group));
}

#[test]
fn waits_that_came_back_empty() {
    let acts = vec![("p", reap(None)), ("p", reap(Some("p.1"))), ("p", reap(None))];
    assert_eq!(recording(acts).empty_waits("p"), 2);
}

#[test]
fn holders_through_fork_and_close() {
    let mut acts = vec![("p", open(libc::SOCK_STREAM)), ("p", fork("p.1"))];
    assert_eq!(recording(acts.clone()).holders(&socket()).len(), 2);
    acts.push(("p", close()));
    assert_eq!(recording(acts.clone()).holders(&socket()).into_iter().collect::<Vec<_>>(), ["p.1"]);
    acts.push(("p.1", Act::Exit { code: 0 }));
    assert!(recording(acts).holders(&socket()).is_empty());
}
