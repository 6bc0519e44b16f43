//! Prints the right words, and binds nothing.

fn main() {
    let mut arguments = labkit::Arguments::new("usage: bind-name [HOST] [PORT]");
    let words = arguments.words();
    let host = words.first().map_or("", String::as_str);
    let port = words.get(1).map_or(5000, |port| arguments.parse("PORT", port, 0..=u16::MAX));
    if words.len() > 2 || host.starts_with('-') {
        arguments.refuse("want a host and a port at most, and no options");
    }
    println!("{}:{port}", if host.is_empty() { "0.0.0.0" } else { host });
}
