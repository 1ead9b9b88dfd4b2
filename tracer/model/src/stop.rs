//! Who asked a container, or another process, to stop, and who ended it when it did not.

use crate::{
    event::Masks,
    ident::{Args, Identity},
    origin::Origin,
    signal::{Signal, Verdict, killer::Killer},
    time::{BootNs, Seq, Span},
};

/// How somebody tries to stop a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    /// What may have asked for it: of each signal, and of what became of it, the first of the last series.
    asked: Vec<Series>,
    /// The first SIGKILL, once it was sent.
    pub(crate) kill: Option<Request>,
    /// Who had been told of the stop by then, or when the init had ended, if the stream can tell.
    pub told: Option<Told>,
    /// Whom the process has sent a signal since it was asked, the first of them.
    pub(crate) passed_to: Vec<Identity>,
    /// The last look at its signals, and when.
    pub(crate) masks: Option<(BootNs, Masks)>,
    /// The first program that it has executed since it was asked.
    pub executed: Option<Executed>,
}

/// See [`Stop::executed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The process, by the name that it has from then on.
    pub program: Identity,
    /// When.
    pub at: BootNs,
    /// The command line before.
    pub before: Args,
    /// The command line is the same: the program has started itself anew.
    pub is_same: bool,
}

/// The same signal, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Series {
    first: Request,
    /// When the last of them was sent.
    last: BootNs,
    meaning: Meaning,
}

/// What runs takes a signal long before this.
const STILL: Span = Span::ms(500);

/// Series of one process that are remembered.
const MOST_SERIES: usize = 32;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Nothing but an end.
    End,
    /// An end, or something else: SIGQUIT prints the threads of a JVM.
    Perhaps,
    /// That the program read its configuration again; some end.
    Reload,
}

/// Whoever asks again within this time waits since the first time.
const AGAIN: Span = Span::seconds(30);
/// A SIGKILL that comes later than this is a consequence of the request only if the same
/// sent both: no engine and no service manager waits for longer without being told to (systemd: 90 s).
const USUAL_GRACE: Span = Span::seconds(120);
/// And later than this it is none: nobody is told to wait for longer.
const LONGEST_GRACE: Span = Span::seconds(3_600);
/// Who ends so soon after a signal of many meanings has taken it for a request to stop.
const AT_ONCE: Span = Span::seconds(10);
/// An end by itself that comes so soon after a request is what came of it: of what asks for nothing but an
/// end, and of the rest.
const SURELY: Span = Span::seconds(30);
const SURELY_IF_UNSURE: Span = Span::seconds(1);

impl Stop {
    /// The signal that asked for the stop, and the SIGKILL that enforced it.
    ///
    /// What has other meanings (SIGQUIT prints the threads of a JVM) has asked for nothing if the program
    /// took it and lived on, nor where something else has asked.
    pub fn enforced(&self) -> Option<(&Request, &Request)> {
        let kill = self.kill.as_ref()?;
        let sure = self.since(|series| series.meaning == Meaning::End && series.first.could_end_in(kill));
        let unsure = || {
            self.since(|Series { first, meaning, .. }| {
                let is_soon = kill.at - first.at < USUAL_GRACE;
                let is_untaken = first.verdict != Verdict::Delivered;
                *meaning == Meaning::Perhaps && is_untaken && is_soon && first.could_end_in(kill)
            })
        };
        Some((sure.or_else(unsure)?, kill))
    }

    /// Whether a program has executed itself anew since a request: it took that for a reload.
    pub fn is_reload(&self, asked: &Request) -> bool {
        let is_since = self.executed.as_ref().is_some_and(|executed| executed.is_same && executed.at > asked.at);
        is_since && asked.verdict == Verdict::Delivered
    }

    /// The other program that the process has executed since a request.
    pub fn later_program(&self, asked: &Request) -> Option<&Executed> {
        self.executed.as_ref().filter(|executed| !executed.is_same && executed.at > asked.at)
    }

    /// Signals of those that mostly end a program, and that it handles, as far as was seen.
    pub fn handles(&self) -> impl Iterator<Item = Signal> {
        let caught = self.masks.map_or(0, |(_, masks)| masks.caught);
        [Signal::INT, Signal::QUIT, Signal::TERM].into_iter().filter(move |signal| signal.is_in(caught))
    }

    /// Whether a look has found that a request waited, though nothing stood in its way when it was sent: the
    /// process does not run.
    pub fn is_untaken(&self, asked: &Request) -> bool {
        asked.verdict == Verdict::Delivered
            && self.masks.is_some_and(|(at, masks)| masks.waits(asked.signal) && at > asked.at + STILL)
    }

    /// Nanoseconds between the first signal and the SIGKILL that followed.
    pub fn wasted_ns(&self) -> Option<Span> {
        let (asked, kill) = self.enforced()?;
        Some(kill.at - asked.at)
    }

    /// The stop signal that the init has taken, and no SIGKILL followed. `ended` is when it ended, if it has:
    /// what has other meanings was a stop signal for whoever ended at it.
    pub fn taken(&self, ended: Option<BootNs>) -> Option<&Request> {
        if self.kill.is_some() {
            return None;
        }
        let is_taken = |series: &Series| series.first.verdict == Verdict::Delivered && series.first.is_to_container;
        let after = |series: &Series| ended.map(|ended| ended - series.first.at);
        let is_recent = |series: &Series| after(series).unwrap_or_default() < LONGEST_GRACE;
        let sure = |series: &Series| is_taken(series) && series.meaning == Meaning::End && is_recent(series);
        let is_at_once = |series: &Series| after(series).is_some_and(|after| after < AT_ONCE);
        let unsure = |series: &Series| is_taken(series) && series.meaning == Meaning::Perhaps && is_at_once(series);
        self.since(sure).or_else(|| self.since(unsure))
    }

