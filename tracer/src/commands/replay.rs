//! `tracer replay`: a recording through the engine to standard output, as it was live.

use std::{io::Write, ops::ControlFlow, process::ExitCode};

use anyhow::Result;
use jiff::tz::TimeZone;

use crate::{
    cli,
    commands::watch::presenter,
    engine::Engine,
    rules::Thresholds,
    sink::{Counted, style::WARN},
    source::trace::Trace,
};

/// Plays the trace to its end, a closed pipe, or an error.
///
/// # Errors
/// If the trace cannot be read, or the output cannot be written.
pub fn run(options: &cli::Replay) -> Result<ExitCode> {
    let mut trace = Trace::open(&options.file)?;
    let thresholds: Thresholds = options.thresholds.over(trace.start().thresholds);
    let mut presenter = presenter(options.output, &options.show, TimeZone::system());
    let mut sink = Counted::new(&mut *presenter);
    let mut engine = Engine::new(&thresholds);
    trace.play(|event, record| {
        let (step, world) = engine.step(event, record);
        sink.step(world, &step)?;
        Ok(ControlFlow::Continue(()))
    })?;
    sink.finish(engine.world())?;
    for sentence in trace.end().sentences() {
        writeln!(anstream::stderr(), "{WARN}{}: {sentence}{WARN:#}", options.file.display())?;
    }
    Ok(ExitCode::SUCCESS)
}
