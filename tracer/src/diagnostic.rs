//! A finding for a person, in the manner of a good compiler: a headline, labelled lines, and what to do about it.
//! Terminal output, reports and pages all use this.

use std::io::{self, Write};

use anstyle::Style;

use crate::{
    console::style::{self, BAD, BOLD, CALM, DIM, GOOD, Screen, WARN},
    finding::{Confidence, Finding, Note, Severity, Stage},
};

/// Columns of a label; longer ones make room for themselves.
const LABEL: usize = 10;
/// Columns before a label.
const INDENT: usize = 2;
/// Indent of the further lines of a headline.
const CONTINUED: usize = 4;
/// The columns that a value gets at least, however narrow the screen is.
const NARROWEST: usize = 16;

/// A finding on a page.
pub struct Diagnostic<'a> {
    /// The finding.
    pub finding: &'a Finding,
    /// Text before the first line: the time, for example.
    pub lead: &'a str,
    /// Text before all other lines.
    pub gutter: &'a str,
    /// Text before the headline, such as `still:`.
    pub remark: &'a str,
    /// More labelled lines, after those of the finding.
    pub more: Vec<Note>,
    /// Whether to print the fixes.
    pub with_fixes: bool,
}

impl<'a> Diagnostic<'a> {
    /// A finding by itself.
    pub fn new(finding: &'a Finding) -> Self {
        Self { finding, lead: "", gutter: "", remark: "", more: Vec::new(), with_fixes: true }
    }

    /// Prints it, as wide as the screen is.
    ///
    /// # Errors
    /// Only from writing.
    pub fn print(&self, out: &mut impl Write, screen: Screen) -> io::Result<()> {
        let Self { finding, lead, gutter, remark, .. } = self;
        let word = format!("{}[{}]", word(finding), finding.rule.name);
        let before = format!("{lead}{word} ");
        let headline = format!("{remark}{}", finding.headline);
        let room = |before: usize| screen.width.map_or(usize::MAX, |width| width.saturating_sub(before));
        let lines = broken(&headline, room(style::columns(&before)), room(style::columns(gutter) + CONTINUED));
        for (i, line) in lines.iter().enumerate() {
            let line = screen.paint(BOLD, line);
            match i {
                0 => writeln!(out, "{}{} {line}", screen.paint(DIM, lead), screen.paint(colour(finding), &word))?,
                _ => writeln!(out, "{gutter}{:CONTINUED$}{line}", "")?,
            }
        }
        self.lines(out, screen)
    }

    /// Prints all but the headline.
    ///
    /// # Errors
    /// Only from writing.
    pub fn lines(&self, out: &mut impl Write, screen: Screen) -> io::Result<()> {
        let Self { finding, more, with_fixes, .. } = self;
        let mut lines: Vec<(Style, &str, String)> = Vec::new();
        lines.extend(finding.notes.iter().chain(more).map(|Note { label, text }| (DIM, &**label, text.clone())));
        if let Confidence::Incomplete(note) = &finding.confidence {
            lines.push((WARN, "incomplete", note.clone()));
        }
        if *with_fixes {
            for (i, fix) in finding.fixes.iter().enumerate() {
                lines.push(if i == 0 { (GOOD, "fix", fix.clone()) } else { (GOOD, "", format!("or: {fix}")) });
            }
        }
        let label = lines.iter().map(|(_, label, _)| style::columns(label)).max().unwrap_or_default().max(LABEL);
        lines
            .iter()
            .try_for_each(|(colour, word, text)| self.line(out, screen, *colour, &style::pad(word, label), text))
    }

    /// A label, and beside it what it says.
    fn line(&self, out: &mut impl Write, screen: Screen, colour: Style, label: &str, text: &str) -> io::Result<()> {
        let gutter = self.gutter;
        let margin = INDENT + style::columns(label) + 2;
        let width = screen.width.map(|width| width.saturating_sub(style::columns(gutter) + margin).max(NARROWEST));
        for (i, line) in style::wrap(text, width).iter().enumerate() {
            let label = if i == 0 { label } else { "" };
            let label = screen.paint(colour, style::pad(label, margin - INDENT - 2));
            writeln!(out, "{gutter}{:INDENT$}{label}  {line}", "")?;
        }
        Ok(())
    }
}

