//! Why a process sends a signal: what it received shortly before, or whose end it saw.
//!
//! Nothing is guessed. A step is `seen` if its nature shows that the two belong together, such as the same signal at
//! once; it is `likely` if only the parties and the time do. Anything weaker is not reported.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::{
    event::ExitStatus,
    ident::{Identity, ProcKey},
    origin::{Certainty, How, MOST_STEPS, Origin, Step},
    programs::is_shell,
    signal::{Sender, Signal, killer::Killer},
    time::{BootNs, Seq, Span},
    world::{
        Death, World,
        cause::{Cause, RAISED_AGAIN},
    },
};

/// A process that sends the same signal within this time passes it on.
const AT_ONCE: Span = Span::SECOND;
/// Up to this time later, it may still be the reason.
const SOON: Span = Span::seconds(10);
/// The longest time between a milder signal and a harsher one (systemd: 90 s).
const GRACE: Span = Span::seconds(120);
/// A parent that waits for a child reacts to its end within this time.
const REACTION: Span = Span::ms(100);
/// A shell runs one command after another: the end of one that lasted less than this is no reason for the next.
const LASTS: Span = Span::SECOND;
/// The processes of a pipeline start within this time.
const PIPELINE: Span = Span::ms(100);
/// A process that passes a signal on may do so through a helper such as `kill`, which may have its own.
const HELPERS: usize = 3;
/// How many levels up are searched.
const DEEPEST: usize = 64;

/// The children that ended last, of the parents for which that was last.
#[derive(Debug, Default)]
pub(super) struct Ends {
    recent: FxHashMap<ProcKey, Vec<EndOfChild>>,
    /// Forgotten once as many are recent again.
    older: FxHashMap<ProcKey, Vec<EndOfChild>>,
    /// The first end of the recent ones.
    recent_since: BootNs,
    /// Those before may be forgotten.
    older_since: BootNs,
}

impl Ends {
    /// How many are remembered of each parent: the last ones.
    const MOST: usize = 4;
    /// How many parents are recent. An end explains what comes soon after, or at the end of a stop.
    const MOST_PARENTS: usize = 8192;

    /// Those of a parent, in the order in which they were seen.
    fn of(&self, parent: ProcKey) -> &[EndOfChild] {
        self.recent.get(&parent).or_else(|| self.older.get(&parent)).map_or(&[], Vec::as_slice)
    }

    fn push(&mut self, parent: ProcKey, end: EndOfChild) {
        if self.recent.len() >= Self::MOST_PARENTS && !self.recent.contains_key(&parent) {
            self.older = std::mem::take(&mut self.recent);
            (self.older_since, self.recent_since) = (self.recent_since, end.at);
        }
        let ends = self.recent.entry(parent).or_insert_with(|| self.older.remove(&parent).unwrap_or_default());
        if ends.len() >= Self::MOST {
            ends.remove(0);
        }
        // Most parents have lost one child.
        ends.reserve_exact(usize::from(ends.is_empty()));
        ends.push(end);
    }

    /// A parent that is gone has none.
    pub fn forget(&mut self, parent: ProcKey) {
        self.recent.remove(&parent);
        self.older.remove(&parent);
    }
}

/// A child that has ended.
#[derive(Clone, Debug)]
pub(super) struct EndOfChild {
    child: Identity,
    status: ExitStatus,
    at: BootNs,
    seq: Seq,
    /// The sender of the signal that ended it, or the one that it had handled before.
    cause: Option<Arc<Cause>>,
}

impl World {
    /// What led to a signal for a process, as it is sent.
    pub(super) fn origin_of(&self, cause: &Cause, target: ProcKey) -> Origin {
        let steps = match cause.killer {
            Killer::Process | Killer::CgroupKill => self
                .escalation(cause, target)
                .or_else(|| self.received(cause, target))
                .or_else(|| self.child_ended(cause, target))
                .or_else(|| self.asked_before(cause, target)),
            Killer::Itself => self.repeats(cause.current, cause.signal, cause.at),
            Killer::ParentDeath | Killer::TracerExit | Killer::HangUp => self.ended(cause.current),
            Killer::BrokenPipe => self.reader_ended(target),
            _ => None,
        };
        steps.unwrap_or_default()
    }

    /// Another signal had asked the same process to end, in vain.
    fn escalation(&self, cause: &Cause, target: ProcKey) -> Option<Origin> {
        let is_harsher = |milder: Signal| match cause.signal {
            Signal::KILL => matches!(milder, Signal::INT | Signal::TERM | Signal::QUIT | Signal::ABRT),
            Signal::TERM | Signal::QUIT | Signal::ABRT => {
                cause.signal != milder && matches!(milder, Signal::INT | Signal::TERM | Signal::QUIT)
            }
            _ => false,
        };
        let causes = self.get(target)?.causes.as_ref()?;
        causes.all().find_map(|earlier| {
            if !is_harsher(earlier.signal) || cause.at - earlier.at > GRACE {
                return None;
            }
            let certainty = earlier.hand()?.is_of(cause.hand()?)?;
            Some(after(earlier, self.identity(target), How::Escalation, certainty))
        })
    }

