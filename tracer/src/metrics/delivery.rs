//! What became of what was sent: how much a receiver has taken, and how much it never got.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    family::{Family, Unit, Values},
    labels,
};

/// Counts since the start. Findings and whatever else is told one by one are records; all numbers of a moment are one
/// report.
#[derive(Debug, Default)]
pub struct Deliveries {
    counts: [AtomicU64; Outcome::ALL.len()],
}

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has taken a record.
    RecordDelivered,
    /// It never will: there was no room, no time, or it refused it.
    RecordDropped,
    /// The receiver has taken a report of all numbers.
    NumbersDelivered,
    /// It has not; the next report has newer ones.
    NumbersDropped,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::RecordDelivered, Self::RecordDropped, Self::NumbersDelivered, Self::NumbersDropped];

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::RecordDelivered => ("record", "delivered"),
            Self::RecordDropped => ("record", "dropped"),
            Self::NumbersDelivered => ("numbers", "delivered"),
            Self::NumbersDropped => ("numbers", "dropped"),
        }
    }
}

impl Deliveries {
    /// Adds so many.
    pub fn add(&self, outcome: Outcome, count: u64) {
        self.counts[outcome as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.counts[outcome as usize].load(Ordering::Relaxed)
    }

    /// As a metric.
    pub fn family(&self) -> Family {
        let counts = Outcome::ALL.map(|outcome| {
            let (what, became) = outcome.words();
            (labels([("what", what), ("outcome", became)]), self.count(outcome))
        });
        let help = "What was sent by OTLP, and what became of it";
        Family { name: "otlp", help, unit: Unit::One, values: Values::Counters(counts.into()) }
    }
}
