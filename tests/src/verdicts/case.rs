//! What a case is, and what was observed in it. Observations go from the stage to the judge as
//! lines of JSON.

use std::fmt;

use serde::{Deserialize, Serialize};
use tracer::time::BootNs;

use super::{look::Look, sys::set_of};

/// One signal, sent one way to one kind of target by one kind of sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Case {
    /// How the target stands to the signal.
    pub disposition: Disposition,
    /// Who sends to whom.
    pub relation: Relation,
    /// By which call or event.
    pub way: Way,
    /// Which signal.
    pub signal: i32,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { disposition, relation, way, signal } = self;
        write!(f, "{} by {way}, {disposition}, {relation}", tracer::signal::Signal(*signal as u8))
    }
}

impl Relation {
    /// Whether the sender has no pid in the target's namespace.
    pub fn is_from_outside(self) -> bool {
        matches!(self, Self::HostToInit | Self::HostToNested | Self::OuterToNested | Self::HostToMember)
    }
}

/// An enum each of whose values has a name to show.
macro_rules! named {
    ($(#[$meta:meta])* $type:ident { $($(#[$of_value:meta])* $value:ident: $name:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $type {
            $($(#[$of_value])* $value,)*
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$value => $name,)* })
            }
        }
    };
}

named! {
    /// How a target stands to the signal of a case when it comes.
    Disposition {
        /// `SIG_DFL`.
        Default: "default",
        /// `SIG_IGN`.
        Ignored: "ignored",
        /// It has a handler.
        Handled: "handled",
        /// Blocked, with a handler; unblocked later.
        Blocked: "blocked, handled",
        /// Blocked, with `SIG_DFL`; unblocked later.
        BlockedDefault: "blocked, default",
        /// Blocked, with `SIG_IGN`; unblocked later.
        BlockedIgnored: "blocked, ignored",
        /// Blocked with `SIG_DFL`, which becomes `SIG_IGN` while the signal waits; unblocked later.
        Flushed: "blocked, then ignored",
        /// Blocked, with a handler; sent twice, then unblocked.
        Twice: "blocked, sent twice",
        /// Blocked, with a handler, and no signal may be queued (`RLIMIT_SIGPENDING` is 0).
        FullQueue: "queue full",
        /// It waits for the signal in sigtimedwait(2).
        Awaited: "in sigwait",
        /// Blocked, and read from a signalfd later.
        Signalfd: "signalfd",
        /// A tracer passes the signal on to a handler.
        TracedHandled: "traced, handled",
        /// A tracer passes the signal on to `SIG_DFL`.
        TracedDefault: "traced, default",
        /// A tracer passes the signal on to `SIG_IGN`.
        TracedIgnored: "traced, ignored",
        /// A tracer keeps the signal for itself.
        TracedSuppressed: "traced, suppressed",
        /// The target is stopped, with a handler; continued later.
        Stopped: "stopped, handled",
        /// The target is stopped, with `SIG_DFL`; continued later.
        StoppedDefault: "stopped, default",
        /// The main thread blocks it, another takes it; for one thread: for that other.
        OtherThread: "other thread, handled",
        /// As before, with `SIG_DFL`.
        OtherThreadDefault: "other thread, default",
        /// All threads block it; unblocked by the other one later.
        AllThreads: "all threads block",
        /// The main thread has exited, another lives and has a handler; for one thread: for the
        /// dead one.
        DeadLeader: "dead leader, handled",
        /// It has begun to exit by itself, and no further (`PTRACE_EVENT_EXIT`).
        Exiting: "exiting",
        /// It is dying of SIGTERM, which its other thread took, and its main thread has come no
        /// further than that (`PTRACE_EVENT_EXIT`).
        Dying: "dying",
        /// A zombie.
        Zombie: "zombie",
        /// A kernel thread.
        KernelThread: "kernel thread",
        /// `SIG_DFL`, in a process group with nobody above it who could continue it.
        Orphaned: "default, orphaned group",
    }
}

named! {
    /// Who sends to whom. "host" is the first pid namespace.
    Relation {
        /// Two processes of the host.
        Peers: "host to host",
        /// A process of the host to itself.
        Own: "to itself",
        /// The host to the init of a namespace.
        HostToInit: "host to init",
        /// A process in the namespace to its init.
        InsideToInit: "inside to init",
        /// An init to itself.
        InitToItself: "init to itself",
        /// The host to an init that is two namespaces down.
        HostToNested: "host to nested init",
        /// The namespace around it to a nested init.
        OuterToNested: "outer to nested init",
        /// The host to an ordinary process of a namespace.
        HostToMember: "host to member",
        /// A namespace beside the target's, of which it knows nothing.
        Sibling: "sibling to init",
        /// A process without the right to send.
        Stranger: "stranger to host",
    }
}

