//! When to look at a process again, because what is believed of it is a prediction, or waits for a
//! word that may not come.
//!
//! The word that may not come is that of a release. It is said wherever RCU happens to run its
//! callbacks, later than an upper bound allows under load; and hardened kernels run no program in
//! the context of processes that they hide, whatever RCU does there.

use crate::time::{BootNs, Span};
use crate::{ident::ProcKey, world::World};

/// How long after the old parent began to exit an orphan is looked at. The kernel
/// hands it on between (`exit_notify()`), most often within microseconds.
const ORPHAN: Span = Span::ms(10);
/// How long after nobody has found it a process is looked for again: what hides it takes
/// microseconds.
const MISSING: Span = Span::ms(10);
/// How long after its end a process is looked at that is not known to be gone: longer than RCU
/// takes for a word of it.
const DEAD: Span = Span::ms(500);
/// The longest that nobody looks at a zombie.
const RARELY: Span = Span::seconds(60);

impl World {
    /// The processes that should be looked at by now.
    pub fn doubtful(&self, now: BootNs) -> impl Iterator<Item = ProcKey> {
        self.looks.iter().take_while(move |&&(at, _)| at <= now).map(|&(_, key)| key)
    }

    /// Decides when a process is looked at next. It is looked at less and less often: there may be
    /// many zombies, and many children of an exit that is held up.
    pub(super) fn plan_look(&mut self, key: ProcKey, now: BootNs) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        let next = |since: BootNs, at_least: Span| now + (now - since).clamp(at_least, RARELY);
        let orphan = process.orphaned.map(|orphaned| next(orphaned.at, ORPHAN));
        let dead = process.death().map(|death| next(death.at, DEAD));
        // Of the dead it is known that they will be gone.
        let missing = process.missing.filter(|missing| dead.is_none() && missing.was_once());
        let missing = missing.map(|_| now + MISSING);
        let at = orphan.into_iter().chain(dead).chain(missing).min();
        let before = std::mem::replace(&mut process.look_at, at);
        self.forget_look(key, before);
        if let Some(at) = at {
            self.looks.insert((at, key));
        }
    }

    /// Takes a planned look back.
    pub(super) fn forget_look(&mut self, key: ProcKey, planned: Option<BootNs>) {
        if let Some(at) = planned {
            self.looks.remove(&(at, key));
        }
    }
}
