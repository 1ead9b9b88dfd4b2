//! `tracer demo`: stages a dropped signal, zombies, an orphan and the end of a namespace in a throw-away pid namespace,
//! and shows beside each step what `watch` reports about it. Where that is not possible, it shows a recording, and says
//! so.

use std::{io, process::ExitCode, time::Instant};

use anyhow::Result;

use crate::{cli, console::style::Screen, pump::event_loop};

mod live;
mod page;
mod recorded;
mod scene;
mod stage;
mod story;

use live::{Impossible, Interrupted, LiveScene};
use page::Page;
use recorded::RecordedScene;
use story::{INIT, tell};

type Out = Page<io::StdoutLock<'static>>;

/// Runs the command.
///
/// If the tool does not report in time what it should, or the output cannot be written. Everything that was started has
/// ended by then.
pub fn run(options: &cli::Demo) -> Result<ExitCode> {
    let mut page = Page::new(io::stdout().lock(), Screen::stdout());
    event_loop()?.block_on(async {
        if options.recorded {
            return recorded(&mut page, None).await;
        }
        match live(options, &mut page).await {
            Err(error) if error.is::<Impossible>() && options.record.is_none() => {
                recorded(&mut page, Some(&error.to_string())).await
            }
            // Ctrl-C is a way to leave, not a failure.
            Err(error) if error.is::<Interrupted>() => Ok(page.interrupted()?),
            told => told,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn live(options: &cli::Demo, page: &mut Out) -> Result<()> {
    let began = Instant::now();
    let mut scene = LiveScene::open(&INIT, options.record.as_deref()).await?;
    tell(&mut scene, page).await?;
    scene.close()?;
    Ok(page.end(began.elapsed())?)
}

async fn recorded(page: &mut Out, why: Option<&str>) -> Result<()> {
    let mut scene = RecordedScene::open(&INIT).await?;
    page.recording(scene.start(), why)?;
    tell(&mut scene, page).await?;
    Ok(page.end_of_recording()?)
}
