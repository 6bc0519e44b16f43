//! The front door of Socklab.
fn main() {}
