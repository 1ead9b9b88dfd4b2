//! Where a signal comes from: what its sender had received that explains it, back to the first cause.

use std::sync::Arc;

use crate::{
    event::ExitStatus,
    ident::Identity,
    signal::{Sender, Signal, killer::Killer},
    time::{BootNs, Seq},
};

/// What led to a signal, the first cause first; empty if nothing is known that explains it.
pub type Origin = Arc<[Step]>;

/// Steps that are kept of a chain: the last of them.
pub(crate) const MOST_STEPS: usize = 8;

/// Something that met a process and explains what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The signal that it got; `None` of an end without one.
    pub sent: Option<Sent>,
    /// Whom it met: who sent what follows, or whose end led to that.
    pub to: Identity,
    /// How that one ended, if its end is what counts.
    pub status: Option<ExitStatus>,
    /// When: when it was sent, or when that one ended.
    pub at: BootNs,
    /// Number of the event.
    pub seq: Seq,
    /// How what follows came of it.
    pub how: How,
    /// Whether anything else could explain what follows.
    pub certainty: Certainty,
}

/// A signal of a [`Step`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Which.
    pub signal: Signal,
    /// What it came from.
    pub killer: Killer,
    /// Who sent it.
    pub sender: Sender,
    /// The client that had asked an engine for it, and its ancestors then, if that was seen.
    pub asked_by: Vec<Identity>,
}

/// How a signal follows from what its sender had received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Its sender had got the same signal.
    PassedOn,
    /// Its sender had been asked to end by another signal, and ended who was below it.
    Answer,
    /// The same sender, or one of its family, had asked the same process to end by a milder signal.
    Escalation,
    /// The process had handled it, and another sender's signal of that number ended it later.
    Before,
    /// A child of its sender had ended.
    ChildEnded,
    /// The end of that process is what it was sent for: of a parent, a tracer, the leader of a session.
    Ended,
}

impl How {
    /// The words for all of them in JSON.
    pub const IDS: &[&str] = &["passed-on", "answer", "escalation", "before", "child-ended", "ended"];

    /// The word that stands for it in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::PassedOn => "passed-on",
            Self::Answer => "answer",
            Self::Escalation => "escalation",
            Self::Before => "before",
            Self::ChildEnded => "child-ended",
            Self::Ended => "ended",
        }
    }
}

/// How well it is known that one thing led to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// Both were seen, and they belong together by what they are.
    Seen,
    /// They were, and that they belong together follows from who took part and when.
    Likely,
}

impl Certainty {
    /// The words for both in JSON.
    pub const IDS: &[&str] = &["seen", "likely"];

    /// The word that stands for it in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Likely => "likely",
        }
    }
}
