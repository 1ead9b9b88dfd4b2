//! Whose a pid was before: a pid file that outlives its process ends up naming somebody else.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::{
    ident::{Identity, PidNs, ProcKey},
    origin::Former,
    time::{BootNs, Span},
    world::World,
};

/// Processes that are remembered by their pids after their end.
const MOST: usize = 8192;
/// Nobody writes down the pid of what lives for a shorter time.
const LIVED: Span = Span::ms(500);
/// Whose a pid was longer ago says nothing.
const RECENT: Span = Span::seconds(600);

/// The last owner of each pid that had one for a while, by namespace and the pid there.
#[derive(Debug, Default)]
pub(super) struct Formers {
    last: FxHashMap<(PidNs, u32), Former>,
    /// The oldest first.
    order: VecDeque<(PidNs, u32)>,
}

impl World {
    /// A process has ended: somebody may have its pid next.
    pub(super) fn note_former(&mut self, key: ProcKey, ended: BootNs) {
        let Some(process) = self.get(key).filter(|process| ended - process.key.start >= LIVED) else { return };
        let place = (process.pid_ns, process.ns_pid);
        let former = Former { process: process.identity(), ended };
        if self.formers.last.insert(place, former).is_none() {
            self.formers.order.push_back(place);
        }
        if self.formers.order.len() > MOST
            && let Some(oldest) = self.formers.order.pop_front()
        {
            self.formers.last.remove(&oldest);
        }
    }

    /// Whose the pid of a process was until a moment before it began, if that was another program. `sender` has sent
    /// it a signal; who stands above it knows whom he means, and who lives in another namespace knows it by another
    /// pid.
    pub(super) fn former(&self, key: ProcKey, sender: &Identity) -> Option<Former> {
        let process = self.get(key).filter(|process| process.pid_ns == sender.pid_ns)?;
        let former = self.formers.last.get(&(process.pid_ns, process.ns_pid))?;
        // Inode numbers are used again: what ended before the init began lived in another namespace.
        let began = self.namespace(process.pid_ns).and_then(|ns| ns.init).map_or(BootNs::ZERO, |init| init.start);
        let is_here = began <= former.process.key.start;
        let is_before = former.ended <= process.key.start && process.key.start - former.ended <= RECENT;
        let is_other = former.process.comm != process.comm && former.process.key != key;
        (is_here && is_before && is_other && !self.is_below(key, sender.key)).then_some(*former)
    }
}
