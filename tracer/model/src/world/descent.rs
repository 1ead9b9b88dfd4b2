//! A process and all that were seen below it, by birth or by adoption. Members stay members when others adopt them.

use std::collections::VecDeque;

use rustc_hash::FxHashSet;

use crate::{change::Change, ident::ProcKey, world::World};

/// How many members are remembered after their end, because findings about them come late.
const GONE_KEPT: usize = 16_384;

/// The members of a tree.
#[derive(Clone, Debug, Default)]
pub struct Descent {
    keys: FxHashSet<ProcKey>,
    /// Members that are gone, oldest first.
    gone: VecDeque<ProcKey>,
}

impl Descent {
    /// Whether a process is a member.
    pub fn has(&self, key: ProcKey) -> bool {
        self.keys.contains(&key)
    }

    /// All members, in no order; includes recently gone ones.
    pub fn keys(&self) -> impl Iterator<Item = ProcKey> {
        self.keys.iter().copied()
    }

    /// Makes a process a member, with its present descendants.
    pub fn add(&mut self, world: &World, key: ProcKey) {
        let mut new: Vec<_> = self.keys.insert(key).then_some(key).into_iter().collect();
        while let Some(key) = new.pop() {
            new.extend(world.children(key).map(|child| child.key).filter(|&child| self.keys.insert(child)));
        }
    }

    /// Follows a change: a process that is born to a member, or adopted by one, becomes a member.
    pub fn follow(&mut self, world: &World, change: &Change) {
        match change {
            &Change::Born(key) | &Change::Learned(key) | &Change::Adopted { child: key, adoption: _ } => {
                let parent = world.get(key).and_then(|process| process.parent);
                if parent.is_some_and(|parent| self.has(parent.key)) {
                    self.add(world, key);
                }
            }
            Change::Reaped { identity, .. } => self.bury(identity.key),
            _ => {}
        }
    }

    fn bury(&mut self, key: ProcKey) {
        if self.has(key) {
            self.gone.push_back(key);
        }
        if self.gone.len() > GONE_KEPT
            && let Some(oldest) = self.gone.pop_front()
        {
            self.keys.remove(&oldest);
        }
    }
}
