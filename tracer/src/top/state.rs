//! What the screen shows of a scene: where the reader is, what is folded, what is being typed. It knows nothing of how
//! it is drawn.

use std::sync::Arc;

use ratatui::layout::Rect;
use rustc_hash::FxHashSet;
use tui_input::Input;

use crate::{
    finding::RuleDef,
    ident::ProcKey,
    time::{BootNs, Span},
    top::{
        board::Ask,
        found::Entry,
        keep::Kept,
        layout::{Parts, below_title},
        rows::{Row, RowId},
        scene::{Flow, Scene},
        story::Story,
    },
};

/// A finding may have this many lines in its list.
pub const ENTRY_LINES: usize = 2;
/// Speeds at which a recording is played.
pub const SPEEDS: [f64; 9] = [0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0, 100.0];

/// The part of the screen that keys move about in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Focus {
    /// Findings.
    #[default]
    Findings,
    /// Processes.
    Tree,
    /// The story.
    Story,
}

/// What the story is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subject {
    /// The selected finding.
    #[default]
    Finding,
    /// The selected process.
    Process,
}

/// A page over the whole screen.
#[derive(Clone, Copy, Debug)]
pub enum Page {
    /// The keys.
    Help,
    /// What a rule means.
    Rule(&'static RuleDef),
    /// The story of a process.
    Why(ProcKey),
}

/// What is being typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// What to show.
    Filter,
    /// A moment.
    Time,
    /// A file.
    File(Kept),
}

/// A question at the foot of the screen.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Which.
    pub question: Question,
    /// The answer so far.
    pub input: Input,
    /// What is wrong with it.
    pub error: Option<String>,
}

/// What the screen's loop is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// To ask the model.
    Ask(Ask),
    /// To capture the mouse, or not.
    Mouse(bool),
    /// To give the terminal back, and stop.
    Suspend,
    /// To end.
    Quit,
}

/// See the module.
#[derive(Debug, Default)]
pub struct State {
    /// The last scene.
    pub scene: Arc<Scene>,
    /// Size of the screen.
    pub area: Rect,
    /// Where keys go.
    pub focus: Focus,
    /// Rows that are not hidden by folds, by their places in the scene.
    pub visible: Vec<usize>,
    /// Rows whose descendants are hidden.
    pub folded: FxHashSet<RowId>,
    /// The selected row.
    pub row: Option<RowId>,
    /// Its place among the visible ones, or where it was.
    pub row_at: usize,
    /// The first visible row on the screen.
    pub row_top: usize,
    /// The selected finding.
    pub entry: Option<u64>,
    /// Its place, or where it was.
    pub entry_at: usize,
    /// The first finding on the screen.
    pub entry_top: usize,
    /// What the story is about.
    pub subject: Subject,
    /// The last story.
    pub story: Option<Arc<Story>>,
    /// The first line of the story on the screen.
    pub story_top: usize,
    /// A page over everything, and its first line on the screen.
    pub page: Option<(Page, usize)>,
    /// What is being typed.
    pub prompt: Option<Prompt>,
    /// What was typed to filter.
    pub given: String,
    /// Only zombies, and whom a finding is about.
    pub only_troubled: bool,
    /// The mouse is captured.
    pub mouse: bool,
    /// What has become of something that was asked for.
    pub said: Option<String>,
    /// The finding that was jumped to, by its time.
    pub sought: Option<BootNs>,
}

impl State {
    /// A new scene. What is selected stays selected, wherever it has gone.
    pub fn take(&mut self, scene: Arc<Scene>) {
        self.scene = scene;
        if let Some(at) = self.sought.take_if(|at| *at <= self.scene.at)
            && let Some(i) = self.scene.entries.iter().position(|entry| entry.told.at == at)
        {
            self.select_entry(i);
        }
        self.refold();
        let known = self.entry.and_then(|id| self.scene.entries.iter().position(|entry| entry.id == id));
        match known {
            Some(i) => self.entry_at = i,
            None => self.select_entry(0),
        }
        self.keep_in_view();
    }

    /// Which rows are visible now.
    pub fn refold(&mut self) {
        self.visible.clear();
        let mut hidden_below = usize::MAX;
        for (i, row) in self.scene.rows.iter().enumerate() {
            if row.depth > hidden_below {
                continue;
            }
            hidden_below = if self.folded.contains(&row.id) { row.depth } else { usize::MAX };
            self.visible.push(i);
        }
        let known = self.row.and_then(|id| self.visible.iter().position(|&i| self.scene.rows[i].id == id));
        match known {
            Some(at) => self.row_at = at,
            None => self.select_row(self.row_at),
        }
    }

    /// A visible row.
    pub fn visible_row(&self, at: usize) -> Option<&Row> {
        self.scene.rows.get(*self.visible.get(at)?)
    }

    /// Whether there are rows below that one.
    pub fn has_rows_below(&self, i: usize) -> bool {
        let rows = &self.scene.rows;
        rows.get(i + 1).is_some_and(|next| next.depth > rows[i].depth)
    }

    /// The selected finding.
    pub fn selected(&self) -> Option<&Arc<Entry>> {
        self.scene.entries.get(self.entry_at).filter(|entry| Some(entry.id) == self.entry)
    }

    /// The process that the reader looks at: the selected one, or that of the selected finding.
    pub fn process(&self) -> Option<ProcKey> {
        match self.subject {
            Subject::Finding => self.selected().map(|entry| entry.told.process.key),
            Subject::Process => self.visible_row(self.row_at).and_then(Row::process),
        }
    }

