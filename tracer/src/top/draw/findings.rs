//! The list of findings: their headlines, as everything else tells them.

use ratatui::{buffer::Buffer, layout::Rect, style::Modifier, text::Line};

use super::Canvas;
use crate::{
    console::style::{self, BOLD, DIM, WARN},
    diagnostic,
    finding::{Severity, Stage},
    top::{
        clock,
        found::Entry,
        layout::below_title,
        state::{ENTRY_LINES, Focus, State},
    },
};

/// Columns before a headline.
const INDENT: usize = 2;

impl Canvas<'_> {
    pub(super) fn findings(&self, state: &State, part: Rect, out: &mut Buffer) {
        let entries = &state.scene.entries;
        let closed = entries.iter().filter(|entry| entry.is_closed()).count();
        let title = match (entries.len() - closed, closed) {
            (0, 0) => "findings: none".to_owned(),
            (open, 0) => format!("findings: {open}"),
            (open, closed) => format!("findings: {open}, and {closed} over"),
        };
        let is_focused = state.focus == Focus::Findings;
        self.title(out, part, &title, is_focused);
        let body = below_title(part);
        let mut y = body.y;
        for entry in entries.iter().skip(state.entry_top) {
            let height = (ENTRY_LINES as u16).min(body.bottom().saturating_sub(y));
            if height == 0 {
                break;
            }
            let place = Rect { y, height, ..body };
            self.entry(state, entry, place, out);
            if Some(entry.id) == state.entry {
                let first = Rect { height: 1, ..place };
                out.set_style(first, if is_focused { Modifier::REVERSED } else { Modifier::UNDERLINED });
            }
            y += height;
        }
    }

    /// The headline, broken over the lines of the place; before it how urgent it is, and when it was reported. Of what is
    /// over, too, it says what it was: how it ended is a part of its story.
    fn entry(&self, state: &State, entry: &Entry, place: Rect, out: &mut Buffer) {
        let finding = &entry.told;
        let time = clock::rough(finding.at, state.scene.wall_offset_ns, self.zone);
        let times = if entry.count > 1 { format!("×{} ", entry.count) } else { String::new() };
        let lead = [
            self.span(format!("{} ", sign(entry)), diagnostic::colour(entry.last())),
            self.span(format!("{time} "), DIM),
            self.span(times, WARN),
        ];
        let width = usize::from(place.width);
        let lead_width: usize = lead.iter().map(|span| style::columns(&span.content)).sum();
        let headline = if entry.is_closed() { DIM } else { BOLD };
        let mut rest = finding.headline.as_str();
        for y in place.y..place.bottom() {
            let (before, room) = match y == place.y {
                true => (lead.to_vec(), width.saturating_sub(lead_width)),
                false => (vec![self.span(" ".repeat(INDENT), DIM)], width.saturating_sub(INDENT)),
            };
            let is_last = y + 1 == place.bottom();
            let line = if is_last { style::cut(rest, room) } else { style::wrap(rest, Some(room)).swap_remove(0) };
            rest = rest.get(line.len()..).unwrap_or_default().trim_start();
            let spans: Vec<_> = before.into_iter().chain([self.span(line, headline)]).collect();
            self.line(out, Rect { y, height: 1, ..place }, &Line::from(spans));
        }
    }
}

/// How urgent it is, in a letter: colours alone must not say anything.
fn sign(entry: &Entry) -> &'static str {
    match (entry.last().stage, entry.told.rule.severity) {
        (Stage::Resolved, _) => "✓",
        (Stage::Withdrawn, _) => "✗",
        (_, Severity::Error) => "E",
        (_, Severity::Warning) => "W",
        (_, Severity::Info) => "i",
    }
}
