//! What a page is about, gathered step by step: a draft of it for the printer whenever that wants one, and numbers for
//! whoever asks.

use std::{io, sync::Arc, time::Instant};

use super::{
    desk::{Desk, Draft},
    numbers::Counter,
};
use crate::{
    event::EventKind, history::History, host::StartInfo, sink::Sink, step::Step, summary::Summary, time::BootNs,
    world::World,
};

/// See the module.
pub struct Collector {
    history: History,
    counter: Counter,
    start: Option<Arc<StartInfo>>,
    desk: Arc<Desk>,
}

impl Collector {
    pub(super) fn new(history: History, start: Option<&StartInfo>, desk: Arc<Desk>, counter: Counter) -> Self {
        let start = start.map(|start| Arc::new(start.clone()));
        Self { history, counter, start, desk }
    }

    fn draft(&self, world: &World, summary: &Summary, is_over: bool) -> io::Result<()> {
        let Some(start) = self.start.clone() else { return Ok(()) };
        let began = Instant::now();
        let history = self.history.so_far(world, summary)?;
        self.desk.put(Draft { start, history, is_over, complaints: Vec::new(), took: began.elapsed() });
        Ok(())
    }
}

impl Sink for Collector {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        if let EventKind::Start(start) = &step.event.kind {
            self.start = Some(Arc::new((**start).clone()));
        }
        self.history.step(world, step)?;
        self.counter.step(world, step)?;
        if self.desk.is_wanted() {
            let mut summary = self.counter.summary().clone();
            summary.conclude(world);
            self.draft(world, &summary, false)?;
        }
        Ok(())
    }

    fn show_from(&mut self, from: BootNs) {
        self.history.show_from(from);
        self.counter.show_from(from);
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, world: &World, summary: &Summary) -> io::Result<()> {
        self.counter.finish(world, summary)?;
        self.draft(world, summary, true)
    }
}