    /// The sender, or the process that it helps, had received a signal.
    fn received(&self, cause: &Cause, target: ProcKey) -> Option<Origin> {
        // A helper was started for this.
        let mut helper = cause.current;
        for key in self.upwards(cause.current).take(HELPERS) {
            let process = self.get(key)?;
            let is_helped = helper != key;
            let passed = |earlier: &Cause| {
                let is_same = earlier.signal == cause.signal;
                let span = cause.at - earlier.at;
                let within = match earlier.killer {
                    // Whoever has set a timer acts on it.
                    Killer::Timer => AT_ONCE,
                    // After Ctrl-C at a shell, a person may give the next command.
                    _ if earlier.signal == Signal::INT && is_shell(process.comm.bytes()) => AT_ONCE,
                    _ => SOON,
                };
                let is_why = span <= within
                    && earlier.current != cause.current
                    && (!is_helped || earlier.at <= helper.start)
                    && (is_same || (is_request(earlier) && self.is_near_below(target, key)));
                let is_sure = is_same && !is_helped && span <= AT_ONCE;
                let certainty = if is_sure { Certainty::Seen } else { Certainty::Likely };
                let how = if is_same { How::PassedOn } else { How::Answer };
                is_why.then(|| after(earlier, process.identity(), how, certainty))
            };
            let causes = process.causes.as_deref();
            if let Some(origin) = causes.and_then(|causes| causes.received().find_map(|earlier| passed(earlier))) {
                return Some(origin);
            }
            helper = key;
        }
        None
    }

    /// A child of the sender had ended, and it acts on the others.
    fn child_ended(&self, cause: &Cause, target: ProcKey) -> Option<Origin> {
        let process = self.get(cause.current)?;
        let ends = self.ends.of(cause.current);
        let end = ends.last()?;
        let lasted = end.at - end.child.key.start;
        // A child of a kind that ends all the time is not the reason.
        let is_alone = ends.iter().rev().nth(1).is_none_or(|before| before.at + AT_ONCE < end.at);
        let is_reason = is_alone
            && end.status != ExitStatus(0)
            && cause.at - end.at <= REACTION
            && (end.status.signal().is_some() || lasted >= LASTS || !is_shell(process.comm.bytes()));
        if !is_reason || end.child.key == target || !self.is_near_below(target, cause.current) {
            return None;
        }
        Some(end.step(How::ChildEnded, Certainty::Likely))
    }

    /// Somebody else had asked the process for the same a moment before, and it had handled that.
    fn asked_before(&self, cause: &Cause, target: ProcKey) -> Option<Origin> {
        let causes = self.get(target)?.causes.as_ref()?;
        let before = causes.handled().find(|earlier| earlier.signal == cause.signal)?;
        let is_other = before.by()?.key != cause.by()?.key;
        let is_why = is_other && asks_for_end(cause.signal) && cause.at - before.at <= RAISED_AGAIN;
        is_why.then(|| after(before, self.identity(target), How::Before, Certainty::Likely))
    }

    /// A child had ended by the signal that a process raises for itself, so that its waiter sees the same status.
    pub(super) fn repeats(&self, key: ProcKey, signal: Signal, at: BootNs) -> Option<Origin> {
        let ends = self.ends.of(key);
        let is_same = |end: &&EndOfChild| end.status.signal() == Some(signal) && at - end.at <= AT_ONCE;
        Some(ends.iter().rev().find(is_same)?.step(How::ChildEnded, Certainty::Seen))
    }

    /// The end of the process is the reason: what had caused that?
    fn ended(&self, key: ProcKey) -> Option<Origin> {
        let process = self.get(key)?;
        let death = process.death()?;
        Some(end_of(process.identity(), death, process.ended_by.clone()).step(How::Ended, Certainty::Seen))
    }

    /// The reader of the pipe has ended: of those started together with the writer, the last one.
    fn reader_ended(&self, writer: ProcKey) -> Option<Origin> {
        let parent = self.get(writer)?.parent?.key;
        let end = self.ends.of(parent).last()?;
        let is_of_pipeline = (end.child.key.start - writer.start).max(writer.start - end.child.key.start) <= PIPELINE;
        is_of_pipeline.then(|| end.step(How::Ended, Certainty::Likely))
    }

    /// A process has ended: remembers for its parent by which signal, or after which one that it had handled.
    pub(super) fn note_end(&mut self, key: ProcKey, death: &Death, cause: Option<Arc<Cause>>) {
        let Some(process) = self.processes.get_mut(key) else { return };
        if cause.is_some() {
            process.rare().ended_by.clone_from(&cause);
        }
        let (identity, parent) = (process.identity(), process.parent);
        let Some(parent) = parent.map(|parent| parent.key).filter(|&parent| self.get(parent).is_some()) else { return };
        self.ends.push(parent, end_of(identity, death, cause));
    }

