//! The present: drains the kernel's ring buffer, keeps what happened for a while, and shows it; the past on request.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};

use crate::{
    density::Density,
    filter::Filter,
    history::KEPT,
    pump::Pump,
    sink::{
        select::{Select, only_findings},
        trace::memory::Memory,
    },
    source::{live::Live, load::LoadOptions},
    step::Step,
    thresholds::Thresholds,
    time::BootNs,
    top::{
        board::{Ask, Board},
        deck::{Deck, FRAME},
        found::{Found, Order},
        keep::keep,
        lately::Lately,
        query::Query,
        rows::Maker,
        scene::{BUCKETS, Counts, Flow, Line, Scene},
        story::Teller,
        tape::{Place, Tape},
    },
    world::World,
};

/// A scene takes one part of the processor's time at the most, and tracing gets these.
const SHARE: u32 = 9;
/// The longest that the screen stands still for that.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs until the reader leaves.
///
/// # Errors
/// If the source fails.
pub fn run(
    live: Live,
    options: &LoadOptions,
    thresholds: &Thresholds,
    board: &Arc<Board>,
    asks: &Receiver<Ask>,
) -> Result<()> {
    let mut watch = Watch::new(thresholds, board);
    let mut pump = Pump::begin(live, options, thresholds, &mut |world, step| watch.step(world, step))?;
    loop {
        pump.turn(&mut |world, step| watch.step(world, step))?;
        watch.show(pump.world());
        let mut pause = pump.polls_after();
        loop {
            match asks.recv_timeout(pause) {
                Ok(Ask::Leave) | Err(RecvTimeoutError::Disconnected) => {
                    watch.back = None;
                    return Ok(());
                }
                Ok(ask) => watch.hear(ask, pump.world()),
                Err(RecvTimeoutError::Timeout) => break,
            }
            pause = Duration::ZERO;
        }
    }
}

/// What is shown of the present.
struct Watch {
    board: Arc<Board>,
    thresholds: Thresholds,
    memory: Memory,
    select: Select,
    found: Found,
    lately: Lately,
    density: Density,
    query: Query,
    teller: Teller,
    began: BootNs,
    /// When the last scene was shown, and how much time of a processor it took.
    shown: Option<(Instant, Duration)>,
    back: Option<Back>,
}

/// A look back, in a thread of its own.
struct Back {
    asks: Sender<Ask>,
}

impl Watch {
    fn new(thresholds: &Thresholds, board: &Arc<Board>) -> Self {
        Self {
            board: board.clone(),
            thresholds: *thresholds,
            memory: Memory::new(KEPT),
            select: Select::new(Filter::default(), &[]),
            found: Found::default(),
            lately: Lately::default(),
            density: Density::new(BUCKETS),
            query: Query::default(),
            teller: Teller::default(),
            began: BootNs::ZERO,
            shown: None,
            back: None,
        }
    }

    fn step(&mut self, world: &World, step: &Step<'_>) -> std::io::Result<()> {
        if self.began == BootNs::ZERO {
            self.began = step.event.at;
        }
        self.memory.step(world, step)?;
        self.lately.step(world, step);
        self.density.step(world, step);
        self.query.follow(world, step.changes, &step.event.kind);
        let found = &mut self.found;
        self.select.step(world, step, only_findings(|finding| found.add(Arc::new(finding.clone()))))
    }

    /// Shows the present, unless the last scene was a moment ago or cost too much, or the reader looks back.
    fn show(&mut self, world: &World) {
        let is_early = |(at, took): (Instant, Duration)| at.elapsed() < (took * SHARE).clamp(FRAME, PATIENCE);
        if self.back.is_some() || self.shown.is_some_and(is_early) {
            return;
        }
        let began = used();
        let now = world.now();
        let accused = self.found.accused(now);
        let mut entries = self.found.ranked(Order::Present);
        entries.retain(|entry| self.query.shows_finding(world, &entry.told));
        let line = Line {
            span: (self.began.max(now - KEPT), now),
            density: self.density.clone(),
            marks: self.found.marks().to_vec(),
        };
        self.board.show(Scene {
            at: now,
            wall_offset_ns: world.wall_offset_ns(),
            is_saved: false,
            flow: Flow::Live,
            rows: Maker { world, lately: &self.lately, accused: &accused, query: &self.query }.rows(),
            entries,
            line: Arc::new(line),
            counts: Counts::of(world, self.lately.rate(), self.lately.lost()),
            notes: Vec::new(),
        });
        self.shown = Some((Instant::now(), used().saturating_sub(began)));
    }

    fn hear(&mut self, ask: Ask, world: &World) {
        match ask {
            Ask::Present => self.back = None,
            Ask::Keep(what, path) => keep(&self.board, what, self.tape(world.now()), path),
            Ask::Query { ref given, only_troubled } => {
                match Query::read(given) {
                    Ok(query) => self.query = query.only_troubled(only_troubled),
                    Err(error) => return self.board.say(error),
                }
                self.query.resolve(world);
                self.shown = None;
                self.pass_on(ask);
            }
            Ask::Story(key, width) if self.back.is_none() => {
                self.teller.ask(&self.board, self.tape(world.now()), key, world.now(), width);
            }
            Ask::Seek(_) | Ask::Play(false) if self.back.is_none() => self.look_back(ask, world.now()),
            _ => self.pass_on(ask),
        }
    }

    fn pass_on(&self, ask: Ask) {
        if let Some(back) = &self.back {
            // If it has ended, it has said why.
            let _ = back.asks.send(ask);
        }
    }

    fn tape(&self, now: BootNs) -> Tape {
        Tape { thresholds: self.thresholds, place: Place::Memory(Box::new(self.memory.clone()), now) }
    }

    /// Shows what is in memory, in a thread of its own.
    fn look_back(&mut self, ask: Ask, now: BootNs) {
        let (tape, board) = (self.tape(now), self.board.clone());
        let (asks, heard) = channel();
        let at = if let Ask::Seek(at) = ask { Some(at) } else { None };
        let query = Ask::Query { given: self.query.given().to_owned(), only_troubled: self.query.is_only_troubled() };
        let _ = asks.send(query);
        let play = move || {
            let played = Deck::open(tape, at, true, board.clone(), heard).and_then(|mut deck| deck.run());
            if let Err(error) = played {
                board.say(format!("{error:#}"));
            }
        };
        match thread::Builder::new().name("look back".into()).spawn(play) {
            Ok(_) => self.back = Some(Back { asks }),
            Err(error) => self.board.say(format!("cannot look back: {error}")),
        }
    }
}

/// The time of a processor that this thread has used. What it waits for on a busy machine does not count.
fn used() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}
