//! The inputs of the engine: everything that happened, in the order in which it is to be believed.
//!
//! An event is owned, plain data. Only events are inputs: the start of the run, what the kernel
//! lost, the passing of time and what was read from `/proc` are events too, so the same events
//! always lead to the same output.

use serde::{Deserialize, Serialize};
use tracer_common::RecordKind;

use crate::{
    host::{Container, OutOfMemory, Rooms, StartInfo},
    ident::{Args, Comm, PidNs, ProcKey, TaskRef},
    kind::Kind,
    signal::Signal,
    thresholds::Thresholds,
    time::{BootNs, Span},
};

pub use crate::signal::{SignalSent, SignalTaken};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: BootNs,
    /// The processor that it happened on; 0 for events that user space makes.
    pub cpu: u16,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Tracing began: the first event of a stream.
    Start(Box<StartInfo>),
    /// A process was created (`task_newtask`).
    Fork(Box<Fork>),
    /// A process replaced its program (`sched_process_exec`).
    Exec(Box<Exec>),
    /// A leader, a last thread, or a thread with children began to exit (`sched_process_exit`).
    Exit(Box<Exit>),
    /// A process was released (`sched_process_free`); it had been reaped up to some milliseconds earlier.
    Free(TaskRef),
    /// A child got a new parent. Only with the exact hook (`kill_orphaned_pgrp`).
    Adopt(Adopt),
    /// A process was reaped at this moment. Only with the exact hook (`cgroup_release` and its
    /// like); [`EventKind::Free`] follows.
    Reap(Reap),
    /// A process has become a zombie, or was handed from its tracer to its parent. Only with the
    /// exact hook (`do_notify_parent`).
    Notify(Notify),
    /// A process changed its name (`task_rename`); an exec reports that itself.
    Rename(ProcKey, Comm),
    /// A process is about to end, and a thread of its parent that waits for it may not get its status
    /// (`sched_process_exit`).
    Awaited(Awaited),
    /// A signal was generated, whatever became of it (`signal_generate`).
    Signal(SignalSent),
    /// A signal was taken from the queue (`signal_deliver`).
    Deliver(SignalTaken),
    /// The task iterator starts; its rows follow.
    SnapshotBegin,
    /// A process as the task iterator saw it.
    Row(Box<Row>),
    /// The task iterator is done: processes that are older than its start and that it did not show are gone.
    SnapshotEnd,
    /// State that no tracepoint shows, for all processes at once.
    Survey(Box<Survey>),
    /// A command line, read from `/proc/PID/cmdline`.
    CommandLine(ProcKey, Args),
    /// A look at one process, from `/proc/PID/stat`.
    Look(Look),
    /// The signals of a thread, from `/proc/PID/task/TID/status`; `None` if it is gone.
    Masks(TaskRef, Option<Masks>),
    /// What keeps a process from going on, read from `/proc`; nothing if it is gone.
    Held(ProcKey, Box<Held>),
    /// Whether two processes have the two ends of a pipe, read from `/proc/PID/fd`.
    Pipe(Pipe),
    /// How much is left of limited resources: what has changed since the last report.
    Rooms(Box<Rooms>),
    /// Records are missing from the stream here.
    Lost(Loss),
    /// Time has passed, nothing else.
    Tick,
    /// The command that the recording is about was started; right after its birth.
    CommandStarted(ProcKey, Args),
    /// It ended. Processes that it leaves behind may live on.
    CommandEnded(ProcKey, ExitStatus),
    /// The members of its tree. Only in an image of the world, which does not show who created whom.
    CommandScope(Box<CommandParts>),
    /// Whoever watches asked for the tree of this process (`--tree`).
    TreeRoot(ProcKey),
    /// Since when a process runs its program. Only in an image of the world, which has no execs.
    Running(Running),
    /// From here on, findings have these thresholds.
    Thresholds(Box<Thresholds>),
    /// What is known about a container, or more than before.
    Container(Box<Container>),
    /// A process and its descendants belong to a container, by its id; if it is the init of a pid namespace, everything
    /// in that namespace does.
    Contained(ProcKey, String),
    /// Why the out-of-memory killer chose a process, from the kernel's log.
    OutOfMemory(ProcKey, OutOfMemory),
    /// Tracing ended properly: the last event of a stream.
    End(End),
}

