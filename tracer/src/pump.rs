//! The one loop: takes events from the live source to the engine, and each step to the sinks.

use std::{io, time::Duration};

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    engine::Engine,
    event::{Event, EventKind},
    rules::Thresholds,
    sink::Sink,
    source::{
        live::{self, Live},
        load::LoadOptions,
    },
    summary::Summary,
};

/// How often the ring buffer is looked at while it has something.
const BUSY: Duration = Duration::from_millis(5);
/// And while it has nothing.
const IDLE: Duration = Duration::from_millis(40);
/// How often losses are counted and rules asked again; well below the 100 ms within which a
/// loss must show.
const HOUSEKEEPING: u64 = 50_000_000;
/// Records that are taken before something else gets its turn.
const BATCH: usize = 65_536;

/// Runs until a signal, the end of `duration`, or a closed output.
///
/// # Errors
/// If the source fails, or a sink cannot write; a closed pipe is an [`io::Error`] of the kind
/// [`io::ErrorKind::BrokenPipe`].
pub fn run(
    live: Live,
    options: &LoadOptions,
    thresholds: &Thresholds,
    duration: Option<Duration>,
    sinks: &mut [Box<dyn Sink>],
) -> Result<Summary> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the event loop")?;
    runtime.block_on(Pump::new(live, thresholds, sinks).run(options, thresholds, duration))
}

struct Pump<'a> {
    live: Live,
    engine: Engine,
    sinks: &'a mut [Box<dyn Sink>],
    summary: Summary,
    /// Boot time of the last housekeeping.
    kept: u64,
    /// Events were lost since the last snapshot.
    is_behind: bool,
}

impl<'a> Pump<'a> {
    fn new(live: Live, thresholds: &Thresholds, sinks: &'a mut [Box<dyn Sink>]) -> Self {
        Self { live, engine: Engine::new(thresholds), sinks, summary: Summary::default(), kept: 0, is_behind: false }
    }

    async fn run(
        mut self,
        options: &LoadOptions,
        thresholds: &Thresholds,
        duration: Option<Duration>,
    ) -> Result<Summary> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let (began, cpu_before) = (live::now(), live::cpu_time());
        self.step(&self.live.start_event(options, thresholds))?;
        // The programs are attached: what happens while the snapshot is taken is in the ring
        // buffer, and comes after it, into a world that knows whom it is about.
        self.snapshot()?;
        let end = async {
            match duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(end);
        let mut pause = BUSY;
        loop {
            let drained = self.drain()?;
            self.keep_house()?;
            self.flush()?;
            pause = if drained > 0 { BUSY } else { (pause * 2).min(IDLE) };
            // A full batch: there is more, but signals and the end of the time must be seen.
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
        self.drain()?;
        self.kept = 0;
        self.keep_house()?;
        self.summary.cpu_ns = live::cpu_time().saturating_sub(cpu_before);
        self.finish(began)
    }

    fn drain(&mut self) -> Result<usize> {
        let Self { live, engine, sinks, summary, .. } = self;
        Ok(live.drain(BATCH, |event| feed(engine, sinks, summary, &event))?)
    }

    fn step(&mut self, event: &Event) -> io::Result<()> {
        feed(&mut self.engine, self.sinks, &mut self.summary, event)
    }

    /// Losses, rules that wanted to be asked again, the way back after a loss.
    fn keep_house(&mut self) -> Result<()> {
        let now = live::now();
        if now.saturating_sub(self.kept) < HOUSEKEEPING {
            return Ok(());
        }
        self.kept = now;
        let lost = self.live.lost().context("cannot read the kernel side's counters")?;
        if let Some(lost) = lost {
            self.step(&lost)?;
            self.is_behind = true;
        } else if self.is_behind {
            // Not while it is still losing: the next loss would spoil it again.
            self.snapshot()?;
            self.is_behind = false;
        }
        for key in self.engine.due(now) {
            self.step(&self.live.look(key))?;
        }
        self.step(&Event { at: now, cpu: 0, kind: EventKind::Tick })?;
        Ok(())
    }

    fn snapshot(&mut self) -> Result<()> {
        let events = self.live.snapshot().context("cannot list the processes with the kernel's task iterator")?;
        for event in &events {
            self.step(event)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sinks.iter_mut().try_for_each(|sink| sink.flush())
    }

    fn finish(mut self, began: u64) -> Result<Summary> {
        let stats = self.live.stats().context("cannot read the kernel side's counters")?;
        let world = self.engine.world();
        self.summary.duration_ns = live::now().saturating_sub(began);
        self.summary.ended_at = live::now();
        self.summary.signals_seen = stats.signals;
        self.summary.walks_cut = stats.walks_cut;
        self.summary.processes = world.process_count() as u64;
        self.summary.namespaces = world.namespace_count() as u64;
        for sink in self.sinks.iter_mut() {
            sink.finish(world, &self.summary)?;
            sink.flush()?;
        }
        Ok(self.summary)
    }
}

/// One event through the engine, and its step to every sink.
fn feed(engine: &mut Engine, sinks: &mut [Box<dyn Sink>], summary: &mut Summary, event: &Event) -> io::Result<()> {
    let (step, world) = engine.step(event);
    summary.count(&step);
    sinks.iter_mut().try_for_each(|sink| sink.step(world, &step))
}
