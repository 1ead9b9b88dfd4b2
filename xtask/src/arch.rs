//! The architectures that tracer is for, by the names that others give them.

use std::env;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

/// An architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arch {
    /// Called amd64 as well.
    #[value(name = "x86_64")]
    X86,
    /// Called arm64 as well.
    #[value(name = "aarch64")]
    Arm,
}

impl Arch {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::X86, Self::Arm];

    /// That of this machine.
    pub fn host() -> Result<Self> {
        let found = Self::ALL.into_iter().find(|arch| arch.name() == env::consts::ARCH);
        found.with_context(|| format!("this machine is {}; tracer is for x86_64 and aarch64", env::consts::ARCH))
    }

    /// As the kernel and rustc call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm => "aarch64",
        }
    }

    /// As Debian and container images call it.
    pub fn debian(self) -> &'static str {
        match self {
            Self::X86 => "amd64",
            Self::Arm => "arm64",
        }
    }

    /// Rust's target for it.
    pub fn target(self) -> String {
        format!("{}-unknown-linux-gnu", self.name())
    }

    /// What the names of its GNU tools begin with, and Debian's folder for its libraries.
    pub fn gnu(self) -> String {
        format!("{}-linux-gnu", self.name())
    }
}
