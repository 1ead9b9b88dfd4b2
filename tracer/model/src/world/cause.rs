//! Signals that could be why a process ends: what is remembered about each, until it ends.

use std::sync::Arc;

use tracer_common::record::signal_flags;

use crate::{
    change::Signalled,
    event::SignalSent,
    hand::Hand,
    ident::{Identity, ProcKey},
    origin::{Origin, Sent, Step},
    signal::{
        Place, Sender, Signal, Terminal, Verdict,
        killer::{Killer, could_end, killer},
    },
    time::{BootNs, Seq, Span},
    world::{World, call::CallId, turn::Turn},
};

/// If a process raises a signal within this time after it handled it, it counts as passing it on.
pub(super) const RAISED_AGAIN: Span = Span::seconds(10);
/// A timer that runs out again within this time ticks.
const TICKS: Span = Span::seconds(10);
/// Within this time after its SIGABRT, abort(3) ends the process in another way.
const ABORTS: Span = Span::ms(100);
/// How many ancestors of a sender are kept.
const MOST_ANCESTORS: usize = 16;

/// A signal that could be why a process will end.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    pub signal: Signal,
    pub code: i32,
    pub killer: Killer,
    pub sender: Sender,
    pub current: ProcKey,
    pub ancestors: Arc<[Identity]>,
    pub asked_by: Vec<Identity>,
    /// What led to it.
    pub origin: Origin,
    /// The call that sent it to others as well.
    pub call: Option<CallId>,
    /// Where its target stood.
    pub place: Place,
    /// Of a hang-up: with whose end it came, or who hung the terminal up.
    pub hung_up_by: Option<Box<Identity>>,
    /// It is for the process, not for one of its threads.
    pub is_for_process: bool,
    /// Nobody took it at once: it was blocked, or the process was stopped or traced.
    pub is_queued: bool,
    /// Another sender's of that number was queued as well. Whether the program took one of them does not show
    /// (sigwait(3), signalfd(2)).
    pub has_rival: bool,
    /// Even if its default action ends the process, it did not take effect at once.
    pub is_taken: bool,
    /// Of a timer: it had run out a moment before as well, so it announces nothing.
    pub ticks: bool,
    /// It stops its target, whatever it may mean to others: pid 1 of a container, or a server that drains at it.
    pub is_stop: bool,
    pub at: BootNs,
    pub seq: Seq,
}

impl Cause {
    /// This signal as the reason for later ones.
    pub fn sent(&self) -> Sent {
        let Self { signal, killer, sender, .. } = *self;
        let asked_by = self.hand().map(|hand| hand.client().to_vec()).unwrap_or_default();
        Sent { signal, killer, sender, asked_by }
    }

    /// Who sent it, if a process did.
    pub fn by(&self) -> Option<&Identity> {
        match &self.sender {
            Sender::Process(sender) => Some(sender),
            Sender::Kernel(_) | Sender::Unknown => None,
        }
    }

    /// The same, and for whom.
    pub fn hand(&self) -> Option<Hand<'_>> {
        self.by().map(|sender| Hand { sender, ancestors: &self.ancestors, asked_by: &self.asked_by })
    }

    /// Of a hang-up: the terminal whose session ends with its leader. `disassociate_ctty()` sends it to whoever is in the
    /// foreground before the session loses its terminal.
    pub fn lost_terminal(&self) -> Option<Terminal> {
        let is_of_leader = self.killer == Killer::HangUp && self.place.session == self.current.tgid;
        self.place.terminal.filter(|_| is_of_leader)
    }

    /// The process raised it itself, for itself alone.
    pub fn is_own(&self) -> bool {
        self.killer == Killer::Itself
    }
}

/// The signal of each number that the kernel delivers first; handled ones apart from those whose default action ends the process.
#[derive(Clone, Debug, Default)]
pub(super) struct Causes {
    /// Their default action ends the process. A stopped process can have several pending.
    fatal: Vec<Arc<Cause>>,
    /// The program handles them: requests to end, from other processes.
    handled: Vec<Arc<Cause>>,
    /// When the kernel last dropped a SIGABRT that it raised itself: abort(3), of pid 1.
    aborted: Option<BootNs>,
}

/// A signal that pid 1 handled and then raised again to end by it, which the kernel does not let come about.
#[derive(Clone, Debug)]
pub struct InVain {
    /// Which.
    pub signal: Signal,
    /// Who had sent it.
    pub sender: Sender,
    /// The client that had asked an engine for it, and its ancestors, if that was seen.
    pub asked_by: Vec<Identity>,
    /// What became of its own: dropped at once, or when it was unblocked.
    pub verdict: Verdict,
    /// When it raised it.
    pub at: BootNs,
    /// Number of the event with which it had been sent the signal.
    pub sent: Seq,
    /// Number of the event that showed the drop.
    pub dropped: Seq,
}

impl Causes {
    /// A new program has no handlers yet.
    pub fn exec(&mut self) {
        self.handled.clear();
    }

