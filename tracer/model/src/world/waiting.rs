//! Signals that should end or stop a process, and are pending.

use tracer_common::signal::set;

use crate::{
    event::Masks,
    ident::{ProcKey, TaskRef},
    signal::{Sender, Signal, Verdict},
    time::{BootNs, Seq},
    world::World,
};

/// A signal that is pending for a process, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub signal: Signal,
    /// Who sent it.
    pub sender: Sender,
    /// The thread that it was sent to.
    pub target: TaskRef,
    /// When it was sent.
    pub at: BootNs,
    /// Number of the event.
    pub seq: Seq,
    /// The last look at that thread: when, and which signals it found.
    pub masks: Option<(BootNs, Masks)>,
}

/// How many signals of one process are remembered, by number and thread.
const MOST: usize = 64;

impl World {
    /// The signals that are pending for a process.
    pub fn waiting(&self, key: ProcKey) -> &[Waiting] {
        self.get(key).map_or(&[], |process| &process.waiting)
    }

    /// Whether a signal of that number is pending for a process.
    pub fn waits(&self, key: ProcKey, signal: Signal) -> bool {
        self.waiting(key).iter().any(|waiting| waiting.signal == signal)
    }

    /// Remembers a signal, if the kernel has accepted it and nobody takes it now. What asks a program to end, and has a
    /// handler, is remembered in any case: who is frozen, or sleeps in the kernel, does not take it either.
    pub(super) fn note_waiting(&mut self, waiting: Waiting, verdict: Verdict, has_handler: bool) {
        let is_handled = verdict == Verdict::Delivered && has_handler && waiting.signal.is_in(set::REQUESTS);
        // SIGSTOP stays pending only for a stopped process.
        if (verdict != Verdict::Queued && !is_handled)
            || waiting.signal.is_ignored_by_default()
            || waiting.signal.is_kernel_only()
        {
            return;
        }
        let Some(process) = self.processes.get_mut(waiting.target.key) else { return };
        let process = process.rare();
        let is_same = |known: &&mut Waiting| (known.signal, known.target.tid) == (waiting.signal, waiting.target.tid);
        if let Some(known) = process.waiting.iter_mut().find(is_same) {
            // Other signals are pending once: the previous one was taken, or this one would have merged with it.
            if !waiting.signal.is_real_time() {
                *known = waiting;
            }
        } else if process.waiting.len() < MOST {
            process.waiting.push(waiting);
        }
    }

    /// A signal was taken from the queue.
    pub(super) fn note_taken(&mut self, key: ProcKey, signal: Signal) {
        if let Some(rare) = self.rare_mut(key) {
            rare.waiting.retain(|waiting| waiting.signal != signal);
        }
    }

    /// The signals of a thread were looked at.
    pub(super) fn note_masks(&mut self, at: BootNs, task: TaskRef, masks: Option<Masks>) {
        let Some(rare) = self.rare_mut(task.key) else { return };
        if let (Some(stop), Some(masks)) = (&mut rare.stop, masks) {
            stop.masks = Some((at, masks));
        }
        rare.waiting.retain_mut(|waiting| {
            if waiting.target.tid != task.tid {
                return true;
            }
            waiting.masks = masks.map(|masks| (at, masks));
            masks.is_some_and(|masks| masks.waits(waiting.signal))
        });
    }
}
