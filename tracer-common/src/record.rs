//! Every kind of record: its number, its fields, and what they say.
//!
//! The programs in the kernel write the kinds below [`FIRST_NOTE`]. User space adds the others, so that a stream of
//! records is complete in itself.

use crate::{
    describe::{BOOT_TIME, Meaning, Rest},
    signal,
    task::{self, Task, TaskId},
};

layout! {
    /// What every record begins with.
    Header of 16 bytes {
        /// When it happened. Add the wall offset of the trace's metadata to get nanoseconds since 1970.
        at: u64 as BOOT_TIME,
        /// The kind of record.
        kind: u8,
        /// Nothing.
        reserved: u8 as Meaning::Reserved,
        /// The processor that the probe ran on, 0 for what user space adds.
        cpu: u16,
        /// Bytes of the whole record; the next one begins there.
        len: u32 as Meaning::Unit("bytes"),
    }
}

records! {
    /// A process was created. A new thread of an old process has no record.
    1 New "new" from "`task_newtask`": NewRecord of 128 bytes {
        /// The child.
        task: Task,
        /// Who called clone; differs from the parent under `CLONE_PARENT`.
        creator: TaskId,
    };

    /// A process replaced its program.
    2 Exec "exec" from "`sched_process_exec`": ExecRecord of 56 bytes {
        /// The process, after the exec: the calling thread is the main thread now.
        id: TaskId,
        /// Its new name.
        comm: [u8; 16] as Meaning::Name,
        /// Thread id of the caller before the exec.
        old_tid: u32,
        /// Bytes of the arguments.
        args_len: u16 as Meaning::ArgumentsLength,
        /// Whether these are all.
        args_cut: u16 as Meaning::Cut,
    } then Rest::ArgumentsAnd(&ExecContext::LAYOUT);

    /// A main thread, a last thread, or a thread with children began to exit.
    3 Exit "exit" from "`sched_process_exit`": ExitRecord of 104 bytes {
        /// The thread.
        id: TaskId,
        /// Who owes the wait (`real_parent`).
        parent: TaskId,
        /// The ptrace tracer of the main thread, which holds the zombie as well.
        tracer: TaskId,
        /// Who gets this thread's children, as `find_new_reaper()` will decide a moment later.
        adopter: TaskId,
        /// Wait status of the main thread: that of the process, unless the whole of it is exiting
        /// (`wait_task_zombie()`). Up to 5.15 a main thread that exits first decides.
        exit_code: i32,
        /// Wait status of the process if it is exiting as one (`signal->group_exit_code`).
        group_code: i32,
        /// Threads of the process that have not begun to exit (`signal->live`).
        live: u32,
        /// The signal that the end of the process sends to the parent.
        exit_signal: i32,
        /// How it exits.
        flags: u32 as Meaning::Bits(exit_flags::WORDS),
        /// Who the adopter is.
        adopter_class: u32 as Meaning::OneOf(adopter::WORDS),
    };

    /// A process was released; it had been reaped before, some milliseconds ago.
    4 Free "free" from "`sched_process_free`": FreeRecord of 32 bytes {
        /// The process.
        id: TaskId,
    };

    /// A signal was generated, whatever became of it.
    5 Signal "signal" from "`signal_generate`": SignalRecord of 72 bytes {
        /// The current task; the sender, if flags and code do not say the kernel.
        sender: TaskId,
        /// The task that the signal is for.
        target: TaskId,
        /// `si_code`, 0 without a siginfo.
        code: i32,
        /// About target and sender.
        flags: u16 as Meaning::Bits(signal_flags::WORDS),
        /// Signal number.
        signal: u8,
        /// `TRACE_SIGNAL_*`.
        result: u8 as Meaning::OneOf(signal::result::WORDS),
        /// Whom the sender named. Older versions wrote neither this nor what follows.
        aim: u32 as Meaning::OneOf(aim::WORDS),
        /// If it may be for others, too (the kernel sent it, or its sender named more than one): the target's process
        /// group, by its number on the host; 0: unknown.
        group: u32,
        /// The session of the target, by the number of its leader on the host; 0: unknown. Older versions wrote it only
        /// where they wrote the group.
        session: u32,
        /// If the kernel sent it: its controlling terminal, as major number << 20 | minor number;
        /// 0: none.
        terminal: u32,
    };

    /// A signal was taken from the queue to be acted upon.
    6 Deliver "deliver" from "`signal_deliver`": DeliverRecord of 40 bytes {
        /// The task that takes it.
        target: TaskId,
        /// `si_code`.
        code: i32,
        /// The action; otherwise only `UNKILLABLE` and `DYING`.
        flags: u16 as Meaning::Bits(signal_flags::WORDS),
        /// Signal number.
        signal: u8,
        /// Nothing.
        reserved: u8 as Meaning::Reserved,
    };

    /// A process that existed at the start, or after a loss.
    7 Row "row" from "task iterator": RowRecord of 144 bytes {
        /// The process.
        task: Task,
        /// Who holds it by ptrace.
        tracer: TaskId,
        /// Time since its main thread last ran, which a zombie did when it died; 2^64-1: unknown.
        idle: u64 as Meaning::Unit("ns"),
        /// Wait status of the main thread; of the process once it is exiting as one, or while it is stopped (`0x7f` and
        /// the signal, as wait(2) has it).
        exit_code: i32,
        /// Threads that have not begun to exit (`signal->live`).
        live: u32,
    };

    /// An orphan has its new parent; only with the exact hooks.
    8 Adopt "adopt" from "`kill_orphaned_pgrp`": AdoptRecord of 64 bytes {
        /// The child.
        child: TaskId,
        /// The exiting thread that it belonged to.
        from: TaskId,
        /// Its parent now (`real_parent`).
        to: TaskId,
    };

    /// A process was reaped; only with the exact hooks.
    9 Reap "reap" from "`cgroup_release` or its like": ReapRecord of 56 bytes {
        /// The process.
        id: TaskId,
        /// The thread that reaps: of whoever waited, or of the process itself if nobody has to.
        reaper: TaskId,
        /// Number of the system call that the reaper is in; -2^31: unknown.
        call: i32,
        /// Nothing.
        reserved: u32 as Meaning::Reserved,
    };

    /// A dead process was announced to its tracer or parent, and is a zombie from now on; only with the exact hooks.
    10 Notify "notify" from "`do_notify_parent`": NotifyRecord of 56 bytes {
        /// The process.
        id: TaskId,
        /// Who was notified: its tracer if there is one, else its parent.
        to: TaskId,
        /// The signal that announces it, 0: none.
        signal: i32,
        /// 1: it was announced to its tracer.
        traced: u32,
    };

    /// A process has another name.
    11 Rename "rename" from "`task_rename`": RenameRecord of 48 bytes {
        /// The process.
        id: TaskId,
        /// Its new name.
        comm: [u8; 16] as Meaning::Name,
    };

    /// A process that is traced or a subreaper; only inside of `surveyed`.
    12 Survey "survey" from "task iterator": SurveyRecord of 56 bytes {
        /// The process.
        id: TaskId,
        /// Who holds it by ptrace.
        tracer: TaskId,
        /// Only the bit of a subreaper.
        flags: u32 as Meaning::Bits(task::flags::WORDS),
        /// Nothing.
        reserved: u32 as Meaning::Reserved,
    };

    /// A process ends whose status somebody waits for and may not get: the parent ignores SIGCHLD, or
    /// another of its threads could wait first. Before the record of the end.
    13 Awaited "awaited" from "`sched_process_exit`": AwaitedRecord of 56 bytes {
        /// The process.
        id: TaskId,
        /// The thread of its parent that waits for it, in wait4(2) or waitid(2).
        waiter: TaskId,
        /// 1: it waits for exactly this process; 0: for any child, where the parent ignores SIGCHLD.
        only: u32,
        /// Nothing.
        reserved: u32 as Meaning::Reserved,
    };

    /// Tracing began: the first record.
    64 Start "start": StartRecord of 16 bytes {} then Rest::Json;

    /// The rows of a snapshot follow.
    65 SnapshotBegin "snapshot_begin": SnapshotBeginRecord of 16 bytes {};

    /// The rows of a snapshot are complete.
    66 SnapshotEnd "snapshot_end": SnapshotEndRecord of 16 bytes {};

    /// The command line of a process.
    67 CommandLine "command_line" from "`/proc/PID/cmdline`": CommandLineRecord of 40 bytes {
        /// The process.
        id: TaskId,
        /// Whether the arguments are all.
        cut: u32 as Meaning::Cut,
        /// How far they can be believed.
        trust: u32 as Meaning::OneOf(trust::WORDS),
    } then Rest::Arguments;

    /// A look at a process, taken before a finding about it is reported.
    68 Look "look" from "`/proc/PID/stat`": LookRecord of 40 bytes {
        /// The process.
        id: TaskId,
        /// Its parent's pid on the host.
        ppid: u32,
        /// The letter of its state in proc(5), 0: it is gone.
        state: u8,
        /// Nothing.
        reserved: u8 as Meaning::Reserved,
        /// The number of the pseudo-terminal that controls it, plus 1; 0: none.
        pts: u16,
    };

    /// Who is traced, and who is a subreaper: the complete result of a survey. Its time is the survey's end.
    69 Surveyed "surveyed": SurveyedRecord of 24 bytes {
        /// When the survey began.
        began: u64 as BOOT_TIME,
    } then Rest::Data("a record of the kind survey for each process");

    /// Records are missing here.
    70 Lost "lost": LostRecord of 40 bytes {
        /// Records that could not be decoded.
        undecodable: u64,
        /// Events at which the kernel skipped a program because it was already running.
        missed: u64,
        /// Records of a trace that could not be read back.
        unreadable: u64,
    } then Rest::Data("for each kind from 0 on a u64: records that found no room in the ring buffer");

    /// Time has passed: the rules are asked again.
    71 Tick "tick": TickRecord of 16 bytes {};

    /// Tracing ended as it should: the last record.
    72 End "end": EndRecord of 48 bytes {
        /// When tracing began.
        began: u64 as BOOT_TIME,
        /// Processor time that the tool used since then.
        cpu_ns: u64 as Meaning::Unit("ns"),
        /// Signals that the kernel generated since then, including those that are not in the trace.
        signals: u64,
        /// Bounded loops over threads or ancestors in the kernel that ended early.
        walks_cut: u64,
    };

    /// The command that the recording is about was started; right after the birth of its process.
    73 CommandStarted "command_started": CommandStartedRecord of 40 bytes {
        /// The process.
        id: TaskId,
        /// Whether the arguments are all.
        cut: u32 as Meaning::Cut,
        /// Nothing.
        reserved: u32 as Meaning::Reserved,
    } then Rest::Arguments;

    /// The command that the recording is about ended.
    74 CommandEnded "command_ended": CommandEndedRecord of 40 bytes {
        /// The process.
        id: TaskId,
        /// Its wait status.
        status: i32,
        /// Nothing.
        reserved: u32 as Meaning::Reserved,
    };

    /// The members of the command's tree; only in an image of the world, which does not say who created whom.
    75 CommandScope "command_scope": CommandScopeRecord of 24 bytes {
        /// How many processes.
        processes: u32,
        /// How many pid namespaces.
        namespaces: u32,
    } then Rest::Data("a process each, as in id; then an inode number each, a u32");

    /// What is known of a container. A later one of the same id replaces it.
    76 Container "container" from "the engine, the OCI bundle": ContainerRecord of 16 bytes {} then Rest::Json;

    /// A process belongs to a container, and with it its descendants; with an init, whoever lives in
    /// its pid namespace.
    77 Contained "contained" from "the runtime's command line, `/proc/PID/cgroup`": ContainedRecord of 32 bytes {
        /// The process.
        id: TaskId,
    } then Rest::Name("the container's id");

    /// How many ptys and pids are left, of the machine and of control groups, where that has changed.
    78 Rooms "rooms" from "`/proc/sys/kernel`, `pids.current`, `/proc/PID/fd`": RoomsRecord of 16 bytes {}
        then Rest::Json;

    /// Which signals wait for a thread and its process, which it blocks and handles; all 0 if it is gone.
    79 Masks "masks" from "`/proc/PID/task/TID/status`": MasksRecord of 64 bytes {
        /// The thread.
        id: TaskId,
        /// Signals that are pending for the thread, a bit each from signal 1.
        pending: u64,
        /// Signals that are pending for the process.
        shared_pending: u64,
        /// Signals that the thread blocks.
        blocked: u64,
        /// Signals that the process handles. Older versions did not write this.
        caught: u64,
    };

    /// What was out of memory when the out-of-memory killer chose a process.
    80 OutOfMemory "out_of_memory" from "`/dev/kmsg`": OutOfMemoryRecord of 40 bytes {
        /// The process.
        id: TaskId,
        /// 1: a control group was, 0: the machine was.
        of_group: u32,
        /// Nothing.
        reserved: u32 as Meaning::Reserved,
    } then Rest::Name("the path of the control group, where it is known");

    /// What keeps a process from going on, found before that is said.
    81 Held "held" from "`/proc/PID/wchan`, `syscall`, `fd`, `cgroup`": HeldRecord of 32 bytes {
        /// The process.
        id: TaskId,
    } then Rest::Json;

    /// Whether one process has the writing end of a pipe of which another one has the reading end.
    82 Pipe "pipe" from "`/proc/PID/fd`": PipeRecord of 56 bytes {
        /// Who has the reading end.
        reader: TaskId,
        /// Who may have the writing end.
        writer: TaskId,
        /// 1: it has.
        shared: u32,
        /// Nothing.
        reserved: u32 as Meaning::Reserved,
    };

    /// Whoever made the trace asked for the tree of this process (`--tree`).
    83 TreeRoot "tree_root": TreeRootRecord of 32 bytes {
        /// The process.
        id: TaskId,
    };

    /// In an image of the world, which has no `exec`: since when a process runs its program.
    84 Running "running": RunningRecord of 48 bytes {
        /// The process.
        id: TaskId,
        /// Boot time of that exec, in nanoseconds.
        since: u64,
        /// Signals that were ignored then, as in the `exec`: a bit each from signal 1.
        ignored: u64,
    };

    /// From here on, findings have these thresholds (JSON): an agent was given others.
    85 Thresholds "thresholds" from "the configuration": ThresholdsRecord of 16 bytes {} then Rest::Json;
}

