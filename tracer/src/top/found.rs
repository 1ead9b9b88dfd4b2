//! The findings so far: of lasting ones their present stage, of similar ones the last and how many there were.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use crate::{
    finding::{Finding, Part, Role, Severity, Stage, Subject, Value},
    ident::ProcKey,
    time::BootNs,
    top::scene::Mark,
};

/// How many entries are kept: a bound on what a stream can make its reader hold. The least urgent go first.
const MOST: usize = 1000;
/// How many marks the time line has at the most.
const MARKS: usize = 20_000;

/// A finding, or similar ones.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number: it stays the same.
    pub id: u64,
    /// As it was told first, with all that is known of it; of similar ones, the last.
    pub told: Arc<Finding>,
    /// Its end, if it is over or was wrong.
    pub end: Option<Arc<Finding>>,
    /// How many similar ones there were.
    pub count: u64,
}

impl Entry {
    /// As it was reported last.
    pub fn last(&self) -> &Finding {
        self.end.as_deref().unwrap_or(&self.told)
    }

    /// Whether it is over or was wrong.
    pub fn is_closed(&self) -> bool {
        self.end.is_some()
    }

    fn rank(&self, order: Order) -> impl Ord + use<> {
        let is_last = match order {
            Order::Present => self.is_closed(),
            Order::Past => self.last().stage == Stage::Withdrawn,
        };
        let severity = Reverse(self.told.rule.severity);
        (is_last, severity, self.is_closed(), Reverse(self.last().at), Reverse(self.id))
    }
}

/// What matters most: now, what is to be done; of the past, what was worst, be it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Open before closed, then urgent before not.
    Present,
    /// Urgent before not, then open before closed; last what was wrong.
    Past,
}

/// What findings have in common that are told as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    /// Lasting ones.
    About(&'static str, Subject),
    /// Similar ones.
    Alike(&'static str, Vec<Part>),
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Found {
    entries: BTreeMap<u64, Arc<Entry>>,
    by_likeness: BTreeMap<Likeness, u64>,
    marks: Vec<Mark>,
    next: u64,
}

impl Found {
    /// Takes a finding in.
    pub fn add(&mut self, finding: Arc<Finding>) {
        if finding.stage == Stage::New && self.marks.len() < MARKS {
            self.marks.push(Mark { at: finding.at, severity: finding.rule.severity });
        }
        let likeness = likeness(&finding);
        let known = likeness.as_ref().and_then(|likeness| self.by_likeness.get(likeness)).copied();
        let known = known.and_then(|id| self.entries.get_mut(&id)).map(Arc::make_mut);
        let Some(entry) = known.filter(|entry| !entry.is_closed()) else {
            self.begin(finding, likeness);
            return;
        };
        match finding.stage {
            Stage::New => (entry.told, entry.count) = (finding, entry.count + 1),
            Stage::Ongoing => entry.told = finding,
            Stage::Resolved | Stage::Withdrawn => entry.end = Some(finding),
        }
    }

    fn begin(&mut self, finding: Arc<Finding>, likeness: Option<Likeness>) {
        let id = self.next;
        self.next += 1;
        let end = matches!(finding.stage, Stage::Resolved | Stage::Withdrawn).then(|| finding.clone());
        self.by_likeness.extend(likeness.map(|likeness| (likeness, id)));
        self.entries.insert(id, Arc::new(Entry { id, told: finding, end, count: 1 }));
        if self.entries.len() > MOST {
            self.forget();
        }
    }

    /// Drops a tenth of them, those that matter least.
    fn forget(&mut self) {
        let entries = self.ranked(Order::Present);
        for entry in entries.iter().skip(MOST - MOST / 10) {
            self.entries.remove(&entry.id);
        }
        self.by_likeness.retain(|_, id| self.entries.contains_key(id));
    }

    /// All of them, those first that matter most; else late before early.
    pub fn ranked(&self, order: Order) -> Vec<Arc<Entry>> {
        let mut entries: Vec<_> = self.entries.values().cloned().collect();
        entries.sort_by_key(|entry| entry.rank(order));
        entries
    }

    /// New findings, in the order in which they were found.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// How urgent the open findings about each process are, and those of the last moments before `now`.
    pub fn accused(&self, now: BootNs) -> BTreeMap<ProcKey, Severity> {
        let mut accused = BTreeMap::new();
        for entry in self.entries.values() {
            let finding = &entry.told;
            let holds = if finding.rule.lasts { !entry.is_closed() } else { finding.at + super::lately::SHOWN >= now };
            if !holds {
                continue;
            }
            let debtor = finding.facts.own(Role::Debtor).and_then(|debtor| debtor.processes().first());
            for key in debtor.map(|debtor| debtor.key).into_iter().chain([finding.process.key]) {
                let severity = accused.entry(key).or_insert(finding.rule.severity);
                *severity = finding.rule.severity.max(*severity);
            }
        }
        accused
    }
}

fn likeness(finding: &Finding) -> Option<Likeness> {
    if finding.rule.lasts {
        return Some(Likeness::About(finding.rule.name, finding.subject()));
    }
    match finding.facts.own(Role::Alike)? {
        Value::Key(key) => Some(Likeness::Alike(finding.rule.name, key.clone())),
        _ => None,
    }
}
