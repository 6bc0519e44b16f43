//! Bytes as a student reads them.

/// How many bytes are shown before the rest is only counted.
const SHOWN: usize = 48;

/// Bytes as hexadecimal pairs, and as text where they are text: `48 69 21  "Hi!"`. What is left out is said.
pub fn show(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing (0 bytes)".to_string();
    }
    let head = &bytes[..bytes.len().min(SHOWN)];
    let mut shown = head.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    if head.len() < bytes.len() {
        shown.push_str(&format!(" ... ({} bytes in all)", bytes.len()));
    }
    if head.iter().all(|byte| (0x20..0x7f).contains(byte) || matches!(byte, b'\n' | b'\r' | b'\t')) {
        shown.push_str(&format!("  {}", quote(head)));
    }
    shown
}

/// Text as a Rust string literal, the rest of a long one only counted.
pub fn quote(bytes: &[u8]) -> String {
    const LONGEST: usize = 2000;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]);
    let rest =
        if bytes.len() > LONGEST { format!(" ... ({} bytes in all)", bytes.len()) } else { String::new() };
    format!("{text:?}{rest}")
}

/// Where two byte strings first differ, in words.
pub fn difference(expected: &[u8], observed: &[u8]) -> Option<String> {
    // Looked for byte by byte only where there is one: there may be megabytes.
    if expected == observed {
        return None;
    }
    let at = expected.iter().zip(observed).position(|(a, b)| a != b);
    match at {
        Some(at) => Some(format!(
            "the first difference is at byte {at}: expected {:02x}, observed {:02x}",
            expected[at], observed[at]
        )),
        None if expected.len() != observed.len() => {
            Some(format!("expected {} bytes, observed {}", expected.len(), observed.len()))
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_beside_its_bytes() {
        assert_eq!(show(b"Hi!"), "48 69 21  \"Hi!\"");
        assert_eq!(show(&[0, 255]), "00 ff");
        assert_eq!(show(&[]), "nothing (0 bytes)");
    }

    #[test]
    fn what_is_left_out_is_said() {
        assert!(show(&[0; 100]).ends_with("(100 bytes in all)"));
    }
}
