//! Who is whose parent. The kernel reports the parent at a birth and at an exit; for an orphan, only the exact hook
//! reports the new one. Without that hook, the new parent is predicted when the old one begins to exit, and verified by
//! a look at the child a little later.

use std::cmp::Ordering;

use crate::{
    change::{AdopterClass, Adoption, Change, Known},
    event::{Adopt, Adopter, Exit, ExitStatus, Look},
    ident::{Identity, ProcKey, TaskRef},
    signal::Signal,
    time::{BootNs, Seq},
    world::{Process, World, turn::Turn},
};

/// A child whose parent is exiting, and whose new parent is not certain yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Orphaned {
    /// When the parent began to exit.
    pub(super) at: BootNs,
    /// Number of that event, if it was seen.
    seq: Option<Seq>,
    /// The parent.
    from: Identity,
    /// How it ended, if that was seen.
    status: Option<ExitStatus>,
    /// Who ended it, if another process did.
    killed_by: Option<Identity>,
    /// Who will adopt it, by the rules of `find_new_reaper()`.
    expected: Option<Heir>,
}

impl Orphaned {
    /// Whether it will leave no zombie, because of who will adopt it.
    pub(super) fn heir_ignores(&self) -> bool {
        self.expected.is_some_and(|heir| heir.ignores)
    }
}

/// Who is expected to adopt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heir {
    to: TaskRef,
    class: AdopterClass,
    /// It ignores SIGCHLD.
    ignores: bool,
}

impl World {
    pub(super) fn set_parent(&mut self, child: ProcKey, parent: Option<TaskRef>) {
        if self.get(child).is_none_or(|process| process.parent == parent) {
            return;
        }
        if parent.is_some_and(|parent| !self.may_be_parent(parent.key, child)) {
            return;
        }
        let Some(process) = self.processes.get_mut(child) else { return };
        let has_ended = process.death().is_some();
        if let Some(old) = std::mem::replace(&mut process.parent, parent) {
            self.children.remove(old.key, child);
        }
        if let Some(parent) = parent {
            self.children.insert(parent.key, child, has_ended);
        }
    }

    /// No process is ever below itself: a parent is older, be it by birth or by adoption (`find_new_reaper()` follows
    /// ancestors, or else takes the init of the namespace). An event that says otherwise is outdated or forged.
    fn may_be_parent(&self, parent: ProcKey, child: ProcKey) -> bool {
        match parent.start.cmp(&child.start) {
            Ordering::Less => true,
            Ordering::Greater => false,
            // Equal times: the clock is coarse.
            Ordering::Equal => parent != child && !self.is_below(parent, child),
        }
    }

    /// Takes the kernel's word for the present parent of a process, unless it is from before the last change.
    pub(super) fn told_parent(&mut self, child: ProcKey, parent: Option<TaskRef>, turn: &mut Turn) {
        let Some(told) = parent else { return self.set_parent(child, None) };
        let Some(process) = self.processes.get(child) else { return };
        if self.has_left_its_children(told.key) {
            let is_elsewhere = process.parent.is_some_and(|now| !self.has_left_its_children(now.key));
            if !is_elsewhere {
                self.set_parent(child, parent);
                self.doubt(turn.at, Some(turn.seq), child, self.identity(told.key), None, turn);
            }
            return;
        }
        match process.orphaned.as_deref() {
            Some(orphaned) if told.key != orphaned.from.key => self.settle(child, told, Known::Verified, turn),
            _ => self.set_parent(child, parent),
        }
    }

    /// Whether the kernel has given away this process's children, or is about to. A namespace's init keeps them until
    /// the last of them is gone (`zap_pid_ns_processes()`).
    fn has_left_its_children(&self, key: ProcKey) -> bool {
        match self.get(key) {
            Some(process) => process.death().is_some() && !process.is_init_of_namespace(),
            None => self.gone.has(key),
        }
    }

