//! One call, or one key, that sends a signal to several processes: which ones got it, and which handled it.

use crate::{
    event::SignalSent,
    ident::ProcKey,
    kill::Call,
    signal::{Aim, Place, Signal, killer::Killer},
    time::{BootNs, Seq, Span},
    world::{Process, World, turn::Turn},
};

/// Signals of one call follow each other within this time: the kernel goes from one process of
/// the group to the next (`__kill_pgrp_info()`).
const APART: Span = Span::ms(10);
/// How many processes that handled it are named.
const HANDLERS: usize = 5;

/// Identifies a call: the process that it is attributed to, and the number of its first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallId {
    pub owner: ProcKey,
    seq: Seq,
}

/// The last call of a process.
#[derive(Clone, Debug)]
pub(super) struct LastCall {
    seq: Seq,
    signal: Signal,
    /// The first process that got it: no process gets it twice.
    first: ProcKey,
    /// When the last one got it.
    last: BootNs,
    call: Call,
}

impl World {
    /// A fatal signal may be one of several that a call or a key sends.
    pub(super) fn note_call(&mut self, sent: &SignalSent, killer: Killer, turn: &Turn) -> Option<CallId> {
        let Turn { at, seq, .. } = *turn;
        let SignalSent { current, target, signal, aim, place, .. } = *sent;
        let Place { group, session, terminal } = place;
        let leader = || self.by_pid(session);
        let (owner, aim) = match killer {
            Killer::Process if aim.is_many() => (current.key, aim),
            // The kernel sends it in the context of any task.
            Killer::Terminal if group != 0 => (leader().map_or(current.key, |leader| leader.key), Aim::Group),
            _ => return None,
        };
        let leader = leader().map(Process::identity);
        let target_of_call = self.identity(target.key);
        let process = self.processes.get_mut(owner)?;
        let is_same = |last: &LastCall| {
            let Call { aim: of, group: to, .. } = last.call;
            (last.signal, of) == (signal, aim)
                && (aim == Aim::All || to == group)
                && last.first != target.key
                && at - last.last <= APART
        };
        if !process.call.as_deref().is_some_and(is_same) {
            let group = if aim == Aim::All { 0 } else { group };
            let call = Call { aim, group, session: leader, terminal, sent: 0, handled: 0, handlers: Vec::new() };
            process.rare().call = Some(Box::new(LastCall { seq, signal, first: target.key, last: at, call }));
        }
        let last = process.rare().call.as_deref_mut()?;
        last.last = at;
        last.call.sent += 1;
        if sent.has_handler() {
            last.call.handled += 1;
            if last.call.handlers.len() < HANDLERS {
                last.call.handlers.push(target_of_call);
            }
        }
        Some(CallId { owner, seq: last.seq })
    }

    /// What is known about a call by now, unless its process is gone or has made another one.
    pub(super) fn call(&self, id: CallId) -> Option<&Call> {
        let last = self.get(id.owner)?.call.as_deref()?;
        (last.seq == id.seq).then_some(&last.call)
    }
}
