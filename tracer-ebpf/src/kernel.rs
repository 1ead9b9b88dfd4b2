//! The only place that knows how to read kernel structures: through typed pointers with constant offsets where the
//! verifier knows the type, by checked copies where it does not.

use core::ffi::c_void;

use aya_ebpf::helpers::{
    bpf_get_current_task_btf,
    generated::{bpf_probe_read_kernel, bpf_task_pt_regs},
};
use tracer_common::{
    Config, Task, TaskId,
    config::MISSING,
    record::{ExecContext, trust},
    signal::{contains, number, set},
    task::flags,
};

/// The loader sets it; it is read-only and frozen when the programs are verified. So the verifier treats each value as
/// a constant, drops branches that this kernel does not need, and checks `pointer + offset` against the kernel's own
/// types.
#[unsafe(no_mangle)]
pub static CONFIG: Config = Config::NONE;

/// A setting, by its field of [`Config`].
macro_rules! config {
    ($($field:ident).+) => {
        // SAFETY: a field of a static; volatile because the loader has changed its value.
        unsafe { (&raw const $crate::kernel::CONFIG.$($field).+).read_volatile() }
    };
}
pub(crate) use config;

/// An offset, by its field of [`Offsets`](tracer_common::Offsets).
macro_rules! offset {
    ($field:ident) => {
        $crate::kernel::config!(offsets.$field)
    };
}
pub(crate) use offset;

/// Whether this kernel has all of these fields. Must be asked before a pointer field is followed; a missing value
/// simply reads as 0.
macro_rules! has {
    ($($field:ident),+) => {
        $($crate::kernel::offset!($field) != ::tracer_common::config::MISSING)&&+
    };
}
pub(crate) use has;

/// `PF_EXITING` of `task_struct.flags`.
pub const PF_EXITING: u32 = 0x4;
/// `PF_KTHREAD` of `task_struct.flags`.
pub const PF_KTHREAD: u32 = 0x0020_0000;
/// The signal of a child's end.
pub const SIGCHLD: u32 = 17;
/// `SIG_IGN`, in place of a handler.
const SIG_IGN: u64 = 1;
/// `SA_NOCLDWAIT` of `sigaction.sa_flags`.
const SA_NOCLDWAIT: u64 = 2;
/// Of `enum pid_type`, a process group.
pub const PIDTYPE_PGID: u32 = 2;
/// Of `enum pid_type`, a session.
pub const PIDTYPE_SID: u32 = 3;
/// `SIGNAL_STOP_STOPPED` of `signal_struct.flags`.
pub const SIGNAL_STOP_STOPPED: u32 = 0x1;
/// `SIGNAL_CLD_MASK` of `signal_struct.flags`: SIGCONT has continued the process (or kept it from stopping), and its
/// parent has not been notified yet.
pub const SIGNAL_CLD_MASK: u32 = 0x30;
/// `SIGNAL_GROUP_EXIT` of `signal_struct.flags`.
pub const SIGNAL_GROUP_EXIT: u32 = 0x4;
/// `SIGNAL_GROUP_COREDUMP` of `signal_struct.flags`, up to 5.15.
pub const SIGNAL_GROUP_COREDUMP: u32 = 0x8;
/// `SIGNAL_UNKILLABLE` of `signal_struct.flags`.
pub const SIGNAL_UNKILLABLE: u32 = 0x40;

/// A pointer to a kernel structure.
pub trait Pointer: Copy {
    /// The address, for comparisons.
    fn address(self) -> u64;

    /// Loads a field, 0 where the kernel has none.
    fn load<T: Copy + Default>(self, offset: u32) -> T;

    /// Follows a pointer field, which this kernel must have.
    fn follow(self, offset: u32) -> Self;

    /// Loads a 32-bit field.
    #[inline(always)]
    fn u32(self, offset: u32) -> u32 {
        self.load(offset)
    }

    /// Loads a 64-bit field.
    #[inline(always)]
    fn u64(self, offset: u32) -> u64 {
        self.load(offset)
    }

    /// Loads one byte.
    #[inline(always)]
    fn u8(self, offset: u32) -> u8 {
        self.load(offset)
    }
}

/// A pointer whose type the verifier knows (`PTR_TO_BTF_ID`). A load through it is one
/// instruction; a bad address reads as zero.
#[derive(Clone, Copy)]
pub struct Typed(*const u8);

