//! The table of stops.

use super::clock::Clock;
use crate::{
    history::{History, Outcome, Stop},
    ident::Identity,
    summary::seconds,
};

/// A row.
pub struct Row {
    pub at: String,
    /// The container, else the process.
    pub what: String,
    /// The process, if `what` is its container.
    pub process: String,
    pub signal: String,
    pub by: String,
    pub fate: &'static str,
    pub is_lost: bool,
    pub outcome: String,
    /// Empty, if no time was wasted.
    pub wasted: String,
}

/// The row of a stop.
pub fn row(history: &History, stop: &Stop, clock: &Clock) -> Row {
    let Stop { process, signal, sender, client, verdict, asked, ended, outcome } = stop;
    let container = history.container_of(process).filter(|_| process.is_init_of_namespace());
    let (what, inside) = match container {
        Some(container) => (container.described(), process.to_string()),
        None => (process.to_string(), String::new()),
    };
    let place = |who: &Identity| match history.container_of(who).filter(|_| who.container != process.container) {
        Some(container) => format!("{who} of {}", container.place()),
        None => who.to_string(),
    };
    let by = match client {
        Some(client) => format!("{}, by {}", place(client), place(sender)),
        None => place(sender),
    };
    let after = seconds(*ended - *asked);
    let (outcome, wasted) = match outcome {
        Outcome::Killed(wasted) => ("killed".to_owned(), seconds(*wasted)),
        Outcome::ByItself => (format!("ended by itself after {after}"), String::new()),
    };
    Row {
        at: clock.time(*asked),
        what,
        process: inside,
        signal: signal.to_string(),
        by,
        fate: verdict.id(),
        is_lost: verdict.is_loss(),
        outcome,
        wasted,
    }
}
