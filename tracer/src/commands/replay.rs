//! `tracer replay`: a recording through the detector to standard output, as `watch` would have printed it.

use std::{
    io::BufWriter,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    cli::{self, Speed},
    commands::{
        play::{called, complain, play, say_what_lacks, window},
        progress::Progress,
        watch::presenter,
    },
    console::stdout::Stdout,
    detector::Detector,
    event::EventKind,
    filter::Filter,
    history::History,
    serve::Served,
    sink::{Counted, tee::Tee},
    source::trace::Trace,
    time::BootNs,
    zone,
};

/// Plays the trace to its end, `--until`, or a closed pipe.
///
/// # Errors
/// If the trace cannot be read, or the output cannot be written.
pub fn run(options: &cli::Replay) -> Result<ExitCode> {
    let file = options.file.as_path();
    let mut trace = Trace::open(file)?;
    let (from, until) = window(options.part, &mut trace)?;
    say_what_lacks(file, &trace, options.show.kinds());
    let thresholds = options.thresholds.over(trace.start().thresholds);
    let mut detector = Detector::new(&thresholds).asked_for_tree(options.show.filter.tree);
    let filter = Filter::from(&options.show.filter).within(options.part.scope).of_recording();
    // It waits for its reader and loses nothing; signals have their default effect.
    let out = BufWriter::with_capacity(1 << 16, Stdout::lock());
    let mut presenter = presenter(out, options.output, filter, &options.show, zone::local());
    let page = options.serve.map(|address| Served::open(address, &called(file))).transpose()?;
    if let Some(page) = &page {
        presenter = Box::new(Tee(page.collector(History::default(), Some(trace.start())), presenter));
        page.announce();
    }
    let mut sink = Counted::from(&mut *presenter, from);
    let mut pace = Pace::new(options.speed);
    let progress = Progress::new("replaying", trace.span()?);
    play(&mut trace, &mut detector, until, progress, |world, step| {
        if step.event.at >= from
            && !matches!(step.event.kind, EventKind::Start(_))
            && let Some(wait) = pace.wait(step.event.at)
        {
            sink.flush()?;
            thread::sleep(wait);
        }
        Ok(sink.step(world, step)?)
    })?;
    if let Some(page) = &page {
        page.complain(trace.end().sentences());
    }
    let finished = sink.finish(detector.world());
    complain(file, &trace);
    finished?;
    match page {
        Some(page) => page.stay(),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Reproduces the time between events.
struct Pace {
    /// How much faster than it was; `None` for as fast as possible.
    times: Option<f64>,
    /// When the first event was shown, and its boot time.
    began: Option<(Instant, BootNs)>,
}

impl Pace {
    fn new(Speed(times): Speed) -> Self {
        Self { times, began: None }
    }

    /// How long to wait before an event of that boot time is shown.
    fn wait(&mut self, at: BootNs) -> Option<Duration> {
        let times = self.times?;
        let (began, first) = *self.began.get_or_insert_with(|| (Instant::now(), at));
        let due = Duration::from_secs_f64((at - first).0 as f64 / 1e9 / times);
        due.checked_sub(began.elapsed()).filter(|wait| !wait.is_zero())
    }
}
