//! The story of what is selected: of a finding all that it says, of a process the page of `tracer why`.

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use super::Canvas;
use crate::{
    console::style::{DIM, Screen},
    diagnostic::Diagnostic,
    ident::ProcKey,
    top::{
        ansi,
        found::Entry,
        layout::below_title,
        state::{Focus, State, Subject},
    },
};

impl Canvas<'_> {
    pub(super) fn story(&self, state: &State, part: Rect, out: &mut Buffer) {
        let width = usize::from(part.width).saturating_sub(1);
        let (title, lines) = match state.subject {
            Subject::Finding => match state.selected() {
                Some(entry) => (entry.told.rule.name.to_owned(), told(entry, width)),
                None => ("story".to_owned(), Vec::new()),
            },
            Subject::Process => match state.process() {
                Some(key) => (format!("why {}", key.tgid), self.life(state, key)),
                None => ("story".to_owned(), Vec::new()),
            },
        };
        self.title(out, part, &title, state.focus == Focus::Story);
        self.lines(&lines, state.story_top, below_title(part), out);
    }

    /// The page of `tracer why`, if it has been read.
    pub(super) fn life(&self, state: &State, key: ProcKey) -> Vec<Line<'static>> {
        match state.story.as_ref().filter(|story| story.key == key) {
            Some(story) => ansi::lines(&story.text),
            None => vec![Line::from(self.span("its story is being read …", DIM))],
        }
    }

    /// Lines from one of them on, with a hint at the last line if there are more.
    pub(super) fn lines(&self, lines: &[Line<'_>], top: usize, place: Rect, out: &mut Buffer) {
        let height = usize::from(place.height);
        let top = top.min(lines.len().saturating_sub(height));
        for (line, y) in lines.iter().skip(top).zip(place.y..place.bottom()) {
            self.line(out, Rect { y, height: 1, ..place }, line);
        }
        if lines.len() > top + height && height > 0 {
            let more = format!(" {} more ", lines.len() - top - height);
            let width = u16::try_from(more.len()).unwrap_or(0).min(place.width);
            let corner = Rect { x: place.right() - width, y: place.bottom() - 1, width, height: 1 };
            self.text(out, corner, &more, DIM);
        }
    }
}

/// All that a finding says, and its end.
pub(super) fn told(entry: &Entry, width: usize) -> Vec<Line<'static>> {
    let screen = Screen { colour: true, width: Some(width) };
    let mut text = Vec::new();
    for finding in entry.end.iter().chain([&entry.told]) {
        // Writing to memory cannot fail.
        let _ = Diagnostic::new(finding).print(&mut text, screen);
    }
    ansi::lines(&String::from_utf8_lossy(&text))
}
