//! Who asked a container to stop, and who ended it when it did not.

use crate::{
    ident::Identity,
    signal::{Signal, Verdict},
    time::{BootNs, Seq, Span},
};

/// How somebody outside tries to stop the init of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    /// What may have asked for it: of each signal, and of what became of it, the first of the last series.
    asked: Vec<Series>,
    /// The first SIGKILL, once it was sent.
    pub(crate) kill: Option<Request>,
    /// Who had been told of the stop by then, or when the init had ended, if the stream can tell.
    pub told: Option<Told>,
    /// Whom the init has sent a signal since it was asked, the first of them.
    pub(crate) passed_to: Vec<Identity>,
}

/// The same signal, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Series {
    first: Request,
    /// When the last of them was sent.
    last: BootNs,
    /// Nothing but a stop is meant by it.
    is_sure: bool,
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

impl Stop {
    /// The signal that asked for the stop, and the SIGKILL that enforced it.
    ///
    /// What has other meanings (SIGQUIT prints the threads of a JVM) has asked for nothing if the program
    /// took it and lived on, nor where something else has asked.
    pub fn enforced(&self) -> Option<(&Request, &Request)> {
        let kill = self.kill.as_ref()?;
        let sure = self.since(|series| series.is_sure && series.first.could_end_in(kill));
        let unsure = || {
            self.since(|Series { first, is_sure, .. }| {
                !is_sure && first.verdict != Verdict::Delivered && kill.at - first.at < USUAL_GRACE
            })
        };
        Some((sure.or_else(unsure)?, kill))
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
        let is_taken = |series: &Series| series.first.verdict == Verdict::Delivered;
        let after = |series: &Series| ended.map(|ended| ended - series.first.at);
        let sure =
            |series: &Series| is_taken(series) && series.is_sure && after(series).unwrap_or_default() < LONGEST_GRACE;
        let unsure = |series: &Series| is_taken(series) && after(series).is_some_and(|after| after < AT_ONCE);
        self.since(sure).or_else(|| self.since(unsure))
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
    pub(crate) fn note(&mut self, request: Request, is_sure: bool) {
        let last = request.at;
        let is_same = |of: &Request| (of.signal, of.verdict) == (request.signal, request.verdict);
        match self.asked.iter_mut().find(|series| is_same(&series.first)) {
            Some(series) if last - series.last <= AGAIN => series.last = last,
            Some(series) => *series = Series { first: request, last, is_sure },
            None => self.asked.push(Series { first: request, last, is_sure }),
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
    /// When.
    pub at: BootNs,
    /// Number of the event.
    pub seq: Seq,
}

impl Request {
    /// Whether a SIGKILL can be what came of it.
    fn could_end_in(&self, kill: &Self) -> bool {
        // A runtime lives for a moment; its shim, or the shell of a person, sends both.
        let is_of_one = self.sender.key == kill.sender.key
            || self.ancestors.first().is_some_and(|parent| kill.ancestors.first() == Some(parent));
        kill.at - self.at < if is_of_one { LONGEST_GRACE } else { USUAL_GRACE }
    }
}
