//! One struct per kind of record; each begins with the same [`Header`].

use crate::task::{Task, TaskId};

/// Values of [`Header::kind`]. Also the index of the kind's loss counter.
pub mod kind {
    /// A process was created.
    pub const NEW: u8 = 1;
    /// A process replaced its program.
    pub const EXEC: u8 = 2;
    /// A thread with children, a leader, or the last thread of a process began to exit.
    pub const EXIT: u8 = 3;
    /// The kernel released a process: it had been reaped before.
    pub const FREE: u8 = 4;
    /// A signal was generated, whatever became of it.
    pub const SIGNAL: u8 = 5;
    /// A signal was taken from the queue to be acted upon.
    pub const DELIVER: u8 = 6;
    /// A process that existed when the task iterator ran.
    pub const ROW: u8 = 7;
    /// A child was given to another process. Only with the exact hook.
    pub const ADOPT: u8 = 8;
    /// A process was reaped at this moment. Only with the exact hook.
    pub const REAP: u8 = 9;
    /// A dead process was announced to whoever has to wait for it. Only with the exact hook.
    pub const NOTIFY: u8 = 10;
    /// A process was given another name.
    pub const RENAME: u8 = 11;
    /// A process that is traced, or is a subreaper, when the survey ran.
    pub const SURVEY: u8 = 12;
    /// One more than the largest kind.
    pub const COUNT: usize = 13;
}

/// What every record begins with.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// When, in nanoseconds of the boot-time clock (`bpf_ktime_get_boot_ns`).
    pub at: u64,
    /// One of [`kind`].
    pub kind: u8,
    /// Always 0.
    pub reserved: u8,
    /// The processor that the probe ran on.
    pub cpu: u16,
    /// Bytes of this record, the header included.
    pub len: u32,
}

/// `task_newtask`, for a process (a new thread of an old process has no record).
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// See [`Header`].
    pub header: Header,
    /// The child.
    pub task: Task,
    /// Who called clone; differs from the parent under `CLONE_PARENT`.
    pub creator: TaskId,
}

/// The most bytes of the command line that an [`ExecRecord`] carries.
pub const ARGS_MAX: usize = 512;

/// `sched_process_exec`. Only the first `args_len` bytes of `args` are sent.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecRecord {
    /// See [`Header`].
    pub header: Header,
    /// The process, after the exec: the calling thread is the leader now.
    pub id: TaskId,
    /// The new name.
    pub comm: [u8; 16],
    /// Thread id of the caller before the exec; differs from the tgid for another thread.
    pub old_tid: u32,
    /// How many bytes of `args` follow.
    pub args_len: u16,
    /// 1 when the command line was longer than [`ARGS_MAX`].
    pub args_cut: u16,
    /// The command line as in `/proc/PID/cmdline`: arguments, each ended by a zero byte.
    pub args: [u8; ARGS_MAX],
    /// [`Credentials`], as bytes: they are sent right behind the arguments. Older versions sent none.
    pub credentials: [u8; size_of::<Credentials>()],
}

/// Bytes of an [`ExecRecord`] before its arguments.
pub const EXEC_FIXED: usize = size_of::<ExecRecord>() - ARGS_MAX - size_of::<Credentials>();

/// Who a process is for the kernel: how far its command line, which it could choose, can be believed.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// One of [`trust`].
    pub trust: u32,
    /// Inode number of its mount namespace, 0 when unknown.
    pub mount_ns: u32,
}

/// How far a command line can be believed: what the kernel knows of who chose it. A user's own is their
/// id on the host and [`trust::USER`].
pub mod trust {
    /// Not known (in traces of older versions).
    pub const UNKNOWN: u32 = 0;
    /// Not at all: root of some user or mount namespace only, or a program that runs as another user than
    /// whoever started it.
    pub const NOBODY: u32 = 1;
    /// Added to the user's id. Root is 0, in the initial user namespace and the host's mount namespace.
    pub const USER: u32 = 2;
}

/// `sched_process_exit`.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExitRecord {
    /// See [`Header`].
    pub header: Header,
    /// The exiting thread.
    pub id: TaskId,
    /// Who owes the wait (`real_parent`).
    pub parent: TaskId,
    /// Who holds the leader, and with it the zombie, by ptrace; zero when nobody does.
    pub tracer: TaskId,
    /// Who gets this thread's children, as `find_new_reaper()` will decide a moment later.
    pub adopter: TaskId,
    /// The leader's exit code, in the encoding of wait(2): that of the process, unless the whole of it
    /// is exiting (`wait_task_zombie()`). Up to 5.15 a leader that exits first decides.
    pub exit_code: i32,
    /// The code of the whole process if it is exiting as one (`signal->group_exit_code`).
    pub group_code: i32,
    /// Threads of the process that have not begun to exit (`signal->live`).
    pub live: u32,
    /// Signal that the end of the process sends to the parent.
    pub exit_signal: i32,
    /// See [`exit_flags`].
    pub flags: u32,
    /// One of [`adopter`].
    pub adopter_class: u32,
}

