//! What keys and the mouse do. No key ends a process, other than this one.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};
use tui_input::{Input, InputRequest};

use crate::{
    ident::tame,
    time::Span,
    top::{
        board::Ask,
        keep::Kept,
        layout::below_title,
        query::Query,
        rows::RowId,
        scene::Flow,
        state::{Act, ENTRY_LINES, Focus, Page, Prompt, Question, SPEEDS, State, Subject},
    },
    when::{Recorded, When},
    zone,
};

/// What the keys are, for the page of help.
pub const HELP: &[(&str, &str)] = &[
    ("Tab, Shift-Tab", "processes, findings, story"),
    ("j k, arrows", "down and up; also Ctrl-D, Ctrl-U, PgDn, PgUp, g, G"),
    ("h l, arrows", "fold and unfold; + and - for all"),
    ("Enter", "of a finding: its process; of a process: fold or unfold"),
    ("w", "why: the story of the process, on the whole screen"),
    ("e", "explain the rule of the finding"),
    ("/", "filter: options of the command line (-p 42, --container web), or a part of a name; Esc shows all"),
    ("z", "only zombies, and whom a finding is about"),
    ("Space", "pause and go on; live, a pause looks back over what is in memory"),
    (", .  < >", "a second, or ten, back and forth"),
    ("n N", "the next finding, the one before"),
    ("[ ]", "slower, faster; also before it is played"),
    ("t", "type a time: 12:34:09.5, +2m (after the beginning), -10s (before the end)"),
    ("F", "the end of a recording; live, the present"),
    ("s", "live: save what is in memory as a recording"),
    ("o", "write what `tracer report` makes of it: a page for a browser"),
    ("m", "use the mouse, or leave it to the terminal"),
    ("Ctrl-Z  q", "suspend, quit"),
];