/// The first kind that no program in the kernel writes.
pub const FIRST_NOTE: u8 = 64;

impl RecordKind {
    /// One more than the largest kind that a program in the kernel writes: the length of a list with an entry for each.
    pub const IN_KERNEL: usize = {
        let (mut count, mut i) = (0, 0);
        while i < Self::ALL.len() {
            if (Self::ALL[i] as u8) < FIRST_NOTE && Self::ALL[i] as usize >= count {
                count = Self::ALL[i] as usize + 1;
            }
            i += 1;
        }
        count
    };
}

/// The most bytes of arguments that an `exec` or a `command_line` carries.
pub const ARGS_MAX: usize = 512;

/// "Not known" in [`RowRecord::idle`].
pub const NEVER: u64 = u64::MAX;

/// "Not known" in [`ReapRecord::call`].
pub const NO_CALL: i32 = i32::MIN;

layout! {
    /// What the kernel knows about a process that executes a program: how far its command line, which it could choose,
    /// can be believed, and what the program inherits. Follows the arguments of an [`ExecRecord`]. Older versions wrote
    /// less of it, or nothing.
    ExecContext of 16 bytes {
        /// How far the arguments can be believed.
        trust: u32 as Meaning::OneOf(trust::WORDS),
        /// Inode number of its mount namespace, 0: unknown.
        mount_ns: u32,
        /// Signals that it ignores (`SIG_IGN`), a bit each from signal 1: an exec keeps those, and resets
        /// handlers only. Looked at are HUP, INT, QUIT, PIPE, TERM, CHLD, TSTP, TTIN and TTOU.
        ignored: u64,
    }
}

