//! `tracer report`: a recording through the detector onto one HTML page.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use anyhow::{Context, Result, ensure};

use crate::{
    cli,
    commands::{
        out::{cannot_write, is_stdout, writer},
        play::{called, complain, window},
        progress::Progress,
    },
    detector::Detector,
    filter::Filter,
    history::History,
    page::{self, About, Clock},
    scope::Scope,
    source::trace::Trace,
    time::BootNs,
    trace::file,
    zone,
};

/// Plays the trace, then writes the page. If that fails, the unfinished file is removed.
///
/// # Errors
/// If the trace cannot be read, or the output cannot be written.
pub fn run(options: &cli::Report) -> Result<ExitCode> {
    let cli::Report { file, out, .. } = options;
    let is_on_terminal = is_stdout(out) && io::stdout().is_terminal();
    ensure!(!is_on_terminal, "a page is not for a terminal; name a file with -o, or use a pipe");
    let trace = Trace::open(file)?;
    // A name that cannot be used is told at once, not after minutes.
    let mut page = writer(out)?;
    write(options, trace, &mut page).inspect_err(|_| {
        if !is_stdout(out) {
            // What cannot be removed either is found when it is used.
            let _ = file::remove(out);
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn write(options: &cli::Report, mut trace: Trace, page: &mut impl Write) -> Result<()> {
    let cli::Report { file, out, filter, part, thresholds } = options;
    let shown = window(*part, &mut trace)?;
    let asked = asked(options, shown, trace.start().wall_offset_ns);
    let mut progress = Progress::beside(false, "reading", trace.span()?);
    let mut detector = Detector::new(&thresholds.over(trace.start().thresholds)).asked_for_tree(filter.tree);
    let mut history = History::of_asked(Filter::from(filter).within(part.scope).of_recording(), asked);
    history.play(&mut trace, &mut detector, shown, |at| progress.at(at))?;
    progress.done();
    complain(file, &trace);
    let about = About::new(called(file), &trace, &history);
    page::write(page, &mut history, &about).and_then(|()| page.flush()).with_context(|| cannot_write(out))
}

/// What is asked for, in words; nothing, if that is all.
fn asked(options: &cli::Report, (from, until): (BootNs, BootNs), wall_offset_ns: i64) -> Vec<String> {
    let date = |at| Clock::new(&zone::local(), wall_offset_ns, at).date(at);
    let mut words = options.filter.words();
    words.extend((options.part.scope == Scope::Tree).then(|| format!("--scope {}", Scope::Tree)));
    words.extend((from > BootNs::ZERO).then(|| format!("from {}", date(from))));
    words.extend((until < BootNs::MAX).then(|| format!("until {}", date(until))));
    words
}