    /// Selects a visible row.
    pub fn select_row(&mut self, at: usize) {
        self.row_at = at.min(self.visible.len().saturating_sub(1));
        self.row = self.visible_row(self.row_at).map(|row| row.id);
    }

    /// Selects a finding, and the process that it is about.
    pub fn select_entry(&mut self, at: usize) {
        let at = at.min(self.scene.entries.len().saturating_sub(1));
        let entry = self.scene.entries.get(at).cloned();
        self.entry_at = at;
        self.entry = entry.as_ref().map(|entry| entry.id);
        if let Some(entry) = entry {
            self.story_top = 0;
            self.reveal(entry.told.process.key);
        }
    }

    /// Selects the row of a process, and unfolds what hides it.
    fn reveal(&mut self, key: ProcKey) {
        let wanted = RowId::Process(key);
        let Some(at) = self.scene.rows.iter().position(|row| row.id == wanted) else { return };
        self.row = Some(wanted);
        let mut depth = self.scene.rows[at].depth;
        for row in self.scene.rows[..at].iter().rev() {
            if row.depth < depth {
                depth = row.depth;
                self.folded.remove(&row.id);
            }
        }
        self.refold();
    }

    /// Goes to another finding of the time line: the next one, or the one before.
    pub fn seek_finding(&mut self, is_next: bool) -> Option<Act> {
        let (at, marks) = (self.scene.at, &self.scene.line.marks);
        let found = if is_next {
            marks.iter().map(|mark| mark.at).filter(|&mark| mark > at).min()
        } else {
            marks.iter().map(|mark| mark.at).filter(|&mark| mark < at).max()
        };
        let Some(found) = found else {
            self.said = Some(if is_next { "no later finding" } else { "no earlier finding" }.to_owned());
            return None;
        };
        self.sought = Some(found);
        (self.focus, self.subject) = (Focus::Findings, Subject::Finding);
        Some(Act::Ask(Ask::Seek(found)))
    }

    /// Goes to a moment that far away.
    pub fn seek_by(&self, span: Span, is_later: bool) -> Act {
        let at = if is_later { self.scene.at + span } else { self.scene.at - span };
        Act::Ask(Ask::Seek(at))
    }

    /// The parts of the screen; `None` if it is too small.
    pub fn parts(&self) -> Option<Parts> {
        Parts::of(self.area)
    }

    /// The moment for which a column of the time line stands.
    pub fn moment(&self, parts: &Parts, x: u16) -> BootNs {
        let bars = parts.bars();
        let (from, until) = self.scene.line.span;
        let left = u128::from(x.saturating_sub(bars.x).min(bars.width.saturating_sub(1)));
        let width = u128::from(bars.width.saturating_sub(1).max(1));
        from + Span((u128::from((until - from).0) * left / width) as u64)
    }

    /// The column for a moment, if the time line reaches so far.
    pub fn column(&self, at: BootNs, width: u16) -> Option<u16> {
        let (from, until) = self.scene.line.span;
        let length = u128::from((until - from).0);
        if at < from || at > until || length == 0 || width == 0 {
            return None;
        }
        Some((u128::from((at - from).0) * u128::from(width - 1) / length) as u16)
    }

    /// Scrolls so far that what is selected is on the screen.
    pub fn keep_in_view(&mut self) {
        let Some(parts) = self.parts() else { return };
        let lines = usize::from(below_title(parts.tree).height).max(1);
        self.row_top = in_view(self.row_top, self.row_at, lines, self.visible.len());
        let lines = (usize::from(below_title(parts.findings).height) / ENTRY_LINES).max(1);
        self.entry_top = in_view(self.entry_top, self.entry_at, lines, self.scene.entries.len());
    }

    /// The speed of a recording that is played, or will be; `None` of the present.
    pub fn speed(&self) -> Option<f64> {
        match self.scene.flow {
            Flow::Live => None,
            Flow::Still { speed, .. } | Flow::Playing { speed } => Some(speed),
        }
    }

    /// The process whose story is to be read, if that of the screen is about another one or another time.
    pub fn wanted_story(&self) -> Option<(ProcKey, usize)> {
        let parts = self.parts()?;
        let (key, width) = match (self.page, self.subject) {
            (Some((Page::Why(key), _)), _) => (key, self.area.width),
            (_, Subject::Process) => (self.process()?, parts.story.width),
            (_, Subject::Finding) => return None,
        };
        let width = usize::from(width).saturating_sub(1);
        let is_there = self.story.as_ref().is_some_and(|story| {
            let age = if story.at > self.scene.at { story.at - self.scene.at } else { self.scene.at - story.at };
            // A twentieth of the time is spent on it at the most.
            let stale = Span::from(story.took * 20).max(Span::SECOND);
            let is_fresh = match self.scene.flow {
                Flow::Still { .. } => age == Span::ZERO,
                Flow::Live | Flow::Playing { .. } => age < stale,
            };
            story.key == key && story.width == width && is_fresh
        });
        (!is_there).then_some((key, width))
    }

    /// As of when a story is to be read: the same as long as it need not be asked for again.
    pub fn story_moment(&self) -> Option<BootNs> {
        matches!(self.scene.flow, Flow::Still { .. }).then_some(self.scene.at)
    }
}

/// The first line on the screen, so that the selected one is among them and the end is at the bottom.
fn in_view(top: usize, selected: usize, lines: usize, all: usize) -> usize {
    let top = top.min(all.saturating_sub(lines));
    top.clamp((selected + 1).saturating_sub(lines), selected)
}
