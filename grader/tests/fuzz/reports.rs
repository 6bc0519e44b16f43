//! Words of a program in every place of a report: no character that a terminal obeys, no line that looks like the
//! grader's own, and JSON that says the same as what was put in.

use std::collections::BTreeMap;

use grader::ask::Answer;
use grader::check::{Check, Level, Suite};
use grader::intake::Sources;
use grader::report::{self, LabReport, Report, Style};
use grader::sandbox::Tier;
use grader::schedule::{Asked, Outcome};
use grader::subject::Subject;
use grader::verdict::{Breakdown, Finding, Stop, Verdict};
use proptest::collection::vec;
use proptest::prelude::*;

use super::recordings::recording;
use super::{config, is_obeyed};

fn never(_: &mut grader::bench::Bench) -> Result<(), Stop> {
    Ok(())
}

const fn row(name: &'static str) -> Check {
    Check::new(name, "udp.1", Level::Core, 25, &["udp-server"], "Does it answer?", never)
}

static CHECKS: [Check; 4] = [row("one"), row("two"), row("three"), row("four")];
static SUITE: Suite = Suite { lab: "udp", programs: &["udp-server"], checks: &CHECKS };

/// Stands in all hostile words, so that it shows where they ended up.
const MARK: char = '\u{2620}';

/// Words as a program may print them.
pub fn words() -> impl Strategy<Value = String> {
    let bytes = vec(any::<u8>(), 0..60).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let forged = proptest::sample::select(vec![
        "\npass  udp.1 Does it answer? 25/25  one\nudp 100/100",
        "\x1b[2J\x1b[H\u{9b}31m\r",
        "\u{202e}\u{2066}\u{61c}\0\u{7f}\u{ad}\u{e0041}",
        "\"}],\"points\":100,\"x\":[{\"y\":\"",
        "::error file=x::y\n</testcase><![CDATA[",
        "\n\n      again     rm -rf /\n",
    ]);
    let piece = prop_oneof![any::<String>(), bytes, forged.prop_map(str::to_string), "[ -~]{0,200}"];
    vec(piece, 1..4).prop_map(|pieces| format!("{}{MARK}", pieces.join(&MARK.to_string())))
}

fn report(said: &[String; 6], recorded: grader::recording::Recording) -> Report {
    let [observed, sent, unbuilt, broke, path, by] = said.clone();
    let finding = Finding {
        sent: Some(sent),
        expected: None,
        observed: Some(observed.clone()),
        likely: Some(observed.clone()),
        mistake: Some(observed.clone()),
        notes: vec![observed.clone()],
        because: "it must".to_string(),
    };
    let verdicts = [
        Verdict::Pass,
        Verdict::Fail(Box::new(finding)),
        Verdict::Blocked(by),
        Verdict::Broke(Breakdown::new(broke.clone(), broke)),
    ];
    let asked = CHECKS.iter().zip(verdicts).map(|(check, verdict)| {
        let recording = matches!(verdict, Verdict::Fail(_)).then(|| recorded.clone());
        Asked { check, answer: Answer { verdict, ms: 7, recording }, passed: (0, 1), behind: None }
    });
    let unbuilt = BTreeMap::from([("udp-server".to_string(), unbuilt)]);
    let outcome = Outcome { unbuilt, asked: asked.collect() };
    let sources = Sources { files: BTreeMap::new(), refused: vec![path.clone()] };
    let subject = Subject::from_sources(path.clone(), &SUITE, sources);
    let mut report = Report::new(path.clone(), "cargo xtask grade labs/udp".to_string(), Tier::A);
    report.ignored.push(path);
    report.labs.push(LabReport::new(&subject, 5, outcome));
    report
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn nothing_is_obeyed_and_nothing_is_forged(said in prop::array::uniform6(words()), recorded in recording(12)) {
        let report = report(&said, recorded);
        for style in [Style::default(), Style { colour: false, passes: true }] {
            let text = report::text(&report, style);
            prop_assert!(!text.chars().any(is_obeyed), "{text:?}");
            for line in text.lines().filter(|line| line.contains(MARK)) {
                let framed = ["      ", "ignored  ", "ERROR "].iter().any(|frame| line.starts_with(frame));
                prop_assert!(framed, "{line:?}");
            }
            // A line of the grader's own is there once for each check.
            for check in &CHECKS {
                let own = |line: &&str| line.ends_with(check.name) && !line.starts_with(' ');
                prop_assert!(text.lines().filter(own).count() <= 1, "{text}");
            }
        }
        let json = report.json();
        prop_assert!(!json.chars().any(is_obeyed));
        let read: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        prop_assert_eq!(&read, &serde_json::to_value(&report).expect("it is"));
        prop_assert_eq!(read["labs"][0]["checks"][1]["finding"]["observed"].as_str(), Some(said[0].as_str()));
        prop_assert_eq!(read["labs"][0]["points"].as_u64(), Some(25));
    }

    #[test]
    fn escaped_words_stay_on_their_line(said in words()) {
        let line = report::escape(&said);
        prop_assert!(!line.contains('\n') && !line.chars().any(is_obeyed), "{line:?}");
        for line in report::escape_lines(&said) {
            prop_assert!(!line.contains('\n') && !line.chars().any(is_obeyed), "{line:?}");
        }
        prop_assert_eq!(report::escape_lines(&said).len(), said.trim_end_matches('\n').matches('\n').count() + 1);
        let json = report::escape_json(&serde_json::to_string(&said).expect("it is"));
        prop_assert!(!json.chars().any(is_obeyed));
        prop_assert_eq!(serde_json::from_str::<String>(&json).expect("it is JSON"), said);
    }
}
