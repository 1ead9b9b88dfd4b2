//! `tracer tree`: the process tree of each pid namespace, as it is now.

use std::{io::BufWriter, process::ExitCode};

use anyhow::{Context, Result};

use crate::{
    cli::{self, Output},
    engine::Engine,
    filter,
    rules::Thresholds,
    sink::{
        stdout::Stdout,
        style::Screen,
        tree::{self, Scope},
    },
    source::{live::Live, load::LoadOptions},
};

/// Takes one snapshot with the task iterator and prints it. Nothing is attached.
///
/// # Errors
/// If the iterator cannot run here, there is no such namespace, or the output cannot be written.
pub fn run(options: &cli::Tree) -> Result<ExitCode> {
    let cli::Tree { output, ns, zombies } = *options;
    let thresholds = Thresholds::default();
    let mut engine = Engine::new(&thresholds);
    let mut live = Live::snapshot_only()?;
    engine.step(&live.start_event(&LoadOptions::default(), &thresholds), &[]);
    for event in &live.snapshot().context("cannot list the processes with the kernel's task iterator")? {
        engine.step(event, &[]);
    }
    let world = engine.world();
    let scope = Scope { ns: ns.map(|ns| filter::find_ns(world, ns)).transpose()?, zombies };
    let out = BufWriter::new(Stdout::lock());
    match output {
        Output::Text => tree::print_text(world, scope, Screen::stdout(), out),
        Output::Json => tree::print_json(world, scope, out),
    }
    .context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
