//! Who was looked for and not found: gone, or hidden for a moment.
//!
//! A look at `/proc`, and a run of the task iterator, tell of the present, and the stream may be behind that:
//! what says how somebody ended is still to come. And both miss a process in which another thread than the
//! leader executes a program: `de_thread()` gives that one the leader's number, and who finds the leader right
//! before finds nobody. So nobody is buried before the stream has come to the time of the look, nor without a
//! second look if the end was not seen; and whoever does something later is there.

use crate::{
    change::Change,
    event::TaskInfo,
    ident::{Args, ContainerNo, ProcKey},
    world::{Process, World, leave::Leave},
};

/// When somebody was not found, in nanoseconds of the boot-time clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    first: u64,
    /// The second time. What comes later adds nothing: somebody may be looked for at every tick.
    again: Option<u64>,
}

impl Missing {
    /// Nobody has missed it again.
    pub(super) fn was_once(self) -> bool {
        self.again.is_none()
    }
}

/// What brings somebody back who was buried too early.
#[derive(Debug)]
pub(super) struct Mislaid {
    task: TaskInfo,
    args: Args,
    container: Option<ContainerNo>,
}

/// Of how many that is kept.
const MOST_MISLAID: usize = 64;

impl Process {
    /// Whoever looked for it last did not find it, and it was not seen to be released.
    pub fn is_missing(&self) -> bool {
        self.missing.is_some()
    }
}

impl World {
    /// Whoever looked for a process did not find it, at that time.
    pub(super) fn not_found(&mut self, key: ProcKey, at: u64) {
        let Some(process) = self.processes.get_mut(&key).filter(|process| process.seen_at <= at) else { return };
        let missing = process.missing.get_or_insert(Missing { first: at, again: None });
        if missing.first < at {
            missing.again.get_or_insert(at);
        }
        self.missing.insert(key);
        self.plan_look(key, at);
    }

    /// Something proves that a process was there at that time.
    pub(super) fn found(&mut self, key: ProcKey, at: u64) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        process.seen_at = at.max(process.seen_at);
        let Some(Missing { again, .. }) = process.missing.take_if(|missing| missing.first < at) else { return };
        process.missing = again.filter(|&again| at <= again).map(|first| Missing { first, again: None });
        if process.missing.is_none() {
            self.missing.remove(&key);
        }
        self.plan_look(key, at);
    }

    /// The stream has come to that time: who was not found by then, and whose end is known or who was not found
    /// again, is gone.
    pub(super) fn bury_missing(&mut self, at: u64, changes: &mut Vec<Change>) {
        let is_gone = |key: &ProcKey| {
            let process = self.get(*key)?;
            let Missing { first, again } = process.missing?;
            let known = if process.death().is_some() { Some(first) } else { again };
            known.filter(|&last| last <= at).map(|last| (*key, first, last))
        };
        let gone: Vec<_> = self.missing.iter().filter_map(is_gone).collect();
        // Children are younger than their parents.
        for (key, first, last) in gone.into_iter().rev() {
            self.mislay(key);
            self.remove(key, Leave::NotFound { first, last }, changes);
        }
    }

    /// Those who were certainly gone by that time.
    pub(super) fn bury(&mut self, mut keys: Vec<ProcKey>, at: u64, changes: &mut Vec<Change>) {
        keys.sort_unstable();
        for key in keys.into_iter().rev() {
            self.mislay(key);
            self.remove(key, Leave::NotFound { first: at, last: at }, changes);
        }
    }

    /// Keeps what is known of somebody whose end was not seen.
    fn mislay(&mut self, key: ProcKey) {
        let Some(process) = self.get(key).filter(|process| process.death().is_none()) else { return };
        let (args, container) = (process.args.clone(), process.container);
        let mislaid = Mislaid { task: self.task_of(process), args, container };
        self.mislaid.push_back(mislaid);
        if self.mislaid.len() > MOST_MISLAID {
            self.mislaid.pop_front();
        }
    }

    /// Brings back who did something after he was not found; false if nothing of him is known.
    pub(super) fn bring_back(&mut self, key: ProcKey, at: u64, changes: &mut Vec<Change>) -> bool {
        let Some(i) = self.mislaid.iter().position(|mislaid| mislaid.task.key == key) else { return false };
        let Some(Mislaid { task, args, container }) = self.mislaid.remove(i) else { return false };
        if !self.know(key, at, changes) {
            return false;
        }
        self.take_over(&task);
        let Some(process) = self.processes.get_mut(&key) else { return false };
        (process.args, process.container) = (args, container);
        if let Some(parent) = task.parent {
            // Who may have handed it on meanwhile.
            self.set_parent(key, Some(parent));
            self.doubt(at, None, key, self.identity(parent.key), None, changes);
        }
        changes.push(Change::Learned(key));
        true
    }
}
