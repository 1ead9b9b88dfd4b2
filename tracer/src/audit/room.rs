//! How much of something that runs out is left: ptys, and pids of the machine and of a control group.

use std::{fs, path::PathBuf};

use procfs::process::Process;

/// So many of so many are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// In use now.
    pub used: u64,
    /// The most that there can be.
    pub most: u64,
}

impl Room {
    /// Four fifths are in use.
    pub fn is_short(self) -> bool {
        self.used.saturating_mul(5) >= self.most.saturating_mul(4)
    }
}

/// Pseudo-terminals of the machine (`kernel.pty.nr` of `kernel.pty.max`).
pub fn ptys() -> Option<Room> {
    Some(Room { used: number("/proc/sys/kernel/pty/nr")?, most: number("/proc/sys/kernel/pty/max")? })
}

/// Pids of the machine, of which each thread takes one.
pub fn pids(threads: u64) -> Option<Room> {
    let most = number("/proc/sys/kernel/pid_max")?.min(number("/proc/sys/kernel/threads-max")?);
    Some(Room { used: threads, most })
}

/// Pids of the control group that a process is in, if they are limited there.
pub fn pids_of(pid: i32) -> Option<Room> {
    let groups = Process::new(pid).ok()?.cgroups().ok()?;
    groups.into_iter().find_map(|group| {
        let is_unified = group.hierarchy == 0;
        let is_pids = group.controllers.iter().any(|controller| controller == "pids");
        let mounted = match (is_unified, is_pids) {
            (true, _) => "/sys/fs/cgroup",
            (_, true) => "/sys/fs/cgroup/pids",
            _ => return None,
        };
        let folder = PathBuf::from(format!("{mounted}{}", group.pathname));
        // `max` is no number, and no limit.
        let most = number(folder.join("pids.max").to_str()?)?;
        Some(Room { used: number(folder.join("pids.current").to_str()?)?, most })
    })
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
