//! The turn of one event: what those who apply it share.

use crate::{
    change::Change,
    time::{BootNs, Seq},
};

/// An event that is being applied.
pub(super) struct Turn<'a> {
    /// When it happened.
    pub(super) at: BootNs,
    /// Its number.
    pub(super) seq: Seq,
    /// What it has changed so far.
    pub(super) changes: &'a mut Vec<Change>,
}
