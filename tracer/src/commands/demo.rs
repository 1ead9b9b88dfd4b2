//! `tracer demo`: stages a dropped signal, zombies, an orphan and the end of a namespace in a throw-away pid namespace,
//! and shows beside each step what `watch` reports about it. Where that is not possible, it shows a recording, and says
//! so.

use std::{io, process::ExitCode, time::Instant};

use anyhow::Result;

use crate::{cli, console::style::Screen, event_loop::event_loop};

mod live;
mod printer;
mod recorded;
mod scene;
mod stage;
mod story;

use live::{Impossible, Interrupted, LiveScene};
use printer::Printer;
use recorded::RecordedScene;
use story::{INIT, tell};

type Out = Printer<io::StdoutLock<'static>>;

/// Runs the command.
///
/// If the tool does not report in time what it should, or the output cannot be written. Everything that was started has
/// ended by then.
pub fn run(options: &cli::Demo) -> Result<ExitCode> {
    let mut printer = Printer::new(io::stdout().lock(), Screen::stdout());
    event_loop()?.block_on(async {
        if options.recorded {
            return recorded(&mut printer, None).await;
        }
        match live(options, &mut printer).await {
            Err(error) if error.is::<Impossible>() && options.record.is_none() => {
                recorded(&mut printer, Some(&error.to_string())).await
            }
            // Ctrl-C is a way to leave, not a failure.
            Err(error) if error.is::<Interrupted>() => Ok(printer.interrupted()?),
            told => told,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn live(options: &cli::Demo, printer: &mut Out) -> Result<()> {
    let began = Instant::now();
    let mut scene = LiveScene::open(&INIT, options.record.as_deref()).await?;
    tell(&mut scene, printer).await?;
    scene.close()?;
    Ok(printer.end(began.elapsed())?)
}

async fn recorded(printer: &mut Out, why: Option<&str>) -> Result<()> {
    let mut scene = RecordedScene::open(&INIT).await?;
    printer.recording(scene.start(), why)?;
    tell(&mut scene, printer).await?;
    Ok(printer.end_of_recording()?)
}