    /// What a process was asked by that ended by itself then, and whether that is certain. One that waits for the program may have been taken all the same, by sigwait(3) or a
    /// signalfd(2).
    pub fn answered(&self, ended: BootNs) -> Option<(&Request, bool)> {
        let is_taken = |of: &Request| matches!(of.verdict, Verdict::Delivered | Verdict::Queued);
        let after = |of: &Request| ended - of.at;
        let is_end = |Series { first, meaning, .. }: &Series| {
            *meaning == Meaning::End && is_taken(first) && after(first) < USUAL_GRACE
        };
        // One that asks for something else need not be where a stop began: it was reloaded, then stopped.
        let last_unsure = || {
            let unsure = self.asked.iter().filter(|series| is_taken(&series.first) && after(&series.first) < AT_ONCE);
            unsure.filter(|series| series.meaning != Meaning::End).max_by_key(|series| series.last)
        };
        let (asked, surely) = match self.since(is_end) {
            Some(asked) => (asked, SURELY),
            None => (&last_unsure()?.first, SURELY_IF_UNSURE),
        };
        // Another program has begun since: what that one does is no answer to what this one got.
        let is_other = self.executed.as_ref().is_some_and(|executed| executed.at > asked.at);
        let is_certain = asked.verdict == Verdict::Delivered && after(asked) < surely;
        (!is_other).then_some((asked, is_certain))
    }

    /// The request that came first, of those that are remembered.
    pub(crate) fn asked_first(&self) -> Option<&Request> {
        self.asked.iter().map(|series| &series.first).min_by_key(|asked| asked.seq)
    }

    /// The one that began the last series.
    pub(crate) fn asked_last(&self) -> Option<&Request> {
        self.asked.iter().map(|series| &series.first).max_by_key(|asked| asked.seq)
    }

    /// Whether anything has asked it since a time.
    pub(crate) fn is_asked_since(&self, at: BootNs) -> bool {
        self.asked.iter().any(|series| series.last > at)
    }

    /// The first of the last series of those requests, whatever their signals are.
    fn since(&self, is_meant: impl Fn(&Series) -> bool) -> Option<&Request> {
        let mut meant: Vec<_> = self.asked.iter().filter(|series| is_meant(series)).collect();
        meant.sort_unstable_by_key(|series| series.first.seq);
        let mut later = meant.into_iter().rev();
        let mut since = later.next()?;
        for earlier in later {
            if earlier.last + AGAIN < since.first.at {
                break;
            }
            since = earlier;
        }
        Some(&since.first)
    }

    /// Takes a request in.
    pub(crate) fn note(&mut self, request: Request, meaning: Meaning) {
        let last = request.at;
        let is_same = |of: &Request| {
            let by = |of: &Request| (!of.is_to_container).then_some(of.sender.key);
            (of.signal, of.verdict, by(of)) == (request.signal, request.verdict, by(&request))
        };
        match self.asked.iter_mut().find(|series| is_same(&series.first)) {
            Some(series) if last - series.last <= AGAIN => series.last = last,
            Some(series) => *series = Series { first: request, last, meaning },
            None => self.asked.push(Series { first: request, last, meaning }),
        }
        if self.asked.len() > MOST_SERIES {
            self.asked.remove(0);
        }
        if self.asked.iter().all(|series| series.first.at == last || last - series.last > AGAIN) {
            self.passed_to.clear();
        }
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
    /// How many of those that were not came by adoption.
    pub adopted: u64,
    /// Whom the init itself has sent a signal, the first of them; they need not live.
    pub passed_to: Vec<Identity>,
    /// Children that were sent one and ignore it, the oldest of them.
    pub ignoring: Vec<Identity>,
}

/// Children that are named.
pub(crate) const NAMED: usize = 5;

/// A signal that may ask a process to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which.
    pub signal: Signal,
    /// Whom it met, by the name that the process had then.
    pub target: Identity,
    /// The process is the init of a namespace, and the sender outside: a container is to stop.
    pub is_to_container: bool,
    /// It led a session then.
    pub is_to_leader: bool,
    /// It was stopped then (SIGSTOP, SIGTSTP).
    pub is_stopped: bool,
    /// How it was sent.
    pub killer: Killer,
    /// Who sent it.
    pub sender: Identity,
    /// On whose behalf: its parent, grandparent and so on then, up to the init of its namespace.
    pub ancestors: Vec<Identity>,
    /// The client that had asked an engine for it, and its ancestors, if that was seen.
    pub asked_by: Vec<Identity>,
    /// What led to it, the first cause first.
    pub origin: Origin,
    /// What became of it.
    pub verdict: Verdict,
    /// When.
    pub at: BootNs,
    /// Number of the event.
    pub seq: Seq,
}

impl Request {
    /// Whether a SIGKILL can be what came of it.
    fn could_end_in(&self, kill: &Self) -> bool {
        // A runtime lives for a moment; its shim, or the shell of a person, sends both.
        let is_of_parent = |parent: &Identity| parent.ns_pid != 1 && kill.ancestors.first() == Some(parent);
        let is_of_one = self.sender.key == kill.sender.key || self.ancestors.first().is_some_and(is_of_parent);
        let grace = match (is_of_one, self.is_to_container) {
            (true, _) => LONGEST_GRACE,
            (false, true) => USUAL_GRACE,
            // Of any other process strangers may want different things.
            (false, false) => Span::default(),
        };
        kill.at - self.at < grace
    }
}
