//! What an event changed in the world: the only input of rules and live screens.

use crate::{
    event::{ExitStatus, WaitCall},
    host::GroupKey,
    ident::{Identity, PidNs, ProcKey},
    kill::Kill,
    signal::{self, Sender, Signal, Verdict},
    time::{BootNs, Seq, Span},
};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A process was created.
    Born(ProcKey),
    /// A process that existed before became known, from the start snapshot or after a loss.
    Learned(ProcKey),
    /// A process runs another program.
    Execed {
        /// Which.
        key: ProcKey,
        /// Its name before.
        before: Identity,
    },
    /// A signal was sent.
    Signalled(Box<Signalled>),
    /// A signal that had been accepted was taken from the queue.
    Taken(Box<Signalled>),
    /// The task iterator shows that a process is stopped, and no signal was seen that has stopped it.
    FoundStopped(ProcKey),
    /// A stopped process was continued by a signal.
    Continued {
        /// Which.
        key: ProcKey,
        /// By whom.
        by: Sender,
    },
    /// Whoever waits for a process that has ended cannot get its status.
    StatusLost(Box<StatusLost>),
    /// The main thread exited; other threads of the process live on.
    LeaderDied(ProcKey),
    /// A process ended. It is a zombie until it is reaped.
    Died {
        /// Which.
        key: ProcKey,
        /// Its wait status.
        status: ExitStatus,
    },
    /// A child got a new parent, because the thread that it belonged to exited. Reported when the new parent is known,
    /// not when it is predicted.
    Adopted {
        /// The child.
        child: ProcKey,
        /// See [`Adoption`].
        adoption: Adoption,
    },
    /// A process was reaped and is gone from the world.
    Reaped {
        /// Who it was.
        identity: Identity,
        /// Who reaped it, as far as the tree tells.
        by: Option<ProcKey>,
        /// How long it was a zombie at most; `None` if its end was not seen.
        zombie_for: Option<Span>,
        /// The exact moment, with the exact hook; without it, it was reaped a little earlier.
        exact: Option<ExactReap>,
    },
    /// A signal ended a process, or many of the same cause; reported a moment later.
    Killed(Box<Kill>),
    /// The init of a namespace exited, and the kernel kills what is left in it.
    NamespaceEnding(PidNs),
    /// The last process of an ending namespace has died.
    NamespaceEnded(PidNs),
    /// A process was looked at ([`crate::event::Look`]).
    Looked(ProcKey),
    /// The signals of a thread were looked at ([`crate::event::Masks`]).
    Masked(ProcKey),
    /// A limit was measured.
    Measured(Measured),
    /// The client on whose behalf a process came into a container has ended; the process has not.
    ClientEnded(ProcKey),
    /// That client lives: it was only not found for a while.
    ClientBack(ProcKey),
    /// The command that the stream is about was started.
    CommandStarted(ProcKey),
    /// It ended.
    CommandEnded(ProcKey),
    /// Events are missing; the world may be wrong.
    Gap,
    /// The world was compared with the kernel and is complete again.
    Synced,
}

/// What a change is about: most rules want to hear of few kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a kind of change")]
pub enum Topic {
    Born,
    Learned,
    Execed,
    Signalled,
    Taken,
    FoundStopped,
    Continued,
    StatusLost,
    LeaderDied,
    Died,
    Adopted,
    Reaped,
    Killed,
    NamespaceEnding,
    NamespaceEnded,
    Looked,
    Masked,
    Measured,
    ClientEnded,
    ClientBack,
    CommandStarted,
    CommandEnded,
    Gap,
    Synced,
}

impl Topic {
    /// How many there are.
    pub const COUNT: usize = Self::Synced as usize + 1;
}

impl Change {
    /// What it is about.
    pub fn topic(&self) -> Topic {
        match self {
            Self::Born(_) => Topic::Born,
            Self::Learned(_) => Topic::Learned,
            Self::Execed { .. } => Topic::Execed,
            Self::Signalled(_) => Topic::Signalled,
            Self::Taken(_) => Topic::Taken,
            Self::FoundStopped(_) => Topic::FoundStopped,
            Self::Continued { .. } => Topic::Continued,
            Self::StatusLost(_) => Topic::StatusLost,
            Self::LeaderDied(_) => Topic::LeaderDied,
            Self::Died { .. } => Topic::Died,
            Self::Adopted { .. } => Topic::Adopted,
            Self::Reaped { .. } => Topic::Reaped,
            Self::Killed(_) => Topic::Killed,
            Self::NamespaceEnding(_) => Topic::NamespaceEnding,
            Self::NamespaceEnded(_) => Topic::NamespaceEnded,
            Self::Looked(_) => Topic::Looked,
            Self::Masked(_) => Topic::Masked,
            Self::Measured(_) => Topic::Measured,
            Self::ClientEnded(_) => Topic::ClientEnded,
            Self::ClientBack(_) => Topic::ClientBack,
            Self::CommandStarted(_) => Topic::CommandStarted,
            Self::CommandEnded(_) => Topic::CommandEnded,
            Self::Gap => Topic::Gap,
            Self::Synced => Topic::Synced,
        }
    }
}

