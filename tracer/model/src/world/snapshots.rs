//! The lists of all processes in the stream (the kernel's, or an image of the world in a trace), and what is missing
//! between them.

use crate::{event::Loss, time::BootNs};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    /// How many have begun.
    pub(super) count: u32,
    /// When the last one began.
    pub(super) began: BootNs,
    /// When the last complete one began.
    pub(super) listed_at: BootNs,
    /// One has begun and not ended, and no record of it is missing.
    is_open: bool,
    /// Events were lost since it began.
    is_torn: bool,
    /// Of a damaged trace: part of it could not be read since the last image of the world.
    is_unread: bool,
    /// One was complete, and nothing has been lost since.
    is_whole: bool,
    /// When something was lost last.
    gap: Option<BootNs>,
    /// What was lost since the world was whole.
    missing: Loss,
}

/// What a complete list says of those that are not on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unlisted {
    /// The kernel did not show them just then.
    NotFound,
    /// An image of the world makes up for the unreadable part of a trace: they were known to be gone.
    Gone,
}

impl Snapshots {
    /// A list begins.
    pub(super) fn begin(&mut self, at: BootNs) {
        self.count = self.count.wrapping_add(1);
        self.began = at;
        (self.is_open, self.is_torn) = (true, false);
    }

    /// A list ends; `None` if it has no beginning, or gaps, as in a damaged trace: then a process that is not on it may
    /// exist.
    pub(super) fn end(&mut self) -> Option<Unlisted> {
        if !std::mem::take(&mut self.is_open) {
            return None;
        }
        self.listed_at = self.began;
        self.is_whole = !self.is_torn;
        if self.is_whole {
            self.missing = Loss::default();
        }
        Some(if std::mem::take(&mut self.is_unread) { Unlisted::Gone } else { Unlisted::NotFound })
    }

    /// Records are missing.
    pub(super) fn lose(&mut self, at: BootNs, lost: &Loss) {
        self.lacks(at);
        self.missing.add(lost);
        self.is_torn = true;
        self.is_unread |= lost.unreadable > 0;
        // Of a damaged trace: the missing part may have been in the list.
        self.is_open &= lost.unreadable == 0;
    }

    /// Something found no room, and conclusions from here on are incomplete.
    pub(super) fn lacks(&mut self, at: BootNs) {
        (self.gap, self.is_whole) = (Some(at), false);
    }

    /// Whether the world was compared with the kernel, and nothing has been lost since.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Whether there was a list at all.
    pub(super) fn was_listed(&self) -> bool {
        self.listed_at > BootNs::ZERO
    }

    /// What was lost since the world was whole; `None` if it is. What a damaged trace lacks is lost in general.
    pub(super) fn missing(&self) -> Option<Loss> {
        let Loss { undecodable, unreadable, .. } = self.missing;
        let missing = Loss { undecodable: undecodable.saturating_add(unreadable), unreadable: 0, ..self.missing };
        (!self.is_whole).then_some(missing)
    }

    /// Whether something was lost at or after a time, or there was no complete list since the last loss.
    pub(super) fn is_gap_since(&self, at: BootNs) -> bool {
        self.gap.is_some_and(|gap| gap >= at || !self.is_whole)
    }
}
