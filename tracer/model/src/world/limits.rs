//! How much is left of limited resources, and who uses them.

use std::collections::BTreeMap;

use crate::{
    change::{Change, Measured},
    host::{GroupKey, GroupRoom, Holder, Ptys, Room, Rooms},
    ident::ProcKey,
    world::{World, turn::Turn},
};

/// As last reported.
#[derive(Debug, Default)]
pub(super) struct Limits {
    ptys: Option<Ptys>,
    pty_holders: Vec<Holder>,
    pids: Option<Room>,
    groups: BTreeMap<GroupKey, Group>,
    groups_left_out: u64,
    /// Of the process that was asked about last.
    of: Option<(ProcKey, Room)>,
}

/// A control group.
#[derive(Clone, Debug)]
struct Group {
    told: GroupRoom,
    /// Forks that failed between that and the report before it.
    failed_now: u64,
}

/// How many control groups are remembered: a bound on what a trace can make its reader hold.
const MOST_GROUPS: usize = 1 << 15;

impl World {
    /// Pseudo-terminals of the machine.
    pub fn ptys(&self) -> Option<Ptys> {
        self.limits.ptys
    }

    /// Its largest holders, if few were left when that was reported.
    pub fn pty_holders(&self) -> &[Holder] {
        &self.limits.pty_holders
    }

    /// Pids of the machine.
    pub fn pids(&self) -> Option<Room> {
        self.limits.pids
    }

    /// Pids of a control group, and how many forks have failed because of it since the previous report.
    pub fn group(&self, key: GroupKey) -> Option<(&GroupRoom, u64)> {
        let Group { told, failed_now } = self.limits.groups.get(&key)?;
        Some((told, *failed_now))
    }

    /// How many control groups, at least, are not looked at because there are too many or they are too deep.
    pub fn groups_left_out(&self) -> u64 {
        self.limits.groups_left_out
    }

    /// Pids that a process can still have, if that was just asked for.
    pub fn pids_of(&self, key: ProcKey) -> Option<Room> {
        self.limits.of.filter(|&(of, _)| of == key).map(|(_, room)| room)
    }

    pub(super) fn learn_rooms(&mut self, rooms: &Rooms, turn: &mut Turn) {
        let Rooms { ptys, pty_reserve, pty_holders, pids, groups, groups_gone, groups_left_out, of } = rooms;
        self.limits.of = of.or(self.limits.of);
        if let Some(room) = *ptys {
            self.limits.ptys = Some(Ptys { room, reserve: *pty_reserve });
            self.limits.pty_holders.clone_from(pty_holders);
            turn.changes.push(Change::Measured(Measured::Ptys));
        }
        if let Some(room) = pids {
            self.limits.pids = Some(*room);
            turn.changes.push(Change::Measured(Measured::Pids));
        }
        if let Some(count) = *groups_left_out {
            self.limits.groups_left_out = count;
            turn.changes.push(Change::Measured(Measured::GroupsLeftOut));
        }
        for told in groups {
            let key = told.key();
            let before = self.limits.groups.get(&key);
            if self.get(told.process).is_none() || (before.is_none() && self.limits.groups.len() >= MOST_GROUPS) {
                continue;
            }
            // What had failed before the first report is not new.
            let since = || told.failed.saturating_sub(before.map_or(told.failed, |group| group.told.failed));
            let failed_now = told.failed_now.unwrap_or_else(since);
            self.limits.groups.insert(key, Group { told: told.clone(), failed_now });
            turn.changes.push(Change::Measured(Measured::Group(key)));
        }
        for &id in groups_gone {
            let key = GroupKey::Id(id);
            if self.limits.groups.remove(&key).is_some() {
                turn.changes.push(Change::Measured(Measured::Gone(key)));
            }
        }
    }

    /// In old traces, a group is known only by its oldest process, and reported anew with the next one.
    pub(super) fn forget_group(&mut self, process: ProcKey, turn: &mut Turn) {
        let key = GroupKey::Of(process);
        if self.limits.groups.remove(&key).is_some() {
            turn.changes.push(Change::Measured(Measured::Gone(key)));
        }
    }

    /// The events that restore it, in an image of the world.
    pub(super) fn image_of_limits(&self) -> Option<Rooms> {
        let Limits { ptys, pty_holders, pids, groups, groups_left_out, of: _ } = &self.limits;
        // Failures from before the image are not new to its reader.
        let groups = groups.values().map(|group| GroupRoom { failed_now: None, ..group.told.clone() }).collect();
        let rooms = Rooms {
            ptys: ptys.map(|ptys| ptys.room),
            pty_reserve: ptys.map_or(0, |ptys| ptys.reserve),
            pty_holders: pty_holders.clone(),
            pids: *pids,
            groups,
            groups_gone: Vec::new(),
            groups_left_out: (*groups_left_out > 0).then_some(*groups_left_out),
            of: None,
        };
        (rooms != Rooms::default()).then_some(rooms)
    }
}
