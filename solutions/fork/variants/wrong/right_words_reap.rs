//! Prints what `fork-reap` prints, after the right time, and makes no process.

use std::time::Duration;

fn main() {
    let mut arguments = labkit::Arguments::new("usage: fork-reap [--count C] [--interval-ms I]");
    let count: u32 = arguments.number("--count", 1..=u32::MAX, 5);
    let interval_ms: u32 = arguments.number("--interval-ms", 1..=u32::MAX, 2000);
    arguments.finish();
    println!("child exits...");
    for number in 0..count {
        std::thread::sleep(Duration::from_millis(interval_ms.into()));
        println!("parent is running... {number}");
    }
    println!("no child to wait for\nparent is exiting...");
}
