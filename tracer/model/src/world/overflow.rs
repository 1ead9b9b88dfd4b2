//! Signals that the queue of their target had no room for.

use crate::{
    ident::ProcKey,
    signal::{Signal, Verdict},
    time::{BootNs, Seq},
    world::{World, turn::Turn},
};

/// Lost signals of one number to one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow {
    /// Which signal.
    pub signal: Signal,
    /// When that was first seen.
    pub since: BootNs,
    /// Number of that event.
    pub seq: Seq,
    /// Signals that were lost; in a burst, not all are seen.
    pub lost: u64,
    /// Signals that lost their sender and value; likewise.
    pub siginfo_lost: u64,
}

/// How many signal numbers are counted per process: a bound on what a trace can make its reader remember.
const MOST: usize = 64;

impl World {
    /// What is known about lost signals of that number to that process.
    pub fn overflow(&self, key: ProcKey, signal: Signal) -> Option<&Overflow> {
        self.get(key)?.overflows.iter().find(|overflow| overflow.signal == signal)
    }

    pub(super) fn note_overflow(&mut self, key: ProcKey, signal: Signal, verdict: Verdict, turn: &Turn) {
        let Turn { at, seq, .. } = *turn;
        let (lost, siginfo_lost) = match verdict {
            Verdict::QueueOverflow => (1, 0),
            Verdict::InfoLost => (0, 1),
            _ => return,
        };
        let Some(process) = self.processes.get_mut(key) else { return };
        let process = process.rare();
        let known = process.overflows.iter_mut().find(|overflow| overflow.signal == signal);
        if let Some(known) = known {
            known.lost += lost;
            known.siginfo_lost += siginfo_lost;
        } else if process.overflows.len() < MOST {
            process.overflows.push(Overflow { signal, since: at, seq, lost, siginfo_lost });
        }
    }
}