/// Something that can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// Pseudo-terminals of the machine.
    Ptys,
    /// Pids of the machine.
    Pids,
    /// Pids of a control group.
    Group(GroupKey),
    /// That control group has no processes any more.
    Gone(GroupKey),
    /// How many control groups are not looked at.
    GroupsLeftOut,
}

/// A signal, with its sender and target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signalled {
    /// Which signal.
    pub signal: Signal,
    /// `si_code`.
    pub code: i32,
    /// Who sent it.
    pub sender: Sender,
    /// The client that asked an engine for it, its parent and so on, if that was seen.
    pub asked_by: Vec<Identity>,
    /// Whom it was for.
    pub target: Identity,
    /// The thread that it was for, by its id on the host.
    pub target_tid: u32,
    /// The target is pid 1 of its namespace.
    pub to_init: bool,
    /// The sender has no pid in the target's namespace.
    pub from_outside: bool,
    /// What became of it.
    pub verdict: Verdict,
    /// The tracepoint's result, 0 to 4; `None` for [`Change::Taken`].
    pub result: Option<u8>,
    /// When it was sent: for [`Change::Taken`] earlier
    /// than the event, `None` if the sending was not seen.
    pub sent_at: Option<BootNs>,
    /// Number of the event that sent it.
    pub sent_seq: Option<Seq>,
}

impl Signalled {
    /// The `si_code` that the receiver sees.
    pub fn seen_code(&self) -> i32 {
        // For SEND_SIG_PRIV, the receiver sees SI_KERNEL.
        if self.code == 0 && matches!(self.sender, Sender::Kernel(_)) { signal::SI_KERNEL } else { self.code }
    }

    /// The word that stands for the tracepoint's result in JSON.
    pub fn result_id(&self) -> Option<&'static str> {
        self.result.map(|result| match result {
            0 => "delivered",
            1 => "ignored",
            2 => "already-pending",
            3 => "overflow",
            4 => "lose-info",
            _ => "unknown",
        })
    }
}

/// See [`Change::StatusLost`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusLost {
    /// The child.
    pub child: Identity,
    /// How it ended.
    pub status: ExitStatus,
    /// When.
    pub at: BootNs,
    /// Number of the event.
    pub seq: Seq,
    /// The parent.
    pub parent: Identity,
    /// Its thread that waited, if one was seen.
    pub waiter: Option<u32>,
    /// Why.
    pub why: WhyLost,
}

/// Why a status is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyLost {
    /// The parent ignores SIGCHLD: the kernel keeps no status for it.
    Ignored {
        /// It has done so since its program began.
        from_start: bool,
    },
    /// Another thread of it has taken the status.
    Taken {
        /// The thread, on the host.
        tid: u32,
        /// By which call.
        call: WaitCall,
    },
}

/// How a child came to its present parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// When.
    pub at: BootNs,
    /// Number of the event with which the old parent began to exit, if it was seen.
    pub seq: Option<Seq>,
    /// The parent that died, or lost a thread.
    pub from: Identity,
    /// How it ended, if that was seen; `None` if only a thread did.
    pub status: Option<ExitStatus>,
    /// Who had sent the signal that ended it, if another process did.
    pub killed_by: Option<Identity>,
    /// The new parent.
    pub to: Identity,
    /// Why the kernel chose it.
    pub class: AdopterClass,
    /// How the new parent is known.
    pub known: Known,
}

/// How the new parent of an orphan is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The kernel reported it when it happened ([`crate::event::EventKind::Adopt`]).
    Exact,
    /// It was predicted when the old parent began to exit, and a look at the child confirmed or corrected it.
    Verified,
    /// It was predicted, and there was no time to look before the next change.
    Predicted,
}

impl Known {
    /// The word that stands for it in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Verified => "verified",
            Self::Predicted => "predicted",
        }
    }
}

/// See [`Change::Reaped`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExactReap {
    /// The thread that called, on the host; of the process `by`.
    pub tid: u32,
    /// What it called, if that is known.
    pub call: Option<WaitCall>,
}

/// Why a process adopts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdopterClass {
    /// Another thread of the same process lives.
    Thread,
    /// It is the nearest living ancestor that asked for it with `prctl(PR_SET_CHILD_SUBREAPER)`.
    Subreaper,
    /// It is pid 1 of the dying parent's namespace.
    NamespaceInit,
}

impl AdopterClass {
    /// The word that stands for it in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Thread => "thread",
            Self::Subreaper => "subreaper",
            Self::NamespaceInit => "namespace-init",
        }
    }
}
