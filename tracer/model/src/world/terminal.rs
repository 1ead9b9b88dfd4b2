//! What its terminal asked of a process: a key, or the end of the terminal.

use crate::{
    ident::{Identity, ProcKey},
    kill::Call,
    origin::Origin,
    signal::{Signal, SignalSent, Terminal, killer::Killer},
    time::{BootNs, Seq},
    world::World,
};

/// A signal of its terminal that a process had handled a moment before it ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfTerminal {
    /// Which.
    pub signal: Signal,
    /// [`Killer::Terminal`], or [`Killer::HangUp`] if it came with the end of a process.
    pub killer: Killer,
    /// Of a hang-up: with whose end it came, or who hung the terminal up; `None` if nobody is known.
    pub hung_up_by: Option<Identity>,
    /// The terminal, as far as the kernel showed it: of a hang-up, the leader of the session has lost it by then.
    pub terminal: Option<Terminal>,
    /// That process led the session of the terminal.
    pub is_of_leader: bool,
    /// The process led the session itself.
    pub is_to_leader: bool,
    /// All whom the key met.
    pub call: Option<Call>,
    /// What led to the end that hung it up.
    pub origin: Origin,
    /// The same signal has ended others.
    pub has_killed: bool,
    /// When.
    pub at: BootNs,
    /// Number of the event.
    pub seq: Seq,
}

impl World {
    /// Who is behind a hang-up, if that is a process.
    ///
    /// `tty_vhangup()` runs in the process that closes the other side, or calls vhangup(2); what a modem or the last
    /// work on a file brings about, in a thread of the kernel.
    pub(super) fn hung_up_by(&self, sent: &SignalSent, killer: Killer) -> Option<Identity> {
        let is_hang_up = killer == Killer::HangUp || (killer == Killer::Terminal && sent.signal == Signal::HUP);
        let by =
            self.get(sent.current.key).filter(|by| is_hang_up && !by.roles.kthread && by.key != sent.target.key)?;
        Some(by.identity())
    }

    /// The signal of its terminal that a process had handled a moment before it ended by itself.
    pub fn asked_by_terminal(&self, key: ProcKey) -> Option<OfTerminal> {
        let process = self.get(key)?;
        process.death().filter(|death| death.status.signal().is_none())?;
        let cause = process.ended_by.as_deref()?;
        if !matches!(cause.killer, Killer::Terminal | Killer::HangUp) {
            return None;
        }
        let owner = cause.call.map_or(cause.current, |call| call.owner);
        Some(OfTerminal {
            signal: cause.signal,
            killer: cause.killer,
            hung_up_by: cause.hung_up_by.as_deref().copied(),
            terminal: cause.place.terminal,
            is_of_leader: cause.lost_terminal().is_some(),
            is_to_leader: cause.place.session == key.tgid,
            call: cause.call.and_then(|call| self.call(call)).cloned(),
            origin: cause.origin.clone(),
            has_killed: self.is_killing(cause.killer, owner, cause.signal),
            at: cause.at,
            seq: cause.seq,
        })
    }
}
