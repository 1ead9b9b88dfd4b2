//! Workflow commands of GitHub Actions: an annotation for each finding.

use std::io::{self, Write};

use crate::{diagnostic::plain, finding::Severity, sink::gate::Gate};

/// Prints a line a finding.
///
/// # Errors
/// Only from writing.
pub fn write(out: &mut impl Write, gate: &Gate) -> io::Result<()> {
    for finding in &gate.findings {
        let level = match finding.rule.severity {
            Severity::Info => "notice",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        writeln!(out, "::{level} title={}::{}", property(finding.rule.name), data(&plain(finding)))?;
    }
    if gate.not_kept() > 0 {
        writeln!(out, "::warning title=tracer::{} more findings", gate.not_kept())?;
    }
    Ok(())
}

/// As `actions/toolkit` does: line ends, and the escape character itself.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// In a property, its terminators as well.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::{data, property};

    #[test]
    fn nothing_ends_a_command_early() {
        assert_eq!(data("100%\r\n::error::x"), "100%25%0D%0A::error::x");
        assert_eq!(property("a:b,c%3A"), "a%3Ab%2Cc%253A");
    }
}