impl Typed {
    /// Wraps an argument of a BTF tracepoint, or the result of `bpf_get_current_task_btf`.
    #[inline(always)]
    pub fn new<T>(pointer: *const T) -> Self {
        Self(pointer.cast())
    }
}

impl Pointer for Typed {
    #[inline(always)]
    fn address(self) -> u64 {
        self.0 as u64
    }

    #[inline(always)]
    fn load<T: Copy + Default>(self, offset: u32) -> T {
        if offset == MISSING {
            return T::default();
        }
        // SAFETY: the verifier has checked base and offset against the kernel's types.
        unsafe { self.0.add(offset as usize).cast::<T>().read_volatile() }
    }

    #[inline(always)]
    fn follow(self, offset: u32) -> Self {
        // SAFETY: as in `load`; the verifier knows the type of what the field points at.
        Self(unsafe { self.0.add(offset as usize).cast::<*const u8>().read_volatile() })
    }
}

/// A plain address. A load through it is a checked copy ([`peek`]).
#[derive(Clone, Copy)]
pub struct Plain(pub u64);

impl Pointer for Plain {
    #[inline(always)]
    fn address(self) -> u64 {
        self.0
    }

    #[inline(always)]
    fn load<T: Copy + Default>(self, offset: u32) -> T {
        peek(self.0, offset)
    }

    #[inline(always)]
    fn follow(self, offset: u32) -> Self {
        Self(peek(self.0, offset))
    }
}

/// Runs a function on the current task. Kernels before 5.11 give it no type; the verifier drops the branch that is not
/// for this kernel.
macro_rules! with_current {
    (|$task:ident| $body:expr) => {
        if $crate::kernel::config!(has_typed_current) != 0 {
            // SAFETY: the helper has no arguments and cannot fail.
            let current = unsafe { ::aya_ebpf::helpers::bpf_get_current_task_btf() };
            let $task = $crate::kernel::TaskPtr($crate::kernel::Typed::new(current));
            $body
        } else {
            // SAFETY: as above.
            let current = unsafe { ::aya_ebpf::helpers::bpf_get_current_task() };
            let $task = $crate::kernel::TaskPtr($crate::kernel::Plain(current));
            $body
        }
    };
}
pub(crate) use with_current;

/// Copies from a kernel address whose type the verifier does not know; zero if that fails.
#[inline(always)]
pub fn peek<T: Copy + Default>(address: u64, offset: u32) -> T {
    if offset == MISSING {
        return T::default();
    }
    let mut value = core::mem::MaybeUninit::<T>::uninit();
    let source = (address + u64::from(offset)) as *const c_void;
    // SAFETY: the helper checks the address and zero-fills the value if it is bad; zero is valid for every type here.
    // Ignoring the helper's result saves the verifier a branch.
    unsafe {
        bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, source);
        value.assume_init()
    }
}

/// The registers with which the current task entered the kernel, where they can be read.
#[inline(always)]
pub fn registers() -> Option<Typed> {
    if config!(has_typed_current) == 0 || config!(has_task_regs) == 0 || !has!(regs_call) {
        return None;
    }
    // SAFETY: the current task is always valid, and so are its registers.
    Some(Typed::new(unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as *const c_void))
}

/// `struct upid`: a process id and the namespace in which it is one.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Upid {
    /// The id.
    pub nr: u32,
    reserved: u32,
    /// Address of the `pid_namespace`.
    pub ns: u64,
}

/// A `task_struct`.
#[derive(Clone, Copy)]
pub struct TaskPtr<P>(pub P);

impl<P: Pointer> TaskPtr<P> {
    /// Its short identity.
    #[inline(always)]
    pub fn id(self) -> TaskId {
        TaskId {
            start: self.0.follow(offset!(task_group_leader)).u64(offset!(task_start_boottime)),
            tgid: self.tgid(),
            tid: self.tid(),
        }
    }

    /// Process id on the host.
    #[inline(always)]
    pub fn tgid(self) -> u32 {
        self.0.u32(offset!(task_tgid))
    }

    /// Thread id on the host.
    #[inline(always)]
    pub fn tid(self) -> u32 {
        self.0.u32(offset!(task_pid))
    }

