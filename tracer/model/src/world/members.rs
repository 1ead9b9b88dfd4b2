//! Who is in which pid namespace.

use std::collections::BTreeMap;

use crate::{
    ident::{PidNs, ProcKey},
    world::World,
};

/// The processes of each namespace, in no order: each process knows its place, so that none is searched for.
#[derive(Debug, Default)]
pub(super) struct Members(BTreeMap<PidNs, Vec<ProcKey>>);

/// A place among the members of a namespace.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place(u32);

impl Members {
    /// The processes of a namespace alone.
    pub(super) fn of(&self, ns: PidNs) -> &[ProcKey] {
        self.0.get(&ns).map_or(&[], Vec::as_slice)
    }

    /// A process comes in.
    pub(super) fn join(&mut self, ns: PidNs, key: ProcKey) -> Place {
        let members = self.0.entry(ns).or_default();
        members.push(key);
        // There are fewer processes than pids.
        Place((members.len() - 1) as u32)
    }

    /// Whoever has that place leaves; the last one gets it, if that is another one.
    fn leave(&mut self, ns: PidNs, place: Place) -> Option<ProcKey> {
        let members = self.0.get_mut(&ns)?;
        members.swap_remove(place.0 as usize);
        if members.is_empty() {
            self.0.remove(&ns);
            return None;
        }
        members.get(place.0 as usize).copied()
    }
}

impl World {
    /// The process that had this place is not in that namespace any more.
    pub(super) fn leave_members(&mut self, ns: PidNs, place: Place) {
        if let Some(moved) = self.members.leave(ns, place).and_then(|moved| self.processes.get_mut(moved)) {
            moved.place = place;
        }
    }
}

#[cfg(test)]
impl Members {
    /// Each process, with its namespace and its place.
    pub(super) fn all(&self) -> impl Iterator<Item = (PidNs, ProcKey, u32)> + '_ {
        self.0.iter().flat_map(|(&ns, members)| members.iter().zip(0..).map(move |(&key, place)| (ns, key, place)))
    }
}

#[cfg(test)]
impl Place {
    pub(super) fn number(self) -> u32 {
        self.0
    }
}
