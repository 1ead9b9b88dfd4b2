//! The rules: small pure functions from changes of the world to findings, and the one list of them.

use crate::{
    change::{Change, Topic},
    finding::{Finding, RuleDef, Subject},
    ident::{ProcKey, TaskRef},
    thresholds::Thresholds,
    time::{BootNs, Seq},
    world::World,
};

mod cannot_die;
mod coalesced_sigchld;
mod exec_leftover;
mod held;
mod init_ignored_signal;
mod killed_by;
mod left_behind;
mod manager;
mod namespace_killed;
mod origins;
mod orphan_adopted;
mod pid_pressure;
mod pty_pressure;
mod signal_ignored;
mod signal_not_forwarded;
mod signal_queue_overflow;
mod signal_stuck_blocked;
mod slow_stop;
mod status_lost;
mod stopped_by;
mod stopped_job;
mod unreaped_child;
mod words;
mod zombie_leader;
mod zombie_leak;

pub use left_behind::patience as left_behind_patience;
pub use words::on_behalf;

/// A rule's answer to a change.
#[derive(Debug)]
pub enum Opinion {
    /// Nothing to say.
    Quiet,
    /// Several answers.
    Each(Vec<Self>),
    /// Undecided: ask [`Rule::recheck`] about this process at this boot time, unless it is gone by then; about
    /// [`NOBODY`] in any case.
    Recheck(BootNs, ProcKey),
    /// Another rule has more to say about this process: ask that one.
    Ask(&'static RuleDef, ProcKey),
    /// A finding. If it lasts, the rule is asked about the process again.
    Found(Box<Finding>),
    /// What a situation has come to: the last word of a lasting finding, or a finding without a sequel if none was
    /// reported.
    Outcome(Box<Finding>),
    /// The finding about that subject is over; the text says how, as a headline.
    Over(Subject, String),
    /// The same, if it stays like that for a while; `None`: it is not over, after all.
    Settle(Subject, Option<String>),
}

/// What a rule wants to have looked at before it reports anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// Whether a process is there, its state, and its parent ([`crate::event::Look`]).
    Look(ProcKey),
    /// How many pids a process can still have ([`crate::host::Rooms::of`]).
    Room(ProcKey),
    /// Which signals are pending for a thread ([`crate::event::Masks`]).
    Masks(TaskRef),
    /// What keeps a process from going on ([`crate::event::Held`]).
    Held(ProcKey),
    /// Whether the first has the reading end of a pipe, and the second its writing end
    /// ([`crate::event::Pipe`]).
    Pipe(ProcKey, ProcKey),
}

/// Stands for a process where a question is not about one that could be gone.
pub const NOBODY: ProcKey = ProcKey { start: BootNs::ZERO, tgid: 0 };

/// A rule.
pub trait Rule {
    /// Its definition.
    fn def(&self) -> &'static RuleDef;

    /// What it wants to hear of. To any other change it would answer [`Opinion::Quiet`].
    fn topics(&self) -> &'static [Topic];

    /// Called once for each change of its topics. `seq` is the number of the event that caused it.
    fn check(&self, world: &World, change: &Change, seq: Seq) -> Opinion;

    /// Called at the time that [`Opinion::Recheck`] named, after a look at the process and the one that owes it a wait
    /// ([`crate::event::Look`]).
    fn recheck(&self, _world: &World, _key: ProcKey) -> Opinion {
        Opinion::Quiet
    }

    /// What else to look at before that.
    fn wants(&self, _world: &World, _key: ProcKey) -> Vec<Wanted> {
        Vec::new()
    }

    /// Whether a change that concerns the process of a lasting finding has ended the situation, and how: a headline.
    /// When the process is gone, the finding is over in any case.
    fn over(&self, _world: &World, _change: &Change, _open: &Finding) -> Option<String> {
        None
    }

    /// Whether a change proves that a lasting finding of its own was wrong, or has another rule tell all of it, and
    /// why: a headline. It is withdrawn.
    fn wrong(&self, _world: &World, _change: &Change, _open: &Finding) -> Option<String> {
        None
    }

    /// Whether a lasting finding of its own tells what another one does too, which then is not told, or not again; if it
    /// was told before, its end is.
    fn speaks_for(&self, _whole: &Finding, _part: &Finding) -> bool {
        false
    }
}

/// Lists the rules: their definitions, and the rules themselves.
macro_rules! rules {
    ($($rule:ident,)*) => {
        /// All rules.
        pub static RULES: &[&RuleDef] = &[$(&$rule::DEF),*];

        /// All rules with these thresholds, in the same order.
        pub(crate) fn judges(thresholds: &Thresholds) -> Vec<Box<dyn Rule>> {
            vec![$($rule::make(thresholds)),*]
        }
    };
}

// A new rule is one file, its `mod` above (rustfmt looks for no files in a macro), and one line here.
rules! {
    init_ignored_signal,
    unreaped_child,
    zombie_leak,
    coalesced_sigchld,
    orphan_adopted,
    namespace_killed,
    slow_stop,
    stopped_by,
    signal_not_forwarded,
    signal_ignored,
    zombie_leader,
    left_behind,
    killed_by,
    status_lost,
    stopped_job,
    cannot_die,
    signal_stuck_blocked,
    signal_queue_overflow,
    exec_leftover,
    pid_pressure,
    pty_pressure,
}

/// The rule of that name.
pub fn find(name: &str) -> Option<&'static RuleDef> {
    RULES.iter().copied().find(|rule| rule.name == name)
}
