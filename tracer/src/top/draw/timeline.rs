//! The time line: findings, signals, ends and zombies over time, and where the scene is.

use ratatui::{buffer::Buffer, layout::Rect, style::Modifier, text::Line};

use super::{Canvas, bar};
use crate::{
    console::style::{self, BAD, CALM, DIM, WARN},
    density::Bucket,
    diagnostic,
    finding::Severity,
    summary::seconds,
    top::{
        clock,
        layout::{LABELS, Parts},
        state::State,
    },
};

/// What of a column is drawn.
type Count = fn(&Bucket) -> u64;

impl Canvas<'_> {
    pub(super) fn timeline(&self, state: &State, parts: &Parts, out: &mut Buffer) {
        let scene = &state.scene;
        let (from, until) = scene.line.span;
        self.title(out, parts.line, &format!("time: {}", seconds(until - from)), false);
        let bars = parts.bars();
        let columns = scene.line.density.columns(from, until, usize::from(bars.width));
        let row = |n: u16| Rect { y: bars.y + n, height: 1, ..bars };
        self.marks(state, row(0), out);
        let kinds: [(&str, Count, _); 3] = [
            ("signals", |bucket| bucket.signals, CALM),
            ("ends", |bucket| bucket.exits, WARN),
            ("zombies", |bucket| bucket.zombies, BAD),
        ];
        self.label(parts, row(0), "findings", out);
        for (n, (name, count, colour)) in (1..).zip(kinds) {
            let most = columns.iter().map(count).max().unwrap_or(0);
            let text: String = columns.iter().map(|bucket| bar(count(bucket), most)).collect();
            self.label(parts, row(n), name, out);
            self.text(out, row(n), &text, colour);
        }
        self.times(state, row(4), out);
        if let Some(column) = state.column(scene.at, bars.width) {
            let place = Rect { x: bars.x + column, y: bars.y, width: 1, height: 4 };
            out.set_style(place, Modifier::REVERSED);
        }
    }

    fn label(&self, parts: &Parts, row: Rect, name: &str, out: &mut Buffer) {
        let place = Rect { x: parts.line.x, y: row.y, width: LABELS, height: 1 };
        self.text(out, place, name, DIM);
    }

    /// The most urgent finding of each column.
    fn marks(&self, state: &State, place: Rect, out: &mut Buffer) {
        let mut columns: Vec<Option<Severity>> = vec![None; usize::from(place.width)];
        for mark in &state.scene.line.marks {
            let column = state.column(mark.at, place.width).and_then(|column| columns.get_mut(usize::from(column)));
            if let Some(column) = column {
                *column = (*column).max(Some(mark.severity));
            }
        }
        for (x, severity) in (place.x..).zip(columns) {
            if let Some(severity) = severity {
                let symbol = if severity == Severity::Info { "·" } else { "▼" };
                out[(x, place.y)].set_symbol(symbol).set_style(self.style(diagnostic::severity(severity)));
            }
        }
    }

    /// When it begins and ends, and where the scene is.
    fn times(&self, state: &State, place: Rect, out: &mut Buffer) {
        let scene = &state.scene;
        let clock = |at| clock::rough(at, scene.wall_offset_ns, self.zone);
        let (from, until) = scene.line.span;
        let (begin, end) = (clock(from), clock(until));
        let width = style::columns(&end) as u16;
        self.text(out, place, &begin, DIM);
        let right = Rect { x: place.right().saturating_sub(width), width, ..place };
        self.text(out, right, &end, DIM);
        let now = clock::precise(scene.at, scene.wall_offset_ns, self.zone);
        let room = style::columns(&now) as u16;
        let Some(column) = state.column(scene.at, place.width) else { return };
        let (least, most) = (place.x + width + 1, right.x.saturating_sub(room + 1));
        if least <= most {
            let x = (place.x + column).saturating_sub(room / 2).clamp(least, most);
            self.line(out, Rect { x, width: room, ..place }, &Line::from(self.span(now, CALM)));
        }
    }
}
