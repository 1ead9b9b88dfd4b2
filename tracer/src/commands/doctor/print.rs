//! The report as text and as JSON.

use std::io::{self, Write};

use anstyle::Style;

use super::{
    Report,
    check::{Check, Section, Status},
    conclusion::{Claim, Conclusion, Proof},
};
use crate::{
    console::style::{self, BAD, BOLD, DIM, GOOD, Screen, WARN},
    sink::json::Lines,
};

/// One object a line: a `check` each, then the `verdict`.
pub(super) fn json(out: impl Write, report: &Report) -> io::Result<()> {
    let Report { sections, conclusion } = report;
    let mut lines = Lines::new(out);
    for check in sections.iter().flat_map(|section| &section.checks) {
        lines.print(check)?;
    }
    lines.print(&conclusion.line())?;
    lines.flush()
}

/// Reading gets hard on lines that are longer.
const WIDEST: usize = 110;

/// For a person: a line each, in columns.
pub(super) fn text(out: impl Write, screen: Screen, report: &Report) -> io::Result<()> {
    let Report { sections, conclusion } = report;
    let names = sections.iter().flat_map(|section| &section.checks).map(|check| style::columns(&check.name));
    let name_width = names.max().unwrap_or(0);
    let screen = Screen { width: screen.width.map(|width| width.min(WIDEST)), ..screen };
    let mut printer = Printer { out, screen };
    for Section { title, checks } in sections {
        printer.title(title)?;
        for check in checks {
            printer.check(check, name_width)?;
        }
        writeln!(printer.out)?;
    }
    printer.conclusion(conclusion)?;
    printer.out.flush()
}

struct Printer<W> {
    out: W,
    screen: Screen,
}

impl<W: Write> Printer<W> {
    fn title(&mut self, title: &str) -> io::Result<()> {
        writeln!(self.out, "{}", self.screen.paint(BOLD, title))
    }

    fn check(&mut self, check: &Check, name_width: usize) -> io::Result<()> {
        let Check { name, status, detail, next_step } = check;
        let (word, look) = word(*status);
        write!(self.out, "  {:<4}  {} ", self.screen.paint(look, word), style::pad(name, name_width))?;
        let margin = name_width + 10;
        write!(self.out, " ")?;
        self.wrapped(margin, detail)?;
        if let Some(step) = next_step {
            write!(self.out, "{:margin$}{} ", "", self.screen.paint(DIM, "→"))?;
            self.wrapped(margin + 2, step)?;
        }
        Ok(())
    }

    fn conclusion(&mut self, conclusion: &Conclusion) -> io::Result<()> {
        self.title("What this machine can and cannot prove")?;
        for Claim { proof, sentence } in &conclusion.claims {
            let (word, look) = match proof {
                Proof::Exact => ("yes", GOOD),
                Proof::Partly => ("partly", WARN),
                Proof::No => ("no", BAD),
            };
            write!(self.out, "  {:<6}  ", self.screen.paint(look, word))?;
            self.wrapped(10, sentence)?;
        }
        writeln!(self.out)?;
        let (look, what) = match conclusion.live_tracing {
            true => (GOOD, "Live tracing works. See it at work: `sudo tracer demo`"),
            false => (BAD, "Live tracing does not work here; the lines marked FAIL say why."),
        };
        writeln!(self.out, "{}", self.screen.paint(look, what))
    }

    /// A text of which the first line goes on where the cursor is, at that column.
    fn wrapped(&mut self, margin: usize, text: &str) -> io::Result<()> {
        let width = self.screen.width.map(|width| width.saturating_sub(margin).max(20));
        for (i, line) in style::wrap(text, width).iter().enumerate() {
            let margin = if i == 0 { 0 } else { margin };
            writeln!(self.out, "{:margin$}{line}", "")?;
        }
        Ok(())
    }
}

fn word(status: Status) -> (&'static str, Style) {
    match status {
        Status::Ok => ("ok", GOOD),
        Status::Warn => ("warn", WARN),
        Status::Fail => ("FAIL", BAD),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let checks = vec![
            Check::ok("kernel", "Linux 6.18"),
            Check::fail("pid-namespace", "4026532841, not the host's", "run it on the host"),
        ];
        let claims = vec![Claim { proof: Proof::No, sentence: "Live tracing does not work.".into() }];
        Report {
            sections: vec![Section { title: "Machine", checks }],
            conclusion: Conclusion { live_tracing: false, claims },
        }
    }

    #[test]
    fn columns_line_up_and_long_lines_break() {
        let mut out = Vec::new();
        text(&mut out, Screen { colour: false, width: Some(44) }, &report()).unwrap();
        let want = "\
Machine
  ok    kernel         Linux 6.18
  FAIL  pid-namespace  4026532841, not the
                       host's
                       → run it on the host

What this machine can and cannot prove
  no      Live tracing does not work.

Live tracing does not work here; the lines marked FAIL say why.
";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    #[test]
    fn json_is_a_line_each() {
        let mut out = Vec::new();
        json(&mut out, &report()).unwrap();
        let kinds: Vec<_> = String::from_utf8(out)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["type"].clone())
            .collect();
        assert_eq!(kinds, ["check", "check", "verdict"]);
    }
}
