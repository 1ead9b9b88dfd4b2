//! Counts by labels, of which there is a bound: without one, whoever starts containers with ever new names would take all
//! memory, here and where the numbers are kept.

use std::hash::Hash;

use rustc_hash::FxHashMap;

/// Labels of a count.
pub trait Labels: Clone + Eq + Hash {
    /// Those of all that are too many.
    fn others() -> Self;
}

/// See the module.
pub struct Bounded<L> {
    counts: FxHashMap<L, Count>,
    most: usize,
    others: u64,
    additions: u64,
}

struct Count {
    count: u64,
    /// After how many additions this one was added to last.
    last: u64,
}

impl<L: Labels> Bounded<L> {
    /// At most that many sets of labels are kept apart.
    pub fn new(most: usize) -> Self {
        Self { counts: FxHashMap::default(), most, others: 0, additions: 0 }
    }

    /// Adds one. If there is no room for its labels, those that were added to longest ago join the others: probably they
    /// are of what is gone.
    pub fn add(&mut self, labels: L) {
        self.additions += 1;
        if self.counts.len() >= self.most && !self.counts.contains_key(&labels) {
            self.forget();
        }
        let count = self.counts.entry(labels).or_insert(Count { count: 0, last: 0 });
        count.count += 1;
        count.last = self.additions;
    }

    /// All counts; the sum of them never sinks.
    pub fn counts(&self) -> impl Iterator<Item = (L, u64)> {
        let others = (self.others > 0).then(|| (L::others(), self.others));
        self.counts.iter().map(|(labels, count)| (labels.clone(), count.count)).chain(others)
    }

    /// A tenth at a time, so that it does not take long for each addition.
    fn forget(&mut self) {
        let mut lasts: Vec<_> = self.counts.values().map(|count| count.last).collect();
        let rank = lasts.len() / 10;
        let (_, &mut until, _) = lasts.select_nth_unstable(rank);
        let others = &mut self.others;
        self.counts.retain(|_, count| {
            let stays = count.last > until;
            *others += if stays { 0 } else { count.count };
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Labels for u32 {
        fn others() -> Self {
            Self::MAX
        }
    }

    #[test]
    fn those_that_are_gone_make_room_and_no_count_is_lost() {
        let mut bounded = Bounded::new(10);
        for labels in 0..1_000_u32 {
            bounded.add(labels);
            bounded.add(7);
            let counts: Vec<_> = bounded.counts().collect();
            assert!(counts.len() <= 11, "{counts:?}");
            assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), u64::from(labels) * 2 + 2);
        }
        let counts: FxHashMap<_, _> = bounded.counts().collect();
        assert_eq!(counts[&7], 1_001, "what goes on is kept apart");
        assert_eq!(counts[&999], 1);
        assert!(counts[&u32::MAX] > 900);
    }
}
