//! What each process of an agent takes: memory, descriptors, threads, processor time.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use super::LOST;
use crate::agent::Agent;

/// Of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Memory that is there (`VmRSS`), in KiB.
    pub rss: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

/// Of all of them, at a moment.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// In the order of [`Meter::names`]; `None` for one that is gone.
    pub processes: Vec<Option<Process>>,
    /// How long it is since the last time.
    pub passed: Duration,
    /// Their processor time since then.
    pub busy: Duration,
    /// Events since then.
    pub events: u64,
    /// Records that were lost since then, as the agent counts them.
    pub lost: u64,
}

/// Reads them, and knows what they were before.
#[derive(Debug)]
pub struct Meter {
    /// By pid, in the order in which they were started.
    processes: BTreeMap<u32, &'static str>,
    at: Instant,
    busy: Duration,
    events: u64,
    lost: u64,
}

/// The processes of an agent by the first word of their command lines.
const NAMES: [&str; 4] = ["agent", "agent-helper", "agent-messenger", "agent-courier"];

impl Meter {
    /// For the processes that it has now, which are all that it ever has.
    pub fn of(agent: &Agent) -> Self {
        let name = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let word = line.split(|&byte| byte == 0).nth(1).unwrap_or_default().to_owned();
            NAMES.into_iter().find(|name| name.as_bytes() == word).unwrap_or("another")
        };
        let processes = agent.pids().into_iter().map(|pid| (pid, name(&pid))).collect();
        Self { processes, at: Instant::now(), busy: Duration::ZERO, events: 0, lost: 0 }
    }

    /// What the processes are called.
    pub fn names(&self) -> Vec<&'static str> {
        self.processes.values().copied().collect()
    }

    /// What they take now.
    pub fn read(&mut self, agent: &Agent) -> Usage {
        let all = self.processes.keys();
        let busy: Duration = all.clone().filter_map(|&pid| processor_time(pid)).sum();
        let events = agent.number("tracer_events_total");
        let lost = agent.number(LOST);
        let usage = Usage {
            processes: all.map(|&pid| process(pid)).collect(),
            passed: self.at.elapsed(),
            busy: busy.saturating_sub(self.busy),
            events: events - self.events,
            lost: lost - self.lost,
        };
        (self.at, self.busy, self.events, self.lost) = (Instant::now(), busy, events, lost);
        usage
    }
}

fn process(pid: u32) -> Option<Process> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    Some(Process { rss: number("VmRSS:")?, descriptors, threads: number("Threads:")? })
}

/// Fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms.
fn processor_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 2..)?.split(' ').collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Duration::from_millis(10 * (ticks(11)? + ticks(12)?)))
}