/// Bits of [`ExitRecord::flags`].
pub mod exit_flags {
    /// The last thread: the process is ending.
    pub const GROUP_DEAD: u32 = 1 << 0;
    /// The exiting thread is the leader.
    pub const LEADER: u32 = 1 << 1;
    /// The thread has children to hand on.
    pub const HAS_CHILDREN: u32 = 1 << 2;
    /// The parent ignores SIGCHLD (or has `SA_NOCLDWAIT`), or the process was cloned with
    /// `CLONE_AUTOREAP`: no zombie will be left, once no tracer holds it.
    pub const AUTOREAP: u32 = 1 << 3;
    /// The whole process is being killed or has called `exit_group()`.
    pub const GROUP_EXIT: u32 = 1 << 4;
    /// The adopter ignores SIGCHLD in the same way: of the children, those that are zombies will be
    /// gone.
    pub const ADOPTER_IGNORES: u32 = 1 << 5;
    /// The out-of-memory killer chose this process (`signal->oom_mm`).
    pub const OOM_VICTIM: u32 = 1 << 6;
}

/// Values of [`ExitRecord::adopter_class`].
pub mod adopter {
    /// There is nothing to hand on, or the namespace ends with this process.
    pub const NONE: u32 = 0;
    /// Another thread of the same process.
    pub const THREAD: u32 = 1;
    /// The nearest living ancestor that called `prctl(PR_SET_CHILD_SUBREAPER)`.
    pub const SUBREAPER: u32 = 2;
    /// Pid 1 of the dying process's namespace.
    pub const NAMESPACE_INIT: u32 = 3;
    /// A bounded loop ended before the answer was found.
    pub const UNKNOWN: u32 = 4;
}

/// `sched_process_free`: the fact of a reap, some milliseconds late.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FreeRecord {
    /// See [`Header`].
    pub header: Header,
    /// The process that is gone.
    pub id: TaskId,
}

/// `signal_generate`.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalRecord {
    /// See [`Header`].
    pub header: Header,
    /// The current task. Not the cause of every signal: see `info` bits and `code`.
    pub sender: TaskId,
    /// The task that the signal is for.
    pub target: TaskId,
    /// `si_code`, 0 when there is no siginfo.
    pub code: i32,
    /// See [`signal_flags`].
    pub flags: u16,
    /// Signal number.
    pub signal: u8,
    /// The tracepoint's result, `TRACE_SIGNAL_*`: 0 delivered, 1 ignored, 2 already pending,
    /// 3 queue overflow, 4 siginfo lost.
    pub result: u8,
}

/// Bits of [`SignalRecord::flags`] and [`DeliverRecord::flags`].
pub mod signal_flags {
    /// Bits 0 and 1: what the target does with this signal, one of the three below.
    pub const HANDLER_MASK: u16 = 0b11;
    /// `SIG_DFL`.
    pub const DEFAULT: u16 = 0;
    /// `SIG_IGN`.
    pub const IGNORE: u16 = 1;
    /// A function of the program.
    pub const HANDLER: u16 = 2;
    /// Whoever could take the signal has it blocked.
    pub const BLOCKED: u16 = 1 << 2;
    /// `SIGNAL_UNKILLABLE` is set on the target.
    pub const UNKILLABLE: u16 = 1 << 3;
    /// The target process is being killed, or dumps its core, and not because of this signal.
    pub const DYING: u16 = 1 << 4;
    /// The target process is stopped. Of SIGCONT: it was, and no longer is.
    pub const STOPPED: u16 = 1 << 5;
    /// The target is traced by ptrace.
    pub const TRACED: u16 = 1 << 6;
    /// The target is a kernel thread.
    pub const KTHREAD: u16 = 1 << 7;
    /// The sender has no pid in the target's namespace: it is outside of it.
    pub const OUTSIDE: u16 = 1 << 8;
    /// The sender has entered `do_exit()`.
    pub const SENDER_EXITING: u16 = 1 << 9;
    /// The sender is of pid 1 of its own namespace.
    pub const SENDER_INIT: u16 = 1 << 10;
    /// `info` is `SEND_SIG_NOINFO`: sent on behalf of the current task.
    pub const NO_INFO: u16 = 1 << 11;
    /// `info` is `SEND_SIG_PRIV`: sent by the kernel itself.
    pub const KERNEL_INFO: u16 = 1 << 12;
    /// For the whole process, not for one thread.
    pub const GROUP: u16 = 1 << 13;
    /// Whoever could take the signal has entered `do_exit()`: the target thread, or all threads if
    /// it is for the whole process.
    pub const EXITING: u16 = 1 << 14;
}

/// Sets of signals, as the kernel has them: signal `n` is bit `n - 1`. The numbers are those of
/// x86-64 and arm64.
pub mod signal_sets {
    const fn set(signals: &[u32]) -> u64 {
        let (mut set, mut i) = (0, 0);
        while i < signals.len() {
            set |= 1 << (signals[i] - 1);
            i += 1;
        }
        set
    }

