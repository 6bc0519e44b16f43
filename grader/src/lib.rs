//! Socklab's grader: grades a submission of the labs by running hidden checks against its programs, each in an arena
//! of its own, and explains with evidence what went wrong. `DESIGN.md` beside this crate says how it is built.

pub mod ask;
pub mod bench;
pub mod check;
pub mod hidden;
pub mod host;
pub mod recorder;
pub mod recording;
pub mod sandbox;
pub mod suites;
pub mod verdict;