    /// Predicts the new parents of an exiting thread's children.
    pub(super) fn hand_on(&mut self, exit: &Exit, turn: &mut Turn) {
        let Exit { task: from, group_dead, adopter, adopter_ignores: ignores, status, .. } = *exit;
        let heir = |to, class| Some(Heir { to, class, ignores });
        let expected = match adopter {
            // The last thread has no child. Those recorded as children of the process belong to another thread, which
            // is exiting too and has not given them away yet. Its own record came too early to show the heir.
            Adopter::None if group_dead && self.has_left_its_children(from.key) => None,
            Adopter::None => return,
            Adopter::Unknown => None,
            Adopter::Thread(to) => heir(to, AdopterClass::Thread),
            Adopter::Subreaper(to) => heir(to, AdopterClass::Subreaper),
            Adopter::NamespaceInit(to) => heir(to, AdopterClass::NamespaceInit),
        };
        if let Some(Heir { to, class: AdopterClass::Subreaper, .. }) = expected
            && let Some(process) = self.processes.get_mut(to.key)
        {
            process.roles.subreaper = true;
            self.marked.insert(to.key);
        }
        let killed_by = self.get(from.key).filter(|_| group_dead).and_then(Process::killed_by);
        let children: Vec<_> = self
            .children(from.key)
            // Children belong to the thread that forked them; the last thread leaves none.
            .filter(|child| group_dead || child.parent.is_some_and(|parent| parent.tid == from.tid))
            .map(|child| child.key)
            .collect();
        for child in children {
            if !self.expect_another_thread(child, from.key, expected, turn.at) {
                self.doubt(turn.at, Some(turn.seq), child, self.identity(from.key), expected, turn);
                if let Some(orphaned) = self.processes.get_mut(child).and_then(|child| child.orphaned.as_mut()) {
                    (orphaned.status, orphaned.killed_by) = (group_dead.then_some(status), killed_by);
                }
            }
            let Some(heir) = expected else { continue };
            self.set_parent(child, Some(heir.to));
            // `reparent_leader()` notifies the heir of a zombie again.
            if let Some(death) = self.processes.get_mut(child).and_then(|process| process.death_mut()) {
                death.autoreap |= heir.ignores;
            }
        }
    }

    /// A thread exits to which an orphan was expected to go, and another one of its process is there: the orphan still
    /// comes from its old parent, and whether that process gets it is not known yet. True if it is like that.
    fn expect_another_thread(&mut self, child: ProcKey, of: ProcKey, heir: Option<Heir>, now: BootNs) -> bool {
        let Some(thread) = heir.filter(|heir| heir.class == AdopterClass::Thread) else { return false };
        let orphaned = self.processes.get_mut(child).and_then(|child| child.orphaned.as_deref_mut());
        let expected = orphaned.and_then(|orphaned| orphaned.expected.as_mut()).filter(|before| before.to.key == of);
        let Some(before) = expected.filter(|before| before.class != AdopterClass::Thread) else { return false };
        before.to = thread.to;
        self.plan_look(child, now);
        true
    }

    /// The parent of a process is no longer certain.
    pub(super) fn doubt(
        &mut self,
        at: BootNs,
        seq: Option<Seq>,
        child: ProcKey,
        from: Identity,
        expected: Option<Heir>,
        turn: &mut Turn,
    ) {
        let Some(process) = self.processes.get_mut(child) else { return };
        let before =
            process.orphaned.replace(Box::new(Orphaned { at, seq, from, status: None, killed_by: None, expected }));
        // Too late to look: the adopter is dying itself.
        if let Some(before) = before
            && let Some(Heir { to, class, ignores: _ }) = before.expected
        {
            self.adopted(child, *before, to, class, Known::Predicted, turn);
        }
        self.plan_look(child, at);
    }

    /// The new parent of a process is known.
    fn settle(&mut self, child: ProcKey, to: TaskRef, known: Known, turn: &mut Turn) {
        let Some(process) = self.processes.get_mut(child) else { return };
        let Some(orphaned) = process.orphaned.take() else { return };
        self.plan_look(child, orphaned.at);
        self.set_parent(child, Some(to));
        let expected = orphaned.expected.filter(|heir| heir.to.key == to.key);
        let class = expected.map_or_else(|| self.class_of(child, orphaned.from, to.key), |heir| heir.class);
        self.adopted(child, *orphaned, to, class, known, turn);
        // It went to a process whose own exit had begun, so it was not given away with the others.
        if self.has_left_its_children(to.key) {
            self.doubt(turn.at, None, child, self.identity(to.key), None, turn);
        }
    }

    fn adopted(
        &mut self,
        child: ProcKey,
        orphaned: Orphaned,
        to: TaskRef,
        class: AdopterClass,
        known: Known,
        turn: &mut Turn,
    ) {
        let Orphaned { at, seq, from, status, killed_by, expected: _ } = orphaned;
        let adoption = Adoption { at, seq, from, status, killed_by, to: self.identity(to.key), class, known };
        if class != AdopterClass::Thread
            && let Some(process) = self.processes.get_mut(child)
        {
            process.rare().adoption = Some(Box::new(adoption));
            // `reparent_leader()`
            process.exit_signal = Signal::CHLD.0.into();
        }
        turn.changes.push(Change::Adopted { child, adoption });
        self.note_left_outside(child, &adoption, turn);
    }

