//! Signals that should end or stop a process, and wait.

use crate::{
    event::Masks,
    ident::{ProcKey, TaskRef},
    signal::{Sender, Signal, Verdict},
    world::World,
};

/// The first signal that waits for a process, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub signal: Signal,
    /// Who sent it.
    pub sender: Sender,
    /// The thread that it was for.
    pub target: TaskRef,
    /// When it was sent, in nanoseconds of the boot-time clock.
    pub at: u64,
    /// Number of the event.
    pub seq: u64,
}

impl World {
    /// What waits for a process.
    pub fn waiting(&self, key: ProcKey) -> Option<&Waiting> {
        self.get(key)?.waiting.as_deref()
    }

    /// Remembers a signal, if the kernel has accepted it and nobody takes it now.
    pub(super) fn note_waiting(&mut self, waiting: Waiting, verdict: Verdict) {
        if verdict != Verdict::Queued || waiting.signal.is_ignored_by_default() {
            return;
        }
        let Some(process) = self.processes.get_mut(&waiting.target.key) else { return };
        if process.waiting.is_none() {
            process.waiting = Some(Box::new(waiting));
        }
    }

    /// A signal was taken from the queue.
    pub(super) fn note_taken(&mut self, key: ProcKey, signal: Signal) {
        if let Some(process) = self.processes.get_mut(&key) {
            process.waiting.take_if(|waiting| waiting.signal == signal);
        }
    }

    /// The signals of a thread were looked at.
    pub(super) fn note_masks(&mut self, at: u64, task: TaskRef, masks: Option<Masks>) {
        let Some(process) = self.processes.get_mut(&task.key) else { return };
        let is_waiting = |signal| masks.is_some_and(|masks| masks.waits(signal));
        process.waiting.take_if(|waiting| waiting.target.tid == task.tid && !is_waiting(waiting.signal));
        process.masks = masks.map(|masks| (at, task.tid, masks));
    }
}