    /// By default they do nothing (SIGCHLD, SIGCONT, SIGURG, SIGWINCH) or stop (SIGSTOP, SIGTSTP,
    /// SIGTTIN, SIGTTOU). All others end the process by default.
    pub const HARMLESS: u64 = set(&[17, 18, 19, 20, 21, 22, 23, 28]);
    /// SIGTSTP, SIGTTIN, SIGTTOU: they stop by default, and can be blocked.
    pub const STOPS: u64 = set(&[20, 21, 22]);
    /// SIGHUP, SIGINT, SIGQUIT, SIGTERM: programs handle them in order to end.
    pub const REQUESTS: u64 = set(&[1, 2, 3, 15]);
}

/// `signal_deliver`: fires in the target.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliverRecord {
    /// See [`Header`].
    pub header: Header,
    /// The task that takes the signal.
    pub target: TaskId,
    /// `si_code`.
    pub code: i32,
    /// See [`signal_flags`]: the handler's class, `UNKILLABLE` and `DYING`.
    pub flags: u16,
    /// Signal number.
    pub signal: u8,
    /// Always 0.
    pub reserved: u8,
}

/// A process as the task iterator saw it.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowRecord {
    /// See [`Header`].
    pub header: Header,
    /// The process.
    pub task: Task,
    /// Who traces it by ptrace, zero when nobody does.
    pub tracer: TaskId,
    /// Nanoseconds since its leader last ran, [`NEVER`] when the kernel does not say. A zombie
    /// ran last when it died.
    pub idle: u64,
    /// `exit_code` of the leader; of the group once it is dying.
    pub exit_code: i32,
    /// `signal->live`: threads that have not begun to exit.
    pub live: u32,
}

/// "Not known" in [`RowRecord::idle`].
pub const NEVER: u64 = u64::MAX;

/// `kill_orphaned_pgrp(child, parent)`, which `reparent_leader()` calls for each child that goes
/// to another process, when it has gone.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdoptRecord {
    /// See [`Header`].
    pub header: Header,
    /// The child.
    pub child: TaskId,
    /// The thread that it belonged to, which is exiting.
    pub from: TaskId,
    /// Its parent now (`real_parent`).
    pub to: TaskId,
}

/// `cgroup_release(task)`, or its like: the moment of a reap.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReapRecord {
    /// See [`Header`].
    pub header: Header,
    /// The process that is being released.
    pub id: TaskId,
    /// The thread that releases it: of whoever waited, or of itself if nobody has to.
    pub reaper: TaskId,
    /// Number of the system call that the reaper is in, [`NO_CALL`] if that is not known.
    pub call: i32,
    /// Always 0.
    pub reserved: u32,
}

/// "Not known" in [`ReapRecord::call`].
pub const NO_CALL: i32 = i32::MIN;

/// `do_notify_parent(task, signal)`, for the leader of a thread group.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotifyRecord {
    /// See [`Header`].
    pub header: Header,
    /// The process that has ended.
    pub id: TaskId,
    /// Who is told (`parent`): whoever traces it, else its parent.
    pub to: TaskId,
    /// The signal that tells, 0 for none.
    pub signal: i32,
    /// 1: whoever is told traces it.
    pub traced: u32,
}

/// `task_rename`, for the leader of a thread group, but for an exec's own.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenameRecord {
    /// See [`Header`].
    pub header: Header,
    /// The process.
    pub id: TaskId,
    /// Its new name.
    pub comm: [u8; 16],
}

/// A process of which no tracepoint tells that it is traced, or a subreaper.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SurveyRecord {
    /// See [`Header`].
    pub header: Header,
    /// The process.
    pub id: TaskId,
    /// Who traces it by ptrace, zero when nobody does.
    pub tracer: TaskId,
    /// [`crate::task::flags::SUBREAPER`], or 0.
    pub flags: u32,
    /// Always 0.
    pub reserved: u32,
}

const _: () = {
    assert!(size_of::<Header>() == 16);
    assert!(size_of::<NewRecord>() == 16 + size_of::<Task>() + 16);
    assert!(EXEC_FIXED == 16 + 16 + 16 + 8);
    assert!(size_of::<ExecRecord>() == EXEC_FIXED + ARGS_MAX + 8);
    assert!(size_of::<ExitRecord>() == 16 + 4 * 16 + 6 * 4);
    assert!(size_of::<FreeRecord>() == 32);
    // With the ring buffer's own 8 bytes a signal fills one cache line.
    assert!(size_of::<SignalRecord>() == 56);
    assert!(size_of::<DeliverRecord>() == 40);
    assert!(size_of::<RowRecord>() == 16 + size_of::<Task>() + 16 + 8 + 8);
    assert!(size_of::<AdoptRecord>() == 16 + 3 * 16);
    assert!(size_of::<ReapRecord>() == 16 + 2 * 16 + 8);
    assert!(size_of::<NotifyRecord>() == 16 + 2 * 16 + 8);
    assert!(size_of::<RenameRecord>() == 48);
    assert!(size_of::<SurveyRecord>() == 16 + 2 * 16 + 8);
};
