//! Processes that were killed and still exist, and what keeps a process from going on.

use tracer_common::{
    record::signal_flags as bit,
    signal::{contains, set},
};

use crate::{
    event::{Held, Pipe},
    ident::{ProcKey, TaskRef},
    signal::{Sender, Signal, SignalSent, Verdict},
    time::{BootNs, Seq},
    world::{World, turn::Turn},
};

/// A signal that ends a process without running its code: SIGKILL, or one whose default action ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fatal {
    /// Which.
    pub signal: Signal,
    /// Who sent it.
    pub sender: Sender,
    /// When.
    pub at: BootNs,
    /// Number of the event.
    pub seq: Seq,
}

impl World {
    /// Remembers the signal at which the kernel began to end a process: by then, each of its threads has a SIGKILL
    /// (`complete_signal()`). Who is sent another one, and takes that, was not ended by the one before: a thread of it
    /// has taken that in sigwait(3).
    pub(super) fn note_fatal(&mut self, sent: &SignalSent, sender: Sender, verdict: Verdict, turn: &Turn) {
        let Turn { at, seq, .. } = *turn;
        let SignalSent { target, signal, flags, .. } = *sent;
        let is_default = flags & bit::HANDLER_MASK == bit::DEFAULT && flags & bit::TRACED == 0;
        let ends = is_default && !contains(set::HARMLESS | set::DUMPS_CORE, signal.0.into());
        let is_fatal = verdict == Verdict::Delivered && (signal == Signal::KILL || ends);
        let Some(process) = self.processes.get_mut(target.key).filter(|_| is_fatal) else { return };
        if process.fatal.as_ref().is_none_or(|before| before.signal != Signal::KILL) {
            process.rare().fatal = Some(Box::new(Fatal { signal, sender, at, seq }));
        }
    }

    /// The result of a look at what keeps a process from going on.
    pub(super) fn note_held(&mut self, at: BootNs, key: ProcKey, held: &Held) {
        // The survey, which lists who is traced, comes only each second.
        let tracer = self.by_pid(held.tracer).map(|tracer| TaskRef { key: tracer.key, tid: tracer.key.tgid });
        if let Some(process) = self.processes.get_mut(key) {
            process.rare().held = Some(Box::new((at, held.clone())));
            if tracer.is_some() && process.told_tracer(at, tracer) {
                self.marked.insert(key);
            }
        }
    }

    /// The result of a look at two processes for the two ends of a pipe.
    pub(super) fn note_pipe(&mut self, at: BootNs, pipe: Pipe) {
        let Pipe { reader, writer, shared } = pipe;
        let Some(process) = self.processes.get_mut(reader) else { return };
        match process.pipe.as_deref() {
            Some(&(_, before)) if before == writer && !shared => process.rare().pipe = None,
            None if shared => process.rare().pipe = Some(Box::new((at, writer))),
            _ => {}
        }
    }
}
