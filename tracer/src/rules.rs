//! Rules: small pure judges of what changed in the world, and the one list of them.

use serde::{Deserialize, Serialize};

use crate::{
    change::Change,
    finding::{Finding, Severity},
    ident::ProcKey,
    world::World,
};

mod init_ignored_signal;
mod killed_by;
mod left_behind;
mod namespace_killed;
mod orphan_adopted;
mod signal_queue_overflow;
mod slow_stop;
mod unreaped_child;
mod zombie_leader;

pub use left_behind::LONGEST as LEFT_BEHIND_LONGEST;

/// What a rule is, for `--rule`, `tracer rules`, `tracer explain` and the documentation.
#[derive(Debug)]
pub struct RuleDef {
    /// Its stable name.
    pub name: &'static str,
    /// How urgent its findings are.
    pub severity: Severity,
    /// What it says, in one line.
    pub summary: &'static str,
    /// What it means, why the kernel does so, how to see it, what to do: Markdown.
    pub explanation: &'static str,
    /// Makes one, with its thresholds.
    pub make: fn(&Thresholds) -> Box<dyn Rule>,
}

/// From when on something is worth a finding, all in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Thresholds {
    /// A zombie for longer than this.
    pub unreaped_after: u64,
    /// A dead main thread for longer than this.
    pub zombie_leader_after: u64,
    /// A namespace whose end takes longer than this is reported before it has ended.
    pub namespace_stuck_after: u64,
    /// A stop signal that did not help before a SIGKILL came, this long after it.
    pub slow_stop_after: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            unreaped_after: 2_000_000_000,
            zombie_leader_after: 2_000_000_000,
            namespace_stuck_after: 5_000_000_000,
            slow_stop_after: 1_000_000_000,
        }
    }
}

/// What a rule thinks of a change.
#[derive(Debug)]
pub enum Verdict {
    /// Nothing to say.
    Quiet,
    /// Cannot tell yet: ask [`Rule::recheck`] about this process at this boot time, unless it is gone by
    /// then; about [`NOBODY`] in any case.
    Recheck(u64, ProcKey),
    /// This.
    Found(Box<Finding>),
}

/// In place of a process, where a question is about none that could be gone.
pub const NOBODY: ProcKey = ProcKey { start: 0, tgid: 0 };

/// A judge.
pub trait Rule {
    /// What it is.
    fn def(&self) -> &'static RuleDef;

    /// Called once for each change. `seq` is the number of the event that caused it.
    fn check(&self, world: &World, change: &Change, seq: u64) -> Verdict;

    /// Called at the time that [`Verdict::Recheck`] named, after the process and whoever owes
    /// it a wait have been looked at ([`crate::event::Look`]).
    fn recheck(&self, _world: &World, _key: ProcKey) -> Verdict {
        Verdict::Quiet
    }

    /// Whom else to look at before that.
    fn looks_at(&self, _world: &World, _key: ProcKey) -> Vec<ProcKey> {
        Vec::new()
    }
}

/// All rules. A new one is a file and a line.
pub static RULES: &[&RuleDef] = &[
    &init_ignored_signal::DEF,
    &unreaped_child::DEF,
    &orphan_adopted::DEF,
    &namespace_killed::DEF,
    &slow_stop::DEF,
    &zombie_leader::DEF,
    &left_behind::DEF,
    &killed_by::DEF,
    &signal_queue_overflow::DEF,
];

/// The rule of that name.
pub fn find(name: &str) -> Option<&'static RuleDef> {
    RULES.iter().copied().find(|rule| rule.name == name)
}
