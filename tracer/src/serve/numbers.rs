//! Numbers for Prometheus: the server asks, and whoever counts answers between two steps, so that it never waits.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{sync::watch, time::timeout};

use crate::{
    metrics::{Metrics, own::Own, text::text},
    sink::Sink,
    step::Step,
    summary::Summary,
    time::BootNs,
    world::World,
};

/// How long an answer may take; there is a step every 50 ms at least.
const PATIENCE: Duration = Duration::from_secs(2);

/// For how long whoever counts may do nothing: as long as systemd waits for a sign of life of the service.
const LONGEST_TURN: Duration = Duration::from_secs(60);

/// Where the two meet.
pub struct Numbers {
    is_wanted: AtomicBool,
    answer: watch::Sender<Answer>,
    /// When whoever counts last came to the end of a batch of steps.
    turned: Mutex<Instant>,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { is_wanted: AtomicBool::default(), answer: watch::Sender::default(), turned: Mutex::new(Instant::now()) }
    }
}

#[derive(Default)]
struct Answer {
    text: Bytes,
    /// Nothing will change any more.
    is_last: bool,
}

impl Numbers {
    /// Whether somebody asks: asked at each step.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Answers all who ask.
    pub fn answer(&self, text: String, is_last: bool) {
        self.is_wanted.store(false, Ordering::Relaxed);
        self.answer.send_replace(Answer { text: text.into(), is_last });
    }

    /// Whoever counts has come to the end of a batch of steps.
    fn turn(&self) {
        *self.turned.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether whoever counts does so, and is not held up.
    pub fn is_alive(&self) -> bool {
        self.turned.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < LONGEST_TURN
    }

    /// The numbers of now; `None` if the collector is too busy.
    pub async fn ask(&self) -> Option<Bytes> {
        let mut answers = self.answer.subscribe();
        if !answers.borrow_and_update().is_last {
            self.is_wanted.store(true, Ordering::Relaxed);
            timeout(PATIENCE, answers.changed()).await.ok()?.ok()?;
        }
        Some(answers.borrow().text.clone())
    }
}

/// Counts, and answers.
pub struct Counter {
    metrics: Metrics,
    summary: Summary,
    from: BootNs,
    numbers: Arc<Numbers>,
    /// Before which nobody is answered again: whoever asks all the time must not take the time of the tracing.
    rests_until: Instant,
}

/// How many times as long as an answer took there is none.
const REST: u32 = 19;

impl Counter {
    /// Nothing was counted yet.
    pub fn new(numbers: Arc<Numbers>) -> Self {
        let (metrics, summary) = (Metrics::default(), Summary::default());
        Self { metrics, summary, from: BootNs::ZERO, numbers, rests_until: Instant::now() }
    }

    /// Tells what the tracer knows about itself, too.
    #[must_use]
    pub fn with_own(self, own: Own) -> Self {
        Self { metrics: self.metrics.with_own(own), ..self }
    }

    /// What was counted.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    fn answer(&mut self, world: &World, is_last: bool) -> io::Result<()> {
        let began = Instant::now();
        if began < self.rests_until && !is_last {
            return Ok(());
        }
        let text = text(self.metrics.families(world, &self.summary)).map_err(io::Error::other)?;
        self.numbers.answer(text, is_last);
        let ended = Instant::now();
        self.rests_until = ended + (ended - began) * REST;
        Ok(())
    }
}

impl Sink for Counter {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        self.summary.count(step, self.from);
        self.metrics.step(world, step)?;
        if self.numbers.is_wanted() { self.answer(world, false) } else { Ok(()) }
    }

    fn show_from(&mut self, from: BootNs) {
        self.from = from;
        self.metrics.show_from(from);
    }

    fn flush(&mut self) -> io::Result<()> {
        self.numbers.turn();
        Ok(())
    }

    fn finish(&mut self, world: &World, _summary: &Summary) -> io::Result<()> {
        self.answer(world, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_counts_nothing_for_long_is_held_up() {
        let numbers = Arc::new(Numbers::default());
        assert!(numbers.is_alive());
        let before = Instant::now().checked_sub(LONGEST_TURN).unwrap();
        *numbers.turned.lock().unwrap() = before;
        assert!(!numbers.is_alive());
        Counter::new(numbers.clone()).flush().unwrap();
        assert!(numbers.is_alive());
    }
}
