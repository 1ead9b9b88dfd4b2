//! `tracer demo`: stages a dropped signal, zombies, an orphan and the end of a namespace in a
//! throw-away pid namespace, and shows beside each step what `watch` says of it.

use std::{io, process::ExitCode, time::Instant};

use anyhow::Result;

use crate::{pump::event_loop, sink::style::Screen};

mod observer;
mod page;
mod stage;
mod story;

use observer::{Interrupted, Observer};
use page::Page;

/// Runs the command.
///
/// # Errors
/// If live tracing cannot work, the namespace cannot be made, or the tool does not say in time
/// what it should. Whatever was started has ended then.
pub fn run() -> Result<ExitCode> {
    let runtime = event_loop()?;
    let began = Instant::now();
    let mut page = Page::new(io::stdout().lock(), Screen::stdout());
    let told = runtime.block_on(async {
        let mut observer = Observer::start()?;
        story::tell(&mut observer, &mut page).await
    });
    // Ctrl-C is a way to leave, not a failure.
    match told {
        Err(error) if error.is::<Interrupted>() => page.interrupted()?,
        told => {
            told?;
            page.end(began.elapsed())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
