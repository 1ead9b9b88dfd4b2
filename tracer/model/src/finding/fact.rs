//! Facts: the particulars of a finding. A rule declares its facts once; code that shows, filters or compares findings
//! iterates over them, or asks for those with a role.

use std::sync::Arc;

use crate::{
    event::ExitStatus,
    host::GroupKey,
    ident::{Comm, ContainerNo, Identity, ProcKey},
    kill::Family,
    signal::{Sender, Signal},
    time::Span,
};

/// The declaration of a fact, from which JSON, its schema, its documentation and the tests of both are derived.
#[derive(Clone, Copy, Debug)]
pub struct FactDef {
    /// Its name in JSON.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its meaning to code that does not know the rule.
    pub role: Role,
    /// Whether it is always there.
    pub presence: Presence,
    /// Which outputs show it.
    pub visibility: Visibility,
    /// A lasting finding is about this rather than about its process.
    pub is_subject: bool,
    /// What it means, for the documentation.
    pub meaning: &'static str,
}

/// The type of a fact.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A signal, by its name.
    Signal,
    /// Who sent a signal: a process, the kernel, or unknown.
    Sender,
    /// A process.
    Process,
    /// Processes.
    Processes,
    /// A time span in nanoseconds.
    Span,
    /// How many.
    Count,
    /// A number that may be negative.
    Number,
    /// How a process ended.
    Status,
    /// A word of a closed set.
    Word(&'static [&'static str]),
    /// Yes or no.
    Flag,
    /// Text that may have been chosen by others.
    Text,
    /// The name of a program.
    Name,
    /// A control group, by its path.
    Group,
    /// Facts that belong together.
    Record(&'static [FactDef]),
    /// A list of such.
    List(&'static [FactDef]),
    /// What similar findings have in common.
    Key,
}

/// What a fact is to code that does not know the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nothing in particular.
    Plain,
    /// The signal that did not have the intended effect.
    Signal,
    /// The signal that ended the process, or at which it ended itself.
    FatalSignal,
    /// Its `si_code`.
    Code,
    /// Who sent it.
    Sender,
    /// The client that asked an engine for it, then its ancestors.
    AskedBy,
    /// The process that owes the wait.
    Debtor,
    /// The process that adopted the process.
    Adopter,
    /// The client on whose behalf the process runs.
    Client,
    /// Another party.
    Party,
    /// The processes that a signal ended.
    Victims,
    /// How many were ended.
    Killed,
    /// How long it took, or has lasted.
    Cost,
    /// The word that says why.
    Reason,
    /// How a process ended.
    Status,
    /// Its size: a finding that has doubled is reported again at once.
    Size,
    /// What it has in common with similar findings.
    Alike,
}

/// Whether a fact is always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    Always,
    /// It is `null` where it is not known, or does not apply.
    Nullable,
    /// The field is missing then.
    Optional,
}

/// Which outputs show a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Every output.
    Shown,
    /// Only filters and their like.
    Hidden,
    /// Likewise, and so large that stored findings leave it out ([`Facts::brief`]).
    Bulky,
}

impl FactDef {
    /// A fact that is always there and that every output shows.
    pub const fn new(name: &'static str, kind: Kind, meaning: &'static str) -> Self {
        Self {
            name,
            kind,
            role: Role::Plain,
            presence: Presence::Always,
            visibility: Visibility::Shown,
            is_subject: false,
            meaning,
        }
    }

    /// The same, with a role.
    #[must_use]
    pub const fn role(self, role: Role) -> Self {
        Self { role, ..self }
    }

    /// The same, `null` if there is none.
    #[must_use]
    pub const fn nullable(self) -> Self {
        Self { presence: Presence::Nullable, ..self }
    }

    /// The same, absent if there is none.
    #[must_use]
    pub const fn optional(self) -> Self {
        Self { presence: Presence::Optional, ..self }
    }

    /// The same, as the subject of a lasting finding.
    #[must_use]
    pub const fn subject(self) -> Self {
        Self { is_subject: true, ..self }
    }

    /// The processes that a signal ended and no output names.
    pub const fn bulky(name: &'static str, meaning: &'static str) -> Self {
        Self {
            visibility: Visibility::Bulky,
            ..Self::new(name, Kind::Processes, meaning).role(Role::Victims).optional()
        }
    }