named! {
    /// What makes the kernel generate a signal.
    Way {
        /// kill(2).
        Kill: "kill",
        /// kill(2) of a process group.
        KillGroup: "killpg",
        /// tgkill(2).
        Tgkill: "tgkill",
        /// tkill(2).
        Tkill: "tkill",
        /// rt_sigqueueinfo(2).
        Sigqueue: "sigqueue",
        /// rt_tgsigqueueinfo(2).
        Tgsigqueue: "tgsigqueue",
        /// pidfd_send_signal(2).
        Pidfd: "pidfd",
        /// timer_create(2) for the process.
        Timer: "timer",
        /// timer_create(2) for one thread.
        TimerThread: "timer, thread",
        /// A pipe becomes readable (`O_ASYNC`, `F_SETSIG`).
        Io: "fasync",
        /// A message arrives (mq_notify(3)).
        Message: "mq_notify",
        /// The parent dies (`PR_SET_PDEATHSIG`).
        ParentDeath: "parent death",
        /// setitimer(2), one for each of its three clocks.
        Interval: "setitimer",
        /// A write to a pipe that nobody reads.
        Pipe: "broken pipe",
        /// A write beyond `RLIMIT_FSIZE`.
        FileSize: "file size",
        /// A child ends.
        Child: "child",
        /// The processor, or seccomp(2): SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGSYS.
        Fault: "fault",
        /// ^C, ^\ or ^Z on the terminal.
        Key: "key",
        /// The terminal's size changes.
        Resize: "resize",
        /// The terminal is hung up.
        HangUp: "hang-up",
        /// The namespace's init exits.
        NamespaceEnd: "end of namespace",
    }
}

impl Case {
    /// Whether the signal is pending, in the queue that this way leads to.
    pub fn is_pending(&self, look: &Look) -> bool {
        look.pending(self.way.is_for_thread()) & set_of(self.signal) != 0
    }
}

impl Way {
    /// The system calls with which a process sends.
    pub const CALLS: [Self; 7] =
        [Self::Kill, Self::KillGroup, Self::Tgkill, Self::Tkill, Self::Sigqueue, Self::Tgsigqueue, Self::Pidfd];

    /// Whether a process sends it, as opposed to the kernel.
    pub fn is_call(self) -> bool {
        Self::CALLS.contains(&self)
    }

    /// Whether its siginfo is that of kill(2), with the sender's pid.
    pub fn is_plain(self) -> bool {
        matches!(self, Self::Kill | Self::KillGroup | Self::Pidfd)
    }

    /// Whether it is for one thread alone.
    pub fn is_for_thread(self) -> bool {
        matches!(
            self,
            Self::Tgkill
                | Self::Tkill
                | Self::Tgsigqueue
                | Self::TimerThread
                | Self::Pipe
                | Self::FileSize
                | Self::Fault
        )
    }
}

/// What the target was seen to do with the signal; everything since the case began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Did {
    /// How often its handler ran.
    pub handled: u32,
    /// How often it took the signal by sigtimedwait(2) or from a signalfd.
    pub consumed: u32,
    /// What it got was `SI_USER` from pid 0: no siginfo at all, or that of a kill(2) from outside.
    pub is_anonymous: bool,
    /// Its tracer saw the signal on its way.
    pub trapped: u32,
    /// It stopped, and the parent was told that by this signal.
    pub stopped: bool,
    /// It was stopped before, and is no longer.
    pub continued: bool,
    /// It was killed by this signal.
    pub killed: bool,
    /// It ended in another way.
    pub ended: bool,
}

impl Did {
    /// Whether the signal had any effect.
    pub fn anything(&self) -> bool {
        let Self { handled, consumed, is_anonymous: _, trapped, stopped, continued, killed, ended: _ } = *self;
        handled > 0 || consumed > 0 || trapped > 0 || stopped || continued || killed
    }
}

/// One sending of the signal.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sending {
    /// Who.
    pub sender: Sender,
    /// 0, or what the call failed with.
    pub errno: i32,
    /// The addressed thread right before.
    pub before: Look,
    /// And when it had had its chance; `None` if it was gone.
    pub after: Option<Look>,
    /// What the target had done by then.
    pub did: Did,
}

/// Who caused a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sender {
    /// The process with this pid on the host.
    Process(i32),
    /// The kernel.
    Kernel,
    /// A process whose pid is not known here.
    Somebody,
}

/// What was done to the target after the sendings, so that a signal that waits is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Release {
    /// Nothing.
    None,
    /// It unblocked the signal.
    Unblocked,
    /// It set the signal to `SIG_IGN`, upon which it was (or was not) pending, and unblocked it.
    Ignored {
        /// What `/proc` said in between.
        was_pending: bool,
    },
    /// It was continued by SIGCONT.
    Continued,
    /// Its tracer let it run on without the signal.
    Suppressed,
}

/// All that was observed in one case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seen {
    /// What was staged.
    pub case: Case,
    /// The target's pid on the host.
    pub pid: i32,
    /// Boot-time nanoseconds before the first sending.
    pub opened: BootNs,
    /// And after all was over.
    pub closed: BootNs,
    /// The target is pid 1 of its namespace, or the namespace's init is its process.
    pub is_init: bool,
    /// The target is a kernel thread (`PF_KTHREAD` in `/proc/PID/stat`).
    pub is_kthread: bool,
    /// The target was seen to have begun its exit.
    pub is_exiting: bool,
    /// The sendings, one after another.
    pub sendings: Vec<Sending>,
    /// What was done then.
    pub release: Release,
    /// What the target had done in the end.
    pub did: Did,
    /// And what was still pending, if it lived.
    pub at_end: Option<Look>,
}
