//! The table of all processes, in which one is found by its key and the present one by its pid.

use std::hash::BuildHasher as _;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use super::Process;
use crate::ident::ProcKey;

/// By pid, as next to no pid has two processes. Boxed, so that the table stays small and growing it moves no process.
#[derive(Debug, Default)]
pub(super) struct Table(HashTable<Box<Process>>);

impl Table {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn get(&self, key: ProcKey) -> Option<&Process> {
        self.0.find(hash(key.tgid), |process| process.key == key).map(|process| &**process)
    }

    pub fn get_mut(&mut self, key: ProcKey) -> Option<&mut Process> {
        self.0.find_mut(hash(key.tgid), |process| process.key == key).map(|process| &mut **process)
    }

    /// The present process of a pid: the youngest, as a pid is used again only after its process was released.
    pub fn by_pid(&self, pid: u32) -> Option<&Process> {
        self.of_pid(pid).max_by_key(|process| process.key)
    }

    /// The oldest process of a pid that has more of them than late records explain. What a trace says may be forged, and
    /// those of one pid are looked for one after another.
    pub fn crowded(&self, pid: u32) -> Option<ProcKey> {
        const MOST: usize = 8;
        let mut count = 0;
        let oldest = self.of_pid(pid).map(|process| process.key).inspect(|_| count += 1).min()?;
        (count >= MOST).then_some(oldest)
    }

    fn of_pid(&self, pid: u32) -> impl Iterator<Item = &Process> {
        self.0.iter_hash(hash(pid)).filter(move |process| process.key.tgid == pid).map(|process| &**process)
    }

    /// Adds a process that is not in it.
    pub fn insert(&mut self, process: Box<Process>) {
        debug_assert!(self.get(process.key).is_none(), "{:?} would be there twice", process.key);
        self.0.insert_unique(hash(process.key.tgid), process, |other| hash(other.key.tgid));
    }

    pub fn remove(&mut self, key: ProcKey) -> Option<Box<Process>> {
        self.0.find_entry(hash(key.tgid), |process| process.key == key).ok().map(|place| place.remove().0)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Process> {
        self.0.iter().map(|process| &**process)
    }
}

fn hash(pid: u32) -> u64 {
    FxBuildHasher.hash_one(pid)
}
