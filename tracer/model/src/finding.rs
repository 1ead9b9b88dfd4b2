//! A finding: something that a person should know, with its reason and its fix.

use std::{fmt, str::FromStr};

use crate::{
    change::{AdopterClass, Known},
    event::ExitStatus,
    host::{GroupKey, Room},
    ident::{Comm, Identity, ProcKey},
    kill::Kill,
    rules::RuleDef,
    signal::{self, Sender, Signal},
    stop::Told,
};

/// What a rule found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule, with its name and severity.
    pub rule: &'static RuleDef,
    /// Whether it is told for the first time.
    pub stage: Stage,
    /// When it was found, in nanoseconds of the boot-time clock; when it was over, once it is.
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
    /// For whoever keeps it: without the ends that it counts and does not name.
    #[must_use]
    pub fn brief(&self) -> Self {
        let detail = match &self.detail {
            Detail::KilledBy(kill) => Detail::KilledBy(Box::new(kill.brief())),
            Detail::NamespaceKilled { kill: Some(kill), killed, took_ns, status, left } => Detail::NamespaceKilled {
                kill: Some(Box::new(kill.brief())),
                killed: *killed,
                took_ns: *took_ns,
                status: *status,
                left: *left,
            },
            other => other.clone(),
        };
        Self { detail, ..self.clone() }
    }

    /// What it is about: a finding that lasts is told once of each.
    pub fn subject(&self) -> Subject {
        match self.detail {
            Detail::Pressure { group: Some((group, _)), .. } => Subject::Group(group),
            Detail::StuckBlocked { signal, .. } => Subject::Signal(self.process.key, signal),
            _ => Subject::Process(self.process.key),
        }
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
}

impl Stage {
    /// Its word, in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Ongoing => "ongoing",
            Self::Resolved => "resolved",
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

/// What is particular to a rule.
#[derive(Clone, Debug)]
pub enum Detail {
    /// `init-ignored-signal`
    IgnoredSignal {
        /// The signal that was dropped.
        signal: Signal,
        /// Who sent it.
        sender: Sender,
        /// The client that had asked an engine for it, and its ancestors, if that was seen.
        asked_by: Vec<Identity>,
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
        /// The signal that ended the init, if one did and it was seen.
        kill: Option<Box<Kill>>,
    },
    /// `slow-stop`
    SlowStop {
        /// The signal that asked it to stop.
        signal: Signal,
        /// Who sent that.
        sender: Sender,
        /// Its ancestors then.
        ancestors: Vec<Identity>,
        /// The client that had asked an engine for it, and its ancestors, if that was seen.
        asked_by: Vec<Identity>,
        /// What became of it.
        fate: signal::Verdict,
        /// Which of its children were told before the SIGKILL.
        told: Option<Told>,
        /// Other processes of its namespace that the kernel kills with it.
        left: u64,
        /// Who sent the SIGKILL.
        killer: Sender,
        /// Its ancestors then.
        killer_ancestors: Vec<Identity>,
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
    /// `zombie-leak`
    ZombieLeak {
        /// Zombies of that parent by now.
        zombies: u64,
        /// How many more there are each hour, as far as their ends are known; 0 if they become no more.
        per_hour: u64,
        /// What they are called, and how many of each; the most frequent names first.
        names: Vec<(Comm, u64)>,
        /// Which limit they will reach first, if they go on so.
        limit: Option<Reached>,
    },
    /// `pid-pressure`, `pty-pressure`
    Pressure {
        /// How much is left.
        room: Room,
        /// Of the machine, not of a control group.
        of_machine: bool,
        /// How often one could not be had since that was told before.
        failed: u64,
        /// Who has most of them.
        holders: Vec<(Identity, u64)>,
        /// Zombies among them.
        zombies: u64,
        /// The control group, if it is one, and its path below the root of its hierarchy, if that is known: not
        /// escaped.
        group: Option<(GroupKey, Option<String>)>,
    },
    /// `signal-stuck-blocked`
    StuckBlocked {
        /// The signal.
        signal: Signal,
        /// Who sent it.
        sender: Sender,
        /// Since when it waits, in nanoseconds before `at`.
        age_ns: u64,
    },
    /// `coalesced-sigchld`
    Coalesced {
        /// Children that were not reaped.
        zombies: u64,
        /// SIGCHLDs that merged with one that was pending; of many at once not all are seen.
        merged: u64,
        /// Children that were reaped since the first of those.
        reaped: u64,
    },
    /// `signal-not-forwarded`
    NotForwarded {
        /// The stop signal.
        signal: Signal,
        /// Who sent it.
        sender: Sender,
        /// Children that were not sent one.
        count: u64,
        /// The oldest of them.
        children: Vec<Identity>,
        /// The init has ended since, and the kernel killed them.
        has_ended: bool,
    },
    /// `exec-leftover`
    ExecLeftover {
        /// Who had asked for it, if that was seen.
        client: Option<Identity>,
        /// How that one ended.
        client_status: Option<ExitStatus>,
        /// The number of the pseudo-terminal that it holds.
        pts: Option<u16>,
        /// For how long it has been on its own, in nanoseconds; at least, where the client was not seen.
        age_ns: u64,
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

impl Detail {
    /// About whom there could be a finding that lasts and speaks for this one ([`Rule::speaks_for`]).
    ///
    /// [`Rule::speaks_for`]: crate::rules::Rule::speaks_for
    pub fn part_of(&self) -> Option<ProcKey> {
        match self {
            Self::UnreapedChild { parent, .. } => Some(parent.key),
            Self::OrphanAdopted { adopter, .. } => Some(adopter.key),
            _ => None,
        }
    }

    /// The client that had asked an engine for the signal that it is about, and its ancestors.
    pub fn asked_by(&self) -> &[Identity] {
        match self {
            Self::IgnoredSignal { asked_by, .. } | Self::SlowStop { asked_by, .. } => asked_by,
            Self::KilledBy(kill) | Self::NamespaceKilled { kill: Some(kill), .. } => &kill.asked_by,
            _ => &[],
        }
    }

    /// How much of it there is: what has doubled is told again at once.
    pub fn size(&self) -> u64 {
        match self {
            Self::ZombieLeak { zombies, .. } => *zombies,
            // That it has come true is worth a word.
            Self::Pressure { failed, .. } => failed.saturating_add(1),
            _ => u64::MAX,
        }
    }
}

/// A limit that will be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Pids that are in use, and the most that there can be.
    pub room: Room,
    /// It is the machine's, not a control group's.
    pub of_machine: bool,
    /// In how many nanoseconds.
    pub in_ns: u64,
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
