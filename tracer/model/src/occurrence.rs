//! What counts as an event for a person: the one interpretation of a step that every output shares.

use crate::{
    change::{AdopterClass, Change, ExactReap, Signalled},
    event::{Adopter, EventKind, Exit, ExitStatus},
    ident::{Args, Identity, ProcKey, TaskRef},
    kind::Kind,
    step::Step,
    time::Span,
    world::World,
};

/// Something that happened to processes, with all parties.
#[derive(Clone, Debug)]
pub enum Occurrence<'a> {
    /// See [`Kind::Fork`](crate::kind::Kind::Fork).
    Fork {
        /// The new process.
        process: Identity,
        /// Who owes it a wait.
        parent: Option<Identity>,
        /// Who called clone, if that is not the parent (`CLONE_PARENT`).
        creator: Option<Identity>,
    },
    /// See [`Kind::Exec`](crate::kind::Kind::Exec).
    Exec {
        /// The process, with its new name.
        process: Identity,
        /// The process, with its old name.
        before: Identity,
        /// Its new command line.
        args: &'a Args,
    },
    /// See [`Kind::Exit`](crate::kind::Kind::Exit).
    Exit {
        /// The process.
        process: Identity,
        /// Who owes it a wait: its tracer if there is one, else its parent.
        owed_by: Option<Identity>,
        /// How it ended.
        status: ExitStatus,
        /// Only the main thread ended; other threads live.
        leader_only: bool,
        /// The parent ignores SIGCHLD, and no tracer holds it: no zombie remains.
        autoreap: bool,
        /// Who gets its children, and why; `None` if it has none or the search was cut short.
        adopter: Option<(AdopterClass, Identity)>,
    },
    /// See [`Kind::Reap`](crate::kind::Kind::Reap).
    Reap {
        /// The process that is gone.
        process: Identity,
        /// Who reaped it; `None` if nobody had to, or it is not known.
        by: Option<Identity>,
        /// How long it was a zombie at most; `None` if its end was not seen.
        zombie_for: Option<Span>,
        /// The exact moment; `None` if it was reaped a little earlier.
        exact: Option<ExactReap>,
    },
    /// See [`Kind::Signal`](crate::kind::Kind::Signal).
    Signal(&'a Signalled),
    /// See [`Kind::Deliver`](crate::kind::Kind::Deliver).
    Deliver(&'a Signalled),
}

impl<'a> Occurrence<'a> {
    /// Interprets a change of a step; `None` if it is not something that just happened to a process.
    pub fn of(world: &World, step: &Step<'a>, change: &'a Change) -> Option<Self> {
        let name = |task: Option<TaskRef>| task.map(|task| world.identity(task.key));
        match (change, &step.event.kind) {
            (&Change::Born(key), EventKind::Fork(fork)) => {
                let parent = world.get(key).and_then(|process| process.parent);
                let creator = fork.creator.filter(|creator| parent.is_none_or(|parent| parent.key != creator.key));
                Some(Self::Fork { process: world.identity(key), parent: name(parent), creator: name(creator) })
            }
            (Change::Execed { key, before }, EventKind::Exec(exec)) => {
                Some(Self::Exec { process: world.identity(*key), before: *before, args: &exec.args })
            }
            (&Change::Died { key, status }, EventKind::Exit(exit)) => Some(Self::exit(world, key, status, false, exit)),
            (&Change::LeaderDied(key), EventKind::Exit(exit)) => Some(Self::exit(world, key, exit.status, true, exit)),
            (&Change::Reaped { identity, by, zombie_for, exact }, _) => {
                Some(Self::Reap { process: identity, by: by.map(|by| world.identity(by)), zombie_for, exact })
            }
            (Change::Signalled(signalled), _) => Some(Self::Signal(signalled)),
            (Change::Taken(taken), _) => Some(Self::Deliver(taken)),
            (
                Change::Born(_)
                | Change::Execed { .. }
                | Change::Died { .. }
                | Change::Continued { .. }
                | Change::FoundStopped(_)
                | Change::StatusLost(_)
                | Change::LeaderDied(_)
                | Change::Learned(_)
                | Change::Adopted { .. }
                | Change::Killed(_)
                | Change::NamespaceEnding(_)
                | Change::NamespaceEnded(_)
                | Change::Looked(_)
                | Change::Masked(_)
                | Change::Measured(_)
                | Change::ClientEnded(_)
                | Change::ClientBack(_)
                | Change::CommandStarted(_)
                | Change::CommandEnded(_)
                | Change::Gap
                | Change::Synced,
                _,
            ) => None,
        }
    }

    fn exit(world: &World, key: ProcKey, status: ExitStatus, leader_only: bool, exit: &Exit) -> Self {
        let adopter = match exit.adopter {
            Adopter::None | Adopter::Unknown => None,
            Adopter::Thread(to) => Some((AdopterClass::Thread, to)),
            Adopter::Subreaper(to) => Some((AdopterClass::Subreaper, to)),
            Adopter::NamespaceInit(to) => Some((AdopterClass::NamespaceInit, to)),
        };
        Self::Exit {
            process: world.identity(key),
            owed_by: world.owed_by(key).map(|key| world.identity(key)),
            status,
            leader_only,
            autoreap: exit.autoreap && exit.tracer.is_none(),
            adopter: adopter.map(|(class, to)| (class, world.identity(to.key))),
        }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Fork { .. } => Kind::Fork,
            Self::Exec { .. } => Kind::Exec,
            Self::Exit { .. } => Kind::Exit,
            Self::Reap { .. } => Kind::Reap,
            Self::Signal(_) => Kind::Signal,
            Self::Deliver(_) => Kind::Deliver,
        }
    }
}
