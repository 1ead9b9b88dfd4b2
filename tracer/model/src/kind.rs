//! Kinds of events that a user can ask for.

/// Kinds of events that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A process was created.
    Fork,
    /// A process replaced its program.
    Exec,
    /// A process ended, or its main thread did.
    Exit,
    /// A process left the process table.
    Reap,
    /// A signal was sent.
    Signal,
    /// A signal that had been accepted was taken from the queue.
    Deliver,
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
