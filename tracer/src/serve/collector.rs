//! What a page is about, gathered step by step: a draft of it for the printer whenever that wants one, and numbers for
//! whoever asks.

use std::{io, sync::Arc, time::Instant};

use super::{
    desk::{Desk, Draft},
    numbers::Numbers,
};
use crate::{
    event::EventKind, history::History, host::StartInfo, metrics::Metrics, sink::Sink, step::Step, summary::Summary,
    time::BootNs, world::World,
};

/// See the module.
pub struct Collector {
    history: History,
    metrics: Metrics,
    summary: Summary,
    from: BootNs,
    start: Option<Arc<StartInfo>>,
    desk: Arc<Desk>,
    numbers: Arc<Numbers>,
}

impl Collector {
    pub(super) fn new(history: History, start: Option<&StartInfo>, desk: Arc<Desk>, numbers: Arc<Numbers>) -> Self {
        let start = start.map(|start| Arc::new(start.clone()));
        let (metrics, summary) = (Metrics::default(), Summary::default());
        Self { history, metrics, summary, from: BootNs::ZERO, start, desk, numbers }
    }

    fn draft(&self, world: &World, summary: &Summary, is_over: bool) -> io::Result<()> {
        let Some(start) = self.start.clone() else { return Ok(()) };
        let began = Instant::now();
        let history = self.history.so_far(world, summary)?;
        self.desk.put(Draft { start, history, is_over, complaints: Vec::new(), took: began.elapsed() });
        Ok(())
    }

    fn answer(&self, world: &World, is_last: bool) -> io::Result<()> {
        let text = self.metrics.text(world, &self.summary).map_err(io::Error::other)?;
        self.numbers.answer(text, is_last);
        Ok(())
    }
}

impl Sink for Collector {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        if let EventKind::Start(start) = &step.event.kind {
            self.start = Some(Arc::new((**start).clone()));
        }
        self.summary.count(step, self.from);
        self.history.step(world, step)?;
        self.metrics.step(world, step)?;
        if self.numbers.is_wanted() {
            self.answer(world, false)?;
        }
        if self.desk.is_wanted() {
            let mut summary = self.summary.clone();
            summary.conclude(world);
            self.draft(world, &summary, false)?;
        }
        Ok(())
    }

    fn show_from(&mut self, from: BootNs) {
        self.from = from;
        self.history.show_from(from);
        self.metrics.show_from(from);
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, world: &World, summary: &Summary) -> io::Result<()> {
        self.answer(world, true)?;
        self.draft(world, summary, true)
    }
}