    /// What similar findings of the rule have in common. A rule without it has each finding reported by itself.
    pub const fn alike() -> Self {
        Self {
            visibility: Visibility::Hidden,
            ..Self::new("alike", Kind::Key, "what findings that are alike have in common").role(Role::Alike).optional()
        }
    }

    /// Whether outputs show it.
    pub fn is_shown(&self) -> bool {
        self.visibility == Visibility::Shown
    }
}

/// The value of a fact.
#[derive(Clone, Debug)]
pub enum Value {
    /// Not known, or does not apply.
    None,
    /// [`Kind::Signal`]
    Signal(Signal),
    /// [`Kind::Sender`]
    Sender(Sender),
    /// [`Kind::Process`]
    Process(Identity),
    /// [`Kind::Processes`]
    Processes(Arc<Vec<Identity>>),
    /// [`Kind::Span`], [`Kind::Count`]
    Count(u64),
    /// [`Kind::Number`]
    Number(i64),
    /// [`Kind::Status`]
    Status(ExitStatus),
    /// [`Kind::Word`]
    Word(&'static str),
    /// [`Kind::Flag`]
    Flag(bool),
    /// [`Kind::Text`]: not escaped.
    Text(String),
    /// [`Kind::Name`]
    Name(Comm),
    /// [`Kind::Group`], and its path below the root of its hierarchy, if that is known: not escaped.
    Group(GroupKey, Option<String>),
    /// [`Kind::Record`]
    Record(Facts),
    /// [`Kind::List`]
    List(Vec<Facts>),
    /// [`Kind::Key`]
    Key(Vec<Part>),
}

/// A part of what similar findings have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is what its type is")]
pub enum Part {
    Nobody,
    Word(&'static str),
    Name(Comm),
    Process(ProcKey),
    Family(Option<Family>),
    Signal(Signal),
    Status(i32),
    Container(ContainerNo),
    Flag(bool),
}

impl Value {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None | Self::Sender(Sender::Unknown) | Self::Group(_, None))
    }

    /// The processes that it names, in order.
    pub fn processes(&self) -> &[Identity] {
        match self {
            Self::Process(process) | Self::Sender(Sender::Process(process)) => std::slice::from_ref(process),
            Self::Processes(all) => all,
            _ => &[],
        }
    }

    /// Whether it is of a type.
    fn fits(&self, kind: &Kind) -> bool {
        match (self, kind) {
            (Self::Word(word), Kind::Word(words)) => words.contains(word),
            (Self::None, _)
            | (Self::Signal(_), Kind::Signal)
            | (Self::Sender(_), Kind::Sender)
            | (Self::Process(_), Kind::Process)
            | (Self::Processes(_), Kind::Processes)
            | (Self::Count(_), Kind::Span | Kind::Count)
            | (Self::Number(_), Kind::Number)
            | (Self::Status(_), Kind::Status)
            | (Self::Flag(_), Kind::Flag)
            | (Self::Text(_), Kind::Text)
            | (Self::Name(_), Kind::Name)
            | (Self::Group(..), Kind::Group)
            | (Self::Record(_), Kind::Record(_))
            | (Self::List(_), Kind::List(_))
            | (Self::Key(_), Kind::Key) => true,
            _ => false,
        }
    }
}

macro_rules! from {
    ($($type:ty: $value:ident => $what:expr;)*) => {
        $(impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $what
            }
        })*
    };
}

