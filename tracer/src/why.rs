//! Everything known about one process: its life in a recording ([`recorded`]), or what can be seen of it now
//! ([`live`]). [`page`] prints it.

mod ends;
mod json;
pub mod live;
mod nearest;
pub mod page;
pub mod recorded;
mod who;

pub use ends::Ends;
pub use who::{Name, WhoArg};

use std::collections::BTreeSet;

use crate::{ident::quote, summary::and_more};

use nearest::Nearest;
use who::Fit;

/// Why no page can be shown.
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
        /// The processes that it may mean, quoted.
        candidates: Vec<String>,
        /// How many there are.
        count: u64,
        /// The host pid of the first of them.
        first: u32,
        /// The recording, with a blank before it, as the command line names it; empty without one.
        file: String,
    },
    /// Nothing is called so.
    #[error("no container, unit or program {place} is called {}; {hints}", quote(.name))]
    Name {
        /// What it should be called.
        name: String,
        /// Where it was looked for.
        place: String,
        /// What there is instead, and what to do next.
        hints: String,
    },
    /// More than one process is called so, and nothing says which is meant.
    #[error(
        "{count} processes {place} are called {}; ask for one by its pid (tracer why {first}):\n  {}{}",
        quote(.name),
        .candidates.join("\n  "),
        if *.count > .candidates.len() as u64 { format!("\n  and {} more", .count - .candidates.len() as u64) } else { String::new() }
    )]
    Programs {
        /// What it should be called.
        name: String,
        /// Where it was looked for.
        place: String,
        /// Some of them, escaped.
        candidates: Vec<String>,
        /// How many there are.
        count: u64,
        /// The host pid of the first.
        first: u32,
    },
    /// More than one unit is called so.
    #[error(
        "{} can mean any of {count} units {place}: {}; give all of the name",
        quote(.name),
        and_more(.candidates, *.count)
    )]
    Units {
        /// The name that was asked for.
        name: String,
        /// Where it was looked for.
        place: String,
        /// Those that are called so, quoted.
        candidates: Vec<String>,
        /// How many there are.
        count: u64,
    },
    /// More than one container is called so.
    #[error(
        "{} can mean any of {count} containers {place}: {}; give more of the id",
        quote(.name),
        and_more(.candidates, *.count)
    )]
    Ambiguous {
        /// The name that was asked for.
        name: String,
        /// Where it was looked for.
        place: String,
        /// Those that are called so, quoted.
        candidates: Vec<String>,
        /// How many there are.
        count: u64,
    },
    /// The container is known, but no process of it.
    #[error("no process of the container {} is known {place}: {next}", quote(.name))]
    Empty {
        /// What it was called.
        name: String,
        /// Where it was looked for.
        place: String,
        /// What to do next.
        next: &'static str,
    },
}

/// How many candidates are named.
pub const NAMED: usize = 8;

/// The unit that a name means, of those that it fits and how: the one that it fits best.
///
/// # Errors
/// If it fits several as well.
fn unit<'a>(
    name: &Name,
    place: &str,
    fitting: impl Iterator<Item = (Fit, &'a String)>,
) -> Result<Option<&'a String>, Missing> {
    let fitting: BTreeSet<_> = fitting.collect();
    let best = fitting.first().map(|(fit, _)| *fit);
    let ids: Vec<_> = fitting.into_iter().filter(|(fit, _)| Some(*fit) == best).map(|(_, id)| id).collect();
    if ids.len() > 1 {
        let candidates = ids.iter().take(NAMED).map(quote).collect();
        let (name, place) = (name.to_string(), place.to_owned());
        return Err(Missing::Units { name, place, candidates, count: ids.len() as u64 });
    }
    Ok(ids.first().copied())
}

/// What there is instead of a name that nobody has (some of so many containers, quoted, and names that are like it),
/// and what to do next.
fn hints(containers: &[String], count: u64, nearest: Nearest, next: &str) -> String {
    let containers = (count > 0).then(|| format!("containers are {}", and_more(containers, count)));
    let nearest = nearest.names().join(", ");
    let nearest = (!nearest.is_empty()).then(|| format!("names that are like it are {nearest}"));
    [containers, nearest, Some(next.to_owned())].into_iter().flatten().collect::<Vec<_>>().join("; ")
}
