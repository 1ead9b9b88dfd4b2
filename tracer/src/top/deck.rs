//! Plays a recording: shows a moment of it, or lets time pass from there on.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    detector::Detector,
    source::trace::Trace,
    step::Step,
    time::{BootNs, Span},
    top::{
        board::{Ask, Board},
        found::{Found, Order},
        keep::keep,
        lately::{Lately, SECONDS},
        query::Query,
        rows::Maker,
        scene::{Counts, Flow, Scene},
        story::Teller,
        survey::Survey,
        tape::{Mounted, Place, Tape},
    },
    world::World,
};

/// How often a scene is shown at the most.
pub const FRAME: Duration = Duration::from_millis(100);
/// How long before a moment it is played, so that what happened lately can be shown.
const RUN_UP: Span = Span::seconds(SECONDS as u64);
/// How many events are taken before a new question gets its turn.
const EVENTS: u64 = 4096;
/// Where there is no time to wait, every so many events are a chance for a scene.
const EVENTS_PER_SCENE: u64 = 64;

/// See the module.
pub struct Deck {
    board: Arc<Board>,
    asks: Receiver<Ask>,
    tape: Tape,
    mounted: Mounted,
    span: (BootNs, BootNs),
    wall_offset_ns: i64,
    /// A live run goes on meanwhile.
    is_live: bool,
    survey: Survey,
    /// The surveyed part that the last scene showed.
    shown: Option<BootNs>,
    query: Query,
    teller: Teller,
    /// The moment.
    at: BootNs,
    is_playing: bool,
    speed: f64,
}

/// How a recording is played.
struct Pace {
    /// The moment at which it began to be played.
    from: BootNs,
    /// When that was.
    began: Instant,
    /// When the last scene was shown.
    shown: Option<Instant>,
}

/// What playing has come to.
enum Turn {
    /// The moment, the speed or the view was changed, or playing was stopped.
    Changed,
    /// The recording is over.
    Over,
    /// The reader leaves.
    Left,
}

impl Deck {
    /// A recording, of which that moment is shown first; without one, its end.
    ///
    /// # Errors
    /// If it cannot be read, or cannot be read again.
    pub fn open(tape: Tape, at: Option<BootNs>, is_live: bool, board: Arc<Board>, asks: Receiver<Ask>) -> Result<Self> {
        let mounted = tape.place.clone().mount()?;
        let mut trace = Trace::open(mounted.path())?;
        let span = trace.span()?.context("a recording that is looked at must be a file; save the pipe to one first")?;
        // A file can claim that it ends before it begins.
        let span = (span.0.min(span.1), span.0.max(span.1));
        // From now on, this is what is read.
        let place = mounted.place();
        let tape = Tape { place, ..tape };
        let survey = Survey::begin(mounted.path().to_owned(), tape.thresholds, span);
        Ok(Self {
            board,
            asks,
            mounted,
            span,
            wall_offset_ns: trace.start().wall_offset_ns,
            is_live,
            survey,
            shown: None,
            query: Query::default(),
            teller: Teller::default(),
            at: at.unwrap_or(span.1).clamp(span.0, span.1),
            is_playing: false,
            speed: 1.0,
            tape,
        })
    }

    /// Shows what is asked for, until the reader leaves.
    ///
    /// # Errors
    /// If the recording cannot be read.
    pub fn run(&mut self) -> Result<()> {
        loop {
            let turn = if self.is_playing { self.play()? } else { self.stand()? };
            match turn {
                Turn::Changed => {}
                Turn::Over => (self.is_playing, self.at) = (false, self.span.1),
                Turn::Left => return Ok(()),
            }
        }
    }

    fn begin(&mut self) -> Result<(Trace, Detector, Lately)> {
        let mut trace = Trace::open(self.mounted.path())?;
        trace.seek(self.at - RUN_UP)?;
        Ok((trace, Detector::new(&self.tape.thresholds), Lately::default()))
    }

