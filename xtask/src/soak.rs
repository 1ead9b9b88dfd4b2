//! `cargo xtask soak`: tracer beside a storm for minutes or days, and whether it holds.

use std::{os::unix::process::CommandExt as _, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::{
    ebpf,
    process::{as_root, cargo, on_path, run, shown},
    setup,
    workspace::{PACKAGES, Workspace},
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
    /// With what is handed out, built for use, and not with what the tests use.
    #[arg(long)]
    release: bool,
}

/// The sub-command: becomes the program that does it, which Ctrl-C ends at its next quiet moment.
pub fn soak(options: Options) -> Result<ExitCode> {
    let Options { minutes, every, no_containers, release } = options;
    let workspace = Workspace::find()?;
    setup::toolchain(&workspace, None)?;
    // It makes most of the signals; an engine can be any that is there.
    if on_path("stress-ng").is_none() {
        setup::test_packages()?;
    }
    let built = if release {
        ebpf::release(&workspace, &["--bins"])?;
        workspace.target.join("release")
    } else {
        // Together with the tests, or what they depend on would be built anew.
        run(cargo(&workspace).arg("build").args(PACKAGES).args(["--bins", "--test", "kernel"]))?;
        workspace.target.join("debug")
    };
    // sudo drops the environment.
    let mut command = as_root("env")?;
    command.arg(format!("TRACER_BIN={}", built.join("tracer").display())).arg(built.join("soak"));
    command.args(["--minutes", &minutes.to_string(), "--every", &every.to_string()]);
    command.args(no_containers.then_some("--no-containers"));
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start `{}`", shown(&command)))
}