    /// At most one per number, of which there are 64.
    fn note(&mut self, cause: Cause, is_handled: bool) {
        let is_raised = !is_handled && cause.is_own();
        let causes = if is_handled { &mut self.handled } else { &mut self.fatal };
        let before = put(causes, Arc::new(cause));
        // A program that has taken it by sigwait(3) or a signalfd(2) has handled it, too.
        if let Some(before) = before.filter(|before| is_raised && before.is_taken && !before.is_own())
            && self.handled.iter().all(|known| known.signal != before.signal || known.seq < before.seq)
        {
            put(&mut self.handled, before);
        }
    }

    /// Whether the process had called abort(3) a moment before, without effect.
    pub fn has_aborted(&self, at: BootNs) -> bool {
        self.aborted.is_some_and(|aborted| at - aborted <= ABORTS)
    }

    /// All of them, the last one first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Cause>> {
        last_first(self.fatal.iter().chain(&self.handled))
    }

    /// Those that the program could do something about: it handles them, or blocks them and asks for them
    /// (`sigwait()`, `signalfd()`). The last one first.
    pub fn received(&self) -> impl Iterator<Item = &Arc<Cause>> {
        last_first(self.fatal.iter().filter(|cause| cause.is_taken).chain(&self.handled))
    }

    /// Those that it handles, likewise.
    pub fn handled(&self) -> impl Iterator<Item = &Arc<Cause>> {
        last_first(self.handled.iter())
    }

    /// Why a process ended by that signal, and whether it raised it itself after it had handled it.
    pub fn of(&self, signal: Signal, died_at: BootNs) -> (Option<Arc<Cause>>, bool) {
        let of = |causes: &[Arc<Cause>]| causes.iter().find(|cause| cause.signal == signal).cloned();
        let (fatal, handled) = (of(&self.fatal), of(&self.handled));
        match (fatal, handled) {
            (Some(fatal), Some(handled)) => {
                let soon = died_at - handled.at <= RAISED_AGAIN;
                // The handled signal is the reason.
                if fatal.is_own() && handled.at <= fatal.at && soon {
                    (Some(handled), true)
                } else {
                    (Some(fatal), false)
                }
            }
            // The handler was removed before the signal was taken; of long ago, it is another one that nobody saw.
            (fatal, handled) => (fatal.or(handled.filter(|handled| died_at - handled.at <= RAISED_AGAIN)), false),
        }
    }
}

/// Puts a signal in the place of the one of that number, and returns that.
fn put(causes: &mut Vec<Arc<Cause>>, cause: Arc<Cause>) -> Option<Arc<Cause>> {
    match causes.iter_mut().find(|known| known.signal == cause.signal) {
        // Nothing can follow the first of these, nor precede its effect.
        Some(_) if cause.signal == Signal::KILL => None,
        Some(known) if known.is_queued && cause.is_queued => put_in_order(known, cause),
        Some(known) => Some(std::mem::replace(known, cause)),
        None => {
            // Of most processes, one signal is remembered.
            causes.reserve_exact(usize::from(causes.is_empty()));
            causes.push(cause);
            None
        }
    }
}

/// Of two that are pending, the kernel delivers that of the thread first (`dequeue_signal()`). In one queue real-time
/// signals are in order; of others, the first must have been taken, or the second would have merged with it.
fn put_in_order(known: &mut Arc<Cause>, mut cause: Arc<Cause>) -> Option<Arc<Cause>> {
    let is_one_queue = known.is_for_process == cause.is_for_process;
    let is_one_sender = matches!((known.by(), cause.by()), (Some(one), Some(other)) if one.key == other.key);
    let has_rival = !is_one_sender && (!is_one_queue || cause.signal.is_real_time());
    let stays = if is_one_queue { cause.signal.is_real_time() } else { cause.is_for_process };
    if stays {
        Arc::make_mut(known).has_rival |= has_rival;
        return None;
    }
    Arc::make_mut(&mut cause).has_rival = has_rival;
    Some(std::mem::replace(known, cause))
}

fn last_first<'a>(causes: impl Iterator<Item = &'a Arc<Cause>>) -> impl Iterator<Item = &'a Arc<Cause>> {
    let mut all: Vec<_> = causes.collect();
    all.sort_unstable_by_key(|cause| std::cmp::Reverse(cause.seq));
    all.into_iter()
}

