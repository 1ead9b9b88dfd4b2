//! When to ask which rule again, and about which process: once per rule and process, at the earliest time that it
//! named.

use std::collections::{BTreeSet, hash_map::Entry};

use rustc_hash::FxHashMap;

use crate::{detector::ASKED_AT_ONCE, ident::ProcKey, time::BootNs};

/// What is planned, by rule: one that has very much to ask about holds up no other.
#[derive(Debug, Default)]
pub(super) struct Rechecks(Vec<OfRule>);

/// About which processes a rule is asked.
#[derive(Debug, Default)]
struct OfRule {
    order: BTreeSet<(BootNs, ProcKey)>,
    times: FxHashMap<ProcKey, BootNs>,
}

impl OfRule {
    fn insert(&mut self, at: BootNs, key: ProcKey) {
        match self.times.entry(key) {
            Entry::Occupied(before) if *before.get() <= at => return,
            Entry::Occupied(mut before) => {
                self.order.remove(&(before.insert(at), key));
            }
            Entry::Vacant(place) => {
                place.insert(at);
            }
        }
        self.order.insert((at, key));
    }

    fn forget(&mut self, key: ProcKey) {
        if let Some(at) = self.times.remove(&key) {
            self.order.remove(&(at, key));
        }
    }

    /// The first that are due.
    fn due(&self, now: BootNs) -> impl Iterator<Item = (BootNs, ProcKey)> + '_ {
        self.order.iter().take_while(move |&&(at, _)| at <= now).take(ASKED_AT_ONCE).copied()
    }
}

impl Rechecks {
    /// When the next one is due.
    pub(super) fn next_time(&self) -> Option<BootNs> {
        self.0.iter().filter_map(|rule| rule.order.first()).map(|&(at, _)| at).min()
    }

    pub(super) fn insert(&mut self, at: BootNs, rule: usize, key: ProcKey) {
        if self.0.len() <= rule {
            self.0.resize_with(rule + 1, OfRule::default);
        }
        self.0[rule].insert(at, key);
    }

    /// A process that is gone needs no more questions.
    pub(super) fn forget(&mut self, key: ProcKey) {
        self.0.iter_mut().for_each(|rule| rule.forget(key));
    }

    /// Whether anything is due.
    pub(super) fn is_due(&self, now: BootNs) -> bool {
        self.next_time().is_some_and(|at| at <= now)
    }

    /// What is due, in the order of time: of each rule, about so many processes at the most.
    pub(super) fn due(&self, now: BootNs) -> Vec<(BootNs, usize, ProcKey)> {
        let rules = self.0.iter().enumerate();
        let mut due: Vec<_> = rules.flat_map(|(rule, of)| of.due(now).map(move |(at, key)| (at, rule, key))).collect();
        due.sort_unstable();
        due
    }

    /// Takes that out.
    pub(super) fn take_due(&mut self, now: BootNs) -> Vec<(usize, ProcKey)> {
        let due = self.due(now);
        due.iter().for_each(|&(_, rule, key)| self.0[rule].forget(key));
        due.into_iter().map(|(_, rule, key)| (rule, key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::{after_boot, key};

    #[test]
    fn the_earliest_time_counts_and_is_asked_once() {
        let mut rechecks = Rechecks::default();
        for (at, rule) in [(5, 1), (3, 1), (4, 1), (4, 0), (9, 2)] {
            rechecks.insert(after_boot(at), rule, key(7));
        }
        assert!(!rechecks.is_due(after_boot(2)));
        assert_eq!(rechecks.take_due(after_boot(5)), [(1, key(7)), (0, key(7))]);
        assert!(!rechecks.is_due(after_boot(8)));
        rechecks.forget(key(7));
        assert!(!rechecks.is_due(after_boot(10)) && rechecks.0.iter().all(|rule| rule.times.is_empty()));
    }

    #[test]
    fn a_rule_with_many_questions_holds_up_no_other() {
        let mut rechecks = Rechecks::default();
        for pid in 0..1_000 {
            rechecks.insert(after_boot(1), 0, key(pid));
        }
        rechecks.insert(after_boot(2), 1, key(5));
        let due = rechecks.take_due(after_boot(3));
        assert_eq!(due.len(), ASKED_AT_ONCE + 1);
        assert_eq!(due.last(), Some(&(1, key(5))));
        assert!(rechecks.is_due(after_boot(3)));
    }
}
