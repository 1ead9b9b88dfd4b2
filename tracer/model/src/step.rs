//! What one event caused: all that a sink sees.

use crate::time::Seq;
use crate::{change::Change, event::Event, finding::Finding};

/// What one event caused: all that a sink sees.
#[derive(Debug)]
pub struct Step<'a> {
    /// Number of the event, from 0.
    pub seq: Seq,
    /// The event.
    pub event: &'a Event,
    /// The bytes that the event came as; empty if a test made it.
    pub record: &'a [u8],
    /// What it did to the world.
    pub changes: &'a [Change],
    /// What the rules found.
    pub findings: &'a [Finding],
}
