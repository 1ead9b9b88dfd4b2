//! `tracer why`: all that is known of one process, from a recording or from `/proc`.

use std::{io::BufWriter, path::Path, process::ExitCode};

use anyhow::{Context, Result, ensure};

use crate::{
    cli::{self, Output},
    commands::{
        play::{complain, moment, play},
        progress::Progress,
    },
    console::{stdout::Stdout, style::Screen},
    detector::Detector,
    ident::{file_name, quote},
    source::trace::Trace,
    time::BootNs,
    why::{
        WhoArg, live, page as print,
        recorded::{Follow, Page},
    },
    zone,
};

/// Plays a recording to the moment, or looks at the machine once, and prints a page.
///
/// # Errors
/// If the recording cannot be read, there is no such process, or the output cannot be written.
pub fn run(options: &cli::Why) -> Result<ExitCode> {
    let out = BufWriter::new(Stdout::lock());
    match &options.file {
        Some(file) => {
            let (detector, page) = recorded(options, file)?;
            let world = detector.world();
            match options.output {
                Output::Text => print::print_recorded(world, &page, Screen::stdout(), &zone::local(), out),
                Output::Json => print::print_recorded_json(world, &page, out),
            }
        }
        None => {
            let page = live::page(&options.who)?;
            match options.output {
                Output::Text => print::print_live(&page, Screen::stdout(), out),
                Output::Json => print::print_live_json(&page, out),
            }
        }
    }
    .context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// From the beginning, because an image of the world in the middle says nothing about what happened before it.
fn recorded(options: &cli::Why, file: &Path) -> Result<(Detector, Page)> {
    let (mut detector, mut follow, mut trace) = read(options, file, Follow::new(&options.who))?;
    let name = file_name(file);
    // Whom a name means is known at the end only; a pipe cannot be read again.
    if let Some(meant) = follow.meant(detector.world(), &name)? {
        ensure!(
            trace.span()?.is_some(),
            "{} is the name of a program or a unit; to look for it, save the recording to a file first, or give a pid",
            quote(options.who.to_string())
        );
        (detector, follow, trace) = read(options, file, Follow::only(&options.who, meant))?;
    }
    complain(file, &trace);
    let page = follow.page(detector.world(), &name)?;
    Ok((detector, page))
}

/// Plays the recording to the moment.
fn read(options: &cli::Why, file: &Path, follow: Follow) -> Result<(Detector, Follow, Trace)> {
    let mut trace = Trace::open(file)?;
    let until = match options.at {
        Some(at) => moment(at, &mut trace)?,
        None => BootNs::MAX,
    };
    let had_at = if let WhoArg::Pid(_, Some(at)) = options.who { Some(moment(at, &mut trace)?) } else { None };
    let mut follow = follow.had_at(had_at);
    let mut detector = Detector::new(&trace.start().thresholds);
    let progress = Progress::new("reading", trace.span()?);
    play(&mut trace, &mut detector, until, progress, |world, step| {
        follow.step(world, step);
        Ok(())
    })?;
    Ok((detector, follow, trace))
}
