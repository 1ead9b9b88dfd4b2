//! Who asked a container, or another process, to stop, and who ended it when it did not.

use crate::{
    event::Masks,
    hand::Hand,
    ident::{Args, Identity},
    origin::{Certainty, Former, Origin},
    programs::{Script, script},
    signal::{Aim, Signal, Verdict, killer::Killer},
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
    /// The command line is the same, but for an option: the program has started itself anew.
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
/// A SIGKILL that comes later than this is a consequence of the request only if the same supervisor
/// sent both: no engine and no service manager waits for longer without being told to (systemd: 90 s).
const USUAL_GRACE: Span = Span::seconds(120);
/// And later than this it is none: nobody is told to wait for longer.
const LONGEST_GRACE: Span = Span::seconds(3_600);
/// A supervisor that sends SIGINT and then SIGKILL waits for less than this (pm2: 1.6 s; supervisord: 10 s).
const SOON: Span = Span::seconds(30);
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
    /// took it and lived on, nor where something else has asked. Supervisors use SIGINT (pm2): of those it counts if
    /// the SIGKILL came soon.
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
        let interrupt = || {
            self.since(|Series { first, meaning, .. }| {
                let is_of_supervisor = !first.is_to_container && !first.hand().is_shell();
                let is_soon = kill.at - first.at < SOON;
                *meaning == Meaning::Perhaps
                    && first.signal == Signal::INT
                    && is_of_supervisor
                    && is_soon
                    && first.could_end_in(kill)
            })
        };
        Some((sure.or_else(unsure).or_else(interrupt)?, kill))
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

    /// Whether a look before the SIGKILL has found that a request which had to wait did not wait any more: the process
    /// has taken it by sigwait(3) or a signalfd(2), or was continued.
    fn was_taken_late(&self, asked: &Request) -> bool {
        let killed = self.kill.as_ref().map(|kill| kill.at);
        asked.verdict == Verdict::Queued
            && self.masks.is_some_and(|(at, masks)| {
                at > asked.at && killed.is_none_or(|killed| at < killed) && !masks.waits(asked.signal)
            })
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

    /// What a process was asked by that ended by itself then, and whether that is certain. One that waits for the
    /// program may have been taken all the same, by sigwait(3) or a signalfd(2).
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
        // Somebody else has asked for more (SIGQUIT), and that was answered at once.
        let is_late = |asked: &Request, more: &Request| {
            more.at - asked.at > SURELY_IF_UNSURE
                && after(more) < SURELY_IF_UNSURE
                && more.sender.key != asked.sender.key
        };
        let more = || last_unsure().filter(|series| series.meaning == Meaning::Perhaps).map(|series| &series.first);
        let (asked, surely) = match self.since(is_end) {
            Some(asked) => match more().filter(|more| is_late(asked, more)) {
                Some(more) => (more, SURELY_IF_UNSURE),
                None => (asked, SURELY),
            },
            None => (&last_unsure()?.first, SURELY_IF_UNSURE),
        };
        // Another program has begun since: what that one does is no answer to what this one got.
        let is_other = self.executed.as_ref().is_some_and(|executed| executed.at > asked.at);
        let is_certain = asked.verdict == Verdict::Delivered && after(asked) < surely;
        (!is_other).then_some((asked, is_certain))
    }

    /// What had asked for the end before, by somebody else, and had not brought it about.
    pub fn before(&self, asked: &Request) -> Option<&Request> {
        let is_before = |of: &Request| of.at < asked.at && asked.at - of.at < USUAL_GRACE;
        let end = self.since(|series| series.meaning == Meaning::End && is_before(&series.first))?;
        (end.sender.key != asked.sender.key && end.signal != asked.signal).then_some(end)
    }

    /// Requests that the program ignored, unless one that it did not ignore came after them, or shortly before.
    pub fn ignored(&self, shortly: Span) -> impl Iterator<Item = &Request> {
        let is_ignored = |series: &&Series| series.first.verdict == Verdict::IgnoredByChoice;
        let others = self.asked.iter().filter(move |series| !is_ignored(series)).map(|series| series.last);
        let other = others.chain(self.kill.as_ref().map(|kill| kill.at)).max();
        let ignored = self.asked.iter().filter(is_ignored).map(|series| &series.first);
        ignored.filter(move |asked| other.is_none_or(|other| other + shortly < asked.at))
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

    /// The process is continued, and takes what has waited for that.
    pub(crate) fn note_continued(&mut self) {
        for Series { first, .. } in &mut self.asked {
            if first.is_stopped && first.verdict == Verdict::Queued {
                first.verdict = Verdict::Delivered;
            }
        }
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
    /// Children that were sent one, do not ignore it, and have not ended, likewise.
    pub slow: Vec<Identity>,
    /// A child that had lasted for a while has ended meanwhile, perhaps because it was told otherwise than by a signal.
    pub has_lost_child: bool,
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
    /// Whom the call named.
    pub aim: Aim,
    /// It led the process group that the call named.
    pub leads_named: bool,
    /// It was stopped then (SIGSTOP, SIGTSTP), and did not block the signal.
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
    /// Whose the pid of the target had been until a moment before, if that was another program.
    pub former: Option<Former>,
    /// What became of it.
    pub verdict: Verdict,
    /// When.
    pub at: BootNs,
    /// Number of the event.
    pub seq: Seq,
}

impl Request {
    /// Who sent it, and for whom.
    pub(crate) fn hand(&self) -> Hand<'_> {
        Hand { sender: &self.sender, ancestors: &self.ancestors, asked_by: &self.asked_by }
    }

    /// Whether a SIGKILL can be what came of it.
    fn could_end_in(&self, kill: &Self) -> bool {
        let is_meant = matches!(kill.killer, Killer::Process | Killer::CgroupKill) && self.killer == Killer::Process;
        let grace = match (self.hand().is_of(kill.hand()), self.is_to_container) {
            // A runtime lives for a moment; its shim sends both.
            (Some(_), true) => LONGEST_GRACE,
            (None, true) => USUAL_GRACE,
            // What comes from inside asks no container to stop.
            (_, false) if !is_meant || self.target.is_init_of_namespace() => Span::default(),
            // At a shell people do one thing after another.
            (Some(Certainty::Seen), false) if !self.hand().is_shell() => LONGEST_GRACE,
            (Some(_), false) => USUAL_GRACE,
            // Of any other process strangers may want different things.
            (None, false) => Span::default(),
        };
        kill.at - self.at < grace
    }
}

/// A process that was asked to stop, did not, and was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForcedStop {
    /// Which.
    pub process: Identity,
    /// Its command line.
    pub args: Args,
    /// How somebody had tried to stop it.
    pub stop: Stop,
    /// The signal that asked for it.
    pub asked: Request,
    /// The SIGKILL.
    pub kill: Request,
    /// When it ended.
    pub ended: BootNs,
    /// Number of that event.
    pub seq: Seq,
}

impl ForcedStop {
    /// What became of the first signal until the SIGKILL.
    pub fn verdict(&self) -> Verdict {
        if self.stop.was_taken_late(&self.asked) { Verdict::Delivered } else { self.asked.verdict }
    }

    /// Whether the program has executed itself anew since the first signal, and had taken that: for a reload.
    pub fn is_reload(&self) -> bool {
        let executed = self.stop.executed.as_ref();
        let is_since = executed.is_some_and(|executed| executed.is_same && executed.at > self.asked.at);
        is_since && self.verdict() == Verdict::Delivered
    }

    /// How long the first signal was waited on in vain.
    pub fn wasted(&self) -> Span {
        self.kill.at - self.asked.at
    }

    /// The program that was asked was a shell.
    pub fn runs_shell(&self) -> bool {
        self.script().is_some()
    }

    /// What that shell ran.
    pub(crate) fn script(&self) -> Option<Script> {
        let args = self.stop.executed.as_ref().map_or(&self.args, |executed| &executed.before);
        script(self.asked.target.comm.bytes(), args)
    }

    /// It is the init of a pid namespace, which all of that ends with.
    pub fn is_of_container(&self) -> bool {
        self.process.is_init_of_namespace()
    }
}
