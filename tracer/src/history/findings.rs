//! Findings as they were in the end: each once, with what it came to; similar ones folded as in text.

use std::collections::{BTreeMap, VecDeque};

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
    /// How many were kept before it.
    pub number: usize,
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
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// By their numbers.
    kept: VecDeque<Found>,
    /// Those that have a number.
    numbered: usize,
    /// Of too many, the last are kept; otherwise the first.
    is_of_late: bool,
    /// The last of each subject that lasts, by its number.
    open: BTreeMap<(&'static str, Subject), usize>,
    /// Those that were not kept, by rule.
    more: BTreeMap<&'static str, u64>,
}

impl Findings {
    /// Of too many, the last are kept.
    pub(super) fn of_late() -> Self {
        Self { is_of_late: true, ..Self::default() }
    }

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
                let number = self.add(finding, None);
                if finding.rule.lasts {
                    match number {
                        Some(number) => _ = self.open.insert(subject, number),
                        None => _ = self.open.remove(&subject),
                    }
                }
            }
            Stage::Ongoing => {
                if let Some(found) = self.open.get(&subject).copied().and_then(|number| self.numbered(number)) {
                    let first = found.finding.at;
                    found.finding = Finding { at: first, ..finding.brief() };
                }
            }
            Stage::Resolved | Stage::Withdrawn => {
                if let Some(found) = self.open.remove(&subject).and_then(|number| self.numbered(number)) {
                    let Finding { stage, at, headline, notes, .. } = finding;
                    let (headline, notes) = (headline.clone(), notes.clone());
                    found.ending = Some(Ending { stage: *stage, at: *at, headline, notes });
                }
            }
        }
    }

    pub(super) fn repeated(&mut self, last: &Finding, together: &Together) {
        self.add(last, Some(together));
    }

    fn numbered(&mut self, number: usize) -> Option<&mut Found> {
        let place = self.kept.binary_search_by_key(&number, |found| found.number).ok()?;
        self.kept.get_mut(place)
    }

    /// Its number, if there was room.
    fn add(&mut self, finding: &Finding, together: Option<&Together>) -> Option<usize> {
        let severity = finding.rule.severity;
        if self.kept.iter().filter(|kept| kept.finding.rule.severity == severity).count() >= MOST {
            if !self.is_of_late {
                self.leave_out(finding, together);
                return None;
            }
            self.make_room(severity);
        }
        let number = self.numbered;
        self.numbered += 1;
        self.kept.push_back(Found { number, finding: finding.brief(), ending: None, together: together.cloned() });
        Some(number)
    }

    /// Leaves out the oldest of that severity that does not go on; if all do, the oldest.
    fn make_room(&mut self, severity: Severity) {
        let goes_on = |kept: &Found| self.open.values().any(|&number| number == kept.number);
        let is_fit = |kept: &&Found| kept.finding.rule.severity == severity;
        let all = || self.kept.iter().filter(is_fit);
        let Some(number) = all().find(|kept| !goes_on(kept)).or_else(|| all().next()).map(|kept| kept.number) else {
            return;
        };
        self.open.retain(|_, open| *open != number);
        let place = self.kept.iter().position(|kept| kept.number == number);
        if let Some(found) = place.and_then(|place| self.kept.remove(place))
            && !found.is_withdrawn()
        {
            self.leave_out(&found.finding, found.together.as_ref());
        }
    }

    fn leave_out(&mut self, finding: &Finding, together: Option<&Together>) {
        *self.more.entry(finding.rule.name).or_default() += together.map_or(1, |together| together.count);
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
