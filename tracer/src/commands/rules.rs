//! `tracer rules`: the list of rules.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;

use crate::{
    cli::{Output, Rules},
    console::style::{self, BOLD, DIM, Screen},
    diagnostic,
    finding::RuleDef,
    rules::RULES,
    sink::json::{Lines, rule_line},
};

/// Runs the command.
///
/// # Errors
/// Only from writing.
pub fn run(options: &Rules) -> anyhow::Result<ExitCode> {
    let Rules { output } = options;
    let out = io::stdout().lock();
    match output {
        Output::Text => print(out, Screen::stdout()),
        Output::Json => print_json(out),
    }
    .context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

fn print_json(out: impl Write) -> io::Result<()> {
    let mut lines = Lines::new(out);
    for rule in RULES {
        lines.print(&rule_line(rule))?;
    }
    lines.flush()
}

fn print(mut out: impl Write, screen: Screen) -> io::Result<()> {
    let width = RULES.iter().map(|rule| rule.name.len()).max().unwrap_or(0);
    for rule in RULES {
        let RuleDef { name, severity, summary, lasts: _, about: _, explanation: _, facts: _ } = rule;
        let margin = width + 11;
        let mut lines =
            style::wrap(summary, screen.width.map(|columns| columns.saturating_sub(margin).max(20))).into_iter();
        writeln!(
            out,
            "{:<width$}  {:<7}  {}",
            screen.paint(BOLD, name),
            screen.paint(diagnostic::severity(*severity), severity),
            lines.next().unwrap_or_default(),
        )?;
        for line in lines {
            writeln!(out, "{:margin$}{line}", "")?;
        }
    }
    writeln!(out, "{}", screen.paint(DIM, "`tracer explain RULE` says what one means and how to fix it."))?;
    out.flush()
}
