//! The four styles are measured, and the chart is drawn in the terminal and as SVG.

use std::path::Path;
use std::process::Command;

use assert_cmd::assert::OutputAssertExt;

#[test]
fn a_silent_client_stops_the_iterative_server_alone() {
    let solutions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../solutions");
    let place = tempfile::tempdir().expect("a directory");
    let svg = place.path().join("styles.svg");
    let mut command = Command::new(env!("CARGO_BIN_EXE_grader"));
    command.arg("styles").arg(solutions).arg("--svg").arg(&svg);
    let assert = command.assert().success();
    let text = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    let served = |server: &str| -> f64 {
        let row = text.lines().find(|line| line.starts_with(server)).expect("each server has a row");
        row.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("the row has a figure")
    };
    assert_eq!(served("iterative-server"), 0.0, "{text}");
    for server in ["forking-server", "threaded-server", "select-server"] {
        assert!(served(server) > 0.0, "{text}");
    }
    let drawn = std::fs::read_to_string(&svg).expect("the chart is written");
    assert_eq!(drawn.matches("<rect x=").count(), 4, "{drawn}");
}
