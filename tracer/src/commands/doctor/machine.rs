//! The kernel: its version, its type information, and the hooks that it could offer besides.

use std::path::Path;

use btf_rs::{Backend, Btf, Type};

use super::check::Check;
use crate::source::{
    load::kernel_release,
    offsets::{self, OffsetsError, Resolved, VMLINUX},
};

/// The running kernel.
pub(super) struct Kernel {
    /// `uname -r`.
    pub release: String,
    /// Major and minor, `None` if the release does not begin with them.
    pub version: Option<(u32, u32)>,
}

impl Kernel {
    pub(super) fn running() -> Self {
        let release = kernel_release();
        Self { version: version(&release), release }
    }
}

/// `6.18.44-rc1` is (6, 18).
fn version(release: &str) -> Option<(u32, u32)> {
    let (major, rest) = release.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// What the kernel's type information gave.
pub(super) struct Types(Result<Resolved, OffsetsError>);

impl Types {
    pub(super) fn read() -> Self {
        Self(offsets::of_running_kernel(&[]))
    }

    /// A sentence for each field that is missing.
    pub(super) fn degraded(&self) -> &[String] {
        self.0.as_ref().map_or(&[], |resolved| &resolved.degraded)
    }
}

/// The oldest kernel that is supported.
const OLDEST: (u32, u32) = (5, 10);

pub(super) fn checks(kernel: &Kernel, types: &Types) -> Vec<Check> {
    vec![version_check(kernel), btf_check(&types.0), fields_check(&types.0), optional_hooks()]
}

fn version_check(Kernel { release, version }: &Kernel) -> Check {
    match version {
        Some(version) if *version < OLDEST => {
            Check::warn("kernel", format!("Linux {release} is older than 5.10"), "use 5.10 or later")
        }
        _ => Check::ok("kernel", format!("Linux {release} on {}", std::env::consts::ARCH)),
    }
}

fn btf_check(types: &Result<Resolved, OffsetsError>) -> Check {
    match types {
        Err(error @ OffsetsError::NoBtf(_)) => {
            Check::fail("btf", error.to_string(), "use a kernel of 5.10 or later with CONFIG_DEBUG_INFO_BTF=y")
        }
        Ok(_) | Err(OffsetsError::NoField(_)) => Check::ok("btf", format!("type information in {VMLINUX}")),
    }
}

fn fields_check(types: &Result<Resolved, OffsetsError>) -> Check {
    match types {
        Err(OffsetsError::NoBtf(_)) => Check::fail("fields", "unknown without BTF", "see btf"),
        Err(error @ OffsetsError::NoField(_)) => {
            Check::fail("fields", error.to_string(), "use a supported kernel, 5.10 or later, or report this one")
        }
        Ok(Resolved { degraded, .. }) if degraded.is_empty() => Check::ok("fields", "all are where they are expected"),
        Ok(Resolved { degraded, .. }) => {
            Check::warn("fields", degraded.join("; "), "nothing, if you can do without; else use another kernel")
        }
    }
}

/// Functions of the kernel that would tell more: any one of the names, and what it would tell.
const FUNCTIONS: [(&[&str], &str); 4] = [
    (&["kill_orphaned_pgrp"], "the new parent of an orphan"),
    (&["cgroup_release", "cgroup_task_release"], "the moment of a reap"),
    (&["release_task"], "who reaps"),
    (&["do_notify_parent"], "the moment of becoming a zombie"),
];

/// fentry goes through the direct calls of ftrace, compiled in or not.
const DIRECT_CALLS: &str = "register_ftrace_direct";
const KPROBES: &str = "/sys/bus/event_source/devices/kprobe";

/// Never a warning: this version asks for none of them.
fn optional_hooks() -> Check {
    let btf = Btf::from_file_with_backend(VMLINUX, Backend::Mmap).or_else(|_| Btf::from_file(VMLINUX));
    let fentry = match btf {
        Err(_) => "unknown without BTF".to_owned(),
        Ok(btf) if !has_function(&btf, DIRECT_CALLS) => {
            "no, this kernel is built without ftrace's direct calls".to_owned()
        }
        Ok(btf) => fentry(|name| has_function(&btf, name)),
    };
    let kprobes = if Path::new(KPROBES).exists() { "yes" } else { "no" };
    Check::ok("optional-hooks", format!("not used by this version; could be: fentry {fentry}; kprobes: {kprobes}"))
}

fn has_function(btf: &Btf, name: &str) -> bool {
    btf.resolve_types_by_name(name).is_ok_and(|types| types.iter().any(|of| matches!(of, Type::Func(_))))
}

fn fentry(has: impl Fn(&str) -> bool) -> String {
    let found: Vec<_> = FUNCTIONS
        .iter()
        .filter_map(|(names, tells)| {
            let name = names.iter().find(|name| has(name))?;
            Some(format!("{name} ({tells})"))
        })
        .collect();
    if found.is_empty() {
        "on none of the functions that would help".to_owned()
    } else {
        format!("on {}", found.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_sorts() {
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(version("5.10"), Some((5, 10)));
        assert_eq!(version("7.0-rc1"), Some((7, 0)));
        assert_eq!(version("five"), None);
        assert_eq!(version("6.x"), None);
    }

    #[test]
    fn an_old_kernel_is_told() {
        let old = Kernel { release: "5.4.0".into(), version: Some((5, 4)) };
        assert_eq!(version_check(&old).status, super::super::check::Status::Warn);
    }

    #[test]
    fn one_name_of_a_function_is_enough() {
        let text = fentry(|name| name == "cgroup_task_release");
        assert_eq!(text, "on cgroup_task_release (the moment of a reap)");
        assert_eq!(fentry(|_| false), "on none of the functions that would help");
    }
}