impl EventKind {
    /// Whether the stream has come to the time of such an event: these report what happened, in order. The others
    /// report the result of a look, which shows the present, and the stream can lag behind that.
    pub fn tells_time(&self) -> bool {
        match self {
            Self::Start(_)
            | Self::Fork(_)
            | Self::Exec(_)
            | Self::Exit(_)
            | Self::Free(_)
            | Self::Adopt(_)
            | Self::Reap(_)
            | Self::Notify(_)
            | Self::Rename(..)
            | Self::Awaited(_)
            | Self::Signal(_)
            | Self::Deliver(_)
            | Self::Tick
            | Self::CommandStarted(..)
            | Self::End(_) => true,
            Self::SnapshotBegin
            | Self::Row(_)
            | Self::SnapshotEnd
            | Self::Survey(_)
            | Self::CommandLine(..)
            | Self::Look(_)
            | Self::Masks(..)
            | Self::Held(..)
            | Self::Pipe(_)
            | Self::Rooms(_)
            | Self::Lost(_)
            | Self::CommandEnded(..)
            | Self::CommandScope(_)
            | Self::TreeRoot(_)
            | Self::Running(_)
            | Self::Thresholds(_)
            | Self::Container(_)
            | Self::Contained(..)
            | Self::OutOfMemory(..) => false,
        }
    }

    /// Of those that come from a probe, what can be asked for.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Fork(_) => Some(Kind::Fork),
            Self::Exec(_) => Some(Kind::Exec),
            Self::Exit(_) => Some(Kind::Exit),
            Self::Free(_) | Self::Reap(_) => Some(Kind::Reap),
            Self::Signal(_) => Some(Kind::Signal),
            Self::Deliver(_) => Some(Kind::Deliver),
            Self::Start(_)
            | Self::Adopt(_)
            | Self::Notify(_)
            | Self::Rename(..)
            | Self::Awaited(_)
            | Self::Survey(_)
            | Self::SnapshotBegin
            | Self::Row(_)
            | Self::SnapshotEnd
            | Self::CommandLine(..)
            | Self::Look(_)
            | Self::Masks(..)
            | Self::Held(..)
            | Self::Pipe(_)
            | Self::Rooms(_)
            | Self::Lost(_)
            | Self::Tick
            | Self::CommandStarted(..)
            | Self::CommandEnded(..)
            | Self::CommandScope(_)
            | Self::TreeRoot(_)
            | Self::Running(_)
            | Self::Thresholds(_)
            | Self::Container(_)
            | Self::Contained(..)
            | Self::OutOfMemory(..)
            | Self::End(_) => None,
        }
    }
}

/// The full identity of a process, which the kernel side sends when the process is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskInfo {
    /// The process.
    pub key: ProcKey,
    /// `real_parent`, and which of its threads has the child; `None` for pid 1 and kthreadd.
    pub parent: Option<TaskRef>,
    /// Its name.
    pub comm: Comm,
    /// Id of its cgroup in the unified hierarchy, 0 when unknown.
    pub cgroup: u64,
    /// Its pid namespace.
    pub pid_ns: PidNs,
    /// The parent of that namespace; `None` for the initial one.
    pub parent_ns: Option<PidNs>,
    /// Depth of its pid namespace, 0 for the initial one.
    pub ns_level: u32,
    /// Its pid inside its own namespace.
    pub ns_pid: u32,
    /// Its pids at the levels 1, 2 and 3, 0 where it has none.
    pub mid_pids: [u32; 3],
    /// What it is.
    pub roles: Roles,
    /// `PF_EXITING` is set.
    pub exiting: bool,
    /// Signal that its death sends to the parent, 0 for none.
    pub exit_signal: i32,
    /// Threads that have not been released.
    pub threads: u32,
}

