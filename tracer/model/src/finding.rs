//! A finding: something that a person should know, with its reason and its fix. It describes itself: a headline,
//! labelled lines and fixes for people, [facts](Facts) for programs.

use std::{fmt, str::FromStr};

use crate::{
    host::GroupKey,
    ident::{Identity, ProcKey},
    signal::Signal,
    time::{BootNs, Seq},
};

pub mod fact;
mod note;
mod rule;

pub use fact::{FactDef, Facts, Kind, Part, Presence, Role, Value};
pub use note::Note;
pub use rule::RuleDef;

/// What a rule found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule, with its name and severity.
    pub rule: &'static RuleDef,
    /// Whether it is told for the first time.
    pub stage: Stage,
    /// When it was found; when it was over or withdrawn, once it is.
    pub at: BootNs,
    /// When it began, likewise.
    pub since: BootNs,
    /// Whom it is about.
    pub process: Identity,
    /// Whether it can be believed.
    pub confidence: Confidence,
    /// Who, what, and what it cost, in a line: escaped, without a full stop.
    pub headline: String,
    /// The rest of the story, for a person: no more than [`MOST_NOTES`].
    pub notes: Vec<Note>,
    /// What to do about it, likewise: alternatives, the one that fits the case first. None, if it is over or withdrawn.
    pub fixes: Vec<String>,
    /// Numbers of the events behind it.
    pub evidence: Vec<Seq>,
    /// What is particular to the rule.
    pub facts: Facts,
}

/// A person takes in so many lines at a glance.
pub const MOST_NOTES: usize = 7;

/// What a finding that lasts is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A process; with it the finding ends, too.
    Process(ProcKey),
    /// A control group, which outlives whoever is in it.
    Group(GroupKey),
    /// A signal that waits for a process; what concerns that process concerns it.
    Signal(ProcKey, Signal),
}

impl Finding {
    /// One that was found just now and is certain; all else is still to be filled in.
    pub fn new(rule: &'static RuleDef, at: BootNs, since: BootNs, process: Identity) -> Self {
        Self {
            rule,
            stage: Stage::New,
            at,
            since,
            process,
            confidence: Confidence::Certain,
            headline: String::new(),
            notes: Vec::new(),
            fixes: Vec::new(),
            evidence: Vec::new(),
            facts: Facts::default(),
        }
    }

    /// Headline and notes as sentences.
    pub fn message(&self) -> String {
        let mut message = format!("{}.", self.headline);
        for Note { label, text } in &self.notes {
            let mut label = label.chars();
            let first = label.next().map(|first| first.to_ascii_uppercase());
            message.extend([' '].into_iter().chain(first).chain(label));
            message.push_str(&format!(": {text}."));
        }
        message
    }

    /// All fixes in a line; empty if there are none.
    pub fn fix(&self) -> String {
        self.fixes.join("; or: ")
    }

    /// For whoever keeps it: without the facts that only filters need.
    #[must_use]
    pub fn brief(&self) -> Self {
        Self { facts: self.facts.brief(), ..self.clone() }
    }

    /// What it is about: a finding that lasts is told once of each.
    pub fn subject(&self) -> Subject {
        let special = self.facts.iter().filter(|(def, _)| def.is_subject).find_map(|(_, value)| match value {
            Value::Group(group, _) => Some(Subject::Group(*group)),
            Value::Signal(signal) => Some(Subject::Signal(self.process.key, *signal)),
            _ => None,
        });
        special.unwrap_or(Subject::Process(self.process.key))
    }

    /// About whom there could be a finding that lasts and speaks for this one (`Rule::speaks_for`).
    pub fn part_of(&self) -> Option<ProcKey> {
        let whole = self.facts.own(Role::Debtor).or_else(|| self.facts.own(Role::Adopter))?;
        whole.processes().first().map(|process| process.key)
    }

    /// How much of it there is, if that can grow: what has doubled is told again at once.
    pub fn size(&self) -> Option<u64> {
        if let Some(&Value::Count(size)) = self.facts.own(Role::Size) { Some(size) } else { None }
    }

    /// Whether it counts: what is told again, or is over, was counted when it was new.
    pub fn is_new(&self) -> bool {
        self.stage == Stage::New
    }
}

/// How far it is with what was found. Only what lasts ([`RuleDef::lasts`]) has more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It was found just now.
    New,
    /// It was told before and goes on.
    Ongoing,
    /// It was told before and is over.
    Resolved,
    /// It was told before and was wrong: what came later has shown that.
    Withdrawn,
}

impl Stage {
    /// Its word, in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Ongoing => "ongoing",
            Self::Resolved => "resolved",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// How urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something does not work as its owner believes.
    Warning,
    /// Something is breaking.
    Error,
}

impl Severity {
    /// Its word, in JSON and on the command line.
    pub fn id(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl FromStr for Severity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Info, Self::Warning, Self::Error]
            .into_iter()
            .find(|severity| severity.id() == text)
            .ok_or_else(|| format!("no severity is called {text:?}; there are info, warning and error"))
    }
}

/// Whether a finding can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// The kernel said so.
    Certain,
    /// It rests on a time from which events are missing, or on what the kernel does not say; the
    /// sentence says how.
    Incomplete(String),
}
