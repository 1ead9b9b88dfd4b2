//! One process, and all that is known of it: its life in a recording ([`recorded`]), or what can be seen
//! of it now ([`live`]). [`page`] prints it.

mod ends;
mod json;
pub mod live;
pub mod page;
pub mod recorded;
mod who;

pub use ends::Ends;
pub use who::WhoArg;

use crate::{ident::quote, summary::and_more};

/// Who was asked for cannot be shown.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// No process has, or had, this pid.
    #[error("there is no process with pid {pid} {place}; {next}")]
    Pid {
        /// The pid that was asked for.
        pid: u32,
        /// Where it was looked for.
        place: String,
        /// What to do next.
        next: String,
    },
    /// It is a pid in a pid namespace only.
    #[error(
        "no process has pid {pid} {place}, but inside of pid namespaces there {}: {}; ask for it by its pid on the \
         host: tracer why {first}{file}",
        if *.count == 1 { "is one" } else { "are some" },
        and_more(.candidates, *.count)
    )]
    Inside {
        /// The pid that was asked for.
        pid: u32,
        /// Where it was looked for.
        place: String,
        /// Whom it may mean, quoted.
        candidates: Vec<String>,
        /// How many there are.
        count: u64,
        /// The host pid of the first of them.
        first: u32,
        /// The recording, with a blank before it, as the command line names it; empty without one.
        file: String,
    },
    /// No container is called so, and no program.
    #[error("no container and no program {place} is called {}; {}", quote(.name), if .known.is_empty() {
        next.clone()
    } else {
        format!("containers are {}; {next}", and_more(.known, *.count))
    })]
    Name {
        /// What it should be called.
        name: String,
        /// Where it was looked for.
        place: String,
        /// Containers that are known, quoted.
        known: Vec<String>,
        /// How many there are.
        count: u64,
        /// What to do next.
        next: String,
    },
    /// More than one process is called so, and nothing says which is meant.
    #[error(
        "{count} processes {place} are called {}; ask for one by its pid (tracer why {first}{file}):\n  {}{}",
        quote(.name),
        .candidates.join("\n  "),
        if *.count > .candidates.len() as u64 { format!("\n  and {} more", .count - .candidates.len() as u64) } else { String::new() }
    )]
    Programs {
        /// What it should be called.
        name: String,
        /// Where it was looked for.
        place: String,
        /// The latest of them, and how each ended, escaped.
        candidates: Vec<String>,
        /// How many there are.
        count: u64,
        /// The host pid of the latest.
        first: u32,
        /// The recording, with a blank before it, as the command line names it; empty without one.
        file: String,
    },
    /// More than one container is called so.
    #[error(
        "{} can mean any of {count} containers {place}: {}; give more of the id",
        quote(.name),
        and_more(.candidates, *.count)
    )]
    Ambiguous {
        /// What it should be called.
        name: String,
        /// Where it was looked for.
        place: String,
        /// Those that are called so, quoted.
        candidates: Vec<String>,
        /// How many there are.
        count: u64,
    },
    /// The container is known, but no process of it.
    #[error("no process of the container {name} is known {place}: {next}")]
    Empty {
        /// The container, quoted.
        name: String,
        /// Where it was looked for.
        place: String,
        /// What to do next.
        next: &'static str,
    },
}

/// Candidates that are named where there are many.
pub const NAMED: usize = 8;
