//! The line of a finding: what all have in common, then the facts that its rule declares.

use std::collections::BTreeMap;

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

use super::line::{Digits, Name, Process, Status, Wall, sender};
use crate::{
    finding::{Confidence, Facts, Finding, Presence, Value},
    sink::alike::Together,
    time::Seq,
    world::World,
};

#[derive(Serialize)]
#[serde(tag = "type", rename = "finding")]
pub(super) struct FindingLine<'a> {
    rule: &'static str,
    severity: &'static str,
    stage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    signals: BTreeMap<String, u64>,
    at: Wall,
    at_boot_ns: Digits,
    since: Wall,
    since_boot_ns: Digits,
    process: Process<'a>,
    confidence: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence_note: Option<&'a str>,
    headline: &'a str,
    message: String,
    fix: String,
    evidence: &'a [Seq],
    #[serde(flatten)]
    facts: Record<'a>,
}

/// Facts, by their names.
struct Record<'a> {
    world: &'a World,
    facts: &'a Facts,
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { world, facts } = *self;
        let mut map = serializer.serialize_map(None)?;
        for (def, value) in facts.iter().filter(|(def, _)| def.is_shown()) {
            if def.presence != Presence::Optional || !value.is_none() {
                map.serialize_entry(def.name, &Fact { world, value })?;
            }
        }
        map.end()
    }
}

/// The value of a fact.
struct Fact<'a> {
    world: &'a World,
    value: &'a Value,
}

impl Serialize for Fact<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let world = self.world;
        match self.value {
            Value::None | Value::Key(_) => serializer.serialize_none(),
            Value::Signal(signal) => serializer.collect_str(signal),
            Value::Sender(from) => sender(world, from).serialize(serializer),
            Value::Process(process) => Process::new(world, process).serialize(serializer),
            Value::Processes(all) => serializer.collect_seq(all.iter().map(|process| Process::new(world, process))),
            Value::Count(count) => serializer.serialize_u64(*count),
            Value::Number(number) => serializer.serialize_i64(*number),
            Value::Status(status) => Status::from(*status).serialize(serializer),
            Value::Word(word) => serializer.serialize_str(word),
            Value::Flag(flag) => serializer.serialize_bool(*flag),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Name(name) => Name(*name).serialize(serializer),
            Value::Group(_, path) => path.serialize(serializer),
            Value::Record(facts) => Record { world, facts }.serialize(serializer),
            Value::List(list) => {
                let mut seq = serializer.serialize_seq(Some(list.len()))?;
                list.iter().try_for_each(|facts| seq.serialize_element(&Record { world, facts }))?;
                seq.end()
            }
        }
    }
}

/// So many that are like some that were told, by the last of them.
pub(super) fn repeated<'a>(world: &'a World, last: &'a Finding, all: &Together) -> FindingLine<'a> {
    let Together { count, signals } = all;
    let signals = signals.iter().map(|(signal, n)| (signal.to_string(), *n)).collect();
    FindingLine { stage: "repeated", times: Some(*count), signals, ..finding(world, last) }
}

pub(super) fn finding<'a>(world: &'a World, finding: &'a Finding) -> FindingLine<'a> {
    let confidence_note = match &finding.confidence {
        Confidence::Certain => None,
        Confidence::Incomplete(note) => Some(note.as_str()),
    };
    FindingLine {
        rule: finding.rule.name,
        severity: finding.rule.severity.id(),
        stage: finding.stage.id(),
        times: None,
        signals: BTreeMap::new(),
        at: Wall::new(world, finding.at),
        at_boot_ns: Digits(finding.at),
        since: Wall::new(world, finding.since),
        since_boot_ns: Digits(finding.since),
        process: Process::new(world, &finding.process),
        confidence: finding.confidence.id(),
        confidence_note,
        headline: &finding.headline,
        message: finding.message(),
        fix: finding.fix(),
        evidence: &finding.evidence,
        facts: Record { world, facts: &finding.facts },
    }
}
