//! Kinds of events that a user can ask for.

use std::fmt;

use serde::{Serialize, Serializer};

/// Kinds of events that can be asked for, in the order of their words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A signal that had been accepted was taken from the queue.
    Deliver,
    /// A process replaced its program.
    Exec,
    /// A process ended, or its main thread did.
    Exit,
    /// A process was created.
    Fork,
    /// A process left the process table.
    Reap,
    /// A signal was sent.
    Signal,
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Fork, Self::Exec, Self::Exit, Self::Reap, Self::Signal, Self::Deliver];

    /// Its word, in JSON, in text and on the command line.
    pub fn id(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Exec => "exec",
            Self::Exit => "exit",
            Self::Reap => "reap",
            Self::Signal => "signal",
            Self::Deliver => "deliver",
        }
    }

    /// What it is.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Fork => "a process was created",
            Self::Exec => "a process replaced its program",
            Self::Exit => "a process ended, or its main thread did",
            Self::Reap => "a process left the process table",
            Self::Signal => "a signal was sent, whatever became of it",
            Self::Deliver => "a signal that had been accepted was taken from the queue",
        }
    }
}
