//! Programs that are linked statically, so that they also run inside a booted kernel, which has no libraries.
//!
//! All that is linted, tested and booted is built in this one way, so that nothing is compiled twice.

use std::{env, path::PathBuf, process::Command};

use crate::{
    process,
    workspace::{PACKAGES, Workspace},
};

/// `cargo VERB` for all packages.
pub fn cargo(workspace: &Workspace, verb: &str) -> Command {
    let mut command = process::cargo(workspace);
    // As a target is named, these flags are not for build scripts and macros.
    let flags = format!("{} -Ctarget-feature=+crt-static", env::var("RUSTFLAGS").unwrap_or_default());
    command
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", flags.trim())
        .args([verb, "--target", &target()])
        .args(PACKAGES);
    command
}

/// Where the program is that is built so.
pub fn program(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.target.join(target()).join("debug").join(name)
}

fn target() -> String {
    format!("{}-unknown-linux-gnu", env::consts::ARCH)
}
