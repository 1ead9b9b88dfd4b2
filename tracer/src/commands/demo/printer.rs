//! What the demo prints: acts, actions, and what the tool reports about them.

use std::{
    io::{self, Write},
    time::Duration,
};

use anstyle::Style;

use super::live::UNREAPED_AFTER;
use super::scene::Scene;
use crate::{
    console::style::{self, BOLD, CALM, DIM, GOOD, Screen, WARN},
    diagnostic::Diagnostic,
    finding::Finding,
    host::StartInfo,
    ident::quote,
    summary::seconds,
    time::BootNs,
};

/// Longer lines are hard to read.
const WIDEST: usize = 100;
/// Columns before an action, and before what can be seen of it.
const ACTION: usize = 3;
const SEEN: usize = 5;
/// Before each line of the tool's report.
const GUTTER: &str = "     │ ";
/// Columns of an action before the remark beside it.
const COMMAND: usize = 40;

/// The output. Each call is flushed: somebody is watching.
pub(super) struct Printer<W> {
    out: W,
    screen: Screen,
}

impl<W: Write> Printer<W> {
    pub(super) fn new(out: W, screen: Screen) -> Self {
        Self { out, screen: Screen { width: screen.width.map(|width| width.min(WIDEST)), ..screen } }
    }

    /// What it is about.
    pub(super) fn title(&mut self, scene: &impl Scene) -> io::Result<()> {
        let text = format!(
            "A throw-away pid namespace ({}), as every container has one; its pid 1 is `sleep 1000` (pid {} on the host). \
             Below each command: what `tracer watch` says of it. Zombies are reported after {} here, not 2 s.",
            scene.namespace(),
            scene.init(),
            seconds(UNREAPED_AFTER.into()),
        );
        self.paragraph("", "", DIM, &text)?;
        self.out.flush()
    }

    /// The headline of an act.
    pub(super) fn act(&mut self, number: u32, title: &str) -> io::Result<()> {
        writeln!(self.out, "\n{}", self.screen.paint(BOLD, format_args!("{number}. {title}")))?;
        self.out.flush()
    }

    /// A command, and what it is for.
    pub(super) fn action(&mut self, command: &str, remark: &str) -> io::Result<()> {
        let command = self.screen.paint(CALM, style::pad(command, COMMAND));
        writeln!(self.out, "{:ACTION$}$ {command}  {}", "", self.screen.paint(DIM, format_args!("# {remark}")))?;
        self.out.flush()
    }

    /// What can be seen without the tool.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        self.paragraph("", &" ".repeat(SEEN), GOOD, text)?;
        self.out.flush()
    }

    /// What the tool reports; `since` is the boot time of what it reports on.
    pub(super) fn says(&mut self, since: BootNs, finding: &Finding) -> io::Result<()> {
        let Self { out, screen } = self;
        let remark = format!("after {}: ", seconds(finding.at - since));
        let diagnostic = Diagnostic { lead: GUTTER, gutter: GUTTER, remark: &remark, ..Diagnostic::new(finding) };
        diagnostic.print(out, *screen)?;
        self.out.flush()
    }

    /// A note that what follows is a recording, and why.
    pub(super) fn recording(&mut self, start: &StartInfo, why: Option<&str>) -> io::Result<()> {
        let text =
            format!("This is a recording, made by tracer {} on Linux {}.", quote(&start.version), quote(&start.kernel));
        self.paragraph("", "", WARN, &text)?;
        if let Some(why) = why {
            self.paragraph("", "why: ", WARN, &format!("nothing can be staged here: {why}"))?;
        }
        writeln!(self.out)?;
        self.out.flush()
    }

    /// The last words.
    pub(super) fn end(&mut self, took: Duration) -> io::Result<()> {
        let took = seconds(took.into());
        self.last_words(&format!("That was all, in {took}; everything that was started has ended and was reaped."))
    }

    /// The last words of a recording.
    pub(super) fn end_of_recording(&mut self) -> io::Result<()> {
        self.last_words("That was the recording; `sudo tracer demo` stages it live.")
    }

    fn last_words(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out)?;
        let next =
            "Next: `sudo tracer watch` for this machine, `tracer explain RULE` for the whole story of a finding.";
        self.paragraph("", "", DIM, &format!("{text} {next}"))?;
        self.out.flush()
    }

    /// Likewise, after Ctrl-C.
    pub(super) fn interrupted(&mut self) -> io::Result<()> {
        writeln!(self.out, "\nInterrupted; everything that was started has ended and was reaped.")?;
        self.out.flush()
    }

    /// A text broken into lines that fit: a gutter before each, `lead` in colour before the first,
    /// as many blanks before the others.
    fn paragraph(&mut self, gutter: &str, lead: &str, look: Style, text: &str) -> io::Result<()> {
        let Self { out, screen } = self;
        let margin = style::columns(gutter) + style::columns(lead);
        let width = screen.width.map(|width| width.saturating_sub(margin).max(20));
        for (i, line) in style::wrap(text, width).iter().enumerate() {
            let lead = if i == 0 { lead.to_owned() } else { " ".repeat(style::columns(lead)) };
            writeln!(out, "{}{}{line}", screen.paint(DIM, gutter), screen.paint(look, lead))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(width: usize, print: impl FnOnce(&mut Printer<&mut Vec<u8>>)) -> String {
        let mut out = Vec::new();
        print(&mut Printer::new(&mut out, Screen { colour: false, width: Some(width) }));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_the_tool_says_stands_behind_a_gutter() {
        let text =
            printed(32, |printer| printer.paragraph(GUTTER, "fix: ", GOOD, "run it under an init that reaps").unwrap());
        assert_eq!(text, "     │ fix: run it under an init\n     │      that reaps\n");
    }

    #[test]
    fn commands_and_remarks_stand_in_columns() {
        let text = printed(100, |printer| {
            printer.action("kill -TERM 1", "a").unwrap();
            printer.action("sh -c 'sleep 1000 & wait'", "b").unwrap();
        });
        let columns: Vec<_> = text.lines().map(|line| line.find('#')).collect();
        assert_eq!(columns, [Some(47); 2]);
    }
}
