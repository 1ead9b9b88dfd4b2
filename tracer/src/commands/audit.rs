//! `tracer audit`: predicts from `/proc` alone what each container's pid 1 will do.

use std::{io::BufWriter, process::ExitCode};

use anyhow::{Context, Result};

use crate::{
    audit::{self, page as print},
    cli::{self, Output},
    commands::record::HIT,
    console::{stdout::Stdout, style::Screen},
};

/// Looks once, and prints the predictions.
///
/// # Errors
/// If the output cannot be written.
pub fn run(options: &cli::Audit) -> Result<ExitCode> {
    let audit = audit::audit(options.signal);
    let out = BufWriter::new(Stdout::lock());
    match options.output {
        Output::Text => print::print_text(&audit, options.pressure_at, Screen::stdout(), out),
        Output::Json => print::print_json(&audit, out),
    }
    .context("cannot write to standard output")?;
    let is_hit = options.fail_on.iter().any(|&what| audit.has(what, options.pressure_at));
    Ok(if is_hit { ExitCode::from(HIT) } else { ExitCode::SUCCESS })
}
