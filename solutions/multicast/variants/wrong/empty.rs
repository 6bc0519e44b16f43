//! Does nothing at all, and ends with status 0.
fn main() {}
