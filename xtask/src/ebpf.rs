//! `cargo xtask build` and `cargo xtask run`: the release binary, with its eBPF part inside.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::{
    process::{as_root, cargo, run as run_command, shown},
    setup,
    workspace::{PACKAGES, Workspace},
};

/// What `run` is asked for.
#[derive(Debug, Args)]
pub struct RunOptions {
    /// Arguments for tracer.
    #[arg(last = true)]
    args: Vec<OsString>,
}

/// The sub-command `build`.
pub fn build() -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    setup::toolchain(&workspace, None)?;
    release(&workspace, &["--bin", "tracer"])?;
    Ok(ExitCode::SUCCESS)
}

/// Builds these programs for use; the toolchain is there already.
pub fn release(workspace: &Workspace, programs: &[&str]) -> Result<()> {
    run_command(cargo(workspace).args(["build", "--release"]).args(PACKAGES).args(programs))
}

/// The sub-command `run`: becomes tracer, so its exit code and signals are tracer's own.
pub fn run(options: RunOptions) -> Result<ExitCode> {
    let RunOptions { args } = options;
    build()?;
    let mut command = as_root(Workspace::find()?.tracer())?;
    command.args(args);
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start `{}`", shown(&command)))
}
