//! The screen's loop: keys first, then what the model has put up, then a drawing if anything changed.

use std::{
    io::{self, IsTerminal, stdin, stdout},
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use crossterm::event;
use jiff::tz::TimeZone;
use ratatui::layout::Rect;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP},
    flag,
};

use crate::top::{
    board::{Ask, Board},
    draw::Canvas,
    state::{Act, State},
    terminal::{self, Taken},
};

/// The shortest time between two drawings.
const FRAME: Duration = Duration::from_millis(33);
/// How long the loop waits for a key before it looks at the board.
const PATIENCE: Duration = Duration::from_millis(40);

/// What the reader wants of the screen.
#[derive(Clone, Debug)]
pub struct Look {
    /// What is looked at. Escaped.
    pub title: String,
    /// Whether to capture the mouse.
    pub mouse: bool,
    /// Whether to use colours.
    pub colour: bool,
    /// The zone of times of day.
    pub zone: TimeZone,
}

/// Whether there is a terminal to draw on and to read keys from.
///
/// # Errors
/// If not.
pub fn check() -> Result<()> {
    let is_there = stdin().is_terminal() && stdout().is_terminal();
    ensure!(is_there, "this needs a terminal for its input and output; `tracer watch` and `tracer replay` do not");
    Ok(())
}

/// How long the loop may take to leave. A terminal that is gone can hold it for ever.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// The signals that concern the terminal.
struct Signals {
    leave: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    /// The loop has left.
    left: Arc<AtomicBool>,
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.left.store(true, Ordering::Relaxed);
    }
}

impl Signals {
    fn new() -> io::Result<Self> {
        let [leave, stop, left] = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
        flag::register(SIGTSTP, stop.clone())?;
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let (asked, is_left) = (leave.clone(), left.clone());
        let wait = move || {
            if let Some(signal) = signals.forever().next() {
                asked.store(true, Ordering::Relaxed);
                thread::sleep(LEAVE_WITHIN);
                if !is_left.load(Ordering::Relaxed) {
                    terminal::give_back();
                    process::exit(128 + signal);
                }
            }
        };
        thread::Builder::new().name("signals".into()).spawn(wait)?;
        Ok(Self { leave, stop, left })
    }
}

/// Runs until the reader or the model leaves; asks the model to leave, too.
///
/// # Errors
/// If the terminal fails.
pub fn run(board: &Board, asks: &Sender<Ask>, look: &Look) -> Result<()> {
    let ran = draw_until_the_end(board, asks, look);
    // If it is gone, it needs not be asked.
    let _ = asks.send(Ask::Leave);
    ran
}

fn draw_until_the_end(board: &Board, asks: &Sender<Ask>, look: &Look) -> Result<()> {
    let cannot = "cannot use this terminal";
    let signals = Signals::new().context(cannot)?;
    let mut taken = Taken::new(look.mouse).context(cannot)?;
    let canvas = Canvas { colour: look.colour, zone: &look.zone, title: &look.title };
    let mut state = State { mouse: look.mouse, ..State::default() };
    let size = taken.terminal.size().context(cannot)?;
    state.area = Rect::new(0, 0, size.width, size.height);
    let mut is_dirty = true;
    let mut drawn = None::<Instant>;
    let mut asked_story = None;
    while !board.is_over() && !signals.leave.load(Ordering::Relaxed) {
        let since = drawn.map_or(FRAME, |drawn| drawn.elapsed());
        let patience = if is_dirty { FRAME.saturating_sub(since) } else { PATIENCE };
        let mut act = None;
        if event::poll(patience).context(cannot)? {
            act = state.input(&event::read().context(cannot)?);
            is_dirty = true;
        }
        if signals.stop.swap(false, Ordering::Relaxed) {
            act = Some(Act::Suspend);
        }
        match act {
            None => {}
            Some(Act::Quit) => return Ok(()),
            Some(Act::Suspend) => taken.suspend().context(cannot)?,
            Some(Act::Mouse(mouse)) => taken.mouse(mouse).context(cannot)?,
            Some(Act::Ask(ask)) => {
                let _ = asks.send(ask);
            }
        }
        // More keys first: they are what the reader waits for.
        if event::poll(Duration::ZERO).context(cannot)? {
            continue;
        }
        if let Some(scene) = board.scene() {
            state.take(scene);
            is_dirty = true;
        }
        if let Some(story) = board.story() {
            state.story = Some(story);
            (is_dirty, asked_story) = (true, None);
        }
        if let Some(said) = board.said() {
            state.said = Some(said);
            is_dirty = true;
        }
        let wanted = state.wanted_story().map(|(key, width)| (key, width, state.story_moment()));
        if wanted.is_some() && wanted != asked_story {
            if let Some((key, width, _)) = wanted {
                let _ = asks.send(Ask::Story(key, width));
            }
            asked_story = wanted;
        }
        if is_dirty && drawn.is_none_or(|drawn| drawn.elapsed() >= FRAME) {
            taken
                .terminal
                .draw(|frame| {
                    if let Some(cursor) = canvas.draw(&state, frame.buffer_mut()) {
                        frame.set_cursor_position(cursor);
                    }
                })
                .context(cannot)?;
            (is_dirty, drawn) = (false, Some(Instant::now()));
        }
    }
    Ok(())
}
