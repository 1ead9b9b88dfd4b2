//! Who ended whom by a signal: what is remembered of signals that could end a process, until it ends;
//! and ends of one cause put together.

use crate::{
    change::Change,
    event::{ExitStatus, SignalSent},
    ident::{Identity, ProcKey},
    signal::{
        KernelSender, Sender, Signal,
        killer::{Killer, could_end, killer},
    },
    world::{Death, World},
};
use tracer_common::record::signal_flags;

/// How long ends of the same cause are put together, in nanoseconds.
const MOMENT: u64 = 100_000_000;
/// How long after it has handled a signal a process that raises it is taken to pass it on, in
/// nanoseconds.
const RAISED_AGAIN: u64 = 10_000_000_000;
/// Ends that are remembered by name.
const NAMED: usize = 10;
/// Ancestors of a sender that are kept.
const MOST_ANCESTORS: usize = 16;
/// Causes that are open at a time; more are told of at once.
const MOST_OPEN: usize = 1024;

/// An end by a signal, or many of one cause within a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// The signal that ended them.
    pub signal: Signal,
    /// Its `si_code`, as the receiver would have seen it.
    pub code: i32,
    /// What it came from.
    pub killer: Killer,
    /// Who sent it. Of a signal that the kernel sends because of a process (`PR_SET_PDEATHSIG`, say),
    /// that process.
    pub sender: Sender,
    /// Parent, grandparent and so on of the sender when it sent it, up to the init of its namespace.
    pub ancestors: Vec<Identity>,
    /// When it was sent first, in nanoseconds of the boot-time clock; `None` if that was not seen.
    pub sent_at: Option<u64>,
    /// When the first of them ended, likewise.
    pub died_at: u64,
    /// How the first of them ended.
    pub status: ExitStatus,
    /// How many.
    pub count: u64,
    /// The first of them.
    pub victims: Vec<Identity>,
    /// How many of them had handled the signal and then raised it once more.
    pub raised_again: u64,
    /// How many left a core dump.
    pub cores: u64,
    /// Numbers of the events: when it was sent to the first of them, and their ends.
    pub evidence: Vec<u64>,
}

/// What ends have in common that are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Join {
    killer: Killer,
    signal: Signal,
    /// The current task where it was sent; or whom it ended, if that cause ends nobody else.
    who: ProcKey,
}

/// A signal that could be why a process will end.
#[derive(Clone, Debug)]
struct Cause {
    signal: Signal,
    code: i32,
    killer: Killer,
    sender: Sender,
    current: ProcKey,
    ancestors: Vec<Identity>,
    at: u64,
    seq: u64,
}

/// The last of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Causes {
    /// Its default action ends the process.
    fatal: Option<Cause>,
    /// The program handles it: a request to end, from somebody else.
    handled: Option<Cause>,
}

impl Causes {
    /// Another program has no handlers yet.
    pub(super) fn exec(&mut self) {
        self.handled = None;
    }

    /// Why a process has ended by that signal, and whether it raised it itself, once it had handled it.
    fn of(self, signal: Signal, died_at: u64) -> (Option<Cause>, bool) {
        let Self { fatal, handled } = self;
        let handled = handled.filter(|cause| cause.signal == signal);
        let fatal = fatal.filter(|cause| cause.signal == signal);
        match (fatal, handled) {
            (Some(fatal), Some(handled)) => {
                let soon = died_at.saturating_sub(handled.at) <= RAISED_AGAIN;
                // What was handled before is why.
                if fatal.killer == Killer::Itself && handled.at <= fatal.at && soon {
                    (Some(handled), true)
                } else {
                    (Some(fatal), false)
                }
            }
            // The handler was taken away before the signal was.
            (fatal, handled) => (fatal.or(handled), false),
        }
    }
}

impl World {
    /// Remembers a signal that the kernel accepted, if it could be why its target ends.
    pub(super) fn note_cause(&mut self, at: u64, seq: u64, sent: &SignalSent, sender: Sender, code: i32) {
        if !could_end(sent) {
            return;
        }
        let SignalSent { current, target, signal, flags, .. } = *sent;
        let is_handled = flags & signal_flags::HANDLER_MASK == signal_flags::HANDLER;
        let killer = killer(sent);
        if is_handled && killer == Killer::Itself {
            return;
        }
        let sender = if killer.has_sender() { Sender::Process(self.identity(current.key)) } else { sender };
        let ancestors = match killer {
            Killer::Process | Killer::CgroupKill => self.ancestors(current.key),
            _ => Vec::new(),
        };
        let cause = Cause { signal, code, killer, sender, current: current.key, ancestors, at, seq };
        let Some(process) = self.processes.get_mut(&target.key) else { return };
        let causes = process.causes.get_or_insert_default();
        *(if is_handled { &mut causes.handled } else { &mut causes.fatal }) = Some(cause);
    }

