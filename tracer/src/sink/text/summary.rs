//! The end of a run, in a few aligned lines.

use std::{
    collections::BTreeMap,
    fmt::Display,
    io::{self, Write},
};

use tracer_common::RecordKind;

use super::row;
use crate::{
    console::style::{self, BAD, BOLD, Screen},
    event::Loss,
    summary::{Summary, less, seconds},
    time::Span,
    world::World,
};

/// `shown` are the findings that the filters let through, by rule.
pub(super) fn print(
    out: &mut impl Write,
    screen: Screen,
    world: &World,
    summary: &Summary,
    shown: &BTreeMap<&'static str, u64>,
) -> io::Result<()> {
    let Summary {
        began: _,
        duration_ns,
        ended_at: _,
        events,
        findings,
        signals_seen,
        lost,
        unwritten,
        walks_cut,
        cpu_ns,
        processes,
        namespaces,
    } = summary;
    writeln!(out, "{}", screen.paint(BOLD, format_args!("watched for {}", seconds(*duration_ns))))?;
    row(
        out,
        screen,
        "world",
        format_args!(
            "{}, {}, {}",
            style::count(*processes, "process"),
            style::count(*namespaces, "pid namespace"),
            style::count(world.zombie_count() as u64, "zombie"),
        ),
    )?;
    listed(out, screen, "events", events)?;
    row(out, screen, "signals", format_args!("{signals_seen} generated on the machine"))?;
    listed(out, screen, "findings", shown)?;
    let hidden = less(findings, shown);
    if !hidden.is_empty() {
        listed(out, screen, "not shown", &hidden)?;
    }
    if lost.total() == 0 {
        row(out, screen, "lost", "nothing")?;
    } else {
        let what = format_args!("{} ({})", style::count(lost.total(), "record"), kinds(lost));
        row(out, screen, "lost", screen.paint(BAD, what))?;
    }
    if *unwritten > 0 {
        let what = format_args!("{} of output, which nobody read in time", style::count(*unwritten, "line"));
        row(out, screen, "missing", screen.paint(BAD, what))?;
    }
    if *walks_cut > 0 {
        let what = format_args!("{} over threads or ancestors cut short", style::count(*walks_cut, "walk"));
        row(out, screen, "cut", what)?;
    }
    if *cpu_ns == Span::ZERO {
        // Only a part was shown, but the cost is known only of the whole recording.
        return Ok(());
    }
    let percent = cpu_ns.0 as f64 * 100.0 / duration_ns.0.max(1) as f64;
    row(out, screen, "cpu", format_args!("{}, {percent:.1} % of one processor", seconds(*cpu_ns)))
}

/// How many of each, wrapped to the screen.
fn listed<'a, K: Display + 'a>(
    out: &mut impl Write,
    screen: Screen,
    label: &str,
    counts: impl IntoIterator<Item = (&'a K, &'a u64)>,
) -> io::Result<()> {
    let counts: Vec<_> = counts.into_iter().map(|(name, n)| format!("{name} {n}")).collect();
    let text = if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
    let width = screen.width.map(|width| width.saturating_sub(LABEL).max(20));
    for (i, line) in style::wrap(&text, width).iter().enumerate() {
        match i {
            0 => row(out, screen, label, line)?,
            _ => writeln!(out, "{:LABEL$}{line}", "")?,
        }
    }
    Ok(())
}

/// Columns of the label of a [`row`].
const LABEL: usize = 12;

/// What was lost, by kind: `fork 3, signal 20`.
pub fn kinds(loss: &Loss) -> String {
    let Loss { ring, undecodable, missed, unreadable } = loss;
    let names = [
        (RecordKind::New, "fork"),
        (RecordKind::Exec, "exec"),
        (RecordKind::Exit, "exit"),
        (RecordKind::Reap, "reap"),
        (RecordKind::Free, "release"),
        (RecordKind::Signal, "signal"),
        (RecordKind::Deliver, "deliver"),
        (RecordKind::Adopt, "adopt"),
        (RecordKind::Notify, "notify"),
        (RecordKind::Rename, "rename"),
        (RecordKind::Row, "snapshot"),
    ];
    let counts = names.map(|(kind, name)| (name, ring[kind as usize])).into_iter();
    let others = [("undecodable", *undecodable), ("missed", *missed), ("unreadable", *unreadable)];
    let all: Vec<_> = counts.chain(others).filter(|(_, n)| *n > 0).collect();
    all.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ")
}
