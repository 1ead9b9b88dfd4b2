//! `tracer watch`: live events through the engine to standard output.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use anyhow::{Context, Result};
use jiff::tz::TimeZone;

use crate::{
    cli::{self, Output},
    console::{
        outlet::{self, Outlet},
        stderr,
        style::{self, BAD, DIM, Screen},
    },
    event_loop::event_loop,
    filter::Filter,
    history::{History, KEPT},
    ident::quote,
    kind::Kind,
    pump,
    serve::Served,
    sink::{
        Sink,
        json::{Json, unwritten_line},
        tee::Tee,
        text::Text,
        trace::Recorder,
    },
    source::{live::Live, load::LoadOptions},
    thresholds::Thresholds,
    zone,
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
        tree: options.show.filter.tree,
        ..LoadOptions::from(&options.probes)
    };
    let trace = options.record.as_deref().map(|path| Recorder::single(path, false)).transpose()?;
    let page = options.serve.map(|address| Served::open(address, &title())).transpose()?;
    let live = Live::attach(&load)?;
    let output = options.output;
    let mark = move |lines| match output {
        Output::Json => unwritten_line(lines),
        Output::Text => {
            let what = format!("{} of output are missing here: nobody read them in time", style::count(lines, "line"));
            format!("{}\n", Screen::stdout().paint(BAD, what))
        }
    };
    let out = Outlet::new(rustix::stdio::stdout(), outlet::ROOM, mark).context("cannot write beside the tracing")?;
    let drain = out.drain();
    let filter = Filter::from(&options.show.filter);
    let mut sink = presenter(out, output, filter, &options.show, zone::local());
    if let Some(trace) = trace {
        sink = Box::new(Tee(Recorder::new(trace), sink));
    }
    if let Some(page) = &page {
        sink = Box::new(Tee(page.collector(History::of_late(KEPT), None), sink));
        page.announce();
    }
    if options.output == Output::Text && io::stdout().is_terminal() {
        let hint = "Ctrl-C ends and sums up. Nothing happens? Run `tracer demo` in another terminal.";
        stderr::print(format_args!("{DIM}{hint}{DIM:#}"));
    }
    let thresholds = options.thresholds.over(Thresholds::default());
    let run = pump::run(live, &load, &thresholds, options.duration, &mut *sink, &drain);
    event_loop()?.block_on(run).context("watch")?;
    if let Some(page) = page {
        page.end();
    }
    Ok(ExitCode::SUCCESS)
}

/// What a live page is about.
fn title() -> String {
    format!("on {}, now", quote(rustix::system::uname().nodename().to_bytes()))
}

/// Prints what is asked for on standard output, through `out`, with times of day in that zone.
pub fn presenter<W: Write + 'static>(
    out: W,
    output: Output,
    filter: Filter,
    show: &cli::Show,
    zone: TimeZone,
) -> Box<dyn Sink> {
    let kinds = show.kinds();
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
