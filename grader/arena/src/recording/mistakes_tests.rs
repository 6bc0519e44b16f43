use super::super::facts::tests::recording;
use super::*;

fn socket() -> Object {
    Object::Socket(7)
}

fn receive(room: u64, done: u64, head: &[u8]) -> Act {
    Act::Receive { object: socket(), room, done, end: false, from: None, head: head.to_vec(), flags: 0 }
}

fn send(asked: u64, head: &[u8]) -> Act {
    Act::Send { object: socket(), asked, done: asked, to: None, head: head.to_vec(), flags: 0, payload: None }
}

fn bind(port: u16) -> Act {
    let address = Some(std::net::SocketAddr::from(([0, 0, 0, 0], port)));
    Act::Bind { object: socket(), asked: address, local: address }
}

fn exec(words: &[&str]) -> Act {
    Act::Exec { path: String::new(), argv: words.iter().map(ToString::to_string).collect() }
}

fn likeliest(acts: Vec<(&str, Act)>) -> Option<&'static str> {
    recording(acts).likeliest_mistake(&[]).map(|mistake| mistake.name)
}

#[test]
fn port_with_its_bytes_swapped() {
    assert_eq!(
        likeliest(vec![("s", exec(&["s"])), ("s", bind(5000_u16.swap_bytes()))]),
        Some("port-bytes-swapped")
    );
    let told = exec(&["s", "--port", "258"]);
    assert_eq!(likeliest(vec![("s", told.clone()), ("s", bind(513))]), Some("port-bytes-swapped"));
    assert_eq!(likeliest(vec![("s", told), ("s", bind(258))]), None);
}

#[test]
fn whole_buffer_sent_back() {
    let whole = vec![("s", receive(1024, 2, &[0, 1])), ("s", send(1024, &[0, 2]))];
    assert_eq!(likeliest(whole), Some("whole-buffer-sent-back"));
    // A full buffer, and one as small as the message, are no mistakes.
    assert_eq!(likeliest(vec![("s", receive(1024, 1024, &[0])), ("s", send(1024, &[0]))]), None);
    assert_eq!(likeliest(vec![("s", receive(2, 2, &[0, 1])), ("s", send(2, &[0, 2]))]), None);
}

#[test]
fn stale_bytes_sent() {
    let long = receive(64, 4, b"abcd");
    assert_eq!(
        likeliest(vec![
            ("s", long.clone()),
            ("s", send(4, b"abcd")),
            ("s", receive(64, 2, b"xy")),
            ("s", send(4, b"xycd"))
        ]),
        Some("stale-bytes-sent")
    );
    assert_eq!(likeliest(vec![("s", long), ("s", receive(64, 2, b"xy")), ("s", send(4, b"xyzz"))]), None);
}

#[test]
fn listening_socket_used_for_data() {
    let listen = Act::Listen { object: socket(), backlog: 5, local: None };
    assert_eq!(likeliest(vec![("s", listen.clone()), ("s", receive(8, 0, &[]))]), Some("used-the-listener"));
    let close = Act::Close { object: socket(), last: true, unread: 0 };
    assert_eq!(likeliest(vec![("s", listen), ("s", close), ("s", receive(8, 0, &[]))]), None);
}

#[test]
fn interrupted_call_given_up() {
    let mut gave_up = recording(vec![("s", receive(8, 0, &[])), ("s", Act::Exit { code: 1 })]);
    gave_up.events[0].outcome = Outcome::Interrupted;
    assert_eq!(gave_up.likeliest_mistake(&[]).map(|mistake| mistake.name), Some("interrupted-and-gave-up"));
    let mut again = recording(vec![
        ("s", receive(8, 0, &[])),
        ("s", receive(8, 2, &[1, 2])),
        ("s", Act::Exit { code: 1 }),
    ]);
    again.events[0].outcome = Outcome::Interrupted;
    assert_eq!(again.likeliest_mistake(&[]), None);
}

#[test]
fn fatal_error_of_accept() {
    let accept = || Act::Accept { listener: socket(), connection: None, peer: None };
    let mut fatal = recording(vec![("s", accept()), ("s", Act::Exit { code: 101 })]);
    fatal.events[0].outcome = Outcome::Err(libc::EMFILE);
    assert_eq!(fatal.likeliest_mistake(&[]).map(|mistake| mistake.name), Some("accept-error-was-fatal"));
    let mut lives = recording(vec![("s", accept()), ("s", accept()), ("s", Act::Exit { code: 0 })]);
    lives.events[0].outcome = Outcome::Err(libc::EMFILE);
    assert_eq!(lives.likeliest_mistake(&[]), None);
}

#[test]
fn busy_loop() {
    let look = Act::WaitReady { objects: Vec::new(), timeout: Some(0), ready: 0 };
    let spins = vec![("s", look.clone()); 600];
    assert_eq!(likeliest(spins), Some("busy-loop"));
    assert_eq!(likeliest(vec![("s", look); 100]), None);
}
