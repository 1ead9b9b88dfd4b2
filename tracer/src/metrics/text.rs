//! Metrics in the text format of Prometheus.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder, NoLabelSet, prometheus_text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::{
    PREFIX,
    family::{Family, Values},
};

/// What HTTP calls [`text`].
pub use prometheus_text::CONTENT_TYPE;

#[derive(Debug)]
struct Families(Vec<Family>);

/// All of them.
///
/// # Errors
/// None, as what is written to grows.
pub fn text(families: Vec<Family>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Families(families)));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Family { name, help, unit, values } in &self.0 {
            let name = format!("{name}{}", unit.suffix());
            let kind = match values {
                Values::Counters(_) | Values::Time(_) => MetricType::Counter,
                Values::Gauges(_) => MetricType::Gauge,
                Values::Histogram(_) => MetricType::Histogram,
            };
            encode(encoder.encode_descriptor(&name, &format!("{help}."), None, kind)?, values)?;
        }
        Ok(())
    }
}

fn encode(mut encoder: MetricEncoder<'_>, values: &Values) -> fmt::Result {
    match values {
        Values::Counters(all) => {
            all.iter().try_for_each(|(labels, count)| ConstCounter::new(*count).encode(encoder.encode_family(labels)?))
        }
        Values::Gauges(all) => {
            all.iter().try_for_each(|(labels, level)| ConstGauge::new(*level).encode(encoder.encode_family(labels)?))
        }
        Values::Time(seconds) => ConstCounter::new(*seconds).encode(encoder),
        Values::Histogram(histogram) => {
            let buckets: Vec<_> = histogram.buckets().collect();
            encoder.encode_histogram::<NoLabelSet>(histogram.sum, histogram.count(), &buckets, None)
        }
    }
}
