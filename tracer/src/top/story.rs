//! The story of a process: the page of `tracer why`, read from the beginning in a thread of its own.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    console::style::Screen,
    detector::Detector,
    ident::ProcKey,
    source::trace::Trace,
    time::BootNs,
    top::{board::Board, tape::Tape},
    why::{
        page,
        recorded::{Follow, Provenance},
    },
    zone,
};

/// The page of a process.
#[derive(Clone, Debug)]
pub struct Story {
    /// Whose.
    pub key: ProcKey,
    /// As of when.
    pub at: BootNs,
    /// For how many columns.
    pub width: usize,
    /// The page, coloured; or why there is none.
    pub text: String,
    /// How long it took to read.
    pub took: Duration,
}

/// Reads one story at a time: a new question ends the search for the last answer.
#[derive(Clone, Default)]
pub struct Teller {
    /// The number of the last question.
    asked: Arc<AtomicU64>,
}

impl Teller {
    /// Begins to read; the board will have the story.
    pub fn ask(&self, board: &Arc<Board>, tape: Tape, key: ProcKey, until: BootNs, width: usize) {
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let (asked, board) = (self.asked.clone(), board.clone());
        let read = move || {
            let began = Instant::now();
            let is_wanted = || asked.load(Ordering::Relaxed) == number;
            let text = read(tape, key, until, width, &is_wanted).unwrap_or_else(|error| Some(format!("{error:#}")));
            if let Some(text) = text.filter(|_| is_wanted()) {
                board.tell(Story { key, at: until, width, text, took: began.elapsed() });
            }
        };
        // Without a thread there is no story; the next question asks for one again.
        let _ = thread::Builder::new().name("story".into()).spawn(read);
    }
}

/// `None` if it is no longer wanted.
fn read(tape: Tape, key: ProcKey, until: BootNs, width: usize, is_wanted: &dyn Fn() -> bool) -> Result<Option<String>> {
    let mounted = tape.place.mount()?;
    let mut trace = Trace::open(mounted.path())?;
    let mut detector = Detector::new(&tape.thresholds);
    let mut follow = Follow::of(key);
    trace.detect(&mut detector, until, |world, step| {
        follow.step(world, step);
        Ok(if is_wanted() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    if !is_wanted() {
        return Ok(None);
    }
    let world = detector.world();
    let page = follow.page(world, &Provenance::File("FILE".into()))?;
    let mut text = Vec::new();
    let screen = Screen { colour: true, width: Some(width) };
    page::print_recorded(world, &page, screen, &zone::local(), &mut text).context("cannot print")?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}
