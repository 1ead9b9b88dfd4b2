//! The identity of a task: the short form that every record carries, and the full form that
//! travels once per process.

/// Names one thread of one process, for ever.
///
/// `(start, tgid)` is the identity of the process: it survives exec, also an exec from a thread
/// that is not the leader, because `de_thread()` hands the leader's start time and tgid over.
/// All zero means "no task".
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskId {
    /// Start of the thread group's leader, nanoseconds of the boot-time clock
    /// (`group_leader->start_boottime`).
    pub start: u64,
    /// Process id as the host sees it.
    pub tgid: u32,
    /// Thread id as the host sees it; equal to `tgid` for the leader.
    pub tid: u32,
}

/// Everything the world needs to know of a process that it has not met before.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// Who it is.
    pub id: TaskId,
    /// `real_parent`: who owes the wait, and the thread of it that holds the child.
    pub parent: TaskId,
    /// The first 15 bytes of the program's name, chosen by the program: hostile bytes.
    pub comm: [u8; 16],
    /// Id of its cgroup (`kernfs_node.id` of the unified hierarchy), 0 when unknown.
    pub cgroup: u64,
    /// Inode number of its pid namespace, as in `/proc/PID/ns/pid`.
    pub pid_ns: u32,
    /// Inode number of that namespace's parent, 0 for the initial namespace.
    pub parent_ns: u32,
    /// Depth of its pid namespace, 0 for the initial one.
    pub ns_level: u32,
    /// Its process id inside its own namespace.
    pub ns_pid: u32,
    /// Its process ids at the levels 1, 2 and 3, 0 where it has none. Level 0 is `id.tgid`.
    pub mid_pids: [u32; 3],
    /// What it is: see [`flags`].
    pub flags: u32,
    /// Signal that its death sends to the parent; 0 for none (`clone` without a signal).
    pub exit_signal: i32,
    /// Threads that have not been released yet (`signal->nr_threads`).
    pub threads: u32,
}

/// Bits of [`Task::flags`].
pub mod flags {
    /// Pid 1 of its own pid namespace.
    pub const INIT: u32 = 1 << 0;
    /// `SIGNAL_UNKILLABLE` is set: signals with the default action are dropped.
    pub const UNKILLABLE: u32 = 1 << 1;
    /// `prctl(PR_SET_CHILD_SUBREAPER)` was called: it adopts orphaned descendants.
    pub const SUBREAPER: u32 = 1 << 2;
    /// A kernel thread.
    pub const KTHREAD: u32 = 1 << 3;
    /// `PF_EXITING`: it has entered `do_exit()`.
    pub const EXITING: u32 = 1 << 4;
    /// Its parent has no pid in its namespace, whose first process it is not: it came in by
    /// `setns` (`docker exec`, `nsenter`).
    pub const OUTSIDER: u32 = 1 << 5;
    /// In a row of the snapshot: the leader is dead, so either a zombie or a dead main thread.
    pub const LEADER_DEAD: u32 = 1 << 6;
}

const _: () = assert!(size_of::<TaskId>() == 16);
const _: () = assert!(size_of::<Task>() == 16 + 16 + 16 + 8 + 4 * 4 + 12 + 4 + 4 + 4);
