//! `tracer export`: a recording through the detector into a file of another format.

use std::{
    io::{self, IsTerminal},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result, bail};

use crate::{
    cli::{self, Format},
    commands::{
        out::{cannot_write, is_stdout, writer},
        play::{complain, play, say_what_lacks},
        progress::Progress,
    },
    detector::Detector,
    filter::Filter,
    kind::Kind,
    lake::Lake,
    sink::{
        Counted, Sink,
        export::{
            csv::Csv,
            parquet::{self, Parquet},
            perfetto::Perfetto,
        },
        json::Json,
    },
    source::trace::Trace,
    time::BootNs,
    trace::file,
};

/// Plays the trace into the file. If that fails, the unfinished file is removed.
///
/// # Errors
/// If the trace cannot be read, or the output cannot be written.
pub fn run(options: &cli::Export) -> Result<ExitCode> {
    let cli::Export { file, to, out, thresholds } = options;
    let mut trace = Trace::open(file)?;
    // A lake says so itself, of each minute.
    if *to != Format::Lake {
        say_what_lacks(file, &trace, &Kind::ALL);
    }
    let is_on_terminal = is_stdout(out) && io::stdout().is_terminal();
    let progress = Progress::beside(is_on_terminal, "exporting", trace.span()?);
    let mut detector = Detector::new(&thresholds.over(trace.start().thresholds));
    let mut sink = open(*to, out)?;
    play_into(&mut *sink, &mut trace, &mut detector, out, progress).inspect_err(|_| remove(*to, out))?;
    complain(file, &trace);
    Ok(ExitCode::SUCCESS)
}

fn play_into(
    sink: &mut dyn Sink,
    trace: &mut Trace,
    detector: &mut Detector,
    out: &Path,
    progress: Progress,
) -> Result<()> {
    let cannot_write = || cannot_write(out);
    let mut sink = Counted::new(sink);
    play(trace, detector, BootNs::MAX, progress, |world, step| sink.step(world, step).with_context(cannot_write))?;
    sink.finish(detector.world()).with_context(cannot_write)?;
    Ok(())
}

fn open(format: Format, out: &Path) -> Result<Box<dyn Sink>> {
    Ok(match format {
        Format::Parquet if is_stdout(out) => bail!("Parquet is a folder of tables; say with -o where to make it"),
        Format::Parquet => Box::new(Parquet::create(out)?),
        Format::Lake if is_stdout(out) => bail!("a lake is a folder; say with -o where it is"),
        Format::Lake => Box::new(Lake::new(out)),
        Format::Perfetto if is_stdout(out) && io::stdout().is_terminal() => {
            bail!("this format is not for a terminal; name a file with -o, or use a pipe")
        }
        Format::Perfetto => Box::new(Perfetto::new(writer(out)?)),
        Format::Jsonl => Box::new(Json::new(writer(out)?, Filter::default(), &Kind::ALL)),
        Format::Csv => Box::new(Csv::new(writer(out)?)),
    })
}

/// A truncated file is worse than none.
fn remove(format: Format, out: &Path) {
    // What cannot be removed either is found when it is used.
    let _ = match format {
        _ if is_stdout(out) => Ok(()),
        // It does so itself.
        Format::Lake => Ok(()),
        Format::Parquet => file::Folder::remove(out, &parquet::FILES),
        Format::Jsonl | Format::Csv | Format::Perfetto => file::remove(out),
    };
}
