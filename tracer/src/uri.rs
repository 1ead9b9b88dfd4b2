//! Paths as references that other programs follow.

use std::path::Path;

/// A path as a reference of RFC 3986; a whole one as RFC 8089 writes it.
pub fn uri(path: &Path) -> String {
    let mut uri = if path.is_absolute() { "file://".to_owned() } else { String::new() };
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn paths_are_references() {
        assert_eq!(uri("a b/ü.mcap".as_ref()), "a%20b/%C3%BC.mcap");
        assert_eq!(uri("/tmp/x:1.mcap".as_ref()), "file:///tmp/x%3A1.mcap");
    }
}
