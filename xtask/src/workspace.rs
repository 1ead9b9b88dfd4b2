//! Where this checkout and its target directory are.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// The packages that are for this machine, as cargo selects them. Always all of them: what their dependencies are built
/// with is the sum of what the selected ones ask for, so any other selection has much built anew.
pub const PACKAGES: [&str; 3] = ["--workspace", "--exclude", "tracer-ebpf"];

/// The two directories that every task needs.
#[derive(Debug)]
pub struct Workspace {
    /// The top of the checkout.
    pub root: PathBuf,
    /// Cargo's target directory, absolute.
    pub target: PathBuf,
}

impl Workspace {
    /// A program that was built to be tested.
    pub fn tested(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(name)
    }

    /// Asks the environment that `cargo xtask` gives to its program.
    pub fn find() -> Result<Self> {
        let manifest =
            env::var_os("CARGO_MANIFEST_DIR").context("CARGO_MANIFEST_DIR is not set: start this as `cargo xtask`")?;
        let root = Path::new(&manifest).parent().context("CARGO_MANIFEST_DIR has no parent")?.to_owned();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            // As cargo does: relative to where it was started.
            Some(target) => env::current_dir().context("current directory")?.join(target),
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// The release binary that `cargo xtask build` makes.
    pub fn tracer(&self) -> PathBuf {
        self.target.join("release/tracer")
    }
}