/// Properties of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Pid 1 of its pid namespace.
    pub init: bool,
    /// Called `prctl(PR_SET_CHILD_SUBREAPER)`.
    pub subreaper: bool,
    /// Its parent has no pid in its pid namespace, and it is not pid 1 there: it entered by setns(2). If that parent
    /// dies, the next one is outside as well (`find_new_reaper()` stays at the parent's depth), so that a birth and a
    /// later look agree.
    pub outsider: bool,
    /// A kernel thread.
    pub kthread: bool,
}

/// See [`EventKind::Fork`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The child.
    pub task: TaskInfo,
    /// Who called clone; differs from the parent under `CLONE_PARENT`.
    pub creator: Option<TaskRef>,
}

/// See [`EventKind::Exec`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// The process.
    pub task: TaskRef,
    /// Its new name.
    pub comm: Comm,
    /// Thread id of the caller before; differs from the tgid when another thread called exec.
    pub old_tid: u32,
    /// Its new command line.
    pub args: Args,
    /// Inode number of its mount namespace, 0 when unknown.
    pub mount_ns: u32,
    /// Signals that the program ignores from its start, of [`HANDED_ON`](tracer_common::signal::set::HANDED_ON), a bit
    /// each from signal 1; `None` in a stream of an older version.
    pub ignored: Option<u64>,
}

/// See [`EventKind::Exit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exiting thread.
    pub task: TaskRef,
    /// Who owes the wait.
    pub parent: Option<TaskRef>,
    /// The ptrace tracer of its leader, which holds the zombie as well.
    pub tracer: Option<TaskRef>,
    /// Who will get this thread's children.
    pub adopter: Adopter,
    /// How it ended.
    pub status: ExitStatus,
    /// Threads that have not begun to exit.
    pub live: u32,
    /// The exiting thread is the leader.
    pub leader: bool,
    /// The last thread: the process is ending.
    pub group_dead: bool,
    /// The kernel ends all of its threads: by exit_group(2) or a signal, not for an exec (`SIGNAL_GROUP_EXIT`).
    pub group_exit: bool,
    /// The parent ignores SIGCHLD: no zombie remains once no tracer holds it.
    pub autoreap: bool,
    /// The adopter ignores SIGCHLD: the kernel releases zombies among the children.
    pub adopter_ignores: bool,
    /// The out-of-memory killer chose this process.
    pub oom: bool,
    /// seccomp ends it without a signal, if none was sent.
    pub seccomp: bool,
}

/// The wait status of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExitStatus(pub i32);

impl ExitStatus {
    /// The signal that ended it, if one did.
    pub fn signal(self) -> Option<Signal> {
        let signal = (self.0 & 0x7f) as u8;
        (signal != 0).then_some(Signal(signal))
    }

    /// Of one that lives, and that signal has stopped.
    pub fn of_stop(signal: Signal) -> Self {
        Self(i32::from(signal.0) << 8 | 0x7f)
    }

    /// Of one that lives: the signal that has stopped it, if it is stopped; 0 if that is not known.
    pub fn stopped(self) -> Option<Signal> {
        (self.0 & 0xff == 0x7f).then_some(Signal((self.0 >> 8) as u8))
    }

    /// That signal left a core dump.
    pub fn dumped_core(self) -> bool {
        self.signal().is_some() && self.0 & 0x80 != 0
    }

    /// The code that it passed to exit(2).
    pub fn code(self) -> i32 {
        (self.0 >> 8) & 0xff
    }
}

/// Who adopts the children of an exiting thread (`find_new_reaper()`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adopter {
    /// It has no children, or it is an init whose namespace ends with it.
    None,
    /// Another thread of the same process.
    Thread(TaskRef),
    /// The nearest living subreaper.
    Subreaper(TaskRef),
    /// Pid 1 of its namespace.
    NamespaceInit(TaskRef),
    /// The search was cut short.
    Unknown,
}

