//! Reports: the text that a student reads, the JSON that fits its schema, and control characters that get nowhere.

use std::collections::BTreeMap;

use grader::ask::Answer;
use grader::check::{Check, Level, Suite};
use grader::report::{self, LabReport, Report, Style};
use grader::sandbox::Tier;
use grader::schedule::{Asked, Outcome};
use grader::subject::Subject;
use grader::verdict::{Breakdown, Finding, Stop, Verdict};

mod schema;

/// Text as a hostile program would print it: it clears the screen, forges a line, turns the direction.
const HOSTILE: &str = "00 01\x1b[2J\x1b[31m\r\nudp 100/100\u{9b}2J\u{202e}\u{7}\0";

fn never(_: &mut grader::bench::Bench) -> Result<(), Stop> {
    Ok(())
}

const fn row(name: &'static str, question: &'static str, level: Level) -> Check {
    Check::new(name, "udp.2", level, 10, &["udp-server"], question, never).handout("Network byte order")
}

static CHECKS: [Check; 6] = [
    row("answers_plus_one", "Does the server answer 41 with 42?", Level::Core),
    row("reply_is_big_endian", "Is the answer in network byte order?", Level::Core),
    row("answers_twice", "Does it answer a second client?", Level::Robust),
    row("needs_a_second_host", "Does it answer another host?", Level::Robust),
    row("builds_on_that", "Does it answer it twice?", Level::Robust),
    row("speaks_ipv6", "Does it speak IPv6?", Level::Bonus),
];

static SUITE: Suite = Suite { lab: "udp", programs: &["udp-server"], checks: &CHECKS };

fn a_report(text: &str) -> Report {
    let finding = Finding {
        sent: Some("00 ff     255".to_string()),
        expected: Some("01 00     256".to_string()),
        observed: Some(text.to_string()),
        likely: Some("the low byte came first".to_string()),
        mistake: Some("low-byte-first".to_string()),
        notes: vec![format!("stderr said {text}")],
        because: "network byte order puts the high byte first".to_string(),
    };
    let verdicts = [
        Verdict::Pass,
        Verdict::Fail(Box::new(finding)),
        Verdict::Blocked("reply_is_big_endian did not pass".to_string()),
        Verdict::Broke(Breakdown::new("no second host", "run `cargo xtask doctor`")),
        Verdict::Broke(Breakdown::new("no second host", "run `cargo xtask doctor`")),
        Verdict::Pass,
    ];
    let asked = CHECKS.iter().zip(verdicts).map(|(check, verdict)| {
        let passed = (u32::from(verdict == Verdict::Pass), 1);
        let behind = (check.name == "builds_on_that").then_some("needs_a_second_host");
        Asked { check, answer: Answer { verdict, ms: 7, recording: None }, passed, behind }
    });
    let unbuilt = BTreeMap::from([("udp-client".to_string(), format!("error: {text}"))]);
    let outcome = Outcome { unbuilt, asked: asked.collect() };
    let subject = Subject::new("labs".to_string(), &SUITE, BTreeMap::new(), Vec::new(), true);
    let mut report = Report::new("labs".to_string(), "cargo xtask grade labs/udp".to_string(), Tier::A);
    report.labs.push(LabReport::new(&subject, 5, outcome));
    report.ignored.push(format!("udp/{text}"));
    report
}

#[test]
fn a_failed_check_reads_as_question_evidence_reason_and_reproduction() {
    let mut report = a_report("00 01     256 with the low byte first\n^^");
    report.ignored.clear();
    report.labs[0].unbuilt.clear();
    let wanted = "\
pass  udp.2 Does the server answer 41 with 42?   10/10  answers_plus_one
FAIL  udp.2 Is the answer in network byte order?  0/10  reply_is_big_endian
      sent      00 ff     255
      expected  01 00     256
      observed  00 01     256 with the low byte first
                ^^
      likely    the low byte came first
      note      stderr said 00 01     256 with the low byte first
                ^^
      because   network byte order puts the high byte first   (handout: \"Network byte order\")
      again     cargo xtask grade labs/udp --only reply_is_big_endian
----- udp.2 Does it answer a second client?       0/10  answers_twice
      not asked reply_is_big_endian did not pass
BROKE udp.2 Does it answer another host?          -/10  needs_a_second_host
      what      no second host
      next      run `cargo xtask doctor`
      points    none are lost: this is not the program's fault, and it is not decided
BROKE udp.2 Does it answer it twice?              -/10  builds_on_that
      not asked needs_a_second_host broke down, and this builds on it
      points    none are lost: this is not the program's fault, and it is not decided
pass  udp.2 Does it speak IPv6?                  10/10  speaks_ipv6

udp          20/30 (10 bonus) (20 undecided) next: reply_is_big_endian (udp.2, handout \"Network byte order\")
";
    assert_eq!(report::text(&report, Style { colour: false, passes: true }), wanted);
}

#[test]
fn no_control_character_of_a_program_reaches_a_report() {
    let report = a_report(HOSTILE);
    let dangerous = |text: &str| {
        text.chars().any(|character| (character.is_control() && character != '\n') || character == '\u{202e}')
    };
    let text = report::text(&report, Style::default());
    assert!(!dangerous(&text), "{text:?}");
    assert!(
        !text.lines().any(|line| line.starts_with("udp 100/100")),
        "a forged line stands at a line's start: {text}"
    );
    assert!(!dangerous(&report.json()));
}

#[test]
fn colours_only_where_they_are_asked_for() {
    let report = a_report("plain");
    assert!(!report::text(&report, Style::default()).contains('\x1b'));
    assert!(report::text(&report, Style { colour: true, passes: true }).contains("\x1b[31mFAIL"));
}

#[test]
fn nothing_is_cut_silently() {
    let report = a_report(&"line\n".repeat(200));
    let text = report::text(&report, Style::default());
    assert!(text.contains("more lines: see them with --format json"), "{text}");
    assert!(report.json().matches("line\\n").count() >= 400);
}

#[test]
fn json_fits_the_schema() {
    let schema = schema::Schema::read();
    for text in ["plain", HOSTILE] {
        let value = serde_json::from_str(&a_report(text).json()).expect("it is JSON");
        assert_eq!(schema.complaints(&value), Vec::<String>::new());
    }
    let mut value: serde_json::Value = serde_json::from_str(&a_report("plain").json()).expect("it is JSON");
    value["labs"][0]["checks"][0]["points"] = "ten".into();
    value["labs"][0]["surprise"] = true.into();
    assert_eq!(schema.complaints(&value).len(), 3, "the schema must be able to refuse");
}

#[test]
fn a_real_report_fits_the_schema() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_grader"));
    let output = command
        .arg("grade")
        .arg(grader::house::labs())
        .args(["--format", "json", "--lab", "endianness"])
        .output();
    let output = output.expect("start it");
    let value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(schema::Schema::read().complaints(&value), Vec::<String>::new());
}
