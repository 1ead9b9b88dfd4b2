//! Who is whose child. Those that have ended are apart: few have to wait for many, and many have children.

use std::{collections::BTreeSet, iter};

use crate::ident::ProcKey;

/// Parents and their children; a parent may not be known yet. Each child has one parent at the most.
#[derive(Debug, Default)]
pub(super) struct Children {
    living: Pairs,
    ended: Pairs,
}

/// Parent and child.
type Pairs = BTreeSet<(ProcKey, ProcKey)>;

impl Children {
    pub(super) fn insert(&mut self, parent: ProcKey, child: ProcKey, has_ended: bool) {
        let pairs = if has_ended { &mut self.ended } else { &mut self.living };
        pairs.insert((parent, child));
    }

    pub(super) fn remove(&mut self, parent: ProcKey, child: ProcKey) {
        let pair = (parent, child);
        if !self.living.remove(&pair) {
            self.ended.remove(&pair);
        }
    }

    /// It has ended, or was believed to have, and lives.
    pub(super) fn changed(&mut self, parent: ProcKey, child: ProcKey, has_ended: bool) {
        let pair = (parent, child);
        let (from, to) =
            if has_ended { (&mut self.living, &mut self.ended) } else { (&mut self.ended, &mut self.living) };
        if from.remove(&pair) {
            to.insert(pair);
        }
    }

    /// The children of a process, oldest first.
    pub(super) fn of(&self, parent: ProcKey) -> impl Iterator<Item = ProcKey> + '_ {
        self.since(parent, ProcKey::default())
    }

    /// That one, if it is a child, and those that are younger.
    pub(super) fn since(&self, parent: ProcKey, first: ProcKey) -> impl Iterator<Item = ProcKey> + '_ {
        let mut living = since(&self.living, parent, first).peekable();
        let mut ended = since(&self.ended, parent, first).peekable();
        iter::from_fn(move || match (living.peek(), ended.peek()) {
            (Some(one), Some(other)) if one > other => ended.next(),
            (Some(_), _) => living.next(),
            (None, _) => ended.next(),
        })
    }

    /// Those that have ended, oldest first.
    pub(super) fn ended(&self, parent: ProcKey) -> impl Iterator<Item = ProcKey> + '_ {
        since(&self.ended, parent, ProcKey::default())
    }
}

fn since(pairs: &Pairs, parent: ProcKey, first: ProcKey) -> impl Iterator<Item = ProcKey> + '_ {
    pairs.range((parent, first)..=(parent, ProcKey::LAST)).map(|&(_, child)| child)
}

#[cfg(test)]
impl Children {
    /// All pairs; whether the child has ended.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (ProcKey, ProcKey, bool)> + '_ {
        let living = self.living.iter().map(|&(parent, child)| (parent, child, false));
        living.chain(self.ended.iter().map(|&(parent, child)| (parent, child, true)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::key;

    #[test]
    fn they_come_by_age_whether_they_live_or_not() {
        let mut children = Children::default();
        for pid in [2, 3, 4, 5] {
            children.insert(key(1), key(pid), pid == 2);
        }
        children.insert(key(9), key(10), false);
        children.changed(key(1), key(4), true);
        children.changed(key(1), key(2), false);
        // Of another parent.
        children.changed(key(1), key(10), true);
        assert!(children.of(key(1)).eq([2, 3, 4, 5].map(key)));
        assert!(children.since(key(1), key(3)).eq([3, 4, 5].map(key)));
        assert!(children.ended(key(1)).eq([key(4)]));
        children.remove(key(1), key(4));
        children.remove(key(1), key(5));
        assert!(children.of(key(1)).eq([2, 3].map(key)));
        assert!(children.of(key(9)).eq([key(10)]) && children.ended(key(9)).next().is_none());
    }
}
