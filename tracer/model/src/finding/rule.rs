//! What a rule is, apart from its logic: its name, the severity of its findings, and what they mean.

use crate::finding::{FactDef, Severity};

/// What a rule is, for `--rule`, `tracer rules`, `tracer explain` and the documentation.
#[derive(Debug)]
pub struct RuleDef {
    /// Its stable name.
    pub name: &'static str,
    /// How urgent its findings are.
    pub severity: Severity,
    /// What its findings are about.
    pub about: About,
    /// What it reports, in one line.
    pub summary: &'static str,
    /// What it finds lasts until it is over: it is reported again at longer and longer intervals, and when it has
    /// ended.
    pub lasts: bool,
    /// The facts of its findings.
    pub facts: &'static [FactDef],
    /// What it means, why the kernel behaves like that, how to reproduce it, what to do: Markdown.
    pub explanation: &'static str,
}

/// What findings are about. Rules about the same stand together where rules are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A signal did nothing.
    Dropped,
    /// A process or a container has ended.
    End,
    /// A process does not go on.
    Stuck,
    /// A child is a zombie, or its parent has ended.
    Zombie,
    /// A process has outlived whoever started it.
    Leftover,
    /// Something runs short.
    Limit,
}

impl About {
    /// Each, in the order of lists.
    pub const ALL: [Self; 6] = [Self::Dropped, Self::End, Self::Stuck, Self::Zombie, Self::Leftover, Self::Limit];

    /// Its heading.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Dropped => "signals that had no effect",
            Self::End => "stops and ends",
            Self::Stuck => "processes that do not go on",
            Self::Zombie => "zombies and orphans",
            Self::Leftover => "leftovers",
            Self::Limit => "limits",
        }
    }
}
