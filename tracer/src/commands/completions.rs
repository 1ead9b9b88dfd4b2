//! `tracer completions`: what a shell completes.

use std::process::ExitCode;

use clap::CommandFactory;

use crate::{
    cli::{Cli, Completions},
    commands::out::print,
};

/// Runs the command.
///
/// # Errors
/// Only from writing.
pub fn run(options: &Completions) -> anyhow::Result<ExitCode> {
    let Completions { shell } = options;
    // Into memory: it panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(*shell, &mut Cli::command(), "tracer", &mut script);
    print(&script)?;
    Ok(ExitCode::SUCCESS)
}
