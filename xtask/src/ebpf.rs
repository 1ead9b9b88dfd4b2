//! `cargo xtask build` and `cargo xtask run`: tracer, with its eBPF part inside.

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
    /// The program that `cargo xtask build` makes, which takes longer to build and less of the machine afterwards.
    #[arg(long)]
    release: bool,
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
///
/// Starts the program that the tests test: who runs both builds it once, and sees its first line sooner.
pub fn run(options: RunOptions) -> Result<ExitCode> {
    let RunOptions { release, args } = options;
    let workspace = Workspace::find()?;
    let program = if release {
        build()?;
        workspace.tracer()
    } else {
        setup::toolchain(&workspace, None)?;
        run_command(cargo(&workspace).arg("build").args(PACKAGES).args(["--bin", "tracer"]))?;
        workspace.tested("tracer")
    };
    let mut command = as_root(program)?;
    command.args(args);
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start `{}`", shown(&command)))
}
