//! `tracer tree`: the process tree of each pid namespace, as it is now or was at a moment of a
//! recording.

use std::{io::BufWriter, path::Path, process::ExitCode};

use anyhow::{Context, Result};

use crate::{
    cli::{self, Output},
    commands::{
        play::{complain, moment, play},
        progress::Progress,
    },
    console::{stdout::Stdout, style::Screen},
    detector::Detector,
    event::Event,
    filter::{self, Missing},
    source::{
        containers::Containers,
        live::{self, Live},
        load::LoadOptions,
        trace::Trace,
    },
    thresholds::Thresholds,
    time::BootNs,
    tree::{self, Extract},
    when::When,
};

/// Takes one snapshot with the task iterator, or plays a recording to the moment, and prints the world.
///
/// # Errors
/// If the iterator cannot run here or the recording cannot be read, there is no such namespace, or the
/// output cannot be written.
pub fn run(options: &cli::Tree) -> Result<ExitCode> {
    let cli::Tree { ref file, at, output, ns, zombies } = *options;
    let detector = match file {
        Some(file) => recorded(file, at)?,
        None => live()?,
    };
    let world = detector.world();
    let ns = ns.map(|ns| filter::find_ns(world, ns)).transpose();
    let ns = if file.is_some() { ns.map_err(Missing::at_moment) } else { ns };
    let scope = Extract { ns: ns?, zombies };
    let out = BufWriter::new(Stdout::lock());
    match output {
        Output::Text => tree::print_text(world, scope, Screen::stdout(), out),
        Output::Json => tree::print_json(world, scope, out),
    }
    .context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// Attaches nothing.
fn live() -> Result<Detector> {
    let mut detector = Detector::new(&Thresholds::default());
    let mut live = Live::snapshot_only()?;
    detector.step(&live.start_event(&LoadOptions::default(), &Thresholds::default()), &[]);
    for event in &live.snapshot().context("cannot list the processes with the kernel's task iterator")? {
        detector.step(event, &[]);
    }
    let mut containers = Containers::default();
    let all: Vec<_> = detector.world().processes().map(|process| process.key).collect();
    let units = containers.survey(&all, detector.world());
    let found = containers.surveyed(detector.world());
    for kind in units.into_iter().chain(found).chain(containers.finish()) {
        detector.step(&Event { at: live::now(), cpu: 0, kind }, &[]);
    }
    Ok(detector)
}

/// The world after the last event that is not later than the moment, or after the last of all.
fn recorded(file: &Path, at: Option<When>) -> Result<Detector> {
    let mut trace = Trace::open(file)?;
    let mut detector = Detector::without_rules(&trace.start().thresholds);
    let until = match at {
        Some(at) => moment(at, &mut trace)?,
        None => BootNs::MAX,
    };
    trace.seek(until)?;
    play(&mut trace, &mut detector, until, Progress::new("reading", None), |_, _| Ok(()))?;
    complain(file, &trace);
    Ok(detector)
}