/// See [`EventKind::Adopt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopt {
    /// The child.
    pub child: TaskRef,
    /// The exiting thread that it belonged to.
    pub from: TaskRef,
    /// Its parent from now on.
    pub to: TaskRef,
}

/// See [`EventKind::Reap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reap {
    /// The process that is gone.
    pub task: TaskRef,
    /// The thread in which that happened: the one that waited, or the process itself if nobody has to.
    pub reaper: TaskRef,
    /// The system call with which it waited, if that is known.
    pub call: Option<WaitCall>,
}

/// A system call that reaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitCall {
    /// wait4(2), which is also wait(2), waitpid(2) and wait3(2).
    Wait4,
    /// waitid(2).
    Waitid,
    /// `IORING_OP_WAITID`, by io_uring_enter(2).
    IoUring,
}

impl WaitCall {
    /// Its name, in JSON and text.
    pub fn id(self) -> &'static str {
        match self {
            Self::Wait4 => "wait4",
            Self::Waitid => "waitid",
            Self::IoUring => "io_uring",
        }
    }
}

/// See [`EventKind::Notify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notify {
    /// The process that has ended.
    pub task: TaskRef,
    /// Who must wait for it now.
    pub to: TaskRef,
    /// Because it traces it, not as its parent.
    pub traced: bool,
    /// The signal that notifies it, 0 for none.
    pub signal: i32,
}

/// See [`EventKind::Awaited`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// The process that ends.
    pub task: TaskRef,
    /// The thread that waits for it.
    pub waiter: TaskRef,
    /// It waits for exactly that one; otherwise for any child.
    pub only: bool,
}

/// See [`EventKind::Survey`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// When it began; the event's own time is its end.
    pub began: BootNs,
    /// Processes that are traced or subreapers; no others are.
    pub found: Vec<Surveyed>,
}

/// A process as the survey saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surveyed {
    /// The process.
    pub key: ProcKey,
    /// Its ptrace tracer.
    pub tracer: Option<TaskRef>,
    /// Called `prctl(PR_SET_CHILD_SUBREAPER)`.
    pub subreaper: bool,
}

/// See [`EventKind::Row`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The process.
    pub task: TaskInfo,
    /// Its ptrace tracer.
    pub tracer: Option<TaskRef>,
    /// Nanoseconds since its leader last ran, if the kernel shows that. A zombie last ran when it died.
    pub idle: Option<Span>,
    /// How it ended, if it has.
    pub status: ExitStatus,
    /// The leader is dead: a zombie, or a dead main thread if `live` is not 0.
    pub leader_dead: bool,
    /// Threads that have not begun to exit.
    pub live: u32,
}

/// See [`EventKind::Look`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The process that was looked for.
    pub key: ProcKey,
    /// What was found, `None` if it is no longer there.
    pub found: Option<Looked>,
}

/// What `/proc/PID/stat` said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looked {
    /// The state letter of proc(5): R, S, D, Z, T, t, X, I.
    pub state: u8,
    /// The parent's host pid.
    pub ppid: u32,
    /// The number of the pseudo-terminal that controls it (`/dev/pts/N`), if one does.
    pub pts: Option<u16>,
}

/// What keeps a process from going on. Its texts are for a person: they are not escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Held {
    /// The state letter of proc(5) of the thread that is told of: the first in uninterruptible sleep or in the hands
    /// of a tracer, else the main thread; empty if the process is gone.
    pub state: String,
    /// A SIGKILL waits for that thread: the kernel has begun to end the process.
    pub killed: bool,
    /// The function in which that thread sleeps in the kernel (`/proc/PID/wchan`); empty if it does not, or that may
    /// not be known.
    pub wchan: String,
    /// The file that the system call works on in which it is; empty if it is none of those that work on one, or that
    /// is not known.
    pub file: String,
    /// The file of a control group by which somebody has frozen that: its own group, or one around it. Empty if it is
    /// not frozen.
    pub frozen: String,
    /// The host pid of its ptrace tracer; 0 if nobody traces it.
    pub tracer: u32,
}

