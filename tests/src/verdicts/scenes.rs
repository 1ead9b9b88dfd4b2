//! What cannot be had with every signal: faults, terminals, the end of a parent, of a child and of
//! a namespace, kernel threads, and targets that nobody may or can send to.

use super::stage::Stage;

/// Stages them all.
pub fn run(_stage: &mut Stage) {}
