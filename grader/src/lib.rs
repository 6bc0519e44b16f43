//! Socklab's grader: grades a submission of the labs by running hidden checks against its programs, each in an arena
//! of its own, and explains with evidence what went wrong. `DESIGN.md` beside this crate says how it is built.

pub use arena::{host, recorder, recording, sandbox, verdict};

pub mod ask;
pub mod bench;
pub mod check;
pub mod child;
pub mod cli;
pub mod compile;
pub mod doctor;
pub mod exit;
pub mod explain;
pub mod family;
pub mod fork_server;
pub mod grade;
#[cfg(hidden)]
pub mod hidden;
#[cfg(not(hidden))]
#[path = "not_hidden.rs"]
pub mod hidden;
pub mod house;
pub mod intake;
pub mod ladder;
pub mod lanes;
pub mod list;
pub mod mutant;
pub mod packing;
pub mod probe;
pub mod report;
pub mod schedule;
pub mod stub;
pub mod styles;
pub mod subject;
pub mod suites;
pub mod trace;
pub mod turn;