    /// `PF_*`.
    #[inline(always)]
    pub fn flags(self) -> u32 {
        self.0.u32(offset!(task_flags))
    }

    /// Its `signal_struct`.
    #[inline(always)]
    pub fn signal(self) -> P {
        self.0.follow(offset!(task_signal))
    }

    /// Who owes the wait.
    #[inline(always)]
    pub fn real_parent(self) -> Self {
        Self(self.0.follow(offset!(task_real_parent)))
    }

    /// Who traces it, if anybody.
    #[inline(always)]
    pub fn tracer(self) -> TaskId {
        if self.0.u32(offset!(task_ptrace)) == 0 {
            return TaskId::default();
        }
        Self(self.0.follow(offset!(task_parent))).id()
    }

    /// Its name.
    #[inline(always)]
    pub fn comm(self) -> [u8; 16] {
        peek(self.0.address(), offset!(task_comm))
    }

    /// Depth of its pid namespace.
    #[inline(always)]
    pub fn ns_level(self) -> u32 {
        self.0.follow(offset!(task_thread_pid)).u32(offset!(pid_level))
    }

    /// Its id in the namespace at one of its levels.
    #[inline(always)]
    pub fn upid(self, level: u32) -> Upid {
        let pid = self.0.u64(offset!(task_thread_pid));
        peek(pid, offset!(pid_numbers) + level * size_of::<Upid>() as u32)
    }

    /// Its process group or session (`enum pid_type`), by its number on the host; 0 if that is not known.
    #[inline(always)]
    pub fn number_of(self, kind: u32) -> u32 {
        if !has!(signal_pids) {
            return 0;
        }
        let pid = self.signal().follow(offset!(signal_pids) + kind * size_of::<u64>() as u32);
        // The first is the one on the host, and begins with the number.
        pid.u32(offset!(pid_numbers))
    }

    /// The number of its controlling terminal (`tty_devnum()`), 0 if it has none.
    #[inline(always)]
    pub fn terminal(self) -> u32 {
        let tty = self.signal().u64(offset!(signal_tty));
        if tty == 0 || !has!(tty_driver, tty_index, driver_major, driver_minor_start) {
            return 0;
        }
        let driver: u64 = peek(tty, offset!(tty_driver));
        let major: u32 = peek(driver, offset!(driver_major));
        let first: u32 = peek(driver, offset!(driver_minor_start));
        (major << 20).wrapping_add(first).wrapping_add(peek(tty, offset!(tty_index)))
    }

    /// Whether it has a pid in the other task's namespace.
    #[inline(always)]
    pub fn is_visible_to<Q: Pointer>(self, other: TaskPtr<Q>) -> bool {
        let level = other.ns_level();
        // Every task has a pid in the initial namespace.
        level == 0 || (self.ns_level() >= level && self.upid(level).ns == other.upid(level).ns)
    }

    /// Its `sigaction` for a signal: the handler and the flags.
    #[inline(always)]
    pub fn action(self, signal: u32) -> Action {
        let table = self.0.u64(offset!(task_sighand));
        if table == 0 {
            return Action::default();
        }
        peek(table, offset!(sighand_action) + (signal - 1) * config!(action_size))
    }

    /// Whether its children leave no zombies (`ignoring_children()`).
    #[inline(always)]
    pub fn ignores_children(self) -> bool {
        let action = self.action(SIGCHLD);
        action.handler == SIG_IGN || action.flags & SA_NOCLDWAIT != 0
    }

    /// Whether it has called `prctl(PR_SET_CHILD_SUBREAPER)`.
    #[inline(always)]
    pub fn is_subreaper(self) -> bool {
        u32::from(self.signal().u8(offset!(signal_is_subreaper))) & config!(is_subreaper_mask) != 0
    }

    /// Whether an ancestor is one, or was one when the task was created.
    #[inline(always)]
    pub fn has_subreaper(self) -> bool {
        u32::from(self.signal().u8(offset!(signal_has_subreaper))) & config!(has_subreaper_mask) != 0
    }

    #[inline(always)]
    fn cgroup(self) -> u64 {
        if !has!(task_cgroups, css_dfl_cgrp, cgroup_kn) {
            return 0;
        }
        self.0
            .follow(offset!(task_cgroups))
            .follow(offset!(css_dfl_cgrp))
            .follow(offset!(cgroup_kn))
            .u64(offset!(kn_id))
    }