    /// The end of a child that a process waited for, and has exited after: by a signal, or because it failed.
    pub fn end_of_child(&self, key: ProcKey, exited: BootNs) -> Origin {
        let Some(end) = self.ends.of(key).iter().rev().find(|end| end.at <= exited) else { return Origin::default() };
        let has_lasted = end.at - end.child.key.start >= LASTS;
        let is_reason = end.status.signal().is_some() || (end.status != ExitStatus(0) && has_lasted);
        if !is_reason || exited - end.at > REACTION {
            return Origin::default();
        }
        end.step(How::ChildEnded, Certainty::Likely)
    }

    /// Whether a child that had lasted for a while has ended since a time; if that may be forgotten, it has.
    pub(super) fn has_lost_child_since(&self, key: ProcKey, since: BootNs) -> bool {
        let has_lasted = |end: &EndOfChild| end.at >= since && end.child.key.start + LASTS < since;
        since < self.ends.older_since || self.ends.of(key).iter().any(has_lasted)
    }

    fn is_near_below(&self, key: ProcKey, ancestor: ProcKey) -> bool {
        self.upwards(key).skip(1).take(DEEPEST).any(|key| key == ancestor)
    }
}

fn end_of(child: Identity, death: &Death, cause: Option<Arc<Cause>>) -> EndOfChild {
    EndOfChild { child, status: death.status, at: death.at, seq: death.seq, cause }
}

impl EndOfChild {
    fn step(&self, how: How, certainty: Certainty) -> Origin {
        let Self { child: to, status, at, seq, ref cause } = *self;
        let sent = cause.as_ref().map(|cause| cause.sent());
        let step = Step { sent, to, status: Some(status), at, seq, how, certainty };
        chain(cause.as_ref().map_or(&[], |cause| &cause.origin), step)
    }
}

/// A signal explains a later one.
pub(super) fn after(cause: &Cause, to: Identity, how: How, certainty: Certainty) -> Origin {
    let step = Step { sent: Some(cause.sent()), to, status: None, at: cause.at, seq: cause.seq, how, certainty };
    chain(&cause.origin, step)
}

fn chain(earlier: &[Step], step: Step) -> Origin {
    // The first cause stays.
    let skipped = (earlier.len() + 1).saturating_sub(MOST_STEPS);
    let first = earlier.iter().take(1);
    first.chain(earlier.iter().skip(1 + skipped)).cloned().chain([step]).collect()
}

/// Whether two ends have the same cause; a step about the ended process itself may differ.
pub(super) fn is_same(one: &[Step], other: &[Step]) -> bool {
    let is_same_step = |one: &Step, other: &Step| {
        let is_of_each = matches!(one.how, How::Escalation | How::Before);
        one.how == other.how && one.sent == other.sent && (is_of_each || one.to.key == other.to.key)
    };
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same_step(one, other))
}

/// It asks a process to end, or announces a limit.
pub(super) fn is_request(cause: &Cause) -> bool {
    match cause.killer {
        Killer::Timer => cause.signal == Signal::ALRM && !cause.ticks,
        Killer::Process if cause.signal == Signal::ABRT => true,
        _ => cause.is_stop || matches!(cause.signal, Signal::HUP | Signal::INT | Signal::QUIT | Signal::TERM),
    }
}

/// It asks for nothing but an end, most often.
fn asks_for_end(signal: Signal) -> bool {
    matches!(signal, Signal::INT | Signal::QUIT | Signal::TERM)
}

/// What a process had handled before another signal ended it, be it one of its own.
pub(super) fn before(handled: &Cause, fatal: &Cause, victim: Identity) -> Option<Origin> {
    let is_meant = handled.signal == fatal.signal || handled.is_stop || asks_for_end(handled.signal);
    let is_other = |sender: &Identity| {
        let is_by = |step: &Step| matches!(step.sent.as_ref().map(|sent| sent.sender), Some(Sender::Process(of)) if of.key == sender.key);
        fatal.by().is_none_or(|of| of.key != sender.key) && !fatal.origin.iter().any(is_by)
    };
    let within = match handled.signal {
        // After a key at a shell, a person may give a command like that.
        Signal::INT | Signal::QUIT if fatal.is_own() => AT_ONCE,
        _ => RAISED_AGAIN,
    };
    let is_told = matches!(fatal.killer, Killer::Process | Killer::CgroupKill | Killer::Itself)
        && is_meant
        && handled.seq < fatal.seq
        && fatal.at - handled.at <= within
        && handled.by().map_or(fatal.origin.is_empty(), is_other);
    is_told.then(|| after(handled, victim, How::Before, Certainty::Likely))
}

#[cfg(test)]
mod tests;
