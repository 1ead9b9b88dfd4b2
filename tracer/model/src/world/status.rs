//! Exit statuses that their waiters cannot get.

use crate::{
    change::{Change, ExactReap, StatusLost, WhyLost},
    event::{Awaited, ExitStatus},
    ident::ProcKey,
    signal::Signal,
    world::{Death, Process, World, turn::Turn},
};

impl World {
    /// A process is about to end, and a thread that waits for it may not get its status.
    pub(super) fn note_awaited(&mut self, awaited: Awaited, turn: &mut Turn) {
        if self.gone.contains(awaited.task.key, turn.at) {
            return;
        }
        self.know(awaited.task.key, turn);
        if let Some(process) = self.processes.get_mut(awaited.task.key) {
            process.rare().awaited = Some(Box::new(awaited));
        }
    }

    /// A process has ended whose parent ignores SIGCHLD: the kernel keeps no status for it.
    ///
    /// A program that chose to ignore it wants no status, unless it waits for that very child; and nobody wants that of
    /// an orphan that he has adopted. A program that inherited this does not know that it will get none.
    pub(super) fn lost_by_ignoring(&self, key: ProcKey, death: &Death) -> Option<Change> {
        let process = self.get(key)?;
        if !death.autoreap || !is_worth_having(death.status) {
            return None;
        }
        let parent = self.get(process.parent?.key)?;
        let waiter = process.awaited.as_deref().filter(|awaited| awaited.waiter.key == parent.key);
        let from_start = parent.has_ignored_from_start(Signal::CHLD);
        let is_wanted = from_start && process.present_adoption().is_none() && process.orphaned.is_none();
        if !is_wanted && !waiter.is_some_and(|awaited| awaited.only) {
            return None;
        }
        Some(lost(process, parent, death, WhyLost::Ignored { from_start }))
    }

    /// A process was reaped by another thread of its parent than the one that had waited for exactly this process.
    pub(super) fn lost_to_another(
        &self,
        process: &Process,
        by: Option<ProcKey>,
        exact: Option<ExactReap>,
    ) -> Option<Change> {
        let (death, ExactReap { tid, call }) = (process.death()?, exact?);
        let awaited = process.awaited.as_deref().filter(|awaited| awaited.only && Some(awaited.waiter.key) == by)?;
        let parent = self.get(by?)?;
        let is_lost = awaited.waiter.tid != tid && !death.autoreap && is_worth_having(death.status);
        is_lost.then_some(lost(process, parent, death, WhyLost::Taken { tid, call: call? }))
    }
}

fn is_worth_having(status: ExitStatus) -> bool {
    status != ExitStatus(0)
}

fn lost(process: &Process, parent: &Process, death: &Death, why: WhyLost) -> Change {
    Change::StatusLost(Box::new(StatusLost {
        child: process.identity(),
        status: death.status,
        at: death.at,
        seq: death.seq,
        parent: parent.identity(),
        waiter: process.awaited.as_deref().map(|awaited| awaited.waiter.tid),
        why,
    }))
}
