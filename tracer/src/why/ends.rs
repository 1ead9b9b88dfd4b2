//! A list of which both ends are kept, however long it gets.

use std::collections::VecDeque;

/// See the module.
#[derive(Clone, Debug)]
pub struct Ends<T> {
    first: Vec<T>,
    last: VecDeque<T>,
    /// How many are kept of either end.
    most: usize,
    left_out: u64,
}

impl<T> Ends<T> {
    /// An empty one, that keeps so many of either end.
    pub fn new(most: usize) -> Self {
        Self { first: Vec::new(), last: VecDeque::new(), most, left_out: 0 }
    }

    /// Adds one at the end.
    pub fn push(&mut self, one: T) {
        if self.first.len() < self.most {
            return self.first.push(one);
        }
        self.last.push_back(one);
        if self.last.len() > self.most {
            self.last.pop_front();
            self.left_out += 1;
        }
    }

    /// How many are missing between the two ends.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Whether there is none, and was none.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Those of the beginning; what is left out comes after them.
    pub fn first(&self) -> impl Iterator<Item = &T> {
        self.first.iter()
    }

    /// Those of the end.
    pub fn last(&self) -> impl Iterator<Item = &T> {
        self.last.iter()
    }

    /// All that are kept, in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.first.iter().chain(&self.last)
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.first.iter_mut().chain(&mut self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_goes_from_the_middle() {
        let mut ends = Ends::new(2);
        assert!(ends.is_empty());
        for i in 0..4 {
            ends.push(i);
        }
        assert_eq!((ends.iter().copied().collect::<Vec<_>>(), ends.left_out()), (vec![0, 1, 2, 3], 0));
        ends.push(4);
        assert_eq!((ends.iter().copied().collect::<Vec<_>>(), ends.left_out()), (vec![0, 1, 3, 4], 1));
    }
}
