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

/// How many steps of a chain are kept: the last ones.
pub(crate) const MOST_STEPS: usize = 8;

/// An event that happened to a process and explains what followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The signal that it got; `None` for an end without one.
    pub sent: Option<Sent>,
    /// The process: it sent what follows, or its end led to that.
    pub to: Identity,
    /// How it ended, if its end is what counts.
    pub status: Option<ExitStatus>,
    /// When the signal was sent, or when the process ended.
    pub at: BootNs,
    /// Number of the event.
    pub seq: Seq,
    /// How the next step follows from this one.
    pub how: How,
    /// Whether something else could explain the next step as well.
    pub certainty: Certainty,
}

/// A signal of a [`Step`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Which.
    pub signal: Signal,
    /// Its origin.
    pub killer: Killer,
    /// Who sent it.
    pub sender: Sender,
    /// The client that asked an engine for it, and its ancestors at that time, if that was seen.
    pub asked_by: Vec<Identity>,
}

/// Who had the pid of a process before: a signal may be meant for that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Former {
    /// Which.
    pub process: Identity,
    /// When it ended.
    pub ended: BootNs,
}

/// How a signal follows from what its sender had received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Its sender had got the same signal.
    PassedOn,
    /// Its sender had been asked to end by another signal, and ended the processes below it.
    Answer,
    /// The same sender, or one of its family, had asked the same process to end with a milder signal.
    Escalation,
    /// The process had handled it, and then got another sender's signal, or ended itself by one.
    Before,
    /// A child of its sender had ended.
    ChildEnded,
    /// It was sent because that process ended: a parent, a tracer, the leader of a session.
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
    /// Both were seen, and what they are shows that they belong together.
    Seen,
    /// Both were seen, and that they belong together is inferred from the parties and the time.
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
