//! `tracer why`: all that is known of one process, from a recording or from `/proc`.

use std::{io::BufWriter, path::Path, process::ExitCode};

use anyhow::{Context, Result};

use crate::{
    cli::{self, Output},
    commands::{
        play::{complain, moment, play},
        progress::Progress,
    },
    console::{stdout::Stdout, style::Screen},
    engine::Engine,
    ident::file_name,
    source::trace::Trace,
    time::BootNs,
    why::{
        live, page as print,
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
            let (engine, page) = recorded(options, file)?;
            let world = engine.world();
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

/// From the beginning, as an image of the world in the middle says nothing of what happened before it.
fn recorded(options: &cli::Why, file: &Path) -> Result<(Engine, Page)> {
    let mut trace = Trace::open(file)?;
    let until = match options.at {
        Some(at) => moment(at, &mut trace)?,
        None => BootNs::MAX,
    };
    let mut engine = Engine::new(&trace.start().thresholds);
    let mut follow = Follow::new(&options.who);
    let progress = Progress::new("reading", trace.span()?);
    play(&mut trace, &mut engine, until, progress, |world, step| {
        follow.step(world, step);
        Ok(())
    })?;
    complain(file, &trace);
    let page = follow.page(engine.world(), &file_name(file))?;
    Ok((engine, page))
}