impl State {
    /// Takes what a terminal reports.
    pub fn input(&mut self, event: &Event) -> Option<Act> {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                self.said = None;
                let act = self.key(*key);
                self.keep_in_view();
                act
            }
            Event::Mouse(mouse) => {
                let act = self.mouse(*mouse);
                self.keep_in_view();
                act
            }
            &Event::Resize(width, height) => {
                self.area = Rect::new(0, 0, width, height);
                self.keep_in_view();
                None
            }
            Event::Paste(text) => {
                if let Some(prompt) = &mut self.prompt {
                    for c in text.chars().filter(|c| !c.is_control()) {
                        prompt.input.handle(InputRequest::InsertChar(c));
                    }
                }
                None
            }
            _ => None,
        }
    }

    fn key(&mut self, key: KeyEvent) -> Option<Act> {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => return Some(Act::Quit),
            KeyCode::Char('z') if is_control => return Some(Act::Suspend),
            _ => {}
        }
        if self.prompt.is_some() {
            return self.answer(key);
        }
        if let Some((page, top)) = self.page {
            return self.page_key(key, page, top);
        }
        let half = self.lines() / 2;
        match key.code {
            KeyCode::Char('d') if is_control => self.move_by(half as isize),
            KeyCode::Char('u') if is_control => self.move_by(-(half as isize)),
            KeyCode::Char('f') if is_control => self.move_by(self.lines() as isize),
            KeyCode::Char('b') if is_control => self.move_by(-(self.lines() as isize)),
            KeyCode::Char('j') | KeyCode::Down => self.move_by(1),
            KeyCode::Char('k') | KeyCode::Up => self.move_by(-1),
            KeyCode::PageDown => self.move_by(self.lines() as isize),
            KeyCode::PageUp => self.move_by(-(self.lines() as isize)),
            KeyCode::Char('g') | KeyCode::Home => self.move_by(isize::MIN / 2),
            KeyCode::Char('G') | KeyCode::End => self.move_by(isize::MAX / 2),
            KeyCode::Tab => self.go_on(&[Focus::Tree, Focus::Findings, Focus::Story]),
            KeyCode::BackTab => self.go_on(&[Focus::Story, Focus::Findings, Focus::Tree]),
            KeyCode::Char('h') | KeyCode::Left => self.fold(true),
            KeyCode::Char('l') | KeyCode::Right => self.fold(false),
            KeyCode::Char('-') => self.fold_all(true),
            KeyCode::Char('+' | '=') => self.fold_all(false),
            KeyCode::Enter => self.enter(),
            KeyCode::Char('w') => self.page = self.process().map(|key| (Page::Why(key), 0)),
            KeyCode::Char('e') => self.page = self.selected().map(|entry| (Page::Rule(entry.told.rule), 0)),
            KeyCode::Char('?') | KeyCode::F(1) => self.page = Some((Page::Help, 0)),
            KeyCode::Char('/') => self.ask(Question::Filter, &self.given.clone()),
            KeyCode::Char('t') => self.ask(Question::Time, ""),
            KeyCode::Char('s') => self.ask_for_file(Kept::Recording),
            KeyCode::Char('o') => self.ask_for_file(Kept::Page),
            KeyCode::Char('z') => {
                self.only_troubled = !self.only_troubled;
                return Some(self.query());
            }
            KeyCode::Esc if !self.given.is_empty() || self.only_troubled => {
                (self.given, self.only_troubled) = (String::new(), false);
                return Some(self.query());
            }
            KeyCode::Char('m') => {
                self.mouse = !self.mouse;
                return Some(Act::Mouse(self.mouse));
            }
            KeyCode::Char('n') => return self.seek_finding(true),
            KeyCode::Char('N') => return self.seek_finding(false),
            KeyCode::Char(' ') => return Some(Act::Ask(self.pause_or_go_on())),
            KeyCode::Char(',') => return Some(self.seek_by(Span::SECOND, false)),
            KeyCode::Char('.') => return Some(self.seek_by(Span::SECOND, true)),
            KeyCode::Char('<') => return Some(self.seek_by(Span::seconds(10), false)),
            KeyCode::Char('>') => return Some(self.seek_by(Span::seconds(10), true)),
            KeyCode::Char('[') => return self.change_speed(false),
            KeyCode::Char(']') => return self.change_speed(true),
            KeyCode::Char('F') => return Some(Act::Ask(Ask::Present)),
            KeyCode::Char('q') => return Some(Act::Quit),
            _ => {}
        }
        None
    }

    fn page_key(&mut self, key: KeyEvent, page: Page, top: usize) -> Option<Act> {
        let lines = usize::from(self.area.height.saturating_sub(2)).max(1);
        let top = match key.code {
            KeyCode::Char('j') | KeyCode::Down | KeyCode::Enter => top + 1,
            KeyCode::Char('k') | KeyCode::Up => top.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ' | 'f') => top + lines,
            KeyCode::PageUp | KeyCode::Char('b') => top.saturating_sub(lines),
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => usize::MAX / 2,
            KeyCode::Esc | KeyCode::Char('q' | '?' | 'e' | 'w') | KeyCode::F(1) => {
                self.page = None;
                return None;
            }
            _ => top,
        };
        self.page = Some((page, top));
        None
    }

    /// How many lines the focused part has.
    fn lines(&self) -> usize {
        let Some(parts) = self.parts() else { return 1 };
        let lines = |part| usize::from(below_title(part).height).max(1);
        match self.focus {
            Focus::Tree => lines(parts.tree),
            Focus::Findings => (lines(parts.findings) / ENTRY_LINES).max(1),
            Focus::Story => lines(parts.story),
        }
    }

    fn move_by(&mut self, lines: isize) {
        match self.focus {
            Focus::Tree => {
                self.subject = Subject::Process;
                self.select_row(self.row_at.saturating_add_signed(lines));
            }
            Focus::Findings => {
                self.subject = Subject::Finding;
                self.select_entry(self.entry_at.saturating_add_signed(lines));
            }
            Focus::Story => self.story_top = self.story_top.saturating_add_signed(lines),
        }
    }

    fn go_on(&mut self, order: &[Focus; 3]) {
        let at = order.iter().position(|&focus| focus == self.focus).unwrap_or(0);
        self.focus = order[(at + 1) % order.len()];
        match self.focus {
            Focus::Tree => self.subject = Subject::Process,
            Focus::Findings => self.subject = Subject::Finding,
            Focus::Story => {}
        }
    }

    fn fold(&mut self, is_folded: bool) {
        let Some(id) = self.row.filter(|_| self.focus == Focus::Tree) else { return };
        let at = self.visible[self.row_at];
        let is_open = self.has_rows_below(at) && !self.folded.contains(&id);
        match is_folded {
            true if is_open => {
                self.folded.insert(id);
            }
            // As in other trees: to its parent.
            true => {
                let depth = self.scene.rows[at].depth;
                let parent = (0..self.row_at).rev().find(|&i| self.visible_row(i).is_some_and(|row| row.depth < depth));
                self.select_row(parent.unwrap_or(self.row_at));
            }
            false => {
                self.folded.remove(&id);
            }
        }
        self.refold();
    }

    fn fold_all(&mut self, is_folded: bool) {
        self.folded.clear();
        if is_folded {
            let places = self.scene.rows.iter().map(|row| row.id).filter(|id| matches!(id, RowId::Place(_)));
            self.folded.extend(places);
        }
        self.refold();
    }

    fn enter(&mut self) {
        match self.focus {
            Focus::Tree => self.fold(self.row.is_some_and(|id| !self.folded.contains(&id))),
            Focus::Findings => (self.focus, self.subject) = (Focus::Tree, Subject::Process),
            Focus::Story => {}
        }
    }

    /// At the end of what is in memory, the present goes on.
    fn pause_or_go_on(&self) -> Ask {
        match self.scene.flow {
            Flow::Still { is_live: true, .. } if self.scene.at >= self.scene.line.span.1 => Ask::Present,
            Flow::Still { .. } => Ask::Play(true),
            Flow::Live | Flow::Playing { .. } => Ask::Play(false),
        }
    }

    fn change_speed(&mut self, is_faster: bool) -> Option<Act> {
        let now = self.speed()?;
        let next = if is_faster {
            SPEEDS.into_iter().find(|&speed| speed > now)
        } else {
            SPEEDS.into_iter().rev().find(|&speed| speed < now)
        };
        next.map(|speed| Act::Ask(Ask::Speed(speed)))
    }

    fn query(&self) -> Act {
        Act::Ask(Ask::Query { given: self.given.clone(), only_troubled: self.only_troubled })
    }

    fn ask(&mut self, question: Question, answer: &str) {
        self.prompt = Some(Prompt { question, input: Input::new(answer.to_owned()), error: None });
    }

    fn ask_for_file(&mut self, what: Kept) {
        if what == Kept::Recording && self.scene.is_saved {
            self.said = Some("this is a recording: it is saved already".to_owned());
            return;
        }
        let time = super::clock::file_name(self.scene.at, self.scene.wall_offset_ns, &zone::local());
        self.ask(Question::File(what), &format!("tracer-{time}.{}", what.ending()));
    }

    /// A key while something is being typed.
    fn answer(&mut self, key: KeyEvent) -> Option<Act> {
        match key.code {
            KeyCode::Esc => self.prompt = None,
            KeyCode::Enter => return self.accept(),
            _ => {
                if let (Some(prompt), Some(request)) = (&mut self.prompt, edit(key)) {
                    prompt.input.handle(request);
                    prompt.error = None;
                }
            }
        }
        None
    }

    fn accept(&mut self) -> Option<Act> {
        let Prompt { question, input, .. } = self.prompt.take()?;
        let text = input.value().trim().to_owned();
        let result = match question {
            Question::Filter => Query::read(&text).map(|_| {
                self.given.clone_from(&text);
                self.query()
            }),
            Question::Time if text.is_empty() => return None,
            Question::Time => text.parse::<When>().and_then(|when| {
                let recorded = Recorded { span: Some(self.scene.line.span), wall_offset_ns: self.scene.wall_offset_ns };
                let at = when.resolve(recorded, &zone::local()).map_err(|unknown| unknown.to_string())?;
                Ok(Act::Ask(Ask::Seek(at)))
            }),
            Question::File(_) if text.is_empty() => return None,
            Question::File(what) => Ok(Act::Ask(Ask::Keep(what, text.into()))),
        };
        match result {
            Ok(act) => Some(act),
            Err(error) => {
                self.prompt = Some(Prompt { question, input, error: Some(tame(&error)) });
                None
            }
        }
    }

    fn mouse(&mut self, mouse: MouseEvent) -> Option<Act> {
        let parts = self.parts()?;
        let at = Position { x: mouse.column, y: mouse.row };
        if let Some((page, top)) = self.page {
            let top = match mouse.kind {
                MouseEventKind::ScrollDown => top + 3,
                MouseEventKind::ScrollUp => top.saturating_sub(3),
                _ => top,
            };
            self.page = Some((page, top));
            return None;
        }
        let over = [(parts.tree, Focus::Tree), (parts.findings, Focus::Findings), (parts.story, Focus::Story)];
        let over = over.into_iter().find(|(part, _)| part.contains(at));
        match (mouse.kind, over) {
            (MouseEventKind::Down(MouseButton::Left) | MouseEventKind::Drag(MouseButton::Left), None)
                if parts.line.contains(at) =>
            {
                return Some(Act::Ask(Ask::Seek(self.moment(&parts, at.x))));
            }
            (MouseEventKind::Down(MouseButton::Left), Some((part, focus))) => {
                self.focus = focus;
                if let Some(line) = at.y.checked_sub(part.y + 1) {
                    self.click(focus, usize::from(line));
                }
            }
            (MouseEventKind::ScrollDown, Some((_, focus))) => self.scroll(focus, 3),
            (MouseEventKind::ScrollUp, Some((_, focus))) => self.scroll(focus, -3),
            _ => {}
        }
        None
    }

    fn scroll(&mut self, focus: Focus, lines: isize) {
        let before = std::mem::replace(&mut self.focus, focus);
        self.move_by(if focus == Focus::Findings { lines.signum() } else { lines });
        if focus == Focus::Story {
            self.focus = before;
        }
    }

    /// A second click on a row folds or unfolds it.
    fn click(&mut self, focus: Focus, line: usize) {
        match focus {
            Focus::Tree => {
                let at = self.row_top + line;
                self.subject = Subject::Process;
                if at == self.row_at {
                    self.enter();
                } else if at < self.visible.len() {
                    self.select_row(at);
                }
            }
            Focus::Findings => {
                let at = self.entry_top + line / ENTRY_LINES;
                self.subject = Subject::Finding;
                if at < self.scene.entries.len() {
                    self.select_entry(at);
                }
            }
            Focus::Story => {}
        }
    }
}

/// What a key does to a line that is being typed, as in a shell.
fn edit(key: KeyEvent) -> Option<InputRequest> {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('a') if is_control => InputRequest::GoToStart,
        KeyCode::Char('e') if is_control => InputRequest::GoToEnd,
        KeyCode::Char('w') if is_control => InputRequest::DeletePrevWord,
        KeyCode::Char('u') if is_control => InputRequest::DeleteLine,
        KeyCode::Char('k') if is_control => InputRequest::DeleteTillEnd,
        KeyCode::Char(c) if !is_control => InputRequest::InsertChar(c),
        KeyCode::Backspace => InputRequest::DeletePrevChar,
        KeyCode::Delete => InputRequest::DeleteNextChar,
        KeyCode::Left => InputRequest::GoToPrevChar,
        KeyCode::Right => InputRequest::GoToNextChar,
        KeyCode::Home => InputRequest::GoToStart,
        KeyCode::End => InputRequest::GoToEnd,
        _ => return None,
    })
}
