//! Plays a recording through the detector, with progress on the screen; what commands say about the file.

use std::{ops::ControlFlow, path::Path};

use anyhow::{Context, Result};

use crate::{
    cli::Part,
    commands::{out::is_stdout, progress::Progress},
    console::{stderr, style::WARN},
    detector::Detector,
    ident::{file_name, tame},
    kind::Kind,
    source::trace::Trace,
    step::Step,
    time::{BootNs, Span},
    when::{Recorded, When},
    world::World,
    zone,
};

/// Plays the trace to its end or up to a boot time. `take` can end it with an error.
///
/// # Errors
/// If the trace cannot be read, or from `take`.
pub fn play(
    trace: &mut Trace,
    detector: &mut Detector,
    until: BootNs,
    mut progress: Progress,
    mut take: impl FnMut(&World, &Step<'_>) -> Result<()>,
) -> Result<()> {
    trace.detect(detector, until, |world, step| {
        progress.at(step.event.at);
        take(world, step)?;
        Ok(ControlFlow::Continue(()))
    })?;
    progress.done();
    Ok(())
}

/// A trace, as a person calls it.
pub fn called(file: &Path) -> String {
    match file.file_name() {
        Some(name) if !is_stdout(file) => file_name(name),
        _ => "standard input".to_owned(),
    }
}

/// Says on standard error if not every event of those kinds was recorded.
pub fn say_what_lacks(file: &Path, trace: &Trace, kinds: &[Kind]) {
    if trace.start().lacks(kinds) {
        let note = "not every signal was recorded, only those that findings can depend on; \
                    record with `tracer record`, or `tracer watch --events`";
        stderr::print(format_args!("{WARN}{}: {note}{WARN:#}", file_name(file)));
    }
}

/// Says on standard error what was wrong with the file.
pub fn complain(file: &Path, trace: &Trace) {
    for sentence in trace.end().sentences() {
        stderr::print(format_args!("{WARN}{}: {}{WARN:#}", file_name(file), tame(&sentence)));
    }
}

/// The boot time of a moment of a trace.
///
/// # Errors
/// If the moment is relative to what is not known.
pub fn moment(when: When, trace: &mut Trace) -> Result<BootNs> {
    let recorded = Recorded { span: trace.span()?, wall_offset_ns: trace.start().wall_offset_ns };
    when.resolve(recorded, &zone::local()).context("which moment is meant is not known")
}

/// What `--at` shows before and after the moment.
const AROUND: Span = Span::SECOND;

/// The first and the last boot time to show.
///
/// # Errors
/// If a moment is relative to what is not known.
pub fn window(part: Part, trace: &mut Trace) -> Result<(BootNs, BootNs)> {
    let Part { from, until, at, scope: _ } = part;
    let mut resolve = |when: Option<When>| when.map(|when| moment(when, trace)).transpose();
    if let Some(at) = resolve(at)? {
        return Ok((at - AROUND, at + AROUND));
    }
    Ok((resolve(from)?.unwrap_or_default(), resolve(until)?.unwrap_or(BootNs::MAX)))
}
