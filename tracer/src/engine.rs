//! The heart: folds an event into the world, and asks the rules what to think of it.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use crate::{
    change::Change,
    event::{Event, EventKind},
    finding::{Confidence, Finding},
    ident::ProcKey,
    rules::{NOBODY, RULES, Rule, Thresholds, Verdict},
    world::World,
};

/// What one event caused: all that a sink gets to see.
#[derive(Debug)]
pub struct Step<'a> {
    /// Number of the event, from 0.
    pub seq: u64,
    /// The event.
    pub event: &'a Event,
    /// The bytes that the event came as; empty for one that was made by hand, in a test.
    pub record: &'a [u8],
    /// What it did to the world.
    pub changes: &'a [Change],
    /// What the rules found.
    pub findings: &'a [Finding],
}

/// World and rules.
pub struct Engine {
    world: World,
    rules: Vec<Box<dyn Rule>>,
    rechecks: Rechecks,
    next_seq: u64,
    changes: Vec<Change>,
    findings: Vec<Finding>,
}

impl Engine {
    /// An empty world and all rules.
    pub fn new(thresholds: &Thresholds) -> Self {
        Self {
            world: World::default(),
            rules: RULES.iter().map(|rule| (rule.make)(thresholds)).collect(),
            rechecks: Rechecks::default(),
            next_seq: 0,
            changes: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// What is known now.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Takes an event in, with the bytes that it came as; gives what it caused, and the world after
    /// it.
    pub fn step<'a>(&'a mut self, event: &'a Event, record: &'a [u8]) -> (Step<'a>, &'a World) {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.changes.clear();
        self.findings.clear();
        self.world.apply(event, seq, &mut self.changes);
        for change in &self.changes {
            if let Change::Reaped { identity, .. } = change {
                self.rechecks.forget(identity.key, self.rules.len());
            }
            for (i, rule) in self.rules.iter().enumerate() {
                let verdict = rule.check(&self.world, change, seq);
                note(verdict, i, &self.world, &mut self.rechecks, &mut self.findings);
            }
        }
        // Only when time passes, so that `due` has named the processes to look at before.
        if event.kind == EventKind::Tick {
            self.recheck(event.at);
        }
        (Step { seq, event, record, changes: &self.changes, findings: &self.findings }, &self.world)
    }

    fn recheck(&mut self, now: u64) {
        // All at once: at the end of time, what is to be asked later is due already.
        for (i, key) in std::iter::from_fn(|| self.rechecks.next(now)).collect::<Vec<_>>() {
            let verdict = self.rules[i].recheck(&self.world, key);
            note(verdict, i, &self.world, &mut self.rechecks, &mut self.findings);
        }
    }

    /// The processes that the source should look at before a tick at that time: those that rules
    /// will be asked about, those that owe them a wait, whom else a rule wants to see, however many
    /// these are, as a rule speaks of nobody unseen; and of those of which the world is in doubt, so
    /// many.
    pub fn due(&self, now: u64, doubts: usize) -> BTreeSet<ProcKey> {
        self.rechecks
            .due(now)
            .flat_map(|(rule, key)| {
                let others = self.rules[rule].looks_at(&self.world, key);
                [Some(key), self.world.owed_by(key)].into_iter().flatten().chain(others)
            })
            .filter(|&key| key != NOBODY)
            .chain(self.world.doubtful(now).take(doubts))
            .collect()
    }
}

/// When to ask which rule again, and about whom: once for each rule and process, whatever it said last.
#[derive(Debug, Default)]
struct Rechecks {
    order: BTreeSet<(u64, usize, ProcKey)>,
    times: FxHashMap<(usize, ProcKey), u64>,
}

impl Rechecks {
    fn insert(&mut self, at: u64, rule: usize, key: ProcKey) {
        if let Some(before) = self.times.insert((rule, key), at) {
            self.order.remove(&(before, rule, key));
        }
        self.order.insert((at, rule, key));
    }

    /// Nothing is to be asked about who is gone.
    fn forget(&mut self, key: ProcKey, rules: usize) {
        for rule in 0..rules {
            if let Some(at) = self.times.remove(&(rule, key)) {
                self.order.remove(&(at, rule, key));
            }
        }
    }

    /// The next that is due, which is then no more.
    fn next(&mut self, now: u64) -> Option<(usize, ProcKey)> {
        let &(_, rule, key) = self.order.first().filter(|&&(at, ..)| at <= now)?;
        self.order.pop_first();
        self.times.remove(&(rule, key));
        Some((rule, key))
    }

    fn due(&self, now: u64) -> impl Iterator<Item = (usize, ProcKey)> {
        self.order.iter().take_while(move |&&(at, ..)| at <= now).map(|&(_, rule, key)| (rule, key))
    }
}

fn note(verdict: Verdict, rule: usize, world: &World, rechecks: &mut Rechecks, findings: &mut Vec<Finding>) {
    match verdict {
        Verdict::Quiet => {}
        Verdict::Recheck(at, key) => {
            // Never at once, or a rule that cannot make up its mind would keep the loop busy.
            rechecks.insert(at.max(world.now().saturating_add(1)), rule, key);
        }
        Verdict::Found(mut finding) => {
            if finding.confidence == Confidence::Certain
                && finding.since < finding.at
                && world.is_gap_since(finding.since)
            {
                finding.confidence = Confidence::Incomplete(
                    "events were lost after this began, so part of the story may be missing".into(),
                );
            }
            findings.push(*finding);
        }
    }
}
