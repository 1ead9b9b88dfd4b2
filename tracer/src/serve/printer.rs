//! Makes updates of the page from drafts of it, at a pace that the machine can bear.

use std::{
    io,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    desk::{Desk, Draft},
    reader::Update,
};
use crate::{
    page::{About, Clock, live},
    zone,
};

/// How often the page changes at the most.
const EVERY: Duration = Duration::from_secs(1);
/// Drafting and printing take one part of the time at the most, and the rest of the machine gets these.
const SHARE: u32 = 9;

/// Runs until everything is over, and has been printed.
pub fn run(title: &str, desk: &Desk, out: &watch::Sender<Update>) {
    for number in 1.. {
        let draft = desk.take();
        let (began, drafting, is_over) = (Instant::now(), draft.took, draft.is_over);
        // Only writing fails, and this is written to memory.
        let Ok(event) = print(title, draft) else { return };
        out.send_replace(Update { number, event: event.into(), is_over });
        if is_over {
            return;
        }
        desk.rest(pause(drafting + began.elapsed()));
    }
}

/// How long to rest after work that took so long.
fn pause(took: Duration) -> Duration {
    EVERY.saturating_sub(took).max(took * SHARE)
}

/// The event that tells everything up to now.
fn print(title: &str, draft: Draft) -> io::Result<String> {
    let Draft { start, mut history, is_over, complaints, took: _ } = draft;
    let clock = Clock::new(&zone::local(), start.wall_offset_ns, history.summary.began);
    let about = About { file: title.to_owned(), start: &start, complaints, clock, is_over };
    let live::Update { told, drawn } = live::update(&mut history, &about)?;
    let name = if is_over { "ended" } else { "live" };
    Ok(format!("event: {name}\ndata: {told}\ndata: {drawn}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_costs_much_changes_seldom() {
        let ms = Duration::from_millis;
        assert_eq!(pause(ms(10)), ms(990));
        assert_eq!(pause(ms(100)), ms(900));
        assert_eq!(pause(ms(500)), ms(4_500));
    }
}
