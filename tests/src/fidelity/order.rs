//! What an actor can be told to do: plain data, with every name of another process resolved.

use super::arena::ActorId;

/// How a child is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// fork(2).
    Fork,
    /// `CLONE_VFORK`: the creator sleeps until the child execs or ends.
    Vfork,
    /// `CLONE_PARENT`: a sibling of the creator.
    Sibling,
    /// An exit signal other than SIGCHLD.
    Signal(u8),
    /// `CLONE_NEWPID`: pid 1 of a new namespace.
    NewNamespace,
}

/// One order. The same program writes and reads it, so its layout is nobody else's business; memory
/// that is all zero is [`Order::Nothing`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Just say that you are there.
    Nothing,
    /// Make the actors `child` to `child + count - 1`: all yourself, or each the next (`deep`).
    Make {
        /// The first.
        child: ActorId,
        /// How many.
        count: u16,
        /// In a chain.
        deep: bool,
        /// How.
        birth: Birth,
    },
    /// vfork(2) proper: a child on your memory that execs and becomes that actor.
    Spawn {
        /// Who.
        child: ActorId,
        /// Its name.
        name: u8,
    },
    /// vfork(2) proper: a child on your memory that exits at once.
    SpawnNothing,
    /// Start a thread, which is an actor too.
    Thread(ActorId),
    /// End this thread only.
    ExitThread,
    /// exit_group(2).
    Exit(u8),
    /// A fault.
    Crash,
    /// Replace the program by itself, under another name.
    Exec(u8),
    /// `PR_SET_NAME`.
    Rename(u8),
    /// A signal by pidfd; the number of the driver's descriptor.
    Kill(i32, u8),
    /// A signal by pid, as you see it.
    KillPid(i32, u8),
    /// A signal to your process group.
    KillGroup(u8),
    /// A signal to all that you can see; never on the host.
    KillAll(u8),
    /// A signal to yourself: the process, or this thread.
    KillSelf(u8, bool),
    /// waitid(2) with these flags; for a pid as you see it, or 0 for any.
    Wait(i32, i32),
    /// What to do about SIGCHLD.
    OnChildEnd(OnChildEnd),
    /// `PR_SET_CHILD_SUBREAPER`.
    Subreaper(bool),
    /// `PR_SET_PDEATHSIG`.
    DeathSignal(u8),
    /// Lead a process group of your own.
    OwnGroup,
    /// `unshare(CLONE_NEWPID)`.
    Unshare,
    /// setns(2) into the pid namespace of a process, by its pid on the host.
    Join(u32),
    /// `PTRACE_SEIZE` a pid as you see it, with `PTRACE_O_EXITKILL` or not.
    Seize(i32, bool),
    /// `PTRACE_ATTACH` a pid as you see it.
    Attach(i32),
    /// Stop a tracee and let it go.
    Detach(i32),
    /// Let every tracee that is stopped go on.
    Resume,
    /// `PTRACE_TRACEME`.
    TraceMe,
    /// Make a child, and have it get this pid: by `ns_last_pid`, never on the host.
    Reuse(ActorId, i32),
    /// Root: kill and reap all children until there are none.
    Sweep,
}

/// What a process does about SIGCHLD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnChildEnd {
    /// `SIG_DFL`.
    Default,
    /// `SIG_IGN`.
    Ignore,
    /// `SA_NOCLDWAIT`.
    NoWait,
    /// A handler.
    Handle,
}