    /// How far it can be believed, and its mount namespace. Every step is a checked copy, because not every kernel's
    /// BTF lets the verifier see `mnt_namespace`, which is private to `fs/`.
    #[inline(always)]
    fn credentials(self) -> (u32, u32) {
        if !has!(task_cred, task_nsproxy, cred_uid, cred_euid, cred_user_ns, user_ns_level, nsproxy_mnt_ns, mnt_ns_inum)
        {
            return (trust::NOBODY, 0);
        }
        let task = Plain(self.0.address());
        let cred = task.follow(offset!(task_cred));
        let (uid, euid) = (cred.u32(offset!(cred_uid)), cred.u32(offset!(cred_euid)));
        let mount_ns = task.follow(offset!(task_nsproxy)).follow(offset!(nsproxy_mnt_ns)).u32(offset!(mnt_ns_inum));
        // Whoever starts a set-user-ID program chooses its arguments.
        let is_own = uid == euid && uid <= u32::MAX - trust::USER;
        let is_hosts = cred.follow(offset!(cred_user_ns)).u32(offset!(user_ns_level)) == 0
            && mount_ns == config!(host_mount_ns)
            && mount_ns != 0;
        let trust = if is_own && (uid != 0 || is_hosts) { uid + trust::USER } else { trust::NOBODY };
        (trust, mount_ns)
    }

    /// Those of [`set::HANDED_ON`] that it ignores. Each that is looked at costs the verifier as much as a small
    /// program.
    #[inline(always)]
    fn ignored(self) -> u64 {
        let (mut ignored, mut signal) = (0, 1);
        while signal <= number::TTOU {
            if contains(set::HANDED_ON, signal) && self.action(signal).handler == SIG_IGN {
                ignored |= 1 << (signal - 1);
            }
            signal += 1;
        }
        ignored
    }

    /// What is told of it when it executes a program.
    #[inline(always)]
    pub fn exec_context(self) -> ExecContext {
        let (trust, mount_ns) = self.credentials();
        ExecContext { trust, mount_ns, ignored: self.ignored() }
    }

    /// Its full identity.
    #[inline(always)]
    pub fn identity(self) -> Task {
        let level = self.ns_level();
        let own = self.upid(level);
        let parent = self.real_parent();
        let id = self.id();
        let mut mid_pids = [0; 3];
        if level > 0 {
            let mut i = 0;
            while i < mid_pids.len() {
                if (i as u32) < level {
                    mid_pids[i] = self.upid(i as u32 + 1).nr;
                }
                i += 1;
            }
        }
        let parent_ns: u64 = if level == 0 { 0 } else { peek(own.ns, offset!(ns_parent)) };
        let signal = self.signal();
        let is_init = own.nr == 1;
        let bits = [
            (is_init, flags::INIT),
            (signal.u32(offset!(signal_flags)) & SIGNAL_UNKILLABLE != 0, flags::UNKILLABLE),
            (self.is_subreaper(), flags::SUBREAPER),
            (self.flags() & PF_KTHREAD != 0, flags::KTHREAD),
            (self.flags() & PF_EXITING != 0, flags::EXITING),
            (level > 0 && !is_init && !parent.is_visible_to(self), flags::OUTSIDER),
        ];
        let mut all = 0;
        for (is_set, bit) in bits {
            if is_set {
                all |= bit;
            }
        }
        Task {
            id,
            parent: parent.id(),
            comm: self.comm(),
            cgroup: self.cgroup(),
            pid_ns: peek(own.ns, offset!(ns_inum)),
            parent_ns: if parent_ns == 0 { 0 } else { peek(parent_ns, offset!(ns_inum)) },
            ns_level: level,
            ns_pid: own.nr,
            mid_pids,
            flags: all,
            exit_signal: self.0.u32(offset!(task_exit_signal)) as i32,
            threads: signal.u32(offset!(signal_nr_threads)),
        }
    }
}

/// The beginning of `struct k_sigaction`; the same on x86-64 and arm64.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Action {
    /// `SIG_DFL` (0), `SIG_IGN` (1) or an address.
    pub handler: u64,
    /// `SA_*`.
    pub flags: u64,
}
