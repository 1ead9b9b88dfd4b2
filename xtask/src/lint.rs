//! `cargo xtask lint`: formatting, what may be linked, and clippy without warnings for host and eBPF code.

use std::{env, process::ExitCode};

use anyhow::Result;

use crate::{
    licences,
    process::{cargo, run},
    setup,
    toolchain::Toolchain,
    workspace::{PACKAGES, Workspace},
};

/// The sub-command.
pub fn lint() -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let toolchain = setup::toolchain(&workspace, None);
    check(&workspace, toolchain.as_ref().map_err(|error| format!("{error:#}")))?;
    Ok(ExitCode::SUCCESS)
}

/// Lints everything; the eBPF code only where there is a toolchain for it.
pub fn check(workspace: &Workspace, toolchain: Result<&Toolchain, String>) -> Result<()> {
    run(cargo(workspace).args(["fmt", "--all", "--check"]))?;
    licences::check(workspace)?;
    // These have lock files of their own, which a new dependency of tracer makes stale.
    for manifest in ["fuzz/Cargo.toml", "tracer-fleet/Cargo.toml"] {
        run(cargo(workspace).args(["update", "--quiet", "--workspace", "--locked", "--manifest-path", manifest]))?;
    }
    run(cargo(workspace).arg("clippy").args(PACKAGES).args(["--all-targets", "--", "-D", "warnings"]))?;
    match toolchain {
        Ok(toolchain) => ebpf(workspace, toolchain),
        Err(reason) => {
            println!("lint: eBPF code not linted: {reason}");
            Ok(())
        }
    }
}

fn ebpf(workspace: &Workspace, toolchain: &Toolchain) -> Result<()> {
    let Some(clippy) = &toolchain.clippy else {
        println!("lint: eBPF code not linted: the {} toolchain has no clippy", toolchain.way);
        return Ok(());
    };
    let Workspace { root, target } = workspace;
    run(toolchain
        .command(clippy, "clippy", env::consts::ARCH)
        .current_dir(root)
        .args(["--package", "tracer-ebpf", "--bins"])
        .arg("--target-dir")
        .arg(target.join("bpf-clippy"))
        .args(["--", "-D", "warnings"]))
}
