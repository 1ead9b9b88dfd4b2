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
pub use rule::{About, RuleDef};

/// What a rule found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule, with its name and severity.
    pub rule: &'static RuleDef,
    /// Whether it is new, goes on, or is over.
    pub stage: Stage,
    /// When it was found; when it was over or withdrawn, once it is.
    pub at: BootNs,
    /// When it began, likewise.
    pub since: BootNs,
    /// The process that it is about.
    pub process: Identity,
    /// How far it can be believed.
    pub confidence: Confidence,
    /// Who, what and what it cost, in one line: escaped, without a full stop.
    pub headline: String,
    /// The rest of the story, for a person: at most [`MOST_NOTES`] lines.
    pub notes: Vec<Note>,
    /// What to do about it, likewise: alternatives, the one that fits the case first. None, if it is over or withdrawn.
    pub fixes: Vec<String>,
    /// Numbers of the events behind it.
    pub evidence: Vec<Seq>,
    /// The facts that the rule declares.
    pub facts: Facts,
}

/// As many lines as a person takes in at a glance.
pub const MOST_NOTES: usize = 7;

/// What a lasting finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A process; the finding ends with it.
    Process(ProcKey),
    /// A control group, which outlives its processes.
    Group(GroupKey),
    /// A signal that is pending for a process; changes of that process concern it.
    Signal(ProcKey, Signal),
}

impl Finding {
    /// A new and certain finding; the rest is still to be filled in.
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

    /// Without the facts that only filters need, for keeping.
    #[must_use]
    pub fn brief(&self) -> Self {
        Self { facts: self.facts.brief(), ..self.clone() }
    }

    /// Its subject: a lasting finding is reported once per subject.
    pub fn subject(&self) -> Subject {
        let special = self.facts.iter().filter(|(def, _)| def.is_subject).find_map(|(_, value)| match value {
            Value::Group(group, _) => Some(Subject::Group(*group)),
            Value::Signal(signal) => Some(Subject::Signal(self.process.key, *signal)),
            _ => None,
        });
        special.unwrap_or(Subject::Process(self.process.key))
    }

    /// The process about which a lasting finding could cover this one (`Rule::speaks_for`).
    pub fn part_of(&self) -> Option<ProcKey> {
        let whole = self.facts.own(Role::Debtor).or_else(|| self.facts.own(Role::Adopter))?;
        whole.processes().first().map(|process| process.key)
    }

    /// Its size, if that can grow: a finding that has doubled is reported again at once.
    pub fn size(&self) -> Option<u64> {
        if let Some(&Value::Count(size)) = self.facts.own(Role::Size) { Some(size) } else { None }
    }

    /// Whether it counts: repetitions and ends were counted when the finding was new.
    pub fn is_new(&self) -> bool {
        self.stage == Stage::New
    }
}

/// The stage of a finding. Only lasting ones ([`RuleDef::lasts`]) have more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is new.
    New,
    /// It was reported before and goes on.
    Ongoing,
    /// It was reported before and is over.
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

/// How far a finding can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// The kernel itself reported it.
    Certain,
    /// It depends on a time from which events are missing, or on something that the kernel does not report; the
    /// sentence says which.
    Incomplete(String),
}

impl Confidence {
    /// Its word, in JSON and text.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Incomplete(_) => "incomplete",
        }
    }
}
