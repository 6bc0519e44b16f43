//! Captured packets: each once, with its system call, in a file that Wireshark reads.

use std::process::Command;

use grader::host::Host;
use grader::host::Network;
use grader::recorder::packets::Capture;
use grader::recording::Recording;
use grader::recording::frames::Transport;
use grader::sandbox::Arena;

use crate::arena::Trial;
use crate::records::{bound, listens};
use crate::scene::Scene;

pub const TRIALS: &[Trial] = &[
    Trial { name: "datagrams_name_their_calls", run: datagrams_name_their_calls },
    Trial { name: "segments_name_their_calls", run: segments_name_their_calls },
];

fn exchange(arena: Arena, server: &[&str], client: &[&str]) -> Recording {
    let hosts = Host::build(Network::Alone).unwrap();
    let mut scene = Scene::new(arena);
    let mut capture = Capture::start(&hosts).unwrap();
    scene.start("server", server);
    scene.until_recorded("server is ready", |recording| bound(recording, "server"));
    if server[0] == "tcp-server" {
        scene.until_recorded("server listens", |recording| listens(recording, "server"));
    }
    scene.start("client", client);
    scene.end("server");
    scene.end("client");
    let mut recording = std::mem::take(&mut *scene.recorder.recording());
    capture.drain(&mut recording).unwrap();
    assert_eq!(recording.dropped_packets, 0);
    if std::env::var_os("SHOW").is_some() {
        eprintln!("{}", grader::ladder::draw(&recording, None));
        eprintln!("{:#?}", recording.ledger());
    }
    recording
}

fn causes(recording: &Recording) -> Vec<String> {
    let words = |packet| {
        let cause = recording.cause_in_words(packet).unwrap_or_else(|| "nobody".into());
        format!("{} {}", packet.in_words(), cause.split(" on ").next().unwrap_or_default())
    };
    recording.packets.iter().map(words).collect()
}

fn datagrams_name_their_calls(arena: Arena) {
    let recording = exchange(arena, &["udp-server"], &["udp-client"]);
    assert_eq!(
        causes(&recording),
        ["UDP 2 bytes 01 02 caused by client: sendto", "UDP 2 bytes 01 03 caused by server: sendmsg"]
    );
    if Command::new("tshark").arg("--version").output().is_ok() {
        let file = tempfile::NamedTempFile::new().unwrap();
        recording.write_pcapng(&file).unwrap();
        let output = Command::new("tshark")
            .arg("-r")
            .arg(file.path())
            .args(["-T", "fields", "-e", "frame.comment"])
            .output();
        let text = String::from_utf8_lossy(&output.unwrap().stdout).into_owned();
        assert!(text.contains("caused by client: sendto"), "{text}");
    } else {
        println!("there is no tshark: what it reads is not tried");
    }
}

fn segments_name_their_calls(arena: Arena) {
    let recording = exchange(arena, &["tcp-server", "loop"], &["tcp-client", "16"]);
    let causes = causes(&recording);
    let tcp = recording.packets.iter().filter(|packet| {
        packet.headers().is_some_and(|headers| matches!(headers.transport, Transport::Tcp { .. }))
    });
    assert_eq!(tcp.count(), causes.len());
    assert!((9..=11).contains(&causes.len()), "{causes:#?}");
    assert!(causes[0].starts_with("TCP SYN caused by client: connect"), "{causes:#?}");
    let data: Vec<&String> = causes.iter().filter(|words| words.contains("16 bytes")).collect();
    assert!(data[0].ends_with("client: sendto") && data[1].ends_with("server: sendto"), "{causes:#?}");
    let nobody = causes.iter().filter(|words| words.ends_with("nobody")).count();
    assert!(nobody <= 1, "{causes:#?}");
    assert!(
        causes.iter().any(|words| words.contains("FIN") && words.ends_with("client: shutdown")),
        "{causes:#?}"
    );
}