/// How far a command line can be believed, by what the kernel knows of the user who chose it.
pub mod trust {
    words! { u32:
        /// Not known (in traces of older versions).
        UNKNOWN = 0;
        /// Not at all: chosen by a user who is root only in a user or mount namespace of their own, or for a program
        /// that runs as another user than the one who started it.
        NOBODY = 1;
        /// As far as root, in the initial user namespace and the host's mount namespace. Larger values: as far as the
        /// user whose id on the host is 2 less.
        USER = 2;
    }
}

/// Bits of [`ExitRecord::flags`].
pub mod exit_flags {
    words! { u32:
        /// The last thread: the process is ending.
        GROUP_DEAD = 1 << 0;
        /// The main thread.
        LEADER = 1 << 1;
        /// The thread has children to hand on.
        HAS_CHILDREN = 1 << 2;
        /// No zombie will be left, once no tracer holds it: the parent ignores SIGCHLD (or has
        /// `SA_NOCLDWAIT`), or the process was cloned with `CLONE_AUTOREAP`.
        AUTOREAP = 1 << 3;
        /// The whole process is exiting: it is being killed or has called `exit_group()`.
        GROUP_EXIT = 1 << 4;
        /// The adopter ignores SIGCHLD in the same way, so the kernel releases the zombies among the children.
        ADOPTER_IGNORES = 1 << 5;
        /// The out-of-memory killer chose this process (`signal->oom_mm`).
        OOM_VICTIM = 1 << 6;
        /// seccomp allows the main thread next to nothing (its strict mode), or has ended it. That takes no
        /// signal (`__secure_computing_strict()`).
        SECCOMP = 1 << 7;
    }
}

