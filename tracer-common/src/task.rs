//! The identity of a task: the short form that every record carries, and the full form that travels once per process.

use crate::describe::{BOOT_TIME, Meaning};

layout! {
    /// Names one thread of one process, for all time.
    ///
    /// `(start, tgid)` is the identity of the process. It survives an exec, even by a thread that is not the leader,
    /// because `de_thread()` hands over the leader's start time and tgid. All zero means "no task".
    TaskId of 16 bytes {
        /// When the process (its main thread) was created. Together with tgid it identifies the process for all time.
        start: u64 as BOOT_TIME,
        /// Its pid on the host; 0: nobody.
        tgid: u32,
        /// The thread's id on the host, which for the main thread is that pid.
        tid: u32,
    }
}

layout! {
    /// All that the world needs to know about a process that is new to it.
    Task of 96 bytes {
        /// The process.
        id: TaskId,
        /// Who owes the wait (`real_parent`), and which of its threads has the child.
        parent: TaskId,
        /// The first 15 bytes of the program's name.
        comm: [u8; 16] as Meaning::Name,
        /// Id of its cgroup in the unified hierarchy (`kernfs_node.id`), 0: unknown.
        cgroup: u64,
        /// Inode number of its pid namespace, as in `/proc/PID/ns/pid`.
        pid_ns: u32,
        /// Inode number of the namespace around that, 0: none.
        parent_ns: u32,
        /// Depth of its pid namespace, 0: the initial one.
        ns_level: u32,
        /// Its pid in its own pid namespace.
        ns_pid: u32,
        /// Its pids at the levels 1, 2 and 3, 0: none.
        mid_pids: [u32; 3],
        /// What it is.
        flags: u32 as Meaning::Bits(flags::WORDS),
        /// The signal that its death sends to the parent, 0: none.
        exit_signal: i32,
        /// Threads that have not been released (`signal->nr_threads`).
        threads: u32,
    }
}

/// Bits of [`Task::flags`].
pub mod flags {
    words! { u32:
        /// Pid 1 of its own pid namespace.
        INIT = 1 << 0;
        /// `SIGNAL_UNKILLABLE` is set: signals with the default action are dropped.
        UNKILLABLE = 1 << 1;
        /// A subreaper (`PR_SET_CHILD_SUBREAPER`): it adopts orphaned descendants.
        SUBREAPER = 1 << 2;
        /// A kernel thread.
        KTHREAD = 1 << 3;
        /// `PF_EXITING`: it has entered `do_exit()`.
        EXITING = 1 << 4;
        /// It entered its pid namespace by `setns` (`docker exec`, `nsenter`): its parent has no pid there, and it is
        /// not the first process there.
        OUTSIDER = 1 << 5;
        /// Set in rows of a snapshot: the main thread is dead, so the process is a zombie or runs without it.
        LEADER_DEAD = 1 << 6;
    }
}
