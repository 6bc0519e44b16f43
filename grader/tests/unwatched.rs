//! A program that behaves only while it is traced is caught: a sample of the checks is asked without a recorder too.

use std::path::Path;
use std::process::Command;

/// Answers rightly under a tracer, and with the low byte first otherwise. The tracer is outside its pid namespace, so
/// that /proc does not name it; but recorded calls take their time. How long, is the machine's matter: so they are
/// measured by a call that nobody records (some 70 times as long where they are recorded, three times otherwise).
const TWO_FACED: &str = r#"
import os, socket, struct, time
def batch(call):
    start = time.monotonic()
    for _ in range(50):
        call()
    return time.monotonic() - start
def quickest(call):
    return min(batch(call) for _ in range(16))
traced = quickest(lambda: os.close(os.dup(1))) > 15 * quickest(os.getppid)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 5000))
data, asker = s.recvfrom(2)
(value,) = struct.unpack("!h", data)
s.sendto(struct.pack("!h" if traced else "<h", value + 1), asker)
"#;

#[test]
fn a_program_that_behaves_only_when_traced_is_caught() {
    let doctor = Command::new(env!("CARGO_BIN_EXE_grader")).arg("doctor").output().expect("the grader runs");
    let records = String::from_utf8_lossy(&doctor.stdout).contains("system calls can be recorded");
    if !Path::new("/usr/bin/python3").exists() || !records {
        eprintln!("needs Python and a machine that records: nothing was tried");
        return;
    }
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("server.py");
    std::fs::write(&file, TWO_FACED).expect("write it");
    let caught = (1..=40).any(|seed: u32| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grader"));
        command.args(["grade", "--lab", "udp", "--only", "server_answers_the_next_number", "--seed"]);
        command.arg(seed.to_string());
        command.arg("--with").arg(format!("udp-server=/usr/bin/python3 -u {}", file.display()));
        let output = command.output().expect("the grader runs");
        String::from_utf8_lossy(&output.stdout).contains("only where no recorder traces it")
    });
    assert!(caught, "one of 40 seeds samples this check");
}
