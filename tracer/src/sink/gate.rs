//! Collects findings, for those who decide by them: an exit code, reports, the words at the end.

use std::{collections::BTreeMap, io};

use crate::{
    filter::Filter,
    finding::{Finding, RuleDef, Severity, Stage},
    sink::{
        Sink,
        select::{Item, Select},
    },
    step::Step,
    summary::{Summary, tally},
    time::BootNs,
    world::World,
};

/// What makes a recording fail.
#[derive(Clone, Copy, Debug)]
pub enum FailOn {
    /// A finding of that rule.
    Rule(&'static RuleDef),
    /// A finding that is at least so urgent.
    Severity(Severity),
}

/// Findings that are kept as they are; beyond that they are counted.
const KEPT: usize = 10_000;

/// What was found, of what a filter shows, without what was withdrawn.
pub struct Gate {
    select: Select,
    fail_on: Vec<FailOn>,
    /// The first of them.
    pub findings: Vec<Finding>,
    /// How many there are, by rule.
    pub counts: BTreeMap<&'static str, u64>,
    /// How many hit.
    pub hits: u64,
    /// Everything that was in the stream, counted.
    pub summary: Summary,
    /// To be added to a boot time to get the time since 1970, in nanoseconds.
    pub wall_offset_ns: i64,
}

impl Gate {
    /// Nothing was found yet.
    pub fn new(filter: Filter, fail_on: Vec<FailOn>) -> Self {
        Self {
            select: Select::new(filter, &[]),
            fail_on,
            findings: Vec::new(),
            counts: BTreeMap::new(),
            hits: 0,
            summary: Summary::default(),
            wall_offset_ns: 0,
        }
    }

    /// Whether anything is to be failed on.
    pub fn has_fail_on(&self) -> bool {
        !self.fail_on.is_empty()
    }

    /// Whether a finding is one to fail on.
    pub fn is_hit(&self, finding: &Finding) -> bool {
        is_hit(&self.fail_on, finding)
    }

    /// Findings that were counted and are not among [`Gate::findings`].
    pub fn not_kept(&self) -> u64 {
        self.counts.values().sum::<u64>() - self.findings.len() as u64
    }
}

fn is_hit(fail_on: &[FailOn], finding: &Finding) -> bool {
    fail_on.iter().any(|fail_on| match fail_on {
        FailOn::Rule(rule) => rule.name == finding.rule.name,
        FailOn::Severity(least) => finding.rule.severity >= *least,
    })
}

impl Sink for Gate {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        let Self { select, fail_on, findings, counts, hits, summary, wall_offset_ns } = self;
        summary.count(step, BootNs::ZERO);
        *wall_offset_ns = world.wall_offset_ns();
        select.step(world, step, |_, item| {
            let Item::Finding(finding) = item else { return Ok(()) };
            tally(counts, finding);
            let hit = u64::from(is_hit(fail_on, finding));
            match finding.stage {
                Stage::New => {
                    *hits += hit;
                    if findings.len() < KEPT {
                        findings.push(finding.brief());
                    }
                }
                Stage::Withdrawn => {
                    *hits = hits.saturating_sub(hit);
                    let is_it =
                        |told: &Finding| told.rule.name == finding.rule.name && told.subject() == finding.subject();
                    if let Some(told) = findings.iter().rposition(is_it) {
                        findings.remove(told);
                    }
                }
                Stage::Ongoing | Stage::Resolved => {}
            }
            Ok(())
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, world: &World, _summary: &Summary) -> io::Result<()> {
        self.summary.conclude(world);
        Ok(())
    }
}
