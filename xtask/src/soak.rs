//! `cargo xtask soak`: tracer beside a storm for minutes or days, and whether it holds.

use std::{os::unix::process::CommandExt as _, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::{
    ebpf,
    process::{as_root, on_path, shown},
    setup,
    workspace::Workspace,
};

/// What `soak` is asked for.
#[derive(Debug, Args)]
pub struct Options {
    /// How long it lasts, in minutes.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    minutes: u64,
    /// From one quiet moment to the next, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    every: u64,
    /// Without real containers.
    #[arg(long)]
    no_containers: bool,
}

/// The sub-command: becomes the program that does it, which Ctrl-C ends at its next quiet moment.
pub fn soak(options: Options) -> Result<ExitCode> {
    let Options { minutes, every, no_containers } = options;
    let workspace = Workspace::find()?;
    setup::toolchain(&workspace, None)?;
    // It makes most of the signals; an engine can be any that is there.
    if on_path("stress-ng").is_none() {
        setup::test_packages()?;
    }
    ebpf::release(&workspace, &["--bins"])?;
    let mut command = as_root(workspace.target.join("release/soak"))?;
    command.args(["--minutes", &minutes.to_string(), "--every", &every.to_string()]);
    command.args(no_containers.then_some("--no-containers"));
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start `{}`", shown(&command)))
}
