//! The page of a rule for a person: what it means, why the kernel does so, what to do.

use std::io::{self, Write};

use anstyle::Style;

use crate::{
    console::style::{self, BOLD, CALM, Screen},
    diagnostic,
    finding::RuleDef,
};

/// Longer lines are hard to read.
const WIDEST: usize = 100;

/// Prints the page.
///
/// # Errors
/// Only from writing.
pub fn print(mut out: impl Write, screen: Screen, rule: &RuleDef) -> io::Result<()> {
    let RuleDef { name, severity, summary, lasts: _, about: _, explanation, facts: _ } = rule;
    let width = screen.width.map(|columns| columns.min(WIDEST));
    writeln!(out, "{} ({})", screen.paint(BOLD, name), screen.paint(diagnostic::severity(*severity), severity))?;
    for line in style::wrap(summary, width) {
        writeln!(out, "{line}")?;
    }
    writeln!(out)?;
    let explanation = explanation.trim();
    match width {
        None => writeln!(out, "{explanation}")?,
        Some(width) => markdown(&mut out, screen, width, explanation)?,
    }
    out.flush()
}

/// Markdown for a terminal: paragraphs and list items are wrapped to fit, headings and code are coloured.
fn markdown(out: &mut impl Write, screen: Screen, width: usize, text: &str) -> io::Result<()> {
    let mut flow = Flow { indent: 0, text: String::new() };
    for line in text.lines() {
        let body = line.trim();
        if line.starts_with('#') {
            flow.end(out, screen, width)?;
            writeln!(out, "{}", screen.paint(BOLD, line.trim_start_matches('#').trim_start()))?;
        } else if body.is_empty() {
            flow.end(out, screen, width)?;
            writeln!(out)?;
        } else if line.starts_with("    ") && flow.text.is_empty() {
            writeln!(out, "{}", screen.paint(CALM, line))?;
        } else {
            if body.starts_with("- ") {
                flow.end(out, screen, width)?;
                flow.indent = 2;
            }
            let space = if flow.text.is_empty() { "" } else { " " };
            flow.text += &format!("{space}{body}");
        }
    }
    flow.end(out, screen, width)
}

/// A paragraph or list item that is being read.
struct Flow {
    /// The indent of all lines but the first.
    indent: usize,
    text: String,
}

impl Flow {
    fn end(&mut self, out: &mut impl Write, screen: Screen, width: usize) -> io::Result<()> {
        let Self { indent, text } = std::mem::replace(self, Self { indent: 0, text: String::new() });
        if text.is_empty() {
            return Ok(());
        }
        let mut is_code = false;
        for (i, line) in style::wrap(&text, Some(width.saturating_sub(indent))).iter().enumerate() {
            if i > 0 {
                write!(out, "{:indent$}", "")?;
            }
            // Every other piece between backquotes is code, also across line ends.
            for (j, piece) in line.split('`').enumerate() {
                is_code ^= j > 0;
                let style = if is_code { CALM } else { Style::new() };
                write!(out, "{}", screen.paint(style, piece))?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_reads_well_on_a_terminal() {
        let text = "## Why\nthe kernel drops\n`SIGTERM` here\n\n- an item\n  that is long\n- b\n\n    kill -TERM 1";
        let want = "Why\nthe kernel\ndrops SIGTERM\nhere\n\n- an item\n  that is long\n- b\n\n    kill -TERM 1\n";
        let mut out = Vec::new();
        markdown(&mut out, Screen::default(), 15, text).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
