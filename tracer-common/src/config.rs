//! What user space sets in the programs before it loads them, and what the programs count.

use crate::record::RecordKind;

/// An offset that this kernel does not have; the read is skipped and the field is 0.
pub const MISSING: u32 = u32::MAX;

macro_rules! offsets {
    ($($(#[$meta:meta])* $name:ident: $path:literal,)*) => {
        /// Byte offsets of kernel fields, resolved from the running kernel's BTF.
        ///
        /// The programs read them as constants (read-only, frozen global), which lets the
        /// verifier check each load against the kernel's types.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Offsets {
            $($(#[$meta])* #[doc = concat!("`", $path, "`")] pub $name: u32,)*
        }

        impl Offsets {
            /// Each field's path in the kernel's types, in the order of the struct.
            pub const PATHS: &'static [&'static str] = &[$($path),*];

            /// Builds the struct from one value per path.
            pub const fn from_values(values: [u32; Self::PATHS.len()]) -> Self {
                let [$($name),*] = values;
                Self { $($name),* }
            }

            /// No field known.
            pub const NONE: Self = Self { $($name: MISSING),* };
        }
    };
}

offsets! {
    task_flags: "task_struct.flags",
    task_ptrace: "task_struct.ptrace",
    task_jobctl: "task_struct.jobctl",
    task_exit_state: "task_struct.exit_state",
    task_exit_code: "task_struct.exit_code",
    task_exit_signal: "task_struct.exit_signal",
    task_parent_exec_id: "task_struct.parent_exec_id",
    task_self_exec_id: "task_struct.self_exec_id",
    task_pid: "task_struct.pid",
    task_tgid: "task_struct.tgid",
    task_real_parent: "task_struct.real_parent",
    task_parent: "task_struct.parent",
    task_children: "task_struct.children",
    task_group_leader: "task_struct.group_leader",
    task_thread_node: "task_struct.thread_node",
    task_thread_pid: "task_struct.thread_pid",
    task_start_boottime: "task_struct.start_boottime",
    task_comm: "task_struct.comm",
    task_signal: "task_struct.signal",
    task_sighand: "task_struct.sighand",
    task_blocked: "task_struct.blocked",
    task_real_blocked: "task_struct.real_blocked",
    task_pending: "task_struct.pending.signal",
    task_last_siginfo: "task_struct.last_siginfo",
    task_mm: "task_struct.mm",
    task_cgroups: "task_struct.cgroups",
    task_cred: "task_struct.cred",
    task_nsproxy: "task_struct.nsproxy",
    task_seccomp: "task_struct.seccomp.mode",
    task_exec_start: "task_struct.se.exec_start",
    /// Byte of the flag; its mask is in [`Config::in_execve_mask`].
    task_in_execve: "task_struct.in_execve",
    signal_live: "signal_struct.live",
    signal_curr_target: "signal_struct.curr_target",
    signal_nr_threads: "signal_struct.nr_threads",
    /// Since 6.1, when `synchronize_group_exit()` began to mark every exit.
    signal_quick_threads: "signal_struct.quick_threads",
    signal_thread_head: "signal_struct.thread_head",
    signal_group_exit_code: "signal_struct.group_exit_code",
    signal_flags: "signal_struct.flags",
    signal_oom_mm: "signal_struct.oom_mm",
    signal_waiters: "signal_struct.wait_chldexit.head",
    /// By `enum pid_type`.
    signal_pids: "signal_struct.pids",
    signal_tty: "signal_struct.tty",
    /// Byte of the flag; its mask is in [`Config::is_subreaper_mask`].
    signal_is_subreaper: "signal_struct.is_child_subreaper",
    /// Byte of the flag; its mask is in [`Config::has_subreaper_mask`].
    signal_has_subreaper: "signal_struct.has_child_subreaper",
    /// Byte of the flag, since 7.3; its mask is in [`Config::autoreap_mask`].
    signal_autoreap: "signal_struct.autoreap",
    sighand_action: "sighand_struct.action",
    pid_level: "pid.level",
    pid_numbers: "pid.numbers",
    waiter_entry: "wait_queue_entry.entry",
    waiter_task: "wait_queue_entry.private",
    wait_entry: "wait_opts.child_wait",
    wait_type: "wait_opts.wo_type",
    wait_flags: "wait_opts.wo_flags",
    wait_pid: "wait_opts.wo_pid",
    ns_child_reaper: "pid_namespace.child_reaper",
    ns_parent: "pid_namespace.parent",
    ns_inum: "pid_namespace.ns.inum",
    mm_arg_start: "mm_struct.arg_start",
    mm_arg_end: "mm_struct.arg_end",
    css_dfl_cgrp: "css_set.dfl_cgrp",
    cgroup_kn: "cgroup.kn",
    kn_id: "kernfs_node.id",
    cred_uid: "cred.uid.val",
    cred_euid: "cred.euid.val",
    cred_user_ns: "cred.user_ns",
    user_ns_level: "user_namespace.level",
    nsproxy_mnt_ns: "nsproxy.mnt_ns",
    mnt_ns_inum: "mnt_namespace.ns.inum",
    siginfo_code: "kernel_siginfo.si_code",
    tty_driver: "tty_struct.driver",
    tty_index: "tty_struct.index",
    driver_major: "tty_driver.major",
    driver_minor_start: "tty_driver.minor_start",
    /// The number of the system call, 32 bits; on arm64 `pt_regs.syscallno`.
    regs_call: "pt_regs.orig_ax",
    /// Its first argument; on arm64 `pt_regs.orig_x0`.
    regs_first: "pt_regs.di",
}

/// Read-only settings of the programs.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the fields are.
    pub offsets: Offsets,
    /// Bit of `is_child_subreaper` in its byte.
    pub is_subreaper_mask: u32,
    /// Bit of `has_child_subreaper` in its byte.
    pub has_subreaper_mask: u32,
    /// Bit of `in_execve` in its byte.
    pub in_execve_mask: u32,
    /// Bit of `autoreap` in its byte.
    pub autoreap_mask: u32,
    /// 1: the kernel has `bpf_get_current_task_btf` (since 5.11).
    pub has_typed_current: u32,
    /// 1: the kernel has `bpf_task_pt_regs` (since 5.15).
    pub has_task_regs: u32,
    /// 1: the verifier knows the type of the siginfo argument of the signal tracepoints.
    pub has_typed_siginfo: u32,
    /// Bytes of one element of `sighand_struct.action`.
    pub action_size: u32,
    /// The number of kill(2).
    pub call_kill: u32,
    /// Inode number of the host's mount namespace, 0 when unknown.
    pub host_mount_ns: u32,
    /// 1: send every generated signal. 0: only those that findings rest on, which is signals
    /// for a process that the kernel protects (`SIGNAL_UNKILLABLE`), signals that could end a
    /// process, stop it or continue it, and some of those that the queue had no room for.
    pub all_signals: u32,
    /// 1: send every delivery. 0: only those that the kernel is about to drop.
    pub all_deliveries: u32,
    /// Slots of each processor's ring of signals, a power of two; 0: all records go into the ring buffer.
    pub ring_slots: u32,
}

impl Config {
    /// Settings of a program that was loaded without any.
    pub const NONE: Self = Self {
        offsets: Offsets::NONE,
        is_subreaper_mask: 0,
        has_subreaper_mask: 0,
        in_execve_mask: 0,
        autoreap_mask: 0,
        has_typed_current: 0,
        has_task_regs: 0,
        has_typed_siginfo: 0,
        action_size: 0,
        call_kill: 0,
        host_mount_ns: 0,
        all_signals: 0,
        all_deliveries: 0,
        ring_slots: 0,
    };
}

/// Counters that the programs keep, one copy per processor.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records that found no room in the ring buffer, by [`RecordKind`].
    pub lost: [u64; RecordKind::IN_KERNEL],
    /// Signals generated, including those not sent to user space.
    pub signals: u64,
    /// Deliveries, including those not sent to user space.
    pub deliveries: u64,
    /// How often a bounded loop over threads or ancestors ended early.
    pub walks_cut: u64,
}

// SAFETY: `repr(C)`, integers only, no padding (all fields have the same alignment).
#[cfg(feature = "aya")]
unsafe impl aya::Pod for Config {}
// SAFETY: as above.
#[cfg(feature = "aya")]
unsafe impl aya::Pod for Stats {}
