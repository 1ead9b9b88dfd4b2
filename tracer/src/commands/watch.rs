//! `tracer watch`: live events through the engine to standard output.

use std::{
    io::{self, BufWriter, IsTerminal, Write},
    process::ExitCode,
};

use anyhow::{Context, Result};
use jiff::tz::TimeZone;

use crate::{
    cli::{self, Output},
    filter::Filter,
    occurrence::Kind,
    pump,
    rules::Thresholds,
    sink::{
        Sink,
        json::Json,
        stdout::Stdout,
        style::{DIM, Screen},
        tee::Tee,
        text::Text,
        trace::Recorder,
    },
    source::{live::Live, load::LoadOptions},
    trace::file,
};

/// Runs until Ctrl-C, SIGTERM, the end of `--duration`, or a closed pipe.
///
/// # Errors
/// If live tracing is not possible here, or the output cannot be written.
pub fn run(options: &cli::Watch) -> Result<ExitCode> {
    let kinds = options.show.kinds();
    let load = LoadOptions {
        all_signals: kinds.contains(&Kind::Signal),
        all_deliveries: kinds.contains(&Kind::Deliver),
        ..LoadOptions::from(&options.probes)
    };
    let trace = options.record.as_deref().map(|path| Ok::<_, file::CreateError>((file::create(path, false)?, path)));
    let trace = trace.transpose()?;
    let live = Live::attach(&load)?;
    let mut sink = presenter(options.output, Filter::from(&options.show.filter), &options.show, TimeZone::system());
    if let Some((file, path)) = trace {
        sink = Box::new(Tee(Recorder::new(Recorder::single(file, path)), sink));
    }
    if options.output == Output::Text && io::stdout().is_terminal() {
        let hint = "Ctrl-C ends and sums up. Nothing happens? Run `tracer demo` in another terminal.";
        writeln!(anstream::stderr(), "{DIM}{hint}{DIM:#}")?;
    }
    let thresholds = options.thresholds.over(Thresholds::default());
    let run = pump::run(live, &load, &thresholds, options.duration, &mut *sink);
    pump::event_loop()?.block_on(run).context("watch")?;
    Ok(ExitCode::SUCCESS)
}

/// Prints what is asked for on standard output; times of day in that zone.
pub fn presenter(output: Output, filter: Filter, show: &cli::Show, zone: TimeZone) -> Box<dyn Sink> {
    let kinds = show.kinds();
    let out = BufWriter::with_capacity(1 << 16, Stdout::lock());
    match output {
        Output::Json => {
            let json = Json::new(out, filter, kinds);
            Box::new(if show.each { json } else { json.few() })
        }
        Output::Text => {
            let text = Text::new(out, Screen::stdout(), zone, filter, kinds);
            Box::new(if show.each { text } else { text.few() })
        }
    }
}