from! {
    Signal: signal => Self::Signal(signal);
    Sender: sender => Self::Sender(sender);
    Identity: process => Self::Process(process);
    Vec<Identity>: all => Self::Processes(Arc::new(all));
    Arc<Vec<Identity>>: all => Self::Processes(all);
    u64: number => Self::Count(number);
    Span: span => Self::Count(span.0);
    u32: number => Self::Count(number.into());
    i32: number => Self::Number(number.into());
    ExitStatus: status => Self::Status(status);
    &'static str: word => Self::Word(word);
    bool: flag => Self::Flag(flag);
    String: text => Self::Text(text);
    Comm: name => Self::Name(name);
    Facts: record => Self::Record(record);
    Vec<Facts>: list => Self::List(list);
    Vec<Part>: key => Self::Key(key);
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

/// The facts of a finding, in the order in which its rule declares them.
#[derive(Clone, Debug, Default)]
pub struct Facts(Vec<(&'static FactDef, Value)>);

static NONE: Value = Value::None;

impl Facts {
    /// The declared facts with these values; the others have none.
    pub fn of<const N: usize>(defs: &'static [FactDef], values: [(&'static str, Value); N]) -> Self {
        if cfg!(debug_assertions) {
            for (name, value) in &values {
                let def = defs.iter().find(|def| def.name == *name);
                assert!(def.is_some_and(|def| value.fits(&def.kind)), "{name} is not declared as what {value:?} is");
            }
        }
        let mut values = Vec::from(values);
        let mut take = |def: &FactDef| {
            let at = values.iter().position(|(name, _)| *name == def.name);
            at.map_or(Value::None, |at| values.swap_remove(at).1)
        };
        let facts = Self(defs.iter().map(|def| (def, take(def))).collect());
        debug_assert!(
            facts.0.iter().all(|(def, value)| {
                let can_be_none = def.presence != Presence::Always || matches!(def.kind, Kind::Sender);
                can_be_none || !value.is_none()
            }),
            "a fact that is always there is missing among {facts:?}"
        );
        facts
    }

    /// Each, with its declaration.
    pub fn iter(&self) -> impl Iterator<Item = (&'static FactDef, &Value)> {
        self.0.iter().map(|(def, value)| (*def, value))
    }

    /// The one of that name.
    pub fn get(&self, name: &str) -> &Value {
        self.0.iter().find(|(def, _)| def.name == name).map_or(&NONE, |(_, value)| value)
    }

    /// The first with this role, not nested.
    pub fn own(&self, role: Role) -> Option<&Value> {
        self.0.iter().find(|(def, value)| def.role == role && !value.is_none()).map(|(_, value)| value)
    }

    /// All with this role, nested ones last.
    pub fn all(&self, role: Role) -> Vec<&Value> {
        let own = self.0.iter().filter(|(def, value)| def.role == role && !value.is_none()).map(|(_, value)| value);
        let mut all: Vec<_> = own.collect();
        for (_, value) in &self.0 {
            match value {
                Value::Record(record) => all.extend(record.all(role)),
                Value::List(list) => all.extend(list.iter().flat_map(|record| record.all(role))),
                _ => {}
            }
        }
        all
    }

    /// The first with this role, possibly nested.
    pub fn first(&self, role: Role) -> Option<&Value> {
        self.own(role).or_else(|| self.all(role).into_iter().next())
    }

    /// The processes named by facts with these roles, nested ones included.
    pub fn processes(&self, roles: &[Role]) -> Vec<&Identity> {
        roles.iter().flat_map(|&role| self.all(role)).flat_map(Value::processes).collect()
    }

    /// The signal of that name.
    pub fn signal(&self, name: &str) -> Option<Signal> {
        if let Value::Signal(signal) = self.get(name) { Some(*signal) } else { None }
    }

    /// The process of that name, or the sender, if that is one.
    pub fn process(&self, name: &str) -> Option<&Identity> {
        self.get(name).processes().first()
    }

    /// The number of that name; 0 if there is none.
    pub fn count(&self, name: &str) -> u64 {
        if let Value::Count(count) = self.get(name) { *count } else { 0 }
    }

    /// The span of time of that name; none if there is no such.
    pub fn span(&self, name: &str) -> Span {
        Span(self.count(name))
    }

    /// The word of that name; empty if there is none.
    pub fn word(&self, name: &str) -> &'static str {
        if let Value::Word(word) = self.get(name) { word } else { "" }
    }

    /// Whether the flag of that name is set.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Value::Flag(true))
    }

    /// The facts that are put together under that name.
    pub fn record(&self, name: &str) -> Option<&Self> {
        if let Value::Record(record) = self.get(name) { Some(record) } else { None }
    }

    /// The list of that name.
    pub fn list(&self, name: &str) -> &[Self] {
        if let Value::List(list) = self.get(name) { list } else { &[] }
    }

    /// The same, but for one.
    #[must_use]
    pub fn with(&self, name: &str, value: Value) -> Self {
        let mut facts = self.clone();
        facts.0.iter_mut().filter(|(def, _)| def.name == name).for_each(|(_, old)| *old = value.clone());
        facts
    }

    /// Without bulky facts, for keeping.
    #[must_use]
    pub fn brief(&self) -> Self {
        let brief = |value: &Value| match value {
            Value::Record(record) => Value::Record(record.brief()),
            other => other.clone(),
        };
        let kept = |def: &FactDef, value| if def.visibility == Visibility::Bulky { Value::None } else { brief(value) };
        Self(self.0.iter().map(|(def, value)| (*def, kept(def, value))).collect())
    }
}
