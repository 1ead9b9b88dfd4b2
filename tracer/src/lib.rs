//! `tracer` explains what happens to processes at two moments that are hard to observe: when a signal is sent, and when
//! a child should be reaped.
//!
//! A [`source`] yields owned [`event`]s: live from the kernel, or from a trace. The [`detector`] applies each to the
//! [`world`] (all processes, zombies and pid namespaces), gets [`change`]s, and asks the [`rules`] for [`finding`]s.
//! [`sink`]s receive the whole step. Only sources and sinks do I/O or read a clock, so the same events always give the
//! same output.
//!
//! The library serves the program of the same name; its interface is not stable.

#[cfg(test)]
use tracer_model::story;
pub use tracer_model::{
    change, detector, event, finding, foreign, host, ident, kill, kind, occurrence, programs, rules, scope, signal,
    step, stop, summary, thresholds, time, wire, world,
};

pub mod agent;
pub mod aside;
pub mod audit;
pub mod caller;
pub mod cli;
pub mod commands;
pub mod config;
pub mod console;
pub mod density;
pub mod diagnostic;
pub mod event_loop;
pub mod explain;
pub mod filter;
pub mod getent;
pub mod history;
pub mod lake;
pub mod metrics;
pub mod page;
pub mod pump;
pub mod report;
pub mod serve;
pub mod sink;
pub mod source;
pub mod top;
pub mod trace;
pub mod tree;
pub mod uri;
pub mod users;
pub mod when;
pub mod why;
pub mod zone;
