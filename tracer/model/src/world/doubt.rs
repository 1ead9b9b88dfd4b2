//! When to look at a process again, because what is known about it is a prediction, or depends on an event that may not
//! come.
//!
//! That event is the release. It fires wherever RCU runs its callbacks, without an upper bound under load; and hardened
//! kernels run no program in the context of processes that they hide, whatever RCU does there.

use crate::time::{BootNs, Span};
use crate::{ident::ProcKey, world::World};

/// How long after the old parent began to exit an orphan is looked at. In between, the kernel gives it its new parent
/// (`exit_notify()`), usually within microseconds.
const ORPHAN: Span = Span::ms(10);
/// How long after a look that did not find it a process is looked for again: whatever hides it takes microseconds.
const MISSING: Span = Span::ms(10);
/// How long after its end a process is looked at if it is not known to be gone: longer than RCU usually takes to report
/// it.
const DEAD: Span = Span::ms(500);
/// The longest time between two looks at a zombie.
const RARELY: Span = Span::seconds(60);

impl World {
    /// The processes to look at by now.
    pub fn doubtful(&self, now: BootNs) -> impl Iterator<Item = ProcKey> {
        self.looks.iter().take_while(move |&&(at, _)| at <= now).map(|&(_, key)| key)
    }

    /// When the next process is to be looked at.
    pub fn next_look(&self) -> Option<BootNs> {
        self.looks.first().map(|&(at, _)| at)
    }

    /// Schedules the next look at a process. The intervals grow: there may be many zombies, and many children of an
    /// exit that is held up.
    pub(super) fn plan_look(&mut self, key: ProcKey, now: BootNs) {
        let Some(process) = self.processes.get_mut(key) else { return };
        let next = |since: BootNs, at_least: Span| now + (now - since).clamp(at_least, RARELY);
        let orphan = process.orphaned.as_deref().map(|orphaned| next(orphaned.at, ORPHAN));
        let dead = process.death().map(|death| next(death.at, DEAD));
        // A dead process is known to go eventually.
        let missing = process.missing.filter(|missing| dead.is_none() && missing.was_once());
        let missing = missing.map(|_| now + MISSING);
        let untraced = process.untraced.map(|_| now + DEAD);
        let at = orphan.into_iter().chain(dead).chain(missing).chain(untraced).min();
        let before = std::mem::replace(&mut process.look_at, at);
        self.forget_look(key, before);
        if let Some(at) = at {
            self.looks.insert((at, key));
        }
    }

    /// Cancels a planned look.
    pub(super) fn forget_look(&mut self, key: ProcKey, planned: Option<BootNs>) {
        if let Some(at) = planned {
            self.looks.remove(&(at, key));
        }
    }
}
