//! What a parent does for its children besides waiting: whether they get its stop signal; and SIGCHLDs from them that
//! merged.

use crate::{
    event::SignalSent,
    ident::{Comm, ProcKey},
    signal::{Signal, Verdict},
    time::{BootNs, Seq, Span},
    world::{Death, Process, World, turn::Turn},
};

/// SIGCHLDs that merged with a pending one, and had a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// When the first of them was sent.
    pub since: BootNs,
    /// When the last of them was.
    pub last: BootNs,
    /// How many were seen; in a burst, not all are.
    pub count: u64,
    /// Number of the last event.
    pub seq: Seq,
    /// How many children had been reaped before.
    pub reaped_before: u64,
}

/// A child younger than this will probably end soon: the `sleep 1` of a loop.
const LASTS: Span = Span::ms(1_100);

/// A release is told of so long after the reaping at the most.
const RELEASED: Span = Span::SECOND;

/// SIGCHLDs that come later than this after the last are another story.
const APART: Span = Span::seconds(10);

impl Process {
    /// Whether it was sent a signal that asks for something since a time.
    pub fn heard_since(&self, at: BootNs) -> bool {
        self.heard_at >= at
    }

    /// Whether it was since then, and ignores the last such signal.
    pub(super) fn has_ignored_since(&self, at: BootNs) -> bool {
        self.heard_since(at) && self.has_ignored
    }
}

impl World {
    /// A process was sent a signal. It counts as notified, whatever became of the signal: it may ignore it, or have the
    /// same one pending already.
    pub(super) fn note_heard(
        &mut self,
        at: BootNs,
        by: Option<ProcKey>,
        key: ProcKey,
        signal: Signal,
        verdict: Verdict,
    ) {
        // Whom the kernel kills is told nothing.
        let is_killed = signal == Signal::KILL && by.is_none();
        if signal.is_ignored_by_default() || is_killed || verdict == Verdict::TargetExiting {
            return;
        }
        if let Some(sender) = by {
            self.note_passed(sender, key);
        }
        let Some(process) = self.processes.get_mut(key) else { return };
        process.heard_at = at;
        process.has_ignored = verdict == Verdict::IgnoredByChoice;
    }

    /// Remembers a SIGCHLD that merged with a pending one, if it tells of an end and there is a handler for it.
    pub(super) fn note_merged(&mut self, sent: &SignalSent, verdict: Verdict, turn: &Turn) {
        /// CLD_EXITED, CLD_KILLED and CLD_DUMPED. Others tell that a child was stopped, continued or trapped.
        const ENDS: std::ops::RangeInclusive<i32> = 1..=3;
        let Turn { at, seq, .. } = *turn;
        let is_end = sent.signal == Signal::CHLD && ENDS.contains(&sent.code);
        if !is_end || verdict != Verdict::Merged || !sent.has_handler() {
            return;
        }
        let Some(process) = self.processes.get_mut(sent.target.key) else { return };
        let reaped_before = process.reaping().count;
        let fresh = Merged { since: at, last: at, count: 0, seq, reaped_before };
        let merged = process.rare().merged.get_or_insert(fresh);
        if at - merged.last > APART {
            *merged = fresh;
        }
        (merged.last, merged.seq) = (at, seq);
        merged.count += 1;
    }

    /// A process executes another program: that knows nothing of the children that the one before has started.
    pub(super) fn note_unknown_children(&mut self, key: ProcKey, before: Comm, comm: Comm) {
        // A program that executes itself anew can know them.
        if before == comm || before.bytes().is_empty() {
            return;
        }
        for child in self.children.of(key).collect::<Vec<_>>() {
            if let Some(child) = self.processes.get_mut(child).filter(|child| child.adoption.is_none()) {
                child.rare().started_by.get_or_insert(before);
            }
        }
    }

    /// Whether the parent of a zombie has reaped a child that came to it later and ended later: a wait for any child
    /// takes the first in the order in which they came (`do_wait_thread()`), so that it waits for some by their pids.
    pub fn is_passed_over(&self, zombie: &Process, death: &Death) -> bool {
        let reaped = self.parent(zombie.key).and_then(|parent| parent.reaping().latest);
        reaped.is_some_and(|(came, at)| came > zombie.child_since() && at > death.zombie_since() + RELEASED)
    }

    /// The children of a process that live, had lasted for a while at that time, and were its own then; and whether
    /// they were sent a signal since, or anybody below them.
    pub(super) fn family(&self, parent: ProcKey, since: BootNs) -> impl Iterator<Item = (&Process, bool)> {
        // A child that it adopted meanwhile had another parent, which may have notified it.
        let came = |child: &Process| {
            let orphaned = child.orphaned.as_ref().map(|orphaned| orphaned.at);
            orphaned.or_else(|| Some(child.adoption.as_ref()?.at))
        };
        let is_own = move |child: &Process| came(child).is_none_or(|at| at < since);
        let lasts = move |child: &&Process| child.death().is_none() && child.key.start + LASTS < since && is_own(child);
        self.children(parent).filter(lasts).map(move |child| (child, self.was_told(child, since, 0)))
    }

    fn was_told(&self, process: &Process, since: BootNs, depth: usize) -> bool {
        // Deep enough for signals that are passed on; a chain can be as long as there are pids.
        const DEEPEST: usize = 64;
        process.heard_since(since)
            || (depth < DEEPEST && self.children(process.key).any(|child| self.was_told(child, since, depth + 1)))
    }
}
