//! A finding, or a notice, as a log record of OpenTelemetry that is an event: its name says what its attributes are. Where
//! the semantic conventions have a name for something (process, container, k8s), it has that one.

use std::io;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, SeverityNumber},
};

use crate::{
    console::style::count,
    finding::{Finding, Severity},
    host::{Container, Engine},
    ident::escape,
    sink::{
        json::line_of,
        select::{Item, Moment},
    },
    time::BootNs,
    world::World,
};

/// What an item is as a record; `None` for what is not told.
pub fn of(world: &World, moment: Moment, item: &Item<'_>) -> io::Result<Option<LogRecord>> {
    let notice = |event, severity, text| record(event, severity, text, Vec::new());
    let mut record = match item {
        Item::Finding(finding) => found(world, finding, 1),
        Item::Repeated(last, together) => found(world, last, together.count),
        Item::Lost(loss) => {
            let text = format!("{} lost: findings about that time may be incomplete", count(loss.total(), "record"));
            notice("tracer.lost", Severity::Warning, text)
        }
        Item::Limited(what) => notice("tracer.limited", Severity::Warning, (*what).to_owned()),
        Item::Start(info) => {
            let limits: Vec<_> = info.degraded.iter().map(|sentence| format!("; limited: {sentence}")).collect();
            let text = format!("watches {}{}", count(world.process_count() as u64, "process"), limits.concat());
            notice("tracer.start", Severity::Info, text)
        }
        Item::Event(_) | Item::Container(_) | Item::Whole => return Ok(None),
    };
    record.time_unix_nano = wall(world, moment.at);
    record.observed_time_unix_nano = wall(world, world.now());
    if let Some(line) = line_of(world, moment, item)? {
        record.attributes.push(text("tracer.json", line));
    }
    Ok(Some(record))
}

fn record(event: &str, severity: Severity, body: String, attributes: Vec<KeyValue>) -> LogRecord {
    let (number, word) = match severity {
        Severity::Error => (SeverityNumber::Error, "ERROR"),
        Severity::Warning => (SeverityNumber::Warn, "WARN"),
        Severity::Info => (SeverityNumber::Info, "INFO"),
    };
    LogRecord {
        severity_number: number.into(),
        severity_text: word.to_owned(),
        body: Some(AnyValue { value: Some(Value::StringValue(body)) }),
        event_name: event.to_owned(),
        attributes,
        ..LogRecord::default()
    }
}

/// A finding, or so many that are similar to some that were told.
fn found(world: &World, finding: &Finding, times: u64) -> LogRecord {
    let rule = finding.rule;
    let mut attributes = vec![
        text("tracer.rule", rule.name),
        text("tracer.stage", finding.stage.id()),
        text("tracer.confidence", finding.confidence.id()),
        text("tracer.message", finding.message()),
        text("tracer.fix", finding.fix()),
        number("process.pid", finding.process.key.tgid),
        text("process.executable.name", escape(finding.process.comm.bytes())),
    ];
    if times > 1 {
        attributes.push(number("tracer.times", times));
    }
    if let Some(container) = world.container_of(&finding.process) {
        attributes.extend(contained(container));
    }
    record("tracer.finding", rule.severity, finding.headline.clone(), attributes)
}

fn contained(container: &Container) -> Vec<KeyValue> {
    let Container { id, engine, name, image, pod, pod_namespace, .. } = container;
    if *engine == Engine::Systemd {
        return vec![text("systemd.unit", escape(id.as_bytes()))];
    }
    let named = name.as_ref().map(|name| ("container.name", name));
    // In a pod, the name of a container is that of the pod's specification.
    let of_pod = pod.as_ref().and(name.as_ref()).map(|name| ("k8s.container.name", name));
    let more = [
        Some(("container.id", id)),
        named,
        image.as_ref().map(|image| ("container.image.name", image)),
        pod.as_ref().map(|pod| ("k8s.pod.name", pod)),
        pod_namespace.as_ref().map(|namespace| ("k8s.namespace.name", namespace)),
        of_pod,
    ];
    let engine = text("container.runtime.name", engine.id());
    more.into_iter().flatten().map(|(name, what)| text(name, escape(what.as_bytes()))).chain([engine]).collect()
}

fn text(name: &str, value: impl Into<String>) -> KeyValue {
    attribute(name, Value::StringValue(value.into()))
}

fn number(name: &str, value: impl Into<u64>) -> KeyValue {
    attribute(name, Value::IntValue(value.into().cast_signed()))
}

fn attribute(name: &str, value: Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Nanoseconds since 1970, as the machine's clock was at the start.
pub fn wall(world: &World, at: BootNs) -> u64 {
    at.0.saturating_add_signed(world.wall_offset_ns())
}