/// Breaks a headline between words; its first line has less room than the others.
fn broken(headline: &str, first: usize, others: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in headline.split(' ') {
        let room = if lines.len() == 1 { first } else { others };
        match lines.last_mut() {
            Some(line) if line.is_empty() && style::columns(word) <= room => line.push_str(word),
            Some(line) if !line.is_empty() && style::columns(line) + 1 + style::columns(word) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The whole finding, as text without colours: for reports.
pub fn plain(finding: &Finding) -> String {
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    let _ = writeln!(text, "{}", finding.headline);
    let _ = Diagnostic::new(finding).lines(&mut text, Screen::default());
    String::from_utf8_lossy(&text).trim_end().to_owned()
}

/// Its severity, or that it is over or was wrong.
fn word(finding: &Finding) -> &'static str {
    match finding.stage {
        Stage::New | Stage::Ongoing => finding.rule.severity.id(),
        Stage::Resolved | Stage::Withdrawn => finding.stage.id(),
    }
}

/// The colour of its word.
pub fn colour(finding: &Finding) -> Style {
    match finding.stage {
        Stage::Resolved | Stage::Withdrawn => GOOD,
        Stage::New | Stage::Ongoing => severity(finding.rule.severity),
    }
}

/// The colour of a severity.
pub fn severity(severity: Severity) -> Style {
    match severity {
        Severity::Info => CALM,
        Severity::Warning => WARN,
        Severity::Error => BAD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::Adopter,
        finding::MOST_NOTES,
        story::{Story, born, end},
    };

    fn finding() -> Finding {
        let mut story = Story::new();
        story.fork(born(10, 1)).exec(10, "lazy").fork(born(20, 10)).exit(end(20, 10, Adopter::None));
        story.wait(3_000, &[(20, b'Z', 10), (10, b'S', 1)]).only()
    }

    fn shown(finding: &Finding, width: Option<usize>) -> String {
        let mut out = Vec::new();
        let diagnostic = Diagnostic { lead: "03:08:53.354 ", ..Diagnostic::new(finding) };
        diagnostic.print(&mut out, Screen { colour: false, width }).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn labels_stand_below_each_other_and_a_pipe_is_not_wrapped() {
        let finding = finding();
        assert!(finding.notes.len() <= MOST_NOTES);
        let text = shown(&finding, None);
        let mut lines = text.lines();
        let first = "03:08:53.354 warning[unreaped-child] p20 (pid 20) has been a zombie for 3.0 s: its parent lazy (pid \
                     10) does not wait for it";
        assert_eq!(lines.next(), Some(first));
        for line in lines {
            assert!(line.starts_with("  ") && line.get(12..14) == Some("  "), "{line:?}");
        }
        assert!(text.contains("\n  fix         have lazy call waitpid()"), "{text}");
        assert!(text.contains("\n              or: if no child's status matters"), "{text}");
    }

    #[test]
    fn what_is_long_is_wrapped_in_its_column() {
        for width in [40, 60, 80, 100] {
            assert_eq!(broken("xargs (pid 1)", 3, 20), ["", "xargs (pid 1)"]);
            let text = shown(&finding(), Some(width));
            for line in text.lines() {
                assert!(style::columns(line) <= width, "{width}: {line}");
            }
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(words(&text), words(&shown(&finding(), None)), "{width}");
        }
    }

    #[test]
    fn colours_add_nothing_that_words_do_not_say() {
        let finding = finding();
        let mut out = Vec::new();
        let screen = Screen { colour: true, width: None };
        Diagnostic { lead: "03:08:53.354 ", ..Diagnostic::new(&finding) }.print(&mut out, screen).unwrap();
        let plain = anstream::adapter::strip_bytes(&out).into_vec();
        assert_eq!(String::from_utf8(plain).unwrap(), shown(&finding, None));
    }
}
