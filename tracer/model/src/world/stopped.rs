//! What has stopped a process.

use tracer_common::record::signal_flags as bit;

use crate::{
    event::Row,
    ident::Identity,
    signal::{Sender, Signal, SignalSent, Verdict},
    time::{BootNs, Seq, Span},
    world::{Process, World, turn::Turn},
};

/// A signal that has stopped a process, as far as signals show it: one that is ignored in an orphaned process group, or
/// suppressed by a tracer, looks the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Which.
    pub signal: Signal,
    /// Who sent it.
    pub sender: Sender,
    /// On whose behalf: its parent, grandparent and so on then, up to the init of its namespace.
    pub ancestors: Vec<Identity>,
    /// When; of one that was found stopped, when it was found.
    pub at: BootNs,
    /// Number of the event.
    pub seq: Seq,
    /// It was found stopped: it had been before tracing began, or the record of the signal was lost.
    pub was_found: bool,
}

/// A process is stopped this long after the signal at the latest, as a rule.
const AT_ONCE: Span = Span::ms(100);

impl World {
    /// The task iterator shows a process. True if it is found stopped, and nobody knew.
    pub(super) fn note_found_stopped(&mut self, row: &Row, turn: &Turn) -> bool {
        let Some(signal) = row.status.stopped().filter(|_| row.tracer.is_none() && !row.leader_dead) else {
            return false;
        };
        let Some(process) = self.processes.get_mut(row.task.key).filter(|process| process.stopped.is_none()) else {
            return false;
        };
        let Turn { at, seq, .. } = *turn;
        let (sender, ancestors) = (Sender::Unknown, Vec::new());
        process.rare().stopped = Some(Box::new(Stopped { signal, sender, ancestors, at, seq, was_found: true }));
        true
    }

    /// Remembers what stops a process, until it is continued; true if it is continued now.
    pub(super) fn note_stopped(&mut self, sent: &SignalSent, sender: Sender, verdict: Verdict, turn: &Turn) -> bool {
        let Turn { at, seq, .. } = *turn;
        let SignalSent { target, signal, flags, .. } = *sent;
        if signal == Signal::CONT {
            return self.rare_mut(target.key).and_then(|rare| rare.stopped.take()).is_some();
        }
        let stops = signal.is_stop() && flags & bit::HANDLER_MASK == bit::DEFAULT && verdict == Verdict::Delivered;
        // For a stopped process it would wait: what came long before has not stopped it.
        let is_another = |before: &Stopped| at - before.at > AT_ONCE;
        let is_first = |process: &Process| process.stopped.as_deref().is_none_or(is_another);
        if !stops || !self.get(target.key).is_some_and(is_first) {
            return false;
        }
        let ancestors = match sender {
            Sender::Process(sender) => self.ancestors(sender.key),
            Sender::Kernel(_) | Sender::Unknown => Vec::new(),
        };
        if let Some(process) = self.processes.get_mut(target.key) {
            process.rare().stopped = Some(Box::new(Stopped { signal, sender, ancestors, at, seq, was_found: false }));
        }
        false
    }
}
