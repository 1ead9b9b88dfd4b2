//! A finding: something that a person should know, with its reason and its fix.

use std::{fmt, str::FromStr};

use crate::{
    change::{AdopterClass, Known},
    event::ExitStatus,
    ident::Identity,
    rules::RuleDef,
    signal::{self, Sender, Signal},
    world::Kill,
};

/// What a rule found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule, with its name and severity.
    pub rule: &'static RuleDef,
    /// When it was found, in nanoseconds of the boot-time clock.
    pub at: u64,
    /// When it began, likewise.
    pub since: u64,
    /// Whom it is about.
    pub process: Identity,
    /// Whether it can be believed.
    pub confidence: Confidence,
    /// What happened and why: sentences for a person, already escaped.
    pub message: String,
    /// What to do about it, likewise.
    pub fix: String,
    /// Numbers of the events behind it.
    pub evidence: Vec<u64>,
    /// What is particular to the rule.
    pub detail: Detail,
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

/// What is particular to a rule.
#[derive(Clone, Debug)]
pub enum Detail {
    /// `init-ignored-signal`
    IgnoredSignal {
        /// The signal that was dropped.
        signal: Signal,
        /// Who sent it.
        sender: Sender,
        /// `no-handler`, `kill-from-inside` or `dropped-at-delivery`.
        reason: &'static str,
    },
    /// `unreaped-child`
    UnreapedChild {
        /// Who owes the wait: the tracer, where there is one, else the parent.
        parent: Identity,
        /// For how long it has been a zombie, in nanoseconds.
        age_ns: u64,
        /// It died before tracing began, and the kernel does not know when.
        age_is_lower_bound: bool,
        /// Why nobody waits, in words.
        blame: &'static str,
    },
    /// `orphan-adopted`
    OrphanAdopted {
        /// The new parent.
        adopter: Identity,
        /// Why that one.
        adopter_class: AdopterClass,
        /// The parent that died.
        dead_parent: Identity,
        /// How the new parent is known.
        known: Known,
    },
    /// `namespace-killed`
    NamespaceKilled {
        /// Processes that the kernel killed, the init itself not counted.
        killed: u64,
        /// From the exit of the init to the death of the last, in nanoseconds.
        took_ns: u64,
        /// How the init ended.
        status: ExitStatus,
        /// Processes that have not died yet.
        left: u64,
    },
    /// `slow-stop`
    SlowStop {
        /// The signal that asked it to stop.
        signal: Signal,
        /// Who sent that.
        sender: Sender,
        /// What became of it.
        fate: signal::Verdict,
        /// Who sent the SIGKILL.
        killer: Sender,
        /// From the one to the other, in nanoseconds.
        wasted_ns: u64,
        /// From the first signal to the end, in nanoseconds.
        took_ns: u64,
    },
    /// `zombie-leader`
    ZombieLeader {
        /// Threads that live on.
        threads: u32,
        /// Since when, in nanoseconds before `at`.
        age_ns: u64,
    },
    /// `killed-by`
    KilledBy(Box<Kill>),
    /// `signal-queue-overflow`
    QueueOverflow {
        /// The signal.
        signal: Signal,
        /// Who sent the last of them.
        sender: Sender,
        /// How many are lost; of many at once not all are seen.
        lost: u64,
        /// How many came without their siginfo; likewise.
        siginfo_lost: u64,
    },
    /// `left-behind`
    LeftBehind {
        /// How the command ended.
        status: ExitStatus,
        /// Its descendants that still run.
        running: u64,
        /// Those that are zombies.
        zombies: u64,
        /// The oldest of both.
        left: Vec<Left>,
    },
}

/// A process that a command left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Which.
    pub process: Identity,
    /// Who owes it a wait, now or once it ends.
    pub parent: Option<Identity>,
    /// It has ended already.
    pub is_zombie: bool,
}
