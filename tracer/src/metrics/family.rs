//! A metric as plain data, of which each format is made.

use std::iter;

/// A metric: its name, and its values by label.
#[derive(Clone, Debug)]
pub struct Family {
    /// Its name, without a prefix and without what formats add for its unit and its kind.
    pub name: &'static str,
    /// What it counts, for a person.
    pub help: &'static str,
    /// The unit of its values.
    pub unit: Unit,
    /// What they are.
    pub values: Values,
}

/// The unit of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// It is a number of things.
    One,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// What Prometheus adds to a name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::One => "",
            Self::Seconds => "_seconds",
            Self::Bytes => "_bytes",
        }
    }
}

/// The labels of a value, as names and what they are.
pub type Labels = Vec<(&'static str, String)>;

/// The values of a metric.
#[derive(Clone, Debug)]
pub enum Values {
    /// Since the start, and only ever more.
    Counters(Vec<(Labels, u64)>),
    /// The same as one time, in seconds.
    Time(f64),
    /// As it is now.
    Gauges(Vec<(Labels, i64)>),
    /// How many were how large, since the start.
    Histogram(Histogram),
}

/// How many were how large.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// Up to which each bucket but the last one goes.
    pub bounds: &'static [f64],
    /// How many fell into each bucket; one more than there are bounds.
    pub counts: Vec<u64>,
    /// All of them together.
    pub sum: f64,
}

impl Histogram {
    /// Nothing fell into it yet.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    /// Adds one.
    pub fn observe(&mut self, value: f64) {
        let bucket = self.bounds.iter().position(|&bound| value <= bound).unwrap_or(self.bounds.len());
        self.counts[bucket] += 1;
        self.sum += value;
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Each bucket: where it ends, and how many fell into it.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let ends = self.bounds.iter().copied().chain(iter::once(f64::INFINITY));
        ends.zip(self.counts.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_at_a_bound_falls_into_the_bucket_below() {
        let mut histogram = Histogram::new(&[1.0, 10.0]);
        [0.5, 1.0, 1.5, 10.0, 11.0].into_iter().for_each(|value| histogram.observe(value));
        assert_eq!((&histogram.counts[..], histogram.count()), (&[2, 2, 1][..], 5));
        assert!((histogram.sum - 24.0).abs() < 1e-9);
    }
}
