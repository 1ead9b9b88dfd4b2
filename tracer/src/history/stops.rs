//! Who was asked to stop, by whom, and what came of it: containers, and whatever had to be killed.

use std::collections::VecDeque;

use crate::{
    ident::{Identity, ProcKey},
    signal::{Signal, Verdict},
    stop::Request,
    time::{BootNs, Span},
    world::World,
};

/// Stops that are kept; further ones are counted.
const MOST: usize = 200;

/// A process that was asked to stop, and has ended.
#[derive(Clone, Debug)]
pub struct Stop {
    /// Which.
    pub process: Identity,
    /// What asked for it.
    pub signal: Signal,
    /// Who sent that.
    pub sender: Identity,
    /// The client that had asked an engine for it, if that was seen.
    pub client: Option<Identity>,
    /// What became of the signal.
    pub verdict: Verdict,
    /// When it was asked.
    pub asked: BootNs,
    /// When it ended.
    pub ended: BootNs,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of it that a process was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was killed after it had been waited for in vain for so long.
    Killed(Span),
    /// It ended by itself.
    ByItself,
}

/// All of them, in the order of their ends.
#[derive(Clone, Debug, Default)]
pub struct Stops {
    kept: VecDeque<Stop>,
    more: u64,
    /// Of too many, the last are kept; otherwise the first.
    is_of_late: bool,
}

impl Stops {
    /// Of too many, the last are kept.
    pub(super) fn of_late() -> Self {
        Self { is_of_late: true, ..Self::default() }
    }

    /// Those that were kept.
    pub fn iter(&self) -> impl Iterator<Item = &Stop> {
        self.kept.iter()
    }

    /// How many were not kept.
    pub fn more(&self) -> u64 {
        self.more
    }

    pub(super) fn died(&mut self, world: &World, key: ProcKey, is_shown: impl FnOnce(&Stop) -> bool) {
        let Some(stop) = Stop::of(world, key).filter(|stop| is_shown(stop)) else { return };
        let is_full = self.kept.len() >= MOST;
        self.more += u64::from(is_full);
        if is_full && self.is_of_late {
            self.kept.pop_front();
        }
        if self.kept.len() < MOST {
            self.kept.push_back(stop);
        }
    }
}

impl Stop {
    /// That of a process which has just ended, if it was asked to stop, and if that is worth a line.
    pub fn of(world: &World, key: ProcKey) -> Option<Self> {
        let process = world.get(key)?;
        let death = process.death()?;
        if let Some(forced) = process.forced_stop() {
            let outcome = Outcome::Killed(forced.wasted());
            let stop = Self::by_itself(process.identity(), &forced.asked, forced.ended);
            return Some(Self { verdict: forced.verdict(), outcome, ..stop });
        }
        // Anybody can be asked by anybody; of those that end by themselves, containers are worth a line.
        let (asked, is_certain) = process.stop.as_deref()?.answered(death.at)?;
        let is_meant = is_certain && asked.is_to_container;
        is_meant.then(|| Self::by_itself(process.identity(), asked, death.at))
    }

    fn by_itself(process: Identity, asked: &Request, ended: BootNs) -> Self {
        let Request { signal, sender, verdict, at, asked_by, .. } = asked;
        let client = asked_by.first().copied();
        let (signal, sender, verdict, asked) = (*signal, *sender, *verdict, *at);
        Self { process, signal, sender, client, verdict, asked, ended, outcome: Outcome::ByItself }
    }
}
