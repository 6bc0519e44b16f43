//! The empty program.

fn main() {}
