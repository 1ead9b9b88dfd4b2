//! The one loop: takes events from the live source to the engine, and each step to whoever wants
//! to see it.

use std::{io, time::Duration};

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    engine::{Engine, Step},
    event::{Event, EventKind},
    rules::Thresholds,
    sink::Sink,
    source::{
        live::{self, Live},
        load::LoadOptions,
    },
    summary::Summary,
    world::World,
};

/// How often the ring buffer is looked at while it has something.
pub const BUSY: Duration = Duration::from_millis(5);
/// And while it has nothing.
const IDLE: Duration = Duration::from_millis(40);
/// How often losses are counted and rules asked again; well below the 100 ms within which a
/// loss must show.
const HOUSEKEEPING: u64 = 50_000_000;
/// Records that are taken before something else gets its turn.
const BATCH: usize = 65_536;

/// A live source, the engine that it feeds, and what lies between them.
pub struct Pump {
    live: Live,
    engine: Engine,
    /// Boot time of the last housekeeping.
    kept: u64,
    /// Events were lost since the last snapshot.
    is_behind: bool,
}

impl Pump {
    /// Begins the stream: the start, and the processes that exist.
    ///
    /// # Errors
    /// If the processes cannot be listed, and what `show` returns.
    pub fn start(
        live: Live,
        options: &LoadOptions,
        thresholds: &Thresholds,
        show: &mut impl FnMut(&World, &Step<'_>) -> io::Result<()>,
    ) -> Result<Self> {
        let mut pump = Self { live, engine: Engine::new(thresholds), kept: 0, is_behind: false };
        pump.step(&pump.live.start_event(options, thresholds), show)?;
        // The programs are attached: what happens while the snapshot is taken is in the ring
        // buffer, and comes after it, into a world that knows whom it is about.
        pump.snapshot(show)?;
        Ok(pump)
    }

    /// What is known now.
    pub fn world(&self) -> &World {
        self.engine.world()
    }

    /// Takes what has come up since the last turn, and lets time pass; says how many records
    /// there were, [`BATCH`] at the most.
    ///
    /// # Errors
    /// If the kernel side cannot be read, and what `show` returns.
    pub fn turn(&mut self, show: &mut impl FnMut(&World, &Step<'_>) -> io::Result<()>) -> Result<usize> {
        let Self { live, engine, .. } = self;
        let drained = live.drain(BATCH, |event| {
            let (step, world) = engine.step(&event);
            show(world, &step)
        })?;
        let now = live::now();
        if now.saturating_sub(self.kept) >= HOUSEKEEPING {
            self.kept = now;
            self.keep_house(now, show)?;
        }
        Ok(drained)
    }

    /// Losses, the way back after one, and the rules that wanted to be asked again.
    fn keep_house(&mut self, now: u64, show: &mut impl FnMut(&World, &Step<'_>) -> io::Result<()>) -> Result<()> {
        if let Some(lost) = self.live.lost().context("cannot read the kernel side's counters")? {
            self.step(&lost, show)?;
            self.is_behind = true;
        } else if self.is_behind {
            // Not while it is still losing: the next loss would spoil it again.
            self.snapshot(show)?;
            self.is_behind = false;
        }
        for key in self.engine.due(now) {
            self.step(&self.live.look(key), show)?;
        }
        self.step(&Event { at: now, cpu: 0, kind: EventKind::Tick }, show)?;
        Ok(())
    }

    fn snapshot(&mut self, show: &mut impl FnMut(&World, &Step<'_>) -> io::Result<()>) -> Result<()> {
        let events = self.live.snapshot().context("cannot list the processes with the kernel's task iterator")?;
        for event in &events {
            self.step(event, show)?;
        }
        Ok(())
    }

    fn step(&mut self, event: &Event, show: &mut impl FnMut(&World, &Step<'_>) -> io::Result<()>) -> io::Result<()> {
        let (step, world) = self.engine.step(event);
        show(world, &step)
    }
}

/// Runs until SIGINT, SIGTERM or SIGHUP, the end of `duration`, or a closed output.
///
/// # Errors
/// If the source fails, or the sink cannot write; a closed pipe is an [`io::Error`] of the kind
/// [`io::ErrorKind::BrokenPipe`].
pub fn run(
    live: Live,
    options: &LoadOptions,
    thresholds: &Thresholds,
    duration: Option<Duration>,
    sink: &mut dyn Sink,
) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the event loop")?;
    runtime.block_on(drive(live, options, thresholds, duration, sink))
}

async fn drive(
    live: Live,
    options: &LoadOptions,
    thresholds: &Thresholds,
    duration: Option<Duration>,
    sink: &mut dyn Sink,
) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (began, cpu_before) = (live::now(), live::cpu_time());
    let mut counted = Counted { sink, summary: Summary::default() };
    let mut pump = Pump::start(live, options, thresholds, &mut |world, step| counted.step(world, step))?;
    let end = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(end);
    let mut pause = BUSY;
    loop {
        let drained = pump.turn(&mut |world, step| counted.step(world, step))?;
        counted.sink.flush()?;
        pause = if drained > 0 { BUSY } else { (pause * 2).min(IDLE) };
        // After a full batch there is more, but signals and the end of the time must be seen.
        let pause = if drained == BATCH { Duration::ZERO } else { pause };
        tokio::select! {
            biased;
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            _ = hangup.recv() => break,
            () = &mut end => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    // Once more, housekeeping included: what happened before the end belongs to the run.
    pump.kept = 0;
    pump.turn(&mut |world, step| counted.step(world, step))?;
    let Counted { sink, mut summary } = counted;
    let stats = pump.live.stats().context("cannot read the kernel side's counters")?;
    let world = pump.world();
    summary.ended_at = live::now();
    summary.duration_ns = summary.ended_at.saturating_sub(began);
    summary.cpu_ns = live::cpu_time().saturating_sub(cpu_before);
    summary.signals_seen = stats.signals;
    summary.walks_cut = stats.walks_cut;
    summary.processes = world.process_count() as u64;
    summary.namespaces = world.namespace_count() as u64;
    sink.finish(world, &summary)?;
    sink.flush()?;
    Ok(())
}

/// A sink, and the count of what it was shown.
struct Counted<'a> {
    sink: &'a mut dyn Sink,
    summary: Summary,
}

impl Counted<'_> {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        self.summary.count(step);
        self.sink.step(world, step)
    }
}
