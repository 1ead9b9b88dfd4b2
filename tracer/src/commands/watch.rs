//! `tracer watch`: live events through the engine to standard output.

use std::{io::BufWriter, process::ExitCode};

use anyhow::{Context, Result};
use jiff::tz::TimeZone;

use crate::{
    cli::{self, Output},
    filter::Filter,
    occurrence::Kind,
    pump,
    rules::Thresholds,
    sink::{Sink, json::Json, stdout::Stdout, style::Screen, text::Text},
    source::{live::Live, load::LoadOptions},
};

/// Runs until Ctrl-C, SIGTERM, the end of `--duration`, or a closed pipe.
///
/// # Errors
/// If live tracing is not possible here, or the output cannot be written.
pub fn run(options: &cli::Watch) -> Result<ExitCode> {
    let kinds = options.kinds();
    let filter = Filter::from(&options.filter);
    let load = LoadOptions {
        ring_size: options.ring_size,
        all_signals: kinds.contains(&Kind::Signal),
        all_deliveries: kinds.contains(&Kind::Deliver),
        hooks: options.hooks,
        debug: options.debug_probes,
        simulate_loss: options.simulate_loss,
        ..LoadOptions::default()
    };
    let live = Live::attach(&load)?;
    let out = BufWriter::with_capacity(1 << 16, Stdout::lock());
    let mut sink: Box<dyn Sink> = match options.output {
        Output::Json => Box::new(Json::new(out, filter, kinds)),
        Output::Text => Box::new(Text::new(out, Screen::stdout(), TimeZone::system(), filter, kinds)),
    };
    let thresholds = Thresholds::from(&options.thresholds);
    let run = pump::run(live, &load, &thresholds, options.duration, &mut *sink);
    pump::event_loop()?.block_on(run).context("watch")?;
    Ok(ExitCode::SUCCESS)
}
