//! How a process leaves the world.

use crate::{
    change::{Change, ExactReap},
    event::{Notify, Reap},
    ident::{Identity, PidNs, ProcKey},
    time::BootNs,
    world::{Death, Process, World, members::Place, turn::Turn},
};

/// How it became known that a process is gone.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leave {
    /// It no longer exists; since when is not known.
    Unseen,
    /// Looks did not find it: the first and the last.
    NotFound { first: BootNs, last: BootNs },
    /// The kernel released it at that time, and it had been reaped before.
    Freed(BootNs),
    /// It was reaped at that very time.
    Reaped {
        at: BootNs,
        /// Who waited for it; `None` if nobody had to.
        by: Option<ProcKey>,
        exact: ExactReap,
    },
}

impl Process {
    /// It has reaped a process, as its tracer or its parent, or the kernel has done that for it.
    fn note_reaped(&mut self, child: &Self, death: &Death, at: BootNs) {
        // What the kernel releases at the end of a namespace was not reaped by its init.
        if death.autoreap || self.death().is_some() || child.parent.is_none_or(|task| task.key != self.key) {
            return;
        }
        let reaping = self.reaping.get_or_insert_default();
        reaping.adopted |= child.present_adoption().is_some();
        reaping.latest = reaping.latest.max(Some((child.child_since(), at)));
        reaping.last = reaping.last.max(at);
        // It could not before its tracer had.
        let owed_since = child.owed_since(death).max(child.tracer_at);
        reaping.slowest = reaping.slowest.max(at - owed_since);
    }
}

impl World {
    pub(super) fn free(&mut self, key: ProcKey, turn: &mut Turn) {
        if !self.remove(key, Leave::Freed(turn.at), turn) {
            self.gone.insert(key, BootNs::MAX);
        }
    }

    /// The exact moment. The thread in which it happens has waited, or nobody had to: then it is the process's own
    /// exit, or the exit of a parent whose heir ignores SIGCHLD, or the release of a thread that outlived all others
    /// (for which its tracer may have waited).
    pub(super) fn reap(&mut self, reap: &Reap, turn: &mut Turn) {
        let at = turn.at;
        let Reap { task, reaper, call } = *reap;
        let is_owed = self.owed_by(task.key) == Some(reaper.key);
        let is_asked = || !self.get(task.key).and_then(Process::death).is_some_and(|death| death.autoreap);
        let has_waited = reaper.key != task.key && (is_owed || (call.is_some() && is_asked()));
        let by = has_waited.then_some(reaper.key);
        let exact = ExactReap { tid: reaper.tid, call: call.filter(|_| has_waited) };
        if !self.remove(task.key, Leave::Reaped { at, by, exact }, turn) {
            self.gone.insert(task.key, BootNs::MAX);
        }
    }

    /// A process has become a zombie, or its tracer has handed it to its parent.
    pub(super) fn notify(&mut self, at: BootNs, notify: &Notify) {
        let Notify { task, to, traced, signal: _ } = *notify;
        let Some(process) = self.processes.get_mut(task.key) else { return };
        // If a tracer hands it to a parent that ignores SIGCHLD, only the tracer has waited.
        if traced || !process.death().is_some_and(|death| death.autoreap) {
            let is_traced = process.told_tracer(at, traced.then_some(to));
            self.marked.extend(is_traced.then_some(task.key));
        }
        if let Some(death) = process.death_mut() {
            death.notified.get_or_insert(at);
            death.tearing_down = false;
        }
    }

    /// Removes a process from the world; false if it is not in it.
    pub(super) fn remove(&mut self, key: ProcKey, leave: Leave, turn: &mut Turn) -> bool {
        if let Leave::Freed(at) | Leave::Reaped { at, .. } = leave {
            self.leave_before(key, at, turn);
        }
        self.remove_one(key, leave, turn)
    }

