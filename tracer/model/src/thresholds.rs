//! From when on something is worth a finding.

use serde::{Deserialize, Serialize};

/// From when on something is worth a finding, in nanoseconds where nothing else is said.
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
    /// Zombies of one parent, each of them unreaped for long enough: a number, no time.
    pub zombie_leak_at: u64,
    /// A signal that waits, blocked, for longer than this.
    pub stuck_blocked_after: u64,
    /// An init that took a stop signal and has passed nothing on for this long.
    pub not_forwarded_after: u64,
    /// A process from outside that has been without its client for this long.
    pub exec_leftover_after: u64,
    /// Pids or ptys in use, of a hundred: no time.
    pub pressure_at: u64,
    /// A child that another thread of the same process adopts is worth a finding, too: no time.
    pub thread_adoptions: bool,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            unreaped_after: 2_000_000_000,
            zombie_leader_after: 2_000_000_000,
            namespace_stuck_after: 5_000_000_000,
            slow_stop_after: 1_000_000_000,
            zombie_leak_at: 10,
            stuck_blocked_after: 10_000_000_000,
            not_forwarded_after: 2_000_000_000,
            exec_leftover_after: 5_000_000_000,
            pressure_at: 80,
            thread_adoptions: false,
        }
    }
}
