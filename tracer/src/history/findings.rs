//! Findings as they were in the end: each once, with what it came to; similar ones folded as in text.

use std::collections::BTreeMap;

use crate::{
    finding::{Finding, Note, Severity, Stage, Subject},
    sink::alike::Together,
    time::BootNs,
};

/// Findings of one severity that are kept; further ones are counted.
const MOST: usize = 80;

/// A finding, and what became of it.
#[derive(Clone, Debug)]
pub struct Found {
    /// As it was told last while it went on; at its first time.
    pub finding: Finding,
    /// How it ended, if it did.
    pub ending: Option<Ending>,
    /// It stands for so many that are similar, of which it is the last; `finding.at` is the end of the count.
    pub together: Option<Together>,
}

/// How a finding ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// It is over, or was wrong.
    pub stage: Stage,
    /// When.
    pub at: BootNs,
    /// In the words of its rule.
    pub headline: String,
    /// What more there is to tell.
    pub notes: Vec<Note>,
}

/// All findings.
#[derive(Debug, Default)]
pub struct Findings {
    kept: Vec<Found>,
    /// The last of each subject that lasts.
    open: BTreeMap<(&'static str, Subject), usize>,
    /// Those that were not kept, by rule.
    more: BTreeMap<&'static str, u64>,
}

impl Findings {
    /// Those that were kept, in the order in which they were told.
    pub fn iter(&self) -> impl Iterator<Item = &Found> {
        self.kept.iter()
    }

    /// How many were not kept, by rule.
    pub fn more(&self) -> &BTreeMap<&'static str, u64> {
        &self.more
    }

    pub(super) fn told(&mut self, finding: &Finding) {
        let subject = (finding.rule.name, finding.subject());
        match finding.stage {
            Stage::New => {
                let place = self.add(Found { finding: finding.brief(), ending: None, together: None });
                if finding.rule.lasts {
                    match place {
                        Some(place) => _ = self.open.insert(subject, place),
                        None => _ = self.open.remove(&subject),
                    }
                }
            }
            Stage::Ongoing => {
                if let Some(found) = self.open.get(&subject).map(|&place| &mut self.kept[place]) {
                    let first = found.finding.at;
                    found.finding = Finding { at: first, ..finding.brief() };
                }
            }
            Stage::Resolved | Stage::Withdrawn => {
                if let Some(place) = self.open.remove(&subject) {
                    let Finding { stage, at, headline, notes, .. } = finding;
                    let (headline, notes) = (headline.clone(), notes.clone());
                    self.kept[place].ending = Some(Ending { stage: *stage, at: *at, headline, notes });
                }
            }
        }
    }

    pub(super) fn repeated(&mut self, last: &Finding, together: &Together) {
        self.add(Found { finding: last.brief(), ending: None, together: Some(together.clone()) });
    }

    /// Its place, if there was room.
    fn add(&mut self, found: Found) -> Option<usize> {
        let rule = found.finding.rule;
        let is_as_urgent = |kept: &&Found| kept.finding.rule.severity == rule.severity;
        if self.kept.iter().filter(is_as_urgent).count() >= MOST {
            *self.more.entry(rule.name).or_default() += found.together.map_or(1, |together| together.count);
            return None;
        }
        self.kept.push(found);
        Some(self.kept.len() - 1)
    }
}

impl Found {
    /// Its severity; of what was wrong, the least.
    pub fn severity(&self) -> Severity {
        if self.is_withdrawn() { Severity::Info } else { self.finding.rule.severity }
    }

    /// It was wrong.
    pub fn is_withdrawn(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.stage == Stage::Withdrawn)
    }
}
