//! Counts of what a run saw.

use std::collections::BTreeMap;

use crate::{
    event::{End, EventKind, Loss},
    finding::{Finding, Stage},
    kind::Kind,
    step::Step,
    time::{BootNs, Span},
    world::World,
};

/// Counts of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// When it began.
    pub began: BootNs,
    /// From the start to the end.
    pub duration_ns: Span,
    /// When it ended.
    pub ended_at: BootNs,
    /// Events of the stream.
    pub events: BTreeMap<Kind, u64>,
    /// Findings by rule, those included that a filter kept from being shown, without those that were withdrawn.
    pub findings: BTreeMap<&'static str, u64>,
    /// Signals that the kernel generated, including those that never entered the stream.
    pub signals_seen: u64,
    /// What was lost.
    pub lost: Loss,
    /// Lines of output that are missing because nobody read them in time.
    pub unwritten: u64,
    /// Loops over threads or ancestors in the kernel that were cut short.
    pub walks_cut: u64,
    /// Processor time that the tool itself used since tracing began. The time of its programs in the kernel is charged
    /// to the tasks that ran them.
    pub cpu_ns: Span,
    /// Processes in the world at the end.
    pub processes: u64,
    /// Pid namespaces in the world at the end.
    pub namespaces: u64,
}

impl Summary {
    /// Counts what a step brought, unless it is from before a boot time.
    pub fn count(&mut self, step: &Step<'_>, from: BootNs) {
        if step.event.at < from {
            return;
        }
        if self.began == BootNs::ZERO {
            self.began = step.event.at;
        }
        // With the exact hook, the release that follows a reap adds nothing.
        let is_known = matches!(step.event.kind, EventKind::Free(_)) && step.changes.is_empty();
        if let Some(kind) = step.event.kind.kind()
            && !is_known
        {
            *self.events.entry(kind).or_default() += 1;
        }
        step.findings.iter().for_each(|finding| tally(&mut self.findings, finding));
        match &step.event.kind {
            EventKind::Lost(loss) => self.lost.add(loss),
            &EventKind::End(End { began, cpu_ns, signals, walks_cut }) => {
                (self.ended_at, self.walks_cut) = (step.event.at, walks_cut);
                if from <= began {
                    (self.began, self.cpu_ns, self.signals_seen) = (began, cpu_ns, signals);
                }
            }
            _ => {}
        }
    }

    /// Counts what there is at the end.
    pub fn conclude(&mut self, world: &World) {
        self.processes = world.process_count() as u64;
        self.namespaces = world.namespace_count() as u64;
        if self.ended_at == BootNs::ZERO {
            // A stream that was cut off.
            self.ended_at = world.now();
        }
        if self.signals_seen == 0 {
            // The kernel's own count is for a whole run, and comes with its end.
            self.signals_seen = self.events.get(&Kind::Signal).copied().unwrap_or(0);
        }
        self.duration_ns = self.ended_at - self.began;
    }
}

/// Counts a finding by its rule, when it is new; one that is withdrawn does not count, after all.
pub fn tally(counts: &mut BTreeMap<&'static str, u64>, finding: &Finding) {
    match finding.stage {
        Stage::New => *counts.entry(finding.rule.name).or_default() += 1,
        Stage::Withdrawn => match counts.get_mut(finding.rule.name) {
            Some(count) if *count > 1 => *count -= 1,
            _ => _ = counts.remove(finding.rule.name),
        },
        Stage::Ongoing | Stage::Resolved => {}
    }
}

/// What is counted in the first and not in the second.
pub fn less(all: &BTreeMap<&'static str, u64>, some: &BTreeMap<&'static str, u64>) -> BTreeMap<&'static str, u64> {
    let rest = |name: &str, n: u64| n.saturating_sub(some.get(name).copied().unwrap_or(0));
    all.iter().map(|(&name, &n)| (name, rest(name, n))).filter(|&(_, n)| n > 0).collect()
}

/// A duration for a person: `4.2 s`, `35 ms`, `3 min 20 s`, `2 d 4 h`.
pub fn seconds(Span(ns): Span) -> String {
    let ms = ns / 1_000_000;
    let s = ms / 1_000;
    match s {
        0 if ms == 0 => format!("{} µs", ns / 1_000),
        0 => format!("{ms} ms"),
        1..60 => format!("{}.{} s", s, ms % 1_000 / 100),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// Names, and how many more there are.
pub fn and_more(names: &[String], count: u64) -> String {
    let more = count.saturating_sub(names.len() as u64);
    let names = names.join(", ");
    if more > 0 { format!("{names} and {more} more") } else { names }
}

#[cfg(test)]
mod tests {
    use super::{Span, seconds};

    #[test]
    fn durations_read_well_at_every_size() {
        for (ns, text) in [
            (900, "0 µs"),
            (42_000, "42 µs"),
            (999_999_999, "999 ms"),
            (2_049_000_000, "2.0 s"),
            (200_000_000_000, "3 min 20 s"),
            (7_300_000_000_000, "2 h 1 min"),
            (190_000_000_000_000, "2 d 4 h"),
        ] {
            assert_eq!(seconds(Span(ns)), text);
        }
    }
}
