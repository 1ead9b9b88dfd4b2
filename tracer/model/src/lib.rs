//! The model of `tracer`: what it concludes and finds, from events alone.
//!
//! The [`detector`] applies each [`event`] to the [`world`] (all processes, zombies and pid namespaces), gets
//! [`change`]s, and asks the [`rules`] for [`finding`]s. [`wire`] reads and writes events as bytes. Nothing here
//! accesses a file, a clock or a kernel, so the same events always give the same findings.

pub mod change;
pub mod detector;
pub mod event;
pub mod finding;
pub mod foreign;
mod hand;
pub mod host;
pub mod ident;
pub mod kill;
pub mod kind;
pub mod occurrence;
pub mod origin;
pub mod programs;
pub mod rules;
pub mod scope;
mod servers;
pub mod signal;
pub mod step;
pub mod stop;
#[cfg(any(test, feature = "testing"))]
pub mod story;
pub mod summary;
pub mod thresholds;
pub mod time;
pub mod wire;
pub mod world;
