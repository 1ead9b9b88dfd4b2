//! Rules: small pure judges of what changed in the world, and the one list of them.

use crate::{
    change::Change,
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

/// What a rule thinks of a change.
#[derive(Debug)]
pub enum Opinion {
    /// Nothing to say.
    Quiet,
    /// Each of these.
    Each(Vec<Self>),
    /// Cannot tell yet: ask [`Rule::recheck`] about this process at this boot time, unless it is gone by
    /// then; about [`NOBODY`] in any case.
    Recheck(BootNs, ProcKey),
    /// This. If it lasts, the rule is asked about the process again.
    Found(Box<Finding>),
    /// What it has found about that is over, and how: a headline.
    Over(Subject, String),
    /// The same, if it stays so for a while; without a headline it is not so, after all.
    Settle(Subject, Option<String>),
}

/// What a rule wants to be looked at before it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// Whether a process is there, what it does, whose child it is ([`crate::event::Look`]).
    Look(ProcKey),
    /// How many pids a process can still have ([`crate::host::Rooms::of`]).
    Room(ProcKey),
    /// Which signals wait for a thread ([`crate::event::Masks`]).
    Masks(TaskRef),
    /// What keeps a process from going on ([`crate::event::Held`]).
    Held(ProcKey),
    /// Whether the first has the reading end of a pipe, and the second its writing end
    /// ([`crate::event::Pipe`]).
    Pipe(ProcKey, ProcKey),
}

/// In place of a process, where a question is about none that could be gone.
pub const NOBODY: ProcKey = ProcKey { start: BootNs::ZERO, tgid: 0 };

/// A judge.
pub trait Rule {
    /// What it is.
    fn def(&self) -> &'static RuleDef;

    /// Called once for each change. `seq` is the number of the event that caused it.
    fn check(&self, world: &World, change: &Change, seq: Seq) -> Opinion;

    /// Called at the time that [`Opinion::Recheck`] named, after the process and whoever owes
    /// it a wait have been looked at ([`crate::event::Look`]).
    fn recheck(&self, _world: &World, _key: ProcKey) -> Opinion {
        Opinion::Quiet
    }

    /// What else to look at before that.
    fn wants(&self, _world: &World, _key: ProcKey) -> Vec<Wanted> {
        Vec::new()
    }

    /// Whether a change that has to do with the process of a lasting finding has put an end to that, and
    /// how: a headline. When the process is gone it is over in any case.
    fn over(&self, _world: &World, _change: &Change, _open: &Finding) -> Option<String> {
        None
    }

    /// Whether a change proves that a lasting finding of its own was wrong, or has another rule tell all of it, and
    /// why: a headline. It is withdrawn.
    fn wrong(&self, _world: &World, _change: &Change, _open: &Finding) -> Option<String> {
        None
    }

    /// Whether a lasting finding of its own tells what another one does too, which then is told no more.
    fn speaks_for(&self, _whole: &Finding, _part: &Finding) -> bool {
        false
    }
}

/// Lists the rules, for whoever speaks of them and for whoever asks them.
macro_rules! rules {
    ($($rule:ident,)*) => {
        /// All rules.
        pub static RULES: &[&RuleDef] = &[$(&$rule::DEF),*];

        /// All rules as judges with these thresholds, in the same order.
        pub(crate) fn judges(thresholds: &Thresholds) -> Vec<Box<dyn Rule>> {
            vec![$($rule::make(thresholds)),*]
        }
    };
}

// A new one is a file and a line.
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
