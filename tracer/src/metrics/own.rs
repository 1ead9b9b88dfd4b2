//! What a tracer knows about itself: how full its buffer was, and what became of what it sent.

use std::sync::Arc;

use super::{
    delivery::Deliveries,
    family::{Family, Labels, Unit, Values},
};
use crate::source::fill::Fill;

/// See the module. A replay has neither.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// The buffer that the kernel fills.
    pub fill: Option<Arc<Fill>>,
    /// What was sent by OTLP.
    pub deliveries: Option<Arc<Deliveries>>,
}

impl Own {
    pub(super) fn families(&self) -> Vec<Family> {
        let Self { fill, deliveries } = self;
        let gauge = |name, help, value: u64| {
            let values = Values::Gauges(vec![(Labels::new(), value.cast_signed())]);
            Family { name, help, unit: Unit::Bytes, values }
        };
        let fill = fill.iter().flat_map(|fill| {
            [
                gauge("buffer_size", "The buffer that all processors share, in bytes", fill.size()),
                gauge(
                    "buffer_peak",
                    "The most of it that was in use at once in the last minute, in bytes",
                    fill.peak(),
                ),
            ]
        });
        fill.chain(deliveries.iter().map(|deliveries| deliveries.family())).collect()
    }
}