impl World {
    /// Remembers a signal that the kernel accepted, if it could be why its target ends.
    pub(super) fn note_cause(&mut self, sent: &SignalSent, sender: Sender, signalled: &Signalled, turn: &Turn) {
        let Turn { at, seq, .. } = *turn;
        let SignalSent { current, target, signal, .. } = *sent;
        let is_handled = sent.has_handler();
        let is_stop = self.stops_main(signal, &signalled.target);
        let could_matter = could_end(sent) || (is_stop && is_handled);
        if !could_matter {
            return;
        }
        let killer = match killer(sent) {
            // An exiting init can run out of memory, and the process that is killed for that lives elsewhere.
            Killer::NamespaceEnd if !self.is_below_init(target.key, current.key) => Killer::Kernel,
            killer => killer,
        };
        let call = self.note_call(sent, killer, turn);
        if is_handled && current.key == target.key && matches!(killer, Killer::Itself | Killer::Process) {
            return;
        }
        let sender = match sender {
            Sender::Kernel(_) | Sender::Unknown if killer.has_sender() => Sender::Process(self.identity(current.key)),
            sender => sender,
        };
        let (ancestors, asked_by) = match killer {
            Killer::Process | Killer::CgroupKill => (self.ancestors_of_sender(current.key), signalled.asked_by.clone()),
            _ => (Arc::default(), Vec::new()),
        };
        let code = signalled.seen_code();
        let hung_up_by = self.hung_up_by(sent, killer).map(Box::new);
        let current = current.key;
        let origin = Origin::default();
        // An init takes only what it waits for, which older recordings do not show.
        let taken = signal_flags::BLOCKED | signal_flags::AWAITED | signal_flags::UNKILLABLE;
        let is_taken = sent.flags & taken != 0;
        // Who waits for it by sigwait(3) takes it at once.
        let waits = signal_flags::BLOCKED | signal_flags::STOPPED | signal_flags::TRACED;
        let is_queued = sent.flags & waits != 0 && sent.flags & signal_flags::AWAITED == 0;
        let ticks = killer == Killer::Timer && self.has_just_run_out(target.key, signal, at);
        let cause = Cause {
            signal,
            code,
            killer,
            sender,
            current,
            ancestors,
            asked_by,
            origin,
            call,
            place: sent.place,
            hung_up_by,
            is_for_process: sent.flags & signal_flags::GROUP != 0,
            is_queued,
            has_rival: false,
            is_taken,
            ticks,
            is_stop,
            at,
            seq,
        };
        let cause = Cause { origin: self.origin_of(&cause, target.key), ..cause };
        let Some(process) = self.processes.get_mut(target.key) else { return };
        process.causes.get_or_insert_default().note(cause, is_handled);
    }

    /// What led to the last accepted fatal signal of that number to a process: what its sender had received that
    /// explains it, the first cause first.
    pub fn origin(&self, target: ProcKey, signal: Signal) -> &[Step] {
        let causes = self.get(target).and_then(|process| process.causes.as_ref());
        let last = causes.and_then(|causes| causes.all().find(|cause| cause.signal == signal));
        last.map_or(&[], |cause| &cause.origin)
    }

    /// Whether a process that raises a signal now does so to end with that status: it had taken that signal from
    /// another process, or a child of it has ended by it.
    pub fn raises_again(&self, key: ProcKey, signal: Signal) -> bool {
        let Some(process) = self.get(key) else { return false };
        let is_soon =
            |cause: &Arc<Cause>| cause.signal == signal && !cause.is_own() && self.now - cause.at <= RAISED_AGAIN;
        process.causes.as_ref().is_some_and(|causes| causes.received().any(is_soon))
            || self.repeats(key, signal, self.now).is_some()
    }

    /// The kernel has dropped a signal that a process raised: it may have handled it before.
    pub(super) fn note_dropped(&mut self, key: ProcKey, signal: Signal, verdict: Verdict, dropped: Seq) {
        let at = self.now;
        let Some(process) = self.processes.get_mut(key) else { return };
        if signal == Signal::ABRT {
            process.causes.get_or_insert_default().aborted = Some(at);
        }
        let is_why = |cause: &&Arc<Cause>| cause.signal == signal && !cause.is_own() && at - cause.at <= RAISED_AGAIN;
        let Some(cause) = process.causes.as_ref().and_then(|causes| causes.received().find(is_why)) else { return };
        let Cause { sender, asked_by, seq: sent, .. } = &**cause;
        let in_vain = InVain { signal, sender: *sender, asked_by: asked_by.clone(), verdict, at, sent: *sent, dropped };
        process.rare().raised_in_vain = Some(Box::new(in_vain));
    }

    /// Whether a timer of a process has run out a moment before.
    fn has_just_run_out(&self, key: ProcKey, signal: Signal, at: BootNs) -> bool {
        let is_tick =
            |cause: &Arc<Cause>| cause.killer == Killer::Timer && cause.signal == signal && at - cause.at <= TICKS;
        let causes = self.get(key).and_then(|process| process.causes.as_ref());
        causes.is_some_and(|causes| causes.handled().any(is_tick))
    }

    /// Whether a process is in the namespace of an init, as far as both are known.
    fn is_below_init(&self, key: ProcKey, init: ProcKey) -> bool {
        let (Some(process), Some(init)) = (self.get(key), self.get(init)) else { return true };
        self.is_in(process.pid_ns, init.pid_ns)
    }

    /// The ancestors of a process that may send one signal after another.
    fn ancestors_of_sender(&mut self, key: ProcKey) -> Arc<[Identity]> {
        match &self.last_sender {
            Some((sender, ancestors)) if *sender == key => {
                debug_assert_eq!(**ancestors, self.ancestors(key), "something else has happened");
                ancestors.clone()
            }
            _ => {
                let ancestors: Arc<[_]> = self.ancestors(key).into();
                self.last_sender = Some((key, ancestors.clone()));
                ancestors
            }
        }
    }

    /// Parent, grandparent and so on, up to the init of its namespace.
    pub(super) fn ancestors(&self, key: ProcKey) -> Vec<Identity> {
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
}