/// Values of [`ExitRecord::adopter_class`].
pub mod adopter {
    words! { u32:
        /// None: there is nothing to hand on, or the namespace ends with this process.
        NONE = 0;
        /// Another thread of the same process.
        THREAD = 1;
        /// The nearest living ancestor that is a subreaper.
        SUBREAPER = 2;
        /// Pid 1 of the dying process's namespace.
        NAMESPACE_INIT = 3;
        /// Unknown: a bounded loop ended before the answer was found.
        UNKNOWN = 4;
    }
}

/// Bytes of a [`SignalRecord`] of a version that did not write [`SignalRecord::aim`] and what follows.
pub const SIGNAL_WITHOUT_AIM: usize = 56;

/// Bytes of a [`MasksRecord`] of a version that did not write [`MasksRecord::caught`].
pub const MASKS_WITHOUT_CAUGHT: usize = 56;

/// Values of [`SignalRecord::aim`]: the first argument of kill(2).
pub mod aim {
    words! { u32:
        /// Unknown: another call, or a kernel that does not tell.
        UNKNOWN = 0;
        /// One process.
        ONE = 1;
        /// The process group of the sender.
        OWN_GROUP = 2;
        /// A process group.
        GROUP = 3;
        /// All that the sender may signal.
        ALL = 4;
    }
}

