//! `tracer why`: all that is known of one process, from a recording; or from `/proc` and what flight recorders have
//! kept.

use std::{
    io::{self, BufWriter, Seek as _, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Error, Result, ensure};

use crate::{
    cli::{self, Output},
    commands::{
        play::{complain, moment, play},
        progress::Progress,
    },
    console::{
        stderr,
        stdout::Stdout,
        style::{Screen, WARN},
    },
    detector::Detector,
    ident::{file_name, quote},
    source::trace::Trace,
    time::BootNs,
    trace::kept::{self, Kept},
    why::{
        Missing, WhoArg, live, page as print,
        recorded::{Follow, Page, Provenance},
    },
    zone,
};

/// How many files of a flight recorder are read, the last ones.
const MOST_FILES: usize = 8;

/// Plays a recording to the moment, and prints a page. Without one, looks at the machine once, asks the flight recorders
/// on it, and prints a page of each of the two that knows the process.
///
/// # Errors
/// If the recording cannot be read, there is no such process, or the output cannot be written.
pub fn run(options: &cli::Why) -> Result<ExitCode> {
    match &options.file {
        Some(file) => {
            let told = told(options, &Provenance::File(file_name(file)), || Trace::open(file))?;
            complain(file, &told.trace);
            print(options.output, None, Some(&told))
        }
        None => {
            let (seen, kept) = (live::page(&options.who), Recorders::ask(options));
            if let (Err(missing), None) = (&seen, &kept.told) {
                return Err(kept.nothing(missing));
            }
            print(options.output, seen.as_ref().ok(), kept.told.as_ref())
        }
    }
    .context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

fn print(output: Output, seen: Option<&live::Page>, told: Option<&Told>) -> io::Result<()> {
    let mut out = BufWriter::new(Stdout::lock());
    if let Some(page) = seen {
        match output {
            Output::Text => print::print_live(page, told.is_some(), Screen::stdout(), &mut out)?,
            Output::Json => print::print_live_json(page, &mut out)?,
        }
    }
    let Some(Told { detector, page, .. }) = told else { return Ok(()) };
    match output {
        Output::Text => {
            if seen.is_some() {
                writeln!(out)?;
            }
            print::print_recorded(detector.world(), page, Screen::stdout(), &zone::local(), out)
        }
        Output::Json => print::print_recorded_json(detector.world(), page, out),
    }
}

/// What the flight recorders on this machine know.
struct Recorders {
    /// The pids of those that answered.
    pids: Vec<u32>,
    /// What they know of the process.
    told: Option<Told>,
}

impl Recorders {
    /// Asks each. Of all that they have, memory and files, the page that tells most is taken, and of equal ones the
    /// latest.
    fn ask(options: &cli::Why) -> Self {
        let (mut pids, mut all) = (Vec::new(), Vec::new());
        for answer in kept::ask() {
            let Kept { recorder, written, memory } = match answer {
                Ok(kept) => kept,
                Err((recorder, error)) => {
                    warn(&format!("the flight recorder (pid {recorder}) does not answer: {error}"));
                    continue;
                }
            };
            pids.push(recorder);
            let open = |path: &Path| {
                told(options, &Provenance::Written(recorder, file_name(path)), || {
                    Trace::of(kept::open(path, recorder).with_context(|| format!("cannot read {}", file_name(path)))?)
                })
            };
            all.extend(written.iter().rev().take(MOST_FILES).rev().map(|path| open(path)));
            all.extend(memory.map(|memory| {
                told(options, &Provenance::Memory(recorder), || {
                    let mut memory = memory.try_clone()?;
                    memory.rewind()?;
                    Trace::of(memory)
                })
            }));
        }
        let known = all.into_iter().filter_map(|told| match told {
            Ok(told) => Some(told),
            Err(error) => {
                if !error.is::<Missing>() {
                    warn(&format!("{error:#}"));
                }
                None
            }
        });
        Self { pids, told: known.max_by_key(|told| told.page.weight()) }
    }

    /// Neither the machine nor they know the process.
    fn nothing(&self, missing: &Missing) -> Error {
        let pids: Vec<_> = self.pids.iter().map(u32::to_string).collect();
        match &pids[..] {
            [] => Error::msg(missing.to_string()),
            [pid] => Error::msg(format!("{missing}; nor has the flight recorder (pid {pid}) kept anything of it")),
            _ => Error::msg(format!(
                "{missing}; nor have the flight recorders (pids {}) kept anything of it",
                pids.join(", ")
            )),
        }
    }
}

fn warn(text: &str) {
    stderr::print(format_args!("{WARN}{text}{WARN:#}"));
}

/// What a recording says.
struct Told {
    detector: Detector,
    page: Page,
    trace: Trace,
}

/// From the beginning, because an image of the world in the middle says nothing about what happened before it.
fn told(options: &cli::Why, provenance: &Provenance, open: impl Fn() -> Result<Trace>) -> Result<Told> {
    let (mut detector, mut follow, mut trace) = read(options, open()?, Follow::new(&options.who))?;
    // Whom a name means is known at the end only; a pipe cannot be read again.
    if let Some(meant) = follow.meant(detector.world(), provenance)? {
        ensure!(
            trace.span()?.is_some(),
            "{} is the name of a program or a unit; to look for it, save the recording to a file first, or give a pid",
            quote(options.who.to_string())
        );
        (detector, follow, trace) = read(options, open()?, Follow::only(&options.who, meant))?;
    }
    let page = follow.page(detector.world(), provenance)?;
    Ok(Told { detector, page, trace })
}

/// Plays the recording to the moment.
fn read(options: &cli::Why, mut trace: Trace, follow: Follow) -> Result<(Detector, Follow, Trace)> {
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
