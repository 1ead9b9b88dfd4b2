//! Limits of the machine that make forks fail, and settings that make tracing expensive.

use rustix::process::{Resource, getrlimit};

use super::{cgroup, check::Check, machine::Kernel};
use crate::{
    console::style,
    ident::file_name,
    source::{load::LoadOptions, procfs},
};

pub(super) fn checks(kernel: &Kernel) -> Vec<Check> {
    let tasks = tasks(&procfs::line("/proc/loadavg"));
    let mut checks = vec![
        used("pid-max", "kernel.pid_max", tasks, sysctl("kernel/pid_max"), "task"),
        used("threads-max", "kernel.threads-max", tasks, sysctl("kernel/threads-max"), "task"),
        cgroup_pids(cgroup::pids_limit()),
        used("ptys", "kernel.pty.max", sysctl("kernel/pty/nr"), sysctl("kernel/pty/max"), "pty"),
    ];
    checks.extend(memlock(kernel));
    checks.extend([
        jit(sysctl("net/core/bpf_jit_enable")),
        unprivileged_bpf(sysctl("kernel/unprivileged_bpf_disabled")),
        bpf_stats(sysctl("kernel/bpf_stats_enabled")),
    ]);
    checks
}

/// `None` if it does not exist or may not be read.
fn sysctl(name: &str) -> Option<u64> {
    procfs::line(&format!("/proc/sys/{name}")).parse().ok()
}

/// Threads that exist, the divisor in `0.00 0.01 0.05 1/123 4567`.
fn tasks(loadavg: &str) -> Option<u64> {
    loadavg.split(' ').nth(3)?.split_once('/')?.1.parse().ok()
}

/// A limit of which nine tenths are used is worth a warning.
fn is_near(used: u64, max: u64) -> bool {
    used.saturating_mul(10) >= max.saturating_mul(9)
}

fn used(name: &'static str, setting: &str, used: Option<u64>, max: Option<u64>, noun: &str) -> Check {
    match (used, max) {
        (Some(used), Some(max)) if is_near(used, max) => Check::warn(
            name,
            format!("{} of {max} ({setting}): nearly used up", style::count(used, noun)),
            format!("raise {setting}, or find what collects them (`tracer tree --zombies`)"),
        ),
        (Some(used), Some(max)) => Check::ok(name, format!("{} of {max} ({setting})", style::count(used, noun))),
        (None, Some(max)) => Check::ok(name, format!("{max} ({setting})")),
        (_, None) => Check::ok(name, format!("unknown: {setting} cannot be read")),
    }
}

fn cgroup_pids(limit: Option<cgroup::PidsLimit>) -> Check {
    const NAME: &str = "cgroup-pids";
    let Some(cgroup::PidsLimit { max, current, dir }) = limit else {
        return Check::ok(NAME, "no limit (pids.max) on this process's cgroups");
    };
    let detail = format!("{} of {max} (pids.max of {})", style::count(current, "task"), file_name(dir));
    if is_near(current, max) {
        Check::warn(NAME, format!("{detail}: nearly used up"), "raise pids.max, or end something in that cgroup")
    } else {
        Check::ok(NAME, detail)
    }
}

/// Until 5.10 maps counted against RLIMIT_MEMLOCK, since 5.11 they count for the memory cgroup.
fn memlock(kernel: &Kernel) -> Option<Check> {
    const NAME: &str = "memlock";
    if kernel.version? >= (5, 11) {
        return None;
    }
    let ring = u64::from(LoadOptions::default().ring_size);
    Some(match getrlimit(Resource::Memlock).current {
        // Programs and other maps need some as well.
        Some(limit) if limit < 2 * ring => Check::warn(
            NAME,
            format!("{} (RLIMIT_MEMLOCK), and this kernel counts maps against it", style::size(limit)),
            "ulimit -l unlimited",
        ),
        Some(limit) => Check::ok(NAME, format!("{} (RLIMIT_MEMLOCK)", style::size(limit))),
        None => Check::ok(NAME, "unlimited (RLIMIT_MEMLOCK)"),
    })
}

fn jit(enabled: Option<u64>) -> Check {
    const NAME: &str = "bpf-jit";
    match enabled {
        Some(0) => Check::warn(
            NAME,
            "off (net.core.bpf_jit_enable): programs are interpreted, which costs some times more",
            "sysctl net.core.bpf_jit_enable=1",
        ),
        Some(1) => Check::ok(NAME, "on (net.core.bpf_jit_enable)"),
        Some(_) => Check::warn(
            NAME,
            "on, and writes every program to the kernel log (net.core.bpf_jit_enable=2)",
            "sysctl net.core.bpf_jit_enable=1",
        ),
        None => Check::ok(NAME, "unknown: only root may read net.core.bpf_jit_enable"),
    }
}

fn unprivileged_bpf(disabled: Option<u64>) -> Check {
    const NAME: &str = "unprivileged-bpf";
    match disabled {
        Some(0) => Check::ok(NAME, "allowed (kernel.unprivileged_bpf_disabled=0); makes no difference to tracing"),
        Some(value) => Check::ok(
            NAME,
            format!("forbidden (kernel.unprivileged_bpf_disabled={value}); makes no difference to root"),
        ),
        None => Check::ok(NAME, "unknown: kernel.unprivileged_bpf_disabled cannot be read"),
    }
}

fn bpf_stats(enabled: Option<u64>) -> Check {
    const NAME: &str = "bpf-stats";
    match enabled {
        Some(0) => Check::ok(NAME, "off (kernel.bpf_stats_enabled)"),
        Some(_) => Check::warn(
            NAME,
            "on (kernel.bpf_stats_enabled): two readings of the clock more for each run of a program",
            "sysctl kernel.bpf_stats_enabled=0, unless you are measuring",
        ),
        None => Check::ok(NAME, "unknown: kernel.bpf_stats_enabled cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::check::Status, *};

    #[test]
    fn tasks_of_loadavg() {
        assert_eq!(tasks("0.00 0.01 0.05 1/123 4567"), Some(123));
        assert_eq!(tasks(""), None);
        assert_eq!(tasks("a b c d e"), None);
    }

    #[test]
    fn a_limit_warns_when_it_is_near() {
        assert_eq!(used("x", "s", Some(89), Some(100), "thing").status, Status::Ok);
        assert_eq!(used("x", "s", Some(90), Some(100), "thing").status, Status::Warn);
        assert_eq!(used("x", "s", None, Some(100), "thing").detail, "100 (s)");
        assert_eq!(used("x", "s", Some(1), None, "thing").detail, "unknown: s cannot be read");
    }

    #[test]
    fn memlock_matters_only_where_it_is_counted() {
        let kernel = |version| Kernel { release: String::new(), version };
        assert!(memlock(&kernel(Some((5, 11)))).is_none());
        assert!(memlock(&kernel(None)).is_none());
        assert!(memlock(&kernel(Some((5, 10)))).is_some());
    }

    #[test]
    fn settings_that_cost_are_warned_of() {
        assert_eq!(jit(Some(0)).status, Status::Warn);
        assert_eq!(jit(None).status, Status::Ok);
        assert_eq!(bpf_stats(Some(1)).status, Status::Warn);
        assert_eq!(unprivileged_bpf(Some(0)).status, Status::Ok);
    }
}
