//! The kernel: its version and its type information.

use super::check::Check;
use crate::source::{
    load::{self, kernel_release},
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
        Self { version: load::version(&release), release }
    }
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
    vec![version_check(kernel), btf_check(&types.0), fields_check(&types.0)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_is_told() {
        let old = Kernel { release: "5.4.0".into(), version: Some((5, 4)) };
        assert_eq!(version_check(&old).status, super::super::check::Status::Warn);
    }
}
