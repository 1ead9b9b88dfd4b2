//! How much is left of what runs out, and who uses it up.

use std::collections::BTreeMap;

use crate::{
    change::{Change, Measured},
    host::{GroupRoom, Holder, Room, Rooms},
    ident::ProcKey,
    world::World,
};

/// What was told last.
#[derive(Debug, Default)]
pub(super) struct Limits {
    ptys: Option<Room>,
    pty_holders: Vec<Holder>,
    pids: Option<Room>,
    groups: BTreeMap<ProcKey, Group>,
    /// Of the process that was asked about last.
    of: Option<(ProcKey, Room)>,
}

/// A control group.
#[derive(Clone, Debug)]
struct Group {
    told: GroupRoom,
    /// `failed` of what was told before it.
    failed_before: u64,
}

/// Control groups that are remembered: a bound for what a trace can make its reader hold.
const MOST_GROUPS: usize = 1 << 14;

impl World {
    /// Pseudo-terminals of the machine.
    pub fn ptys(&self) -> Option<Room> {
        self.limits.ptys
    }

    /// Who holds most of them, if few were left when that was told.
    pub fn pty_holders(&self) -> &[Holder] {
        &self.limits.pty_holders
    }

    /// Pids of the machine.
    pub fn pids(&self) -> Option<Room> {
        self.limits.pids
    }

    /// Pids of the control group that a process stands for, and how many more could not be had for it
    /// since that was told before.
    pub fn group(&self, key: ProcKey) -> Option<(&GroupRoom, u64)> {
        let Group { told, failed_before } = self.limits.groups.get(&key)?;
        Some((told, told.failed.saturating_sub(*failed_before)))
    }

    /// Pids that a process can still have, if that was asked for just now.
    pub fn pids_of(&self, key: ProcKey) -> Option<Room> {
        self.limits.of.filter(|&(of, _)| of == key).map(|(_, room)| room)
    }

    pub(super) fn learn_rooms(&mut self, rooms: &Rooms, changes: &mut Vec<Change>) {
        let Rooms { ptys, pty_holders, pids, groups, of } = rooms;
        self.limits.of = of.or(self.limits.of);
        if let Some(room) = ptys {
            self.limits.ptys = Some(*room);
            self.limits.pty_holders.clone_from(pty_holders);
            changes.push(Change::Measured(Measured::Ptys));
        }
        if let Some(room) = pids {
            self.limits.pids = Some(*room);
            changes.push(Change::Measured(Measured::Pids));
        }
        for told in groups {
            let key = told.process;
            if self.get(key).is_none() || self.limits.groups.len() >= MOST_GROUPS {
                continue;
            }
            // What failed before it was told for the first time is not new.
            let failed_before = self.limits.groups.get(&key).map_or(told.failed, |group| group.told.failed);
            self.limits.groups.insert(key, Group { told: told.clone(), failed_before });
            changes.push(Change::Measured(Measured::Group(key)));
        }
    }

    /// Nobody stands for a group who is gone; the next survey has another one.
    pub(super) fn forget_group(&mut self, key: ProcKey) {
        self.limits.groups.remove(&key);
    }

    /// What makes it again, in an image of the world.
    pub(super) fn image_of_limits(&self) -> Option<Rooms> {
        let Limits { ptys, pty_holders, pids, groups, of: _ } = &self.limits;
        let groups = groups.values().map(|group| group.told.clone()).collect();
        let rooms = Rooms { ptys: *ptys, pty_holders: pty_holders.clone(), pids: *pids, groups, of: None };
        (rooms != Rooms::default()).then_some(rooms)
    }
}
