//! Pages over the whole screen: the keys, a rule, the story of a process.

use ratatui::{buffer::Buffer, text::Line};

use super::Canvas;
use crate::{
    console::style::{self, CALM, Screen},
    explain,
    top::{
        ansi,
        keys::HELP,
        layout::below_title,
        state::{Page, State},
    },
};

impl Canvas<'_> {
    pub(super) fn page(&self, state: &State, page: Page, top: usize, out: &mut Buffer) {
        let area = out.area;
        let width = usize::from(area.width).saturating_sub(1);
        let (title, lines) = match page {
            Page::Help => ("keys; q closes".to_owned(), self.help(width)),
            Page::Rule(rule) => {
                let mut text = Vec::new();
                // Writing to memory cannot fail.
                let _ = explain::print(&mut text, Screen { colour: true, width: Some(width) }, rule);
                (format!("explain {}; q closes", rule.name), ansi::lines(&String::from_utf8_lossy(&text)))
            }
            Page::Why(key) => (format!("why {}; q closes", key.tgid), self.life(state, key)),
        };
        self.title(out, area, &title, true);
        self.lines(&lines, top, below_title(area), out);
    }

    fn help(&self, width: usize) -> Vec<Line<'static>> {
        let widest = HELP.iter().map(|(keys, _)| keys.len()).max().unwrap_or(0);
        let mut lines = Vec::new();
        for &(keys, what) in HELP {
            for (i, text) in style::wrap(what, Some(width.saturating_sub(widest + 4))).into_iter().enumerate() {
                let keys = style::pad(if i == 0 { keys } else { "" }, widest);
                let spans = [self.span(format!("  {keys}  "), CALM), self.span(text, anstyle::Style::new())];
                lines.push(Line::from_iter(spans));
            }
        }
        lines
    }
}
