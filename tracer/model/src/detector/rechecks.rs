//! When to ask which rule again, and about which process: once per rule and process, at the earliest time that it
//! named.

use std::collections::{BTreeSet, hash_map::Entry};

use rustc_hash::FxHashMap;

use crate::{detector::ASKED_AT_ONCE, ident::ProcKey, time::BootNs};

/// What is planned.
#[derive(Debug, Default)]
pub(super) struct Rechecks {
    /// By rule: one that has very much to ask about holds up no other.
    order: Vec<BTreeSet<(BootNs, ProcKey)>>,
    /// Of each process.
    times: FxHashMap<ProcKey, Times>,
}

/// The rules that ask about a process, and when. Most processes end and are asked about by one, if they are not reaped
/// before.
#[derive(Debug)]
enum Times {
    One(u8, BootNs),
    /// Apart, so that the others take less memory.
    More(Box<More>),
}

#[derive(Debug)]
struct More(Vec<(u8, BootNs)>);

impl Times {
    fn all(&self) -> impl Iterator<Item = (u8, BootNs)> {
        let (one, more) = match self {
            &Self::One(rule, at) => (Some((rule, at)), &[][..]),
            Self::More(more) => (None, &more.0[..]),
        };
        one.into_iter().chain(more.iter().copied())
    }

    /// Sets the time of a rule, unless it has an earlier one; then `None`. Otherwise the one before, if there was one.
    fn set(&mut self, rule: u8, at: BootNs) -> Option<Option<BootNs>> {
        let before = match self {
            Self::One(of, before) if *of == rule => before,
            &mut Self::One(of, before) => {
                *self = Self::More(Box::new(More(vec![(of, before), (rule, at)])));
                return Some(None);
            }
            Self::More(more) => match more.0.iter_mut().find(|(of, _)| *of == rule) {
                Some((_, before)) => before,
                None => {
                    more.0.push((rule, at));
                    return Some(None);
                }
            },
        };
        (at < *before).then(|| Some(std::mem::replace(before, at)))
    }

    /// Forgets the time of a rule; true if no other is left.
    fn unset(&mut self, rule: u8) -> bool {
        match self {
            Self::One(of, _) => *of == rule,
            Self::More(more) => {
                more.0.retain(|&(of, _)| of != rule);
                more.0.is_empty()
            }
        }
    }
}

impl Rechecks {
    /// When the next one is due.
    pub(super) fn next_time(&self) -> Option<BootNs> {
        self.order.iter().filter_map(|order| order.first()).map(|&(at, _)| at).min()
    }

    pub(super) fn insert(&mut self, at: BootNs, rule: usize, key: ProcKey) {
        // There are few rules.
        let number = rule as u8;
        let before = match self.times.entry(key) {
            Entry::Occupied(mut times) => match times.get_mut().set(number, at) {
                Some(before) => before,
                None => return,
            },
            Entry::Vacant(place) => {
                place.insert(Times::One(number, at));
                None
            }
        };
        if self.order.len() <= rule {
            self.order.resize_with(rule + 1, BTreeSet::new);
        }
        let order = &mut self.order[rule];
        before.map(|before| order.remove(&(before, key)));
        order.insert((at, key));
    }

    /// A process that is gone needs no more questions.
    pub(super) fn forget(&mut self, key: ProcKey) {
        let Some(times) = self.times.remove(&key) else { return };
        for (rule, at) in times.all() {
            self.order[usize::from(rule)].remove(&(at, key));
        }
    }

    /// Whether anything is due.
    pub(super) fn is_due(&self, now: BootNs) -> bool {
        self.order.iter().any(|order| order.first().is_some_and(|&(at, _)| at <= now))
    }

    /// What is due, in the order of time: of each rule, about so many processes at the most.
    pub(super) fn due(&self, now: BootNs) -> Vec<(BootNs, usize, ProcKey)> {
        let of = |(rule, order): (usize, &BTreeSet<_>)| {
            let due = order.iter().take_while(|&&(at, _)| at <= now).take(ASKED_AT_ONCE);
            due.map(|&(at, key)| (at, rule, key)).collect::<Vec<_>>()
        };
        let mut due: Vec<_> = self.order.iter().enumerate().flat_map(of).collect();
        due.sort_unstable();
        due
    }

    /// Takes that out.
    pub(super) fn take_due(&mut self, now: BootNs) -> Vec<(usize, ProcKey)> {
        let due = self.due(now);
        for &(at, rule, key) in &due {
            self.order[rule].remove(&(at, key));
            if let Entry::Occupied(mut times) = self.times.entry(key)
                && times.get_mut().unset(rule as u8)
            {
                times.remove();
            }
        }
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
        assert!(!rechecks.is_due(after_boot(10)) && rechecks.times.is_empty());
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