    fn remove_one(&mut self, key: ProcKey, leave: Leave, turn: &mut Turn) -> bool {
        let Some(process) = self.processes.remove(key) else { return false };
        // A process that the kernel released never comes back.
        self.gone.insert(key, if let Leave::NotFound { last, .. } = leave { last } else { BootNs::MAX });
        self.missing.remove(&key);
        if !matches!(leave, Leave::NotFound { .. }) {
            self.ends.forget(key);
        }
        self.leave_container(process.container);
        self.forget_client(key, &process.args);
        self.forget_group(key, turn);
        let brought: Vec<_> = self.entries_of(key).collect();
        // An end that was seen has been reported; this one was not seen.
        self.end_client(key, self.now, None, None, turn);
        if let Some(entry) = &process.entry {
            self.clients.remove(&(entry.client.key, key));
        }
        if let Some(parent) = process.parent {
            self.children.remove(parent.key, key);
        }
        self.marked.remove(&key);
        self.forget_look(key, process.look_at);
        let death = process.death().copied();
        // A tracer that has waited gives the zombie back, and the parent waits again (`wait_task_zombie()`).
        let is_autoreaped = death.is_some_and(|death| death.autoreap);
        let inferred = if is_autoreaped { process.tracer } else { process.parent }.map(|task| task.key);
        let (at, by, exact) = match leave {
            Leave::Unseen => (None, inferred, None),
            Leave::Freed(at) | Leave::NotFound { first: at, .. } => (Some(at), inferred, None),
            Leave::Reaped { at, by, exact } => (Some(at), by, Some(exact)),
        };
        if let (Some(at), Some(death)) = (at, death)
            && let Some(parent) = by.and_then(|by| self.processes.get_mut(by))
        {
            parent.reaping.get_or_insert_default().count += 1;
            parent.note_reaped(&process, &death, at);
        }
        if death.is_none() {
            // Its end was not seen.
            self.count_death(key, process.pid_ns, at.unwrap_or(self.now), false, turn);
        }
        self.end_teardown(process.pid_ns, at.unwrap_or(self.now));
        self.leave_namespace(key, process.pid_ns, process.place);
        self.pending -= process.pending.len();
        turn.changes.extend(self.lost_to_another(&process, by, exact));
        turn.changes.push(Change::Reaped {
            identity: process.identity(),
            by,
            zombie_for: death.zip(at).map(|(death, at)| at - death.zombie_since()),
            exact,
        });
        self.leave_children(process.identity(), at.unwrap_or(self.now), turn);
        if let Leave::NotFound { .. } = leave {
            self.mislay(process, brought);
        }
        true
    }

    /// A namespace's init is released after everything else in it (`zap_pid_ns_processes()`). RCU may report that in
    /// another order; the reaper of a child whose parent is already gone would then be unknown.
    fn leave_before(&mut self, init: ProcKey, at: BootNs, turn: &mut Turn) {
        let Some(init) = self.get(init).filter(|process| process.is_init_of_namespace()) else { return };
        let Some(death) = init.death() else { return };
        // The number of a namespace can be reused at once. A process with another init, or younger than the end of this
        // namespace, is not of this one.
        if self.namespaces.get(&init.pid_ns).is_none_or(|ns| ns.init != Some(init.key)) {
            return;
        }
        let is_left = |process: &&Process| process.key != init.key && process.key.start < death.at;
        let mut left: Vec<_> = self.members_of(init.pid_ns).filter(is_left).map(|process| process.key).collect();
        // Children are younger than their parents.
        left.sort_unstable();
        // Processes of nested namespaces are included.
        for key in left.into_iter().rev() {
            self.remove_one(key, Leave::Freed(at), turn);
        }
    }

    /// Children without a new parent so far: a look will find it.
    fn leave_children(&mut self, gone: Identity, at: BootNs, turn: &mut Turn) {
        let key = gone.key;
        for child in self.children.of(key).collect::<Vec<_>>() {
            self.children.remove(key, child);
            if let Some(child) = self.processes.get_mut(child) {
                child.parent = None;
            }
            self.doubt(at, None, child, gone, None, turn);
        }
    }

    /// The last process of a namespace is gone: its init is a zombie now.
    fn end_teardown(&mut self, ns: PidNs, at: BootNs) {
        let is_waiting =
            |init: ProcKey| self.get(init).and_then(Process::death).is_some_and(|death| death.tearing_down);
        let init_of = |ns: PidNs| self.namespaces.get(&ns)?.init.filter(|&init| is_waiting(init));
        // Seldom any.
        let waiting: Vec<_> = self.outwards(ns).filter_map(|ns| Some((ns, init_of(ns)?))).collect();
        for (ns, init) in waiting {
            if !self.members_of(ns).any(|process| process.key != init)
                && let Some(death) = self.processes.get_mut(init).and_then(|process| process.death_mut())
            {
                death.tearing_down = false;
                death.notified.get_or_insert(at);
            }
        }
    }

    /// A process is not in that namespace any more, where it had that place.
    pub(super) fn leave_namespace(&mut self, key: ProcKey, left: PidNs, place: Place) {
        self.leave_members(left, place);
        let Some(ns) = self.namespaces.get_mut(&left) else { return };
        if ns.init == Some(key) {
            ns.init = None;
        }
        // The init is released last, except in a namespace whose init was never seen.
        let may_go = ns.init.is_none() && self.initial_ns != Some(left);
        if may_go && self.members.of(left).is_empty() {
            let removed = self.namespaces.remove(&left);
            self.killed_with_namespaces -= removed.as_ref().map_or(0, |ns| ns.killed.len());
            let outer = removed.and_then(|ns| ns.parent);
            outer.map(|outer| self.nested.remove(&(outer, left)));
        }
    }
}
