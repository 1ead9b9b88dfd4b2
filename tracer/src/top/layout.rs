//! Where everything is on a screen of some size: for drawing, and to know what the mouse points at.

use ratatui::layout::{Constraint, Layout, Rect};

/// The smallest screen on which everything has room.
pub const SMALLEST: (u16, u16) = (60, 16);
/// Lines of the head: who and when, what is worst, and what to do about it.
const HEAD: u16 = 3;
/// Lines of the time line: its title, three lines of bars, marks and times.
const LINE: u16 = 6;
/// Columns before the bars of the time line.
pub const LABELS: u16 = 9;

/// The parts of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Who and when, what is worst, and what to do about it.
    pub head: Rect,
    /// Processes, with a title.
    pub tree: Rect,
    /// What divides the halves.
    pub divide: Rect,
    /// Findings, with a title.
    pub findings: Rect,
    /// The story, with a title.
    pub story: Rect,
    /// The time line, with a title.
    pub line: Rect,
    /// Keys, questions and answers.
    pub foot: Rect,
}

impl Parts {
    /// `None` if the screen is too small.
    pub fn of(area: Rect) -> Option<Self> {
        if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
            return None;
        }
        let [head, body, line, foot] = Layout::vertical([
            Constraint::Length(HEAD),
            Constraint::Min(0),
            Constraint::Length(LINE),
            Constraint::Length(1),
        ])
        .areas(area);
        let [tree, divide, right] =
            Layout::horizontal([Constraint::Percentage(50), Constraint::Length(1), Constraint::Min(0)]).areas(body);
        let [findings, story] = Layout::vertical([Constraint::Percentage(40), Constraint::Min(0)]).areas(right);
        Some(Self { head, tree, divide, findings, story, line, foot })
    }

    /// The columns of the time line that stand for time.
    pub fn bars(&self) -> Rect {
        let left = LABELS.min(self.line.width);
        Rect { x: self.line.x + left, width: self.line.width - left, ..below_title(self.line) }
    }
}

/// A part without its title.
pub fn below_title(part: Rect) -> Rect {
    let title = part.height.min(1);
    Rect { y: part.y + title, height: part.height - title, ..part }
}
