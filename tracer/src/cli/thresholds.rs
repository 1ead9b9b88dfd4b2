//! From when on something is a finding.

use std::time::Duration;

use clap::Args;

use super::parse_duration;
use crate::thresholds::Thresholds;

/// From when on something is a finding. What is not given is as it was recorded, or the default.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Thresholds")]
pub struct ThresholdArgs {
    /// Report a zombie that nobody has reaped for this long [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub unreaped_after: Option<Duration>,

    /// Report a process whose main thread has been dead for this long [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub zombie_leader_after: Option<Duration>,

    /// Report a namespace whose end takes longer than this [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub namespace_stuck_after: Option<Duration>,

    /// Report a stop signal that a SIGKILL followed so long after it [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub slow_stop_after: Option<Duration>,

    /// Report a parent that has so many zombies as a leak, in place of each of them [default: 10]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub zombie_leak_at: Option<u64>,

    /// Report a signal that waits, blocked, for this long [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub stuck_blocked_after: Option<Duration>,

    /// Report an init that took a stop signal and has passed nothing on for this long [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub not_forwarded_after: Option<Duration>,

    /// Report what an exec brought into a container and has been without its client for this long
    /// [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub exec_leftover_after: Option<Duration>,

    /// Report pids or pseudo-terminals of which so much is in use, of a hundred [default: 80]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub pressure_at: Option<u64>,

    /// Report children that another thread of the same process adopts, too: programs in Go have many
    #[arg(long)]
    pub thread_adoptions: bool,
}

impl ThresholdArgs {
    /// These, over others where none is given.
    pub fn over(self, others: Thresholds) -> Thresholds {
        let Self {
            unreaped_after,
            zombie_leader_after,
            namespace_stuck_after,
            slow_stop_after,
            zombie_leak_at,
            stuck_blocked_after,
            not_forwarded_after,
            exec_leftover_after,
            pressure_at,
            thread_adoptions,
        } = self;
        // 584 years are long enough.
        let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Thresholds {
            unreaped_after: unreaped_after.map_or(others.unreaped_after, ns),
            zombie_leader_after: zombie_leader_after.map_or(others.zombie_leader_after, ns),
            namespace_stuck_after: namespace_stuck_after.map_or(others.namespace_stuck_after, ns),
            slow_stop_after: slow_stop_after.map_or(others.slow_stop_after, ns),
            zombie_leak_at: zombie_leak_at.unwrap_or(others.zombie_leak_at),
            stuck_blocked_after: stuck_blocked_after.map_or(others.stuck_blocked_after, ns),
            not_forwarded_after: not_forwarded_after.map_or(others.not_forwarded_after, ns),
            exec_leftover_after: exec_leftover_after.map_or(others.exec_leftover_after, ns),
            pressure_at: pressure_at.unwrap_or(others.pressure_at),
            thread_adoptions: thread_adoptions || others.thread_adoptions,
        }
    }
}
