//! What an arena is made of: simulated [hosts](host), the [sandbox] around programs that nobody has read, the [recorder]
//! of what they do, and the [recording] that it makes. The [verdict] knows findings from breakdowns.
//!
//! A crate of its own, because it is optimised in development builds too: most of the grader's own processor time is
//! spent here.

pub mod host;
pub mod recorder;
pub mod recording;
pub mod sandbox;
pub mod verdict;
