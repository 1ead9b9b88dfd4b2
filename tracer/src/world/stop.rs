//! Who asked a container to stop, and who ended it when it did not.

use crate::{
    ident::{Identity, ProcKey},
    signal::{Signal, Verdict},
    world::World,
};

/// The last attempt to stop the init of a namespace from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The first signal that asked for it.
    pub asked: Request,
    /// The SIGKILL that followed, once it has.
    pub kill: Option<Request>,
    /// Who had been told of the stop by then, if the stream can tell.
    pub told: Option<Told>,
}

impl Stop {
    /// Nanoseconds between the first signal and the SIGKILL that followed.
    pub fn wasted_ns(&self) -> Option<u64> {
        Some(self.kill.as_ref()?.at.saturating_sub(self.asked.at))
    }
}

/// Which children of an init were sent a signal since it was asked to stop, or somebody below them was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Children that were, of those that live.
    pub told: u64,
    /// Children that were not.
    pub not_told: u64,
    /// The oldest of those that were not.
    pub named: Vec<Identity>,
}

/// Children that are named.
const NAMED: usize = 5;

/// A signal from outside to an init.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which.
    pub signal: Signal,
    /// Who sent it.
    pub sender: Identity,
    /// On whose behalf: its parent, grandparent and so on then, up to the init of its namespace.
    pub ancestors: Vec<Identity>,
    /// The client that had asked an engine for it, and its ancestors, if that was seen.
    pub asked_by: Vec<Identity>,
    /// What became of it.
    pub verdict: Verdict,
    /// When, in nanoseconds of the boot-time clock.
    pub at: u64,
    /// Number of the event.
    pub seq: u64,
}

/// A SIGKILL that comes later than this, in nanoseconds, is no consequence of the request: no engine
/// waits for longer without being told to.
const LONGEST_GRACE: u64 = 3_600_000_000_000;

impl World {
    /// A process outside has sent a signal to an init.
    pub(super) fn note_request(
        &mut self,
        target: ProcKey,
        sender: Identity,
        verdict: Verdict,
        signal: Signal,
        at: u64,
        seq: u64,
    ) {
        let asks = self.asks_to_stop(target, signal);
        if !asks && signal != Signal::KILL {
            return;
        }
        let (ancestors, asked_by) = (self.ancestors(sender.key), self.asked_by(sender.key, target));
        let request = Request { signal, sender, ancestors, asked_by, verdict, at, seq };
        let since = self.get(target).and_then(|process| Some(process.stop.as_ref()?.asked.at));
        let told = since.filter(|_| signal == Signal::KILL).and_then(|since| self.told(target, since));
        let Some(process) = self.processes.get_mut(&target) else { return };
        let present = process.stop.as_mut().filter(|stop| at.saturating_sub(stop.asked.at) < LONGEST_GRACE);
        match (present, asks) {
            // Whoever asks again waits since the first time.
            (Some(_), true) | (None, false) => {}
            (Some(stop), false) if stop.kill.is_none() => (stop.kill, stop.told) = (Some(request), told),
            (Some(_), false) => {}
            (None, true) => process.stop = Some(Box::new(Stop { asked: request, kill: None, told: None })),
        }
    }

    /// Which children of an init were told of a stop since a time, in nanoseconds of the boot-time clock;
    /// `None` if the stream does not have the signals that would tell.
    pub fn told(&self, init: ProcKey, since: u64) -> Option<Told> {
        if self.lacks_forwards {
            return None;
        }
        let mut children = Told::default();
        for (child, was_told) in self.family(init, since) {
            if was_told {
                children.told += 1;
                continue;
            }
            children.not_told += 1;
            if children.named.len() < NAMED {
                children.named.push(child.identity());
            }
        }
        Some(children)
    }

    /// Whether a signal means that an init should end: those of people and service managers, and the one
    /// that its container was given for that.
    fn asks_to_stop(&self, target: ProcKey, signal: Signal) -> bool {
        let of_container = || self.container_of(&self.identity(target))?.own_stop_signal();
        matches!(signal, Signal::TERM | Signal::INT | Signal::QUIT) || of_container() == Some(signal)
    }
}
