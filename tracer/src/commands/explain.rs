//! `tracer explain`: what a rule means, why the kernel does so, what to do.

use std::{io, process::ExitCode};

use anyhow::Context;

use crate::{cli::Explain, console::style::Screen, explain};

/// Runs the command.
///
/// # Errors
/// Only from writing.
pub fn run(options: &Explain) -> anyhow::Result<ExitCode> {
    let Explain { rule } = options;
    explain::print(io::stdout().lock(), Screen::stdout(), rule).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
