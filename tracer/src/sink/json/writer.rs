//! Writes objects as lines that are safe to show: beyond what JSON requires, it escapes every invisible character
//! ([`is_visible`]) and whatever a build server takes for a command.

use std::io::{self, BufWriter, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};

use crate::ident::{commands, is_visible};

/// One object a line.
pub struct Lines<W: Write> {
    out: BufWriter<W>,
}

impl<W: Write> Lines<W> {
    /// Lines into that output, buffered.
    pub fn new(out: W) -> Self {
        Self { out: BufWriter::with_capacity(1 << 16, out) }
    }

    /// Writes an object as a line.
    ///
    /// # Errors
    /// Only from writing.
    pub fn print(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut serializer = serde_json::Serializer::with_formatter(&mut self.out, Careful);
        line.serialize(&mut serializer)?;
        self.out.write_all(b"\n")
    }

    /// Flushes everything.
    ///
    /// # Errors
    /// Only from writing.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Returns the output, without what was not flushed.
    pub fn into_inner(self) -> W {
        self.out.into_parts().0
    }
}

/// An object as it is on a line.
///
/// # Errors
/// If it has no form in JSON.
pub fn to_string(object: &impl Serialize) -> serde_json::Result<String> {
    let mut out = Vec::new();
    object.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Careful))?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// Compact JSON. serde_json itself escapes quotes, backslashes and the characters below U+0020, and passes what is
/// between them to [`Formatter::write_string_fragment`].
struct Careful;

impl Formatter for Careful {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        // The usual case: no DEL, nothing beyond ASCII, no command for a build server.
        if fragment.bytes().all(|byte| byte < 0x7f && byte != b'#') {
            return CompactFormatter.write_string_fragment(out, fragment);
        }
        let mut commands = commands(fragment).peekable();
        let mut rest = 0;
        for (at, c) in fragment.char_indices() {
            let is_command = commands.next_if_eq(&at).is_some();
            // `::` is a command only at the beginning of a line, where no string is.
            if is_visible(c) && !(is_command && c == '#') {
                continue;
            }
            out.write_all(&fragment.as_bytes()[rest..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = at + c.len_utf8();
        }
        out.write_all(&fragment.as_bytes()[rest..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_on_its_line() {
        let name = "\u{1b}[31m\"q\"\n\u{7f}\u{9b}\u{202e}\u{e0061}<b>é\\##[x]";
        let mut lines = Lines::new(Vec::new());
        lines.print(&name).unwrap();
        lines.flush().unwrap();
        let line = String::from_utf8(lines.into_inner()).unwrap();
        assert_eq!(line, "\"\\u001b[31m\\\"q\\\"\\n\\u007f\\u009b\\u202e\\udb40\\udc61<b>é\\\\\\u0023#[x]\"\n");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), name);
    }
}