    /// Parent, grandparent and so on, up to the init of its namespace.
    fn ancestors(&self, key: ProcKey) -> Vec<Identity> {
        let is_init = |key| self.get(key).is_none_or(|process| process.roles.init);
        let mut ancestors = Vec::new();
        if is_init(key) {
            return ancestors;
        }
        for key in self.upwards(key).skip(1).take(MOST_ANCESTORS) {
            ancestors.push(self.identity(key));
            if is_init(key) {
                break;
            }
        }
        ancestors
    }

    /// A process has died; by a signal, perhaps.
    pub(super) fn note_kill(&mut self, key: ProcKey, death: &Death, changes: &mut Vec<Change>) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        let causes = process.causes.take();
        let Some(signal) = death.status.signal() else { return };
        let (identity, ns) = (process.identity(), process.pid_ns);
        let (cause, is_raised_again) = causes.map_or((None, false), |causes| causes.of(signal, death.at));
        let Some((join, mut kill)) = self.kill_of(key, signal, death, cause) else { return };
        // The end of the namespace says so for all of them.
        let is_unseen_end = kill.killer == Killer::Unknown
            && signal == Signal::KILL
            && self.outwards(ns).any(|ns| self.is_ending(ns));
        if kill.killer == Killer::NamespaceEnd || is_unseen_end {
            return;
        }
        let is_full = self.kills.len() >= MOST_OPEN && !self.kills.contains_key(&join);
        let kill = if is_full { &mut kill } else { self.kills.entry(join).or_insert(kill) };
        kill.count += 1;
        kill.raised_again += u64::from(is_raised_again);
        kill.cores += u64::from(death.status.dumped_core());
        if kill.victims.len() < NAMED {
            kill.victims.push(identity);
            kill.evidence.push(death.seq);
        }
        if is_full {
            changes.push(Change::Killed(Box::new(kill.clone())));
        }
    }

    /// What is known of an end, without whom it ended; `None` if nothing is, and nobody could.
    fn kill_of(&self, key: ProcKey, signal: Signal, death: &Death, cause: Option<Cause>) -> Option<(Join, Kill)> {
        let is_seen = cause.is_some();
        // It ended before anybody watched.
        if !is_seen && (!death.exact || death.at < self.snapshot_began) {
            return None;
        }
        let unseen = Cause {
            signal,
            code: 0,
            // Up to 5.10 seccomp ends a process without a signal, and later it still does so for a thread.
            killer: if signal == Signal::SYS { Killer::Seccomp } else { Killer::Unknown },
            sender: Sender::Unknown,
            current: ProcKey::default(),
            ancestors: Vec::new(),
            at: death.at,
            seq: death.seq,
        };
        let mut cause = cause.unwrap_or(unseen);
        // `mark_oom_victim()` follows the SIGKILL; a process that was dying already can be marked too.
        if death.oom && signal == Signal::KILL && !cause.killer.has_sender() && cause.killer != Killer::NamespaceEnd {
            (cause.killer, cause.sender) = (Killer::Oom, Sender::Kernel(KernelSender::Oom));
        }
        let Cause { signal, code, killer, sender, current, ancestors, at, seq } = cause;
        let join = Join { killer, signal, who: if killer.can_end_many() { current } else { key } };
        let kill = Kill {
            signal,
            code,
            killer,
            sender,
            ancestors,
            sent_at: is_seen.then_some(at),
            died_at: death.at,
            status: death.status,
            count: 0,
            victims: Vec::new(),
            raised_again: 0,
            cores: 0,
            evidence: if is_seen { vec![seq] } else { Vec::new() },
        };
        Some((join, kill))
    }

    /// Tells of ends to which no more of the same cause will be put; of all, at the end of time.
    pub(super) fn close_kills(&mut self, now: u64, is_end: bool, changes: &mut Vec<Change>) {
        let is_due = |kill: &Kill| is_end || now >= kill.died_at.saturating_add(MOMENT);
        let due: Vec<_> = self.kills.iter().filter(|(_, kill)| is_due(kill)).map(|(&join, _)| join).collect();
        let mut kills: Vec<_> = due.iter().filter_map(|join| self.kills.remove(join)).collect();
        kills.sort_by(|a, b| (a.died_at, &a.evidence).cmp(&(b.died_at, &b.evidence)));
        changes.extend(kills.into_iter().map(|kill| Change::Killed(Box::new(kill))));
    }
}
