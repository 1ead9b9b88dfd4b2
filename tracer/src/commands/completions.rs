//! `tracer completions`: what a shell completes.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context;
use clap::CommandFactory;

use crate::cli::{Cli, Completions};

/// Runs the command.
///
/// # Errors
/// Only from writing.
pub fn run(options: &Completions) -> anyhow::Result<ExitCode> {
    let Completions { shell } = options;
    let mut script = Vec::new();
    clap_complete::generate(*shell, &mut Cli::command(), "tracer", &mut script);
    let mut out = io::stdout().lock();
    out.write_all(&script).and_then(|()| out.flush()).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
