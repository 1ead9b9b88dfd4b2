//! A metric as OpenTelemetry has it. By that name and unit, receivers that speak Prometheus's language give it the name
//! that [`metrics`](crate::metrics) gives it there.

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum, metric::Data,
        number_data_point::Value,
    },
};

use crate::metrics::{
    PREFIX,
    family::{Family, Labels, Unit, Values},
};

/// When counting began, and now, in nanoseconds since 1970.
pub type Times = (u64, u64);

/// As a metric whose counts are since the start (cumulative).
pub fn metric(family: Family, times: Times) -> Metric {
    let Family { name, help, unit, values } = family;
    let unit = match unit {
        Unit::One => "",
        Unit::Seconds => "s",
        Unit::Bytes => "By",
    };
    let point = |(labels, value): (Labels, Value)| number(labels, value, times);
    let cumulative = AggregationTemporality::Cumulative.into();
    let sum = |data_points| Data::Sum(Sum { data_points, aggregation_temporality: cumulative, is_monotonic: true });
    let data = match values {
        Values::Counters(all) => {
            sum(all.into_iter().map(|(labels, count)| point((labels, Value::AsInt(count.cast_signed())))).collect())
        }
        Values::Time(seconds) => sum(vec![point((Labels::new(), Value::AsDouble(seconds)))]),
        Values::Gauges(all) => {
            let points = all.into_iter().map(|(labels, level)| point((labels, Value::AsInt(level))));
            Data::Gauge(Gauge { data_points: points.collect() })
        }
        Values::Histogram(histogram) => {
            let (start_time_unix_nano, time_unix_nano) = times;
            let point = HistogramDataPoint {
                start_time_unix_nano,
                time_unix_nano,
                count: histogram.count(),
                sum: Some(histogram.sum),
                explicit_bounds: histogram.bounds.to_vec(),
                bucket_counts: histogram.counts,
                ..HistogramDataPoint::default()
            };
            Data::Histogram(Histogram { data_points: vec![point], aggregation_temporality: cumulative })
        }
    };
    Metric {
        name: format!("{PREFIX}.{name}"),
        description: help.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn number(labels: Labels, value: Value, (start_time_unix_nano, time_unix_nano): Times) -> NumberDataPoint {
    let attributes = labels.into_iter().map(|(name, what)| {
        let value = Some(AnyValue { value: Some(any_value::Value::StringValue(what)) });
        KeyValue { key: name.to_owned(), value, ..KeyValue::default() }
    });
    NumberDataPoint {
        attributes: attributes.collect(),
        start_time_unix_nano,
        time_unix_nano,
        value: Some(value),
        ..NumberDataPoint::default()
    }
}
