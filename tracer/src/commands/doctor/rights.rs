//! What this process may do: capabilities, namespaces, seccomp, lockdown.

use std::path::Path;

use rustix::thread::CapabilitySet;

use super::check::Check;
use crate::source::{
    load::{LOCKDOWN, missing_capabilities},
    procfs,
};

/// `works`: the hooks attach, so nothing prevents tracing.
pub(super) fn checks(works: bool) -> Vec<Check> {
    vec![
        pid_namespace(),
        user_namespace(&procfs::line("/proc/self/uid_map")),
        capabilities(),
        seccomp(&procfs::line("/proc/self/status"), works),
        lockdown(&procfs::line(LOCKDOWN), Path::new("/sys/kernel/security").join("lsm").exists(), works),
    ]
}

fn pid_namespace() -> Check {
    const NAME: &str = "pid-namespace";
    match procfs::pid_namespace("self") {
        Ok(ns) if ns.0 == procfs::INITIAL_PID_NS => Check::ok(NAME, "the host's, so every process can be seen"),
        Ok(ns) => Check::fail(
            NAME,
            format!("{ns}, not the host's, so most processes cannot be seen"),
            "run it on the host, or in a container with `--pid host`",
        ),
        Err(error) => Check::warn(NAME, format!("unknown: /proc/self/ns/pid: {error}"), "mount /proc"),
    }
}

/// The initial user namespace maps every id to itself.
fn user_namespace(uid_map: &str) -> Check {
    const NAME: &str = "user-namespace";
    if uid_map.split_ascii_whitespace().eq(["0", "0", "4294967295"]) {
        Check::ok(NAME, "the host's, so capabilities count for bpf()")
    } else {
        Check::warn(
            NAME,
            "not the host's: capabilities of a user namespace do not count for bpf()",
            "run it as the host's root",
        )
    }
}

/// The capabilities that matter here.
const TELLING: [(CapabilitySet, &str); 5] = [
    (CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN"),
    (CapabilitySet::BPF, "CAP_BPF"),
    (CapabilitySet::PERFMON, "CAP_PERFMON"),
    (CapabilitySet::SYS_PTRACE, "CAP_SYS_PTRACE"),
    (CapabilitySet::SYS_RESOURCE, "CAP_SYS_RESOURCE"),
];

fn capabilities() -> Check {
    let effective = rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    let uid = rustix::process::geteuid().as_raw();
    let detail = format!("uid {uid} with {}", listed(effective));
    match missing_capabilities().as_slice() {
        [] => Check::ok("capabilities", detail),
        missing => Check::fail("capabilities", format!("{detail}; missing {}", missing.join(", ")), "run it with sudo"),
    }
}

fn listed(effective: CapabilitySet) -> String {
    let here: Vec<_> = TELLING.iter().filter(|(one, _)| effective.contains(*one)).map(|(_, name)| *name).collect();
    if here.is_empty() { "none of the capabilities that matter here".to_owned() } else { here.join(", ") }
}

fn seccomp(status: &str, works: bool) -> Check {
    const NAME: &str = "seccomp";
    match status.lines().find_map(|line| line.strip_prefix("Seccomp:")).map(str::trim) {
        Some("0") => Check::ok(NAME, "off"),
        Some("2") if works => Check::ok(NAME, "a filter is in force, which allows bpf()"),
        Some("2") => Check::warn(
            NAME,
            "a filter is in force, as in a container; it may forbid bpf()",
            "run it on the host, or with `--security-opt seccomp=unconfined`",
        ),
        Some("1") => Check::fail(NAME, "strict", "run it without"),
        // Kernels without CONFIG_SECCOMP do not have the line.
        _ => Check::ok(NAME, "not in this kernel"),
    }
}

/// `has_securityfs`: it is mounted, so a missing file means that the kernel has no lockdown.
fn lockdown(line: &str, has_securityfs: bool, works: bool) -> Check {
    const NAME: &str = "lockdown";
    let mode = line.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(mode, _)| mode);
    match mode {
        Some("none") => Check::ok(NAME, "off"),
        Some("integrity") => Check::ok(NAME, "integrity, which leaves tracing alone"),
        Some("confidentiality") => Check::fail(
            NAME,
            "confidentiality: eBPF programs may not read the kernel's memory",
            "boot with lockdown=integrity, or without Secure Boot",
        ),
        Some(other) => {
            Check::warn(NAME, format!("{other}, which this version does not know"), "see kernel_lockdown(7)")
        }
        None if has_securityfs => Check::ok(NAME, "not in this kernel"),
        None if works => {
            Check::ok(NAME, "unknown, because securityfs is not mounted; not in the way, for the hooks attach")
        }
        None => Check::warn(
            NAME,
            "unknown, because securityfs is not mounted or cannot be read",
            "mount -t securityfs securityfs /sys/kernel/security",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::check::Status, *};

    #[test]
    fn the_initial_user_namespace_is_known_by_its_map() {
        assert_eq!(user_namespace("         0          0 4294967295").status, Status::Ok);
        assert_eq!(user_namespace("         0       1000          1").status, Status::Warn);
        assert_eq!(user_namespace("").status, Status::Warn);
    }

    #[test]
    fn a_filter_that_does_not_hurt_is_no_warning() {
        assert_eq!(seccomp("Name:\tx\nSeccomp:\t0", false).detail, "off");
        assert_eq!(seccomp("Seccomp:\t2\nSeccomp_filters:\t1", true).status, Status::Ok);
        assert_eq!(seccomp("Seccomp:\t2", false).status, Status::Warn);
        assert_eq!(seccomp("Name:\tx", false).status, Status::Ok);
    }

    #[test]
    fn lockdown_as_the_kernel_writes_it() {
        assert_eq!(lockdown("[none] integrity confidentiality", true, true).detail, "off");
        assert_eq!(lockdown("none [integrity] confidentiality", true, true).status, Status::Ok);
        assert_eq!(lockdown("none integrity [confidentiality]", true, false).status, Status::Fail);
        assert_eq!(lockdown("", true, false).detail, "not in this kernel");
        assert_eq!(lockdown("", false, true).status, Status::Ok);
        assert_eq!(lockdown("", false, false).status, Status::Warn);
    }

    #[test]
    fn capabilities_by_name() {
        assert_eq!(listed(CapabilitySet::BPF | CapabilitySet::KILL), "CAP_BPF");
        assert_eq!(listed(CapabilitySet::empty()), "none of the capabilities that matter here");
    }
}