/// See [`EventKind::Pipe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pipe {
    /// Who has the reading end.
    pub reader: ProcKey,
    /// Who may have the writing end.
    pub writer: ProcKey,
    /// Whether it has.
    pub shared: bool,
}

/// The program of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// The process.
    pub key: ProcKey,
    /// When it was executed.
    pub since: BootNs,
    /// Signals that were ignored then, a bit each from signal 1.
    pub ignored: u64,
}

/// Signals of a thread, a bit each from signal 1. All are 0 for a thread that is gone, as for one without any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Masks {
    /// Signals pending for the thread.
    pub pending: u64,
    /// Signals pending for the process.
    pub shared_pending: u64,
    /// Signals that the thread blocks.
    pub blocked: u64,
    /// Those that the process handles; 0 in a stream of an older version.
    pub caught: u64,
}

impl Masks {
    /// Whether a signal is pending.
    pub fn waits(&self, signal: Signal) -> bool {
        signal.is_in(self.pending | self.shared_pending)
    }
}

/// See [`EventKind::Lost`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Records that found no room in the ring buffer, by kind of record
    /// ([`RecordKind`]).
    pub ring: [u64; RecordKind::IN_KERNEL],
    /// Records that could not be decoded.
    pub undecodable: u64,
    /// Events at which the kernel skipped a program because it was already running on that processor
    /// (`recursion_misses`).
    pub missed: u64,
    /// Records of a trace that could not be read back: the file is damaged there.
    pub unreadable: u64,
}

impl Loss {
    /// Adds another loss to this one.
    pub fn add(&mut self, other: &Self) {
        let Self { ring, undecodable, missed, unreadable } = other;
        // A trace may claim any number.
        for (sum, one) in self.ring.iter_mut().zip(ring) {
            *sum = sum.saturating_add(*one);
        }
        self.undecodable = self.undecodable.saturating_add(*undecodable);
        self.missed = self.missed.saturating_add(*missed);
        self.unreadable = self.unreadable.saturating_add(*unreadable);
    }

    /// Counts a whole record, by its kind.
    pub fn lose(&mut self, record: &[u8]) {
        // The kind is the first byte after the time; see `Header`.
        match record.get(8).and_then(|&kind| self.ring.get_mut(usize::from(kind))) {
            Some(count) => *count += 1,
            None => self.undecodable += 1,
        }
    }

    /// The total.
    pub fn total(&self) -> u64 {
        [self.in_ring(), self.undecodable, self.missed, self.unreadable].into_iter().fold(0, u64::saturating_add)
    }

    /// What is lost by the place where that happened and, in the ring buffer, the kind of record.
    pub fn places(self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let in_ring = RecordKind::ALL.iter().filter_map(move |kind| {
            let count = *self.ring.get(*kind as usize)?;
            Some(("ring", kind.name(), count))
        });
        let elsewhere = [("recursion", self.missed), ("decoding", self.undecodable), ("file", self.unreadable)];
        let all = in_ring.chain(elsewhere.map(|(place, count)| (place, "", count)));
        all.filter(|&(.., count)| count > 0)
    }

    /// Records that found no room in the ring buffer, of whatever kind.
    pub fn in_ring(&self) -> u64 {
        self.ring.iter().copied().fold(0, u64::saturating_add)
    }
}

/// See [`EventKind::CommandScope`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandParts {
    /// The processes.
    pub processes: Vec<ProcKey>,
    /// The pid namespaces.
    pub namespaces: Vec<PidNs>,
}

/// See [`EventKind::End`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// When tracing began; the event's own time is its end.
    pub began: BootNs,
    /// Processor time that the tool used since then.
    pub cpu_ns: Span,
    /// Signals that the kernel generated since then, including those that never entered the stream.
    pub signals: u64,
    /// Loops over threads or ancestors in the kernel that were cut short.
    pub walks_cut: u64,
}