/// Bits of [`SignalRecord::flags`] and [`DeliverRecord::flags`].
pub mod signal_flags {
    words! { u16:
        /// (Two bits.) What the target does with this signal: 0 the default, 1 it ignores it, 2 it has a
        /// handler.
        HANDLER_MASK = 0b11;
        /// Every thread that could take the signal blocks it.
        BLOCKED = 1 << 2;
        /// `SIGNAL_UNKILLABLE` is set on the target.
        UNKILLABLE = 1 << 3;
        /// The target process is being killed, or dumps its core, and not because of this signal.
        DYING = 1 << 4;
        /// The target process is stopped. For SIGCONT: it was, and is continued now.
        STOPPED = 1 << 5;
        /// The target is traced by ptrace.
        TRACED = 1 << 6;
        /// The target is a kernel thread.
        KTHREAD = 1 << 7;
        /// The sender is outside the target's pid namespace, and has no pid there.
        OUTSIDE = 1 << 8;
        /// The sender has entered `do_exit()`.
        SENDER_EXITING = 1 << 9;
        /// The sender is pid 1 of its own pid namespace.
        SENDER_INIT = 1 << 10;
        /// No siginfo (`SEND_SIG_NOINFO`): sent on behalf of the current task.
        NO_INFO = 1 << 11;
        /// Sent by the kernel itself (`SEND_SIG_PRIV`).
        KERNEL_INFO = 1 << 12;
        /// For the whole process, not for one thread.
        GROUP = 1 << 13;
        /// Every thread that could take the signal has entered `do_exit()`: the target thread, or all threads if the
        /// signal is for the whole process.
        EXITING = 1 << 14;
        /// Whoever takes the signal waits for it (sigwait(3) and its like): its default action does not come
        /// about.
        AWAITED = 1 << 15;
    }

    /// Of [`HANDLER_MASK`]: `SIG_DFL`.
    pub const DEFAULT: u16 = 0;
    /// Of [`HANDLER_MASK`]: `SIG_IGN`.
    pub const IGNORE: u16 = 1;
    /// Of [`HANDLER_MASK`]: a function of the program.
    pub const HANDLER: u16 = 2;
}