    /// Why a process adopts that was not predicted to.
    fn class_of(&self, child: ProcKey, from: Identity, to: ProcKey) -> AdopterClass {
        // Of an old parent that was never seen, the namespace is not known.
        let is_around = |init: &Process| {
            init.pid_ns == from.pid_ns || self.get(child).is_some_and(|child| child.pid_ns == init.pid_ns)
        };
        match self.get(to) {
            _ if to == from.key => AdopterClass::Thread,
            Some(to) if to.roles.init && is_around(to) => AdopterClass::NamespaceInit,
            _ => AdopterClass::Subreaper,
        }
    }

    /// The kernel reports an adoption when it happens.
    pub(super) fn adopt(&mut self, adopt: &Adopt, turn: &mut Turn) {
        let Adopt { child, from, to } = *adopt;
        if self.gone.contains(child.key, turn.at) {
            return;
        }
        self.know(child.key, turn);
        // The exit of the old parent came before, unless it was lost.
        if self.get(child.key).is_none_or(|child| child.orphaned.is_none()) {
            self.doubt(turn.at, Some(turn.seq), child.key, self.identity(from.key), None, turn);
        }
        self.settle(child.key, to, Known::Exact, turn);
    }

    /// A thread other than the leader called exec and took over the leader's tid (`exchange_tids()`): its children are
    /// the leader's now.
    pub(super) fn renumber(&mut self, key: ProcKey, old_tid: u32, tid: u32) {
        for child in self.children.of(key).collect::<Vec<_>>() {
            if let Some(parent) = self.processes.get_mut(child).and_then(|child| child.parent.as_mut())
                && parent.tid == old_tid
            {
                parent.tid = tid;
            }
        }
    }

    /// A look at one process: whether it exists, whether it lives, and who its parent is.
    pub(super) fn look(&mut self, look: &Look, turn: &mut Turn) {
        let at = turn.at;
        let Look { key, found } = *look;
        let Some(found) = found else {
            self.not_found(key, at);
            return;
        };
        self.found(key, at);
        let parent = self.by_pid(found.ppid).map(|parent| parent.key);
        let Some(process) = self.processes.get_mut(key) else { return };
        if process.look.is_none_or(|(_, before)| before.state != found.state) {
            process.rare().state_since = at;
        }
        process.rare().look = Some((at, found));
        let is_zombie = found.state == b'Z';
        if is_zombie {
            process.found_as_zombie(at);
        }
        let is_held = process.tracer.is_some();
        if let Some(death) = process.death_mut() {
            // It should have gone by itself or with its namespace; or something unknown holds up its exit.
            death.autoreap &= !is_zombie || is_held;
            death.tearing_down = !is_zombie;
        }
        // A process that is believed alive but looks dead is left unchanged: only its main thread may be dead, and the
        // status is not visible. The record will come, or the snapshot that follows its loss.
        self.seen_below(key, found.ppid, parent, turn);
        self.plan_look(key, at);
        turn.changes.push(Change::Looked(key));
    }

    /// A look found the process with that pid as the parent; `parent` is `None` if it is not known here.
    fn seen_below(&mut self, child: ProcKey, ppid: u32, parent: Option<ProcKey>, turn: &mut Turn) {
        let Some(process) = self.processes.get_mut(child) else { return };
        let Some(parent) = parent else {
            process.orphaned = None;
            // Its birth was lost. Whoever it is, the one that was believed is it no more.
            if process.parent.is_some_and(|believed| believed.key.tgid != ppid) {
                self.set_parent(child, None);
            }
            return;
        };
        // The look does not show which thread has the child; the leader stands for all.
        let told = TaskRef { key: parent, tid: parent.tgid };
        let Some(orphaned) = process.orphaned.as_deref() else {
            if process.parent.is_none_or(|believed| believed.key != parent) {
                self.set_parent(child, Some(told));
            }
            return;
        };
        let expected = orphaned.expected.map(|heir| heir.to).filter(|to| to.key == parent);
        if parent == orphaned.from.key && expected.is_none() {
            // It has not been given away yet: closing files can delay an exit.
            self.set_parent(child, Some(told));
        } else {
            self.settle(child, expected.unwrap_or(told), Known::Verified, turn);
        }
    }
}
