//! Who asked a container to stop, and who ended it when it did not.

use crate::{
    ident::{Identity, ProcKey},
    signal::{Signal, Verdict},
    world::{Process, World},
};

/// The last attempt to stop the init of a namespace from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The first signal that asked for it.
    pub asked: Request,
    /// The SIGKILL that followed, once it has.
    pub kill: Option<Request>,
}

/// A signal from outside to an init.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which.
    pub signal: Signal,
    /// Who sent it.
    pub sender: Identity,
    /// On whose behalf: the sender's parent then.
    pub parent: Option<Identity>,
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
        let parent = self.parent(sender.key).map(Process::identity);
        let request = Request { signal, sender, parent, verdict, at, seq };
        let Some(process) = self.processes.get_mut(&target) else { return };
        let present = process.stop.as_mut().filter(|stop| at.saturating_sub(stop.asked.at) < LONGEST_GRACE);
        match (present, asks) {
            // Whoever asks again waits since the first time.
            (Some(_), true) | (None, false) => {}
            (Some(stop), false) => _ = stop.kill.get_or_insert(request),
            (None, true) => process.stop = Some(Box::new(Stop { asked: request, kill: None })),
        }
    }

    /// Whether a signal means that an init should end: those of people and service managers, and the one
    /// that its container was given for that.
    fn asks_to_stop(&self, target: ProcKey, signal: Signal) -> bool {
        let of_container = || self.container_of(&self.identity(target))?.own_stop_signal();
        matches!(signal, Signal::TERM | Signal::INT | Signal::QUIT) || of_container() == Some(signal)
    }
}
