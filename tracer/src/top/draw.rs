//! Draws the state: only what is on the screen, whatever the scene holds. Every foreign text comes here escaped.

use std::sync::Arc;

use jiff::tz::TimeZone;
use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::Style,
    text::{Line, Span},
};

use crate::{
    console::style::{self, BAD, BOLD, CALM, DIM, GOOD, WARN},
    diagnostic,
    finding::Stage,
    ident::tame,
    time::Span as Time,
    top::{
        clock,
        found::Entry,
        layout::{Parts, SMALLEST},
        scene::Flow,
        state::{Prompt, Question, State},
    },
};

mod findings;
mod pages;
mod story;
#[cfg(test)]
mod tests;
mod timeline;
mod tree;

/// How everything is drawn, beside what the state says.
pub struct Canvas<'a> {
    /// Whether the reader wants colours.
    pub colour: bool,
    /// The zone of times of day.
    pub zone: &'a TimeZone,
    /// What is looked at: `live`, or the file. Escaped.
    pub title: &'a str,
}

impl Canvas<'_> {
    /// Draws everything. Returns where the cursor is, if something is being typed.
    pub fn draw(&self, state: &State, out: &mut Buffer) -> Option<Position> {
        let area = out.area;
        let Some(parts) = Parts::of(area) else {
            let (width, height) = SMALLEST;
            let what = format!("too small: {}x{}, wanted {width}x{height}", area.width, area.height);
            self.text(out, area, &what, BOLD);
            return None;
        };
        if let Some((page, top)) = state.page {
            self.page(state, page, top, out);
            return None;
        }
        self.head(state, parts.head, out);
        self.tree(state, parts.tree, out);
        for y in parts.divide.y..parts.divide.bottom() {
            out[(parts.divide.x, y)].set_symbol("│").set_style(self.style(DIM));
        }
        self.findings(state, parts.findings, out);
        self.story(state, parts.story, out);
        self.timeline(state, &parts, out);
        self.foot(state, parts.foot, out)
    }

    /// A style of the command line or of a page, on the screen: without colours if none are wanted.
    fn style(&self, style: impl Into<Style>) -> Style {
        let style = style.into();
        if self.colour { style } else { Style { fg: None, bg: None, ..style } }
    }

    /// A line, cut to its place; `…` stands for the rest.
    fn line(&self, out: &mut Buffer, place: Rect, line: &Line<'_>) {
        if place.height == 0 {
            return;
        }
        let mut x = place.x;
        let mut wanted: usize = line.spans.iter().map(|span| style::columns(&span.content)).sum();
        // Nobody misses blanks.
        wanted -= line.spans.last().map_or(0, |last| last.content.len() - last.content.trim_end().len());
        for span in &line.spans {
            let room = usize::from(place.right().saturating_sub(x));
            let columns = style::columns(&span.content);
            let is_cut = columns >= room && wanted > room;
            let text =
                if is_cut { style::cut(&format!("{}…", span.content), room) } else { span.content.to_string() };
            x = out.set_stringn(x, place.y, &text, room, self.style(span.style)).0;
            if is_cut {
                return;
            }
            wanted = wanted.saturating_sub(columns);
        }
    }

    fn text(&self, out: &mut Buffer, place: Rect, text: &str, style: anstyle::Style) {
        self.line(out, place, &Line::from(Span::styled(text, self.style(style))));
    }

    fn span<'a>(&self, text: impl Into<std::borrow::Cow<'a, str>>, style: anstyle::Style) -> Span<'a> {
        Span::styled(text, self.style(style))
    }

    /// The title of a part, with a rule behind it.
    fn title(&self, out: &mut Buffer, part: Rect, title: &str, is_focused: bool) {
        let place = Rect { height: part.height.min(1), ..part };
        let width = usize::from(place.width);
        let title = style::cut(title, width.saturating_sub(4));
        let rest = "─".repeat(width.saturating_sub(style::columns(&title) + 3));
        let name = if is_focused {
            self.span(format!(" {title} "), CALM.bold())
        } else {
            self.span(format!(" {title} "), BOLD)
        };
        self.line(out, place, &Line::from(vec![self.span("─", DIM), name, self.span(rest, DIM)]));
    }

    fn head(&self, state: &State, place: Rect, out: &mut Buffer) {
        let scene = &state.scene;
        let counts = scene.counts;
        let flow = match scene.flow {
            Flow::Live => self.span("live", GOOD.bold()),
            Flow::Still { speed: 1.0, .. } => self.span("paused", WARN),
            Flow::Still { speed, .. } => self.span(format!("paused, {speed}x"), WARN),
            Flow::Playing { speed } => self.span(format!("playing {speed}x"), GOOD.bold()),
        };
        let figure = |n: u64, noun: &str, style| vec![self.span("  ", DIM), self.span(style::count(n, noun), style)];
        let mut spans = vec![
            self.span("tracer top ", BOLD),
            self.span(style::cut(self.title, usize::from(place.width / 4)), DIM),
            self.span(" ", DIM),
            self.span(clock::precise(scene.at, scene.wall_offset_ns, self.zone), BOLD),
            self.span(" ", DIM),
            flow,
        ];
        let zombies = if counts.zombies > 0 { BAD } else { DIM };
        spans.extend(figure(counts.zombies, "zombie", zombies));
        if counts.lost > 0 {
            spans.push(self.span(format!("  {} lost", counts.lost), BAD));
        }
        spans.extend(figure(counts.processes, "process", DIM));
        spans.push(self.span(format!("  {}/s", style::count(counts.signals, "signal")), DIM));
        self.line(out, Rect { height: 1, ..place }, &Line::from(spans));
        let below = Rect { y: place.y + 1, height: place.height.saturating_sub(1), ..place };
        self.worst(state, below, out);
    }

    /// The finding that matters most and what to do about it, or that there is none.
    fn worst(&self, state: &State, place: Rect, out: &mut Buffer) {
        let scene = &state.scene;
        let is_past = scene.flow != Flow::Live;
        let is_told = |entry: &&Arc<Entry>| match entry.last().stage {
            Stage::Withdrawn => false,
            Stage::Resolved => is_past,
            Stage::New | Stage::Ongoing => true,
        };
        let Some(entry) = scene.entries.first().filter(is_told) else {
            let (what, style) = match scene.entries.is_empty() {
                true if !state.given.is_empty() => ("nothing was found that passes the filter", DIM),
                true => ("nothing was found", DIM),
                false => ("nothing is open: all that was found is over", GOOD),
            };
            self.text(out, place, what, style);
            return;
        };
        let finding = &entry.told;
        let mut spans = vec![self.span(
            format!("{}[{}] ", finding.rule.severity, finding.rule.name),
            diagnostic::severity(finding.rule.severity),
        )];
        if entry.is_closed() {
            spans.push(self.span("over: ", GOOD));
        }
        spans.push(self.span(&*finding.headline, BOLD));
        self.line(out, Rect { height: 1, ..place }, &Line::from(spans));
        if let Some(fix) = finding.fixes.first() {
            let below = Rect { y: place.y + 1, height: place.height.saturating_sub(1), ..place };
            self.line(
                out,
                below,
                &Line::from(vec![self.span("  fix  ", GOOD), self.span(&**fix, anstyle::Style::new())]),
            );
        }
    }

    fn foot(&self, state: &State, place: Rect, out: &mut Buffer) -> Option<Position> {
        if let Some(prompt) = &state.prompt {
            return Some(self.prompt(prompt, place, out));
        }
        let mut spans = Vec::new();
        if state.only_troubled {
            spans.push(self.span("[trouble only] ", WARN));
        }
        if !state.given.is_empty() {
            spans.push(self.span(format!("[{}] ", tame(&state.given)), WARN));
        }
        if let Some(said) = &state.said {
            spans.push(self.span(tame(said), CALM));
        } else if let Some(note) = state.scene.notes.first() {
            spans.push(self.span(tame(note), WARN));
        } else {
            for (key, what) in KEYS {
                spans.extend([self.span(key, CALM), self.span(format!(" {what}  "), DIM)]);
            }
        }
        self.line(out, place, &Line::from(spans));
        None
    }

    fn prompt(&self, prompt: &Prompt, place: Rect, out: &mut Buffer) -> Position {
        let question = match prompt.question {
            Question::Filter => "/",
            Question::Time => "time: ",
            Question::File(_) => "write to: ",
        };
        let room = usize::from(place.width).saturating_sub(question.len() + 1);
        let scroll = prompt.input.visual_scroll(room);
        let shown: String = {
            let mut passed = 0;
            let rest = prompt.input.value().chars().skip_while(|c| {
                passed += unicode_width::UnicodeWidthChar::width(*c).unwrap_or(0);
                passed <= scroll
            });
            rest.collect()
        };
        let mut spans = vec![self.span(question, BOLD), self.span(shown, anstyle::Style::new())];
        if let Some(error) = &prompt.error {
            spans.push(self.span(format!("   {error}"), BAD));
        }
        self.line(out, place, &Line::from(spans));
        let before = question.len() + prompt.input.visual_cursor().saturating_sub(scroll);
        Position { x: place.x + u16::try_from(before).unwrap_or(0).min(place.width.saturating_sub(1)), y: place.y }
    }
}

/// The keys that the foot names.
const KEYS: [(&str, &str); 9] = [
    ("?", "help"),
    ("q", "quit"),
    ("Tab", "part"),
    ("/", "filter"),
    ("z", "trouble"),
    ("w", "why"),
    ("e", "explain"),
    ("n", "next"),
    ("Space", "pause"),
];

/// A time span in at most five columns: `12s`, `4m`, `3h`, `2d`.
fn short(span: Time) -> String {
    let s = span / Time::SECOND;
    match s {
        0..60 => format!("{s}s"),
        60..3_600 => format!("{}m", s / 60),
        3_600..86_400 => format!("{}h", s / 3_600),
        _ => format!("{}d", s / 86_400),
    }
}

/// Eight heights of a bar; a blank for nothing.
const BARS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// The height of a bar: of a logarithmic scale, so that one signal can be seen beside ten thousand.
fn bar(n: u64, most: u64) -> &'static str {
    if n == 0 {
        return BARS[0];
    }
    let scale = |n: u64| ((n + 1) as f64).ln();
    let height = scale(n) / scale(most.max(n)) * 8.0;
    BARS[(height.round() as usize).clamp(1, 8)]
}
