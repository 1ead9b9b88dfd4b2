//! The tree: a window over the rows, in which only the visible ones are formatted.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Modifier,
    text::{Line, Span},
};

use super::{Canvas, bar, short};
use crate::{
    console::style::{self, BAD, BOLD, CALM, DIM, GOOD, WARN},
    diagnostic,
    event::ExitStatus,
    finding::Severity,
    summary::seconds,
    top::{
        layout::below_title,
        rows::{Condition, Place, Row, Shown, What},
        state::{Focus, State},
    },
};

/// Deeper rows are indented no further.
const DEEPEST: usize = 12;
/// A command line is shown where that much of it has room.
const LEGIBLE: usize = 6;
/// From that many columns on, pids inside of namespaces have a column.
const WIDE: u16 = 56;

impl Canvas<'_> {
    pub(super) fn tree(&self, state: &State, part: Rect, out: &mut Buffer) {
        let is_focused = state.focus == Focus::Tree;
        let title = if state.visible.is_empty() { "processes: none" } else { "processes" };
        self.title(out, part, title, is_focused);
        let body = below_title(part);
        for (i, y) in (body.y..body.bottom()).enumerate() {
            let at = state.row_top + i;
            let Some(row) = state.visible_row(at) else { break };
            let place = Rect { y, height: 1, ..body };
            let index = state.visible[at];
            let mark = match (state.has_rows_below(index), state.folded.contains(&row.id)) {
                (true, true) => "▸",
                (true, false) => "▾",
                (false, _) => " ",
            };
            match &row.what {
                What::Place(ns) => self.place(ns, mark, place, out),
                What::Process(shown) => self.process(row, shown, mark, place, out),
            }
            if Some(row.id) == state.row {
                out.set_style(place, if is_focused { Modifier::REVERSED } else { Modifier::UNDERLINED });
            }
        }
    }

    fn place(&self, ns: &Place, mark: &str, place: Rect, out: &mut Buffer) {
        let mut spans = vec![self.span(format!("{mark} {}", ns.name), CALM.bold())];
        if ns.zombies > 0 {
            spans.push(self.span(format!("  {}", style::count(ns.zombies, "zombie")), BAD));
        }
        spans.push(self.span(format!("  {}", style::count(ns.processes, "process")), DIM));
        if ns.is_ending {
            spans.push(self.span("  ending", WARN));
        }
        if ns.kernel_threads > 0 {
            spans.push(self.span(format!("  {}", style::count(ns.kernel_threads, "kernel thread")), DIM));
        }
        self.line(out, place, &Line::from(spans));
    }

    fn process(&self, row: &Row, shown: &Shown, mark: &str, place: Rect, out: &mut Buffer) {
        let pid = shown.identity.key.tgid;
        let accused = shown.accused.map(diagnostic::severity);
        let gutter =
            self.span(if shown.accused >= Some(Severity::Warning) { "!" } else { " " }, accused.unwrap_or(DIM));
        let mut spans = vec![gutter, self.span(format!("{pid:>7} "), DIM)];
        if place.width >= WIDE {
            let inside = if shown.identity.ns_level > 0 { shown.identity.ns_pid.to_string() } else { String::new() };
            spans.push(self.span(format!("{inside:>6} "), DIM));
        }
        let indent = "  ".repeat(row.depth.saturating_sub(1).min(DEEPEST));
        spans.push(self.span(format!("{indent}{mark}"), DIM));
        let name = match (&shown.condition, accused) {
            (Condition::Gone { .. }, _) => DIM,
            (_, Some(accused)) => accused.bold(),
            (Condition::Zombie { .. }, None) => BAD,
            _ if row.is_context => DIM,
            _ => BOLD,
        };
        spans.push(self.span(shown.identity.comm.to_string(), name));
        for (style, mark) in marks(shown) {
            spans.push(self.span(format!(" {mark}"), style));
        }
        // At the right edge: signals of the last seconds, if there were any, and the age.
        let sparks = match shown.signals.iter().any(|&n| n > 0) {
            true if place.width >= WIDE => shown.signals.len(),
            true => shown.signals.len() / 2,
            false => 0,
        };
        let edge = u16::try_from(sparks + 6).unwrap_or(0);
        let command = shown.args.to_string();
        let used: usize = spans.iter().map(|span| style::columns(&span.content)).sum();
        let room = usize::from(place.width.saturating_sub(edge)).saturating_sub(used + 2);
        // Its first letters alone would read like a part of the word before.
        let is_legible = room >= LEGIBLE.min(style::columns(&command));
        if !command.is_empty() && is_legible && shown.condition == Condition::Alive {
            spans.push(self.span(format!("  {command}"), DIM));
        }
        self.line(out, Rect { width: place.width.saturating_sub(edge), ..place }, &Line::from(spans));
        let right = Rect { x: place.right() - edge, width: edge, ..place };
        let bars: String = shown.signals[shown.signals.len() - sparks..].iter().map(|&n| bar(n.into(), 100)).collect();
        let age = format!("{:>4} ", short(shown.age));
        self.line(out, right, &Line::from(vec![Span::raw(" "), self.span(bars, CALM), self.span(age, DIM)]));
    }
}

/// What is worth noting about a process, the most urgent first.
fn marks(shown: &Shown) -> Vec<(anstyle::Style, String)> {
    let mut marks = Vec::new();
    match &shown.condition {
        Condition::Alive => {}
        Condition::LeaderDead => marks.push((WARN, "main thread dead".to_owned())),
        Condition::Exiting => marks.push((DIM, "exiting".to_owned())),
        Condition::Zombie { age, is_lower_bound, owed_by } => {
            let least = if *is_lower_bound { ">" } else { "" };
            marks.push((BAD, format!("zombie {least}{}", seconds(*age))));
            marks.extend(owed_by.map(|owed| (WARN, format!("of {} ({})", owed.comm, owed.key.tgid))));
        }
        Condition::Gone { status, by } => {
            let by = by.map_or_else(String::new, |by| format!(", reaped by {} ({})", by.comm, by.key.tgid));
            marks.push((DIM, format!("{}{by}", status.map_or_else(|| "gone".to_owned(), end))));
        }
    }
    if let Some(from) = shown.adopted_from {
        marks.push((GOOD, format!("adopted from {} ({})", from.comm, from.key.tgid)));
    }
    if let Some(door) = &shown.door {
        marks.push((CALM, format!("→ {door}")));
    } else if shown.roles.init {
        marks.push((CALM, "[init]".to_owned()));
    } else if shown.roles.outsider {
        marks.push((WARN, "[from outside]".to_owned()));
    }
    if shown.roles.subreaper {
        marks.push((CALM, "[subreaper]".to_owned()));
    }
    marks
}

/// How a process ended.
fn end(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("killed by {signal}"),
        None => format!("exited {}", status.code()),
    }
}
