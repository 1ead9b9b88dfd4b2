//! The scope of a recording that is about a command.

use std::fmt;

/// What counts as part of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// It and its descendants, wherever they were adopted.
    Tree,
    /// Those, and all pid namespaces that were created while it ran: containers that it asked for.
    #[default]
    Command,
    /// Everything.
    Host,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tree, Self::Command, Self::Host];

    /// Its word on the command line.
    pub fn id(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Command => "command",
            Self::Host => "host",
        }
    }

    /// What it means.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Tree => "It and its descendants, wherever they were adopted",
            Self::Command => "Those, and all pid namespaces that came about while it ran: containers that it asked for",
            Self::Host => "Everything",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}