    /// Shows the moment, and waits for a question.
    fn stand(&mut self) -> Result<Turn> {
        let (mut trace, mut detector, mut lately) = self.begin()?;
        let mut turn = None;
        let at = self.at;
        trace.detect(&mut detector, at, |world, step| {
            lately.step(world, step);
            self.follow(world, step);
            if step.seq.0.is_multiple_of(EVENTS) {
                turn = self.hear(None);
            }
            Ok(if turn.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if let Some(turn) = turn {
            return Ok(turn);
        }
        self.query.resolve(detector.world());
        self.show(detector.world(), &lately, at);
        loop {
            if let Some(turn) = self.hear(Some(FRAME)) {
                return Ok(turn);
            }
            // More of the recording may have been read.
            if self.shown != Some(self.survey.look().until) {
                self.show(detector.world(), &lately, at);
            }
        }
    }

    /// Lets time pass.
    fn play(&mut self) -> Result<Turn> {
        let (mut trace, mut detector, mut lately) = self.begin()?;
        let mut pace = Pace { from: self.at, began: Instant::now(), shown: None };
        let mut turn = None;
        trace.detect(&mut detector, BootNs::MAX, |world, step| {
            lately.step(world, step);
            self.follow(world, step);
            let is_run_up = world.now() <= pace.from;
            if !is_run_up {
                turn = self.keep_pace(&mut pace, world, &lately, step);
            }
            if turn.is_none() && step.seq.0.is_multiple_of(EVENTS) {
                turn = self.hear(None);
            }
            Ok(if turn.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(turn.unwrap_or(Turn::Over))
    }

    /// Waits until it is time for what comes next, and shows how far it is.
    fn keep_pace(&mut self, pace: &mut Pace, world: &World, lately: &Lately, step: &Step<'_>) -> Option<Turn> {
        self.at = world.now().min(self.span.1);
        let due = Duration::from_secs_f64((self.at - pace.from).0 as f64 / 1e9 / self.speed);
        loop {
            let wait = due.saturating_sub(pace.began.elapsed());
            let is_time_left = !wait.is_zero() || step.seq.0.is_multiple_of(EVENTS_PER_SCENE);
            if is_time_left && pace.shown.is_none_or(|shown| shown.elapsed() >= FRAME) {
                self.query.resolve(world);
                self.show(world, lately, self.at);
                pace.shown = Some(Instant::now());
            }
            if wait.is_zero() {
                return None;
            }
            let turn = self.hear(Some(wait.min(FRAME)));
            if turn.is_some() {
                return turn;
            }
        }
    }

    fn follow(&mut self, world: &World, step: &Step<'_>) {
        self.query.follow(world, step.changes, &step.event.kind);
    }

    /// Takes questions, and waits that long for the first; `None` if they change nothing about what is played.
    fn hear(&mut self, patience: Option<Duration>) -> Option<Turn> {
        let first = match patience {
            Some(patience) => match self.asks.recv_timeout(patience) {
                Ok(ask) => Some(ask),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Some(Turn::Left),
            },
            None => None,
        };
        let mut turn = None;
        let mut next = first;
        loop {
            let ask = match next.take().map_or_else(|| self.asks.try_recv(), Ok) {
                Ok(ask) => ask,
                Err(TryRecvError::Empty) => return turn,
                Err(TryRecvError::Disconnected) => return Some(Turn::Left),
            };
            match ask {
                Ask::Seek(at) => self.at = at.clamp(self.span.0, self.span.1),
                Ask::Play(is_playing) => {
                    if is_playing && self.at >= self.span.1 {
                        self.at = self.span.0;
                    }
                    self.is_playing = is_playing;
                }
                Ask::Speed(speed) => self.speed = speed,
                Ask::Present => (self.at, self.is_playing) = (self.span.1, false),
                Ask::Query { given, only_troubled } => match Query::read(&given) {
                    Ok(query) => self.query = query.only_troubled(only_troubled),
                    Err(error) => {
                        self.board.say(error);
                        continue;
                    }
                },
                Ask::Story(key, width) => {
                    self.teller.ask(&self.board, self.tape.clone(), key, self.at, width);
                    continue;
                }
                Ask::Keep(what, path) => {
                    keep(&self.board, what, self.tape.clone(), path);
                    continue;
                }
                Ask::Leave => return Some(Turn::Left),
            }
            turn = Some(Turn::Changed);
        }
    }

    fn show(&mut self, world: &World, lately: &Lately, at: BootNs) {
        let surveyed = self.survey.look();
        self.shown = Some(surveyed.until);
        let mut found = Found::default();
        for finding in surveyed.findings.iter().filter(|finding| finding.at <= at) {
            found.add(finding.clone());
        }
        let accused = found.accused(at);
        let mut entries = found.ranked(Order::Past);
        entries.retain(|entry| self.query.shows_finding(world, &entry.told));
        let mut notes = surveyed.notes;
        if !surveyed.is_done {
            let (begin, end) = self.span;
            let percent = (surveyed.until.clamp(begin, end) - begin).0 as f64 / ((end - begin).0.max(1)) as f64 * 100.0;
            notes.push(format!("reading the recording: {percent:.0} %"));
        }
        let Self { speed, is_live, .. } = *self;
        let flow = if self.is_playing { Flow::Playing { speed } } else { Flow::Still { is_live, speed } };
        self.board.show(Scene {
            at,
            wall_offset_ns: self.wall_offset_ns,
            is_saved: matches!(self.tape.place, Place::File(_)),
            flow,
            rows: Maker { world, lately, accused: &accused, query: &self.query }.rows(),
            entries,
            line: surveyed.line,
            counts: Counts::of(world, lately.rate(), lately.lost()),
            notes,
        });
    }
}
