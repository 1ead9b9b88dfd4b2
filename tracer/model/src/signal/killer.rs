//! What ends a process by a signal, as far as the kernel shows it when the signal is sent.

use tracer_common::{record::signal_flags as bit, signal};

use crate::signal::{KernelSender, SI_KERNEL, Signal, SignalSent, origin};

/// Where a signal that ends a process comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Killer {
    /// Another process, by kill(2), tgkill(2), sigqueue(3) or a pidfd.
    Process,
    /// The process itself: abort(3), raise(3), kill(2).
    Itself,
    /// The end of its parent, as it requested by `PR_SET_PDEATHSIG`.
    ParentDeath,
    /// Whoever wrote to `cgroup.kill`.
    CgroupKill,
    /// The end of its tracer, which had set `PTRACE_O_EXITKILL`.
    TracerExit,
    /// The end of a process that held its terminal, or without which its process group is orphaned.
    HangUp,
    /// A key on its terminal, or a hang-up of the terminal.
    Terminal,
    /// What the program did: a bad address, an illegal instruction.
    Fault,
    /// A system call that its seccomp filter forbids.
    Seccomp,
    /// A write to a pipe or a socket that nobody reads.
    BrokenPipe,
    /// A timer of its own.
    Timer,
    /// `RLIMIT_CPU`, or `RLIMIT_RTTIME`.
    CpuLimit,
    /// `RLIMIT_FSIZE`.
    FileSizeLimit,
    /// The out-of-memory killer.
    Oom,
    /// The end of its pid namespace.
    NamespaceEnd,
    /// The kernel, for another reason.
    Kernel,
    /// The signal was not seen.
    Unknown,
}

impl Killer {
    /// The words for all of them in JSON.
    pub const IDS: &[&str] = &[
        "process",
        "itself",
        "parent-death",
        "cgroup-kill",
        "tracer-exit",
        "hang-up",
        "terminal",
        "fault",
        "seccomp",
        "broken-pipe",
        "timer",
        "cpu-limit",
        "file-size-limit",
        "oom",
        "namespace-end",
        "kernel",
        "unknown",
    ];

    /// The word that stands for it in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Itself => "itself",
            Self::ParentDeath => "parent-death",
            Self::CgroupKill => "cgroup-kill",
            Self::TracerExit => "tracer-exit",
            Self::HangUp => "hang-up",
            Self::Terminal => "terminal",
            Self::Fault => "fault",
            Self::Seccomp => "seccomp",
            Self::BrokenPipe => "broken-pipe",
            Self::Timer => "timer",
            Self::CpuLimit => "cpu-limit",
            Self::FileSizeLimit => "file-size-limit",
            Self::Oom => "oom",
            Self::NamespaceEnd => "namespace-end",
            Self::Kernel => "kernel",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the current task is the cause, not merely the task that was running.
    pub fn has_sender(self) -> bool {
        matches!(
            self,
            Self::Process | Self::Itself | Self::ParentDeath | Self::CgroupKill | Self::TracerExit | Self::HangUp
        )
    }

    /// Whether the kernel sends it because a thread ended, whose process may live on.
    pub fn is_of_thread(self) -> bool {
        matches!(self, Self::ParentDeath | Self::TracerExit)
    }

    /// Whether the same cause can end many processes at once.
    pub fn can_end_many(self) -> bool {
        let of_others = matches!(self, Self::Terminal | Self::Oom | Self::Kernel | Self::Unknown);
        of_others || (self.has_sender() && self != Self::Itself)
    }
}

/// Where a signal that may end its target comes from.
pub fn killer(sent: &SignalSent) -> Killer {
    let SignalSent { current, target, signal, code, flags, .. } = *sent;
    let has = |bit: u16| flags & bit != 0;
    let is_own = current.key == target.key;
    if let Some(kernel) = origin(sent) {
        return match kernel {
            KernelSender::NamespaceEnd => Killer::NamespaceEnd,
            // exit_ptrace() sends to a task that it traces; an exiting task can also run out of memory.
            KernelSender::Other if signal == Signal::KILL && has(bit::SENDER_EXITING) && !is_own => {
                if has(bit::TRACED) && !has(bit::GROUP) { Killer::TracerExit } else { Killer::Kernel }
            }
            // `check_process_timers()`, in a timer interrupt of one of its threads.
            KernelSender::Other if signal == Signal::XCPU => Killer::CpuLimit,
            KernelSender::Other if signal == Signal::KILL && is_own && code != SI_KERNEL => Killer::CpuLimit,
            KernelSender::Terminal if signal == Signal::HUP && has(bit::SENDER_EXITING) => Killer::HangUp,
            KernelSender::Terminal => Killer::Terminal,
            KernelSender::Timer => Killer::Timer,
            KernelSender::Fault if signal == Signal::SYS => Killer::Seccomp,
            KernelSender::Fault => Killer::Fault,
            // Which of the kernel's own SIGKILLs are from the OOM killer shows when the process ends.
            KernelSender::Oom | KernelSender::Other => Killer::Kernel,
        };
    }
    // send_sig(…, 0) and the like: on behalf of the current task, though it did not ask for it.
    if has(bit::NO_INFO) {
        match signal {
            // kill(2), which has no siginfo since 7.x, sends to a process.
            _ if is_own && has(bit::GROUP) => {}
            Signal::PIPE if is_own => return Killer::BrokenPipe,
            Signal::XFSZ if is_own => return Killer::FileSizeLimit,
            // Whoever writes to `cgroup.kill` of its own group is one of those whom that ends.
            Signal::KILL if is_own => return Killer::CgroupKill,
            _ if is_own => {}
            // An exiting task makes no system calls: `forget_original_parent()` sends the signal of `PR_SET_PDEATHSIG`.
            _ if has(bit::SENDER_EXITING) => return Killer::ParentDeath,
            // `__cgroup_kill()` sends to a task. What kill(2) sends is for a process, and what tgkill(2)
            // sends has a siginfo; `PTRACE_KILL` has none either (since 5.19).
            Signal::KILL if !has(bit::GROUP) && !has(bit::TRACED) => return Killer::CgroupKill,
            _ => {}
        }
    }
    // A call that is for many may be for whoever makes it, too.
    if is_own && !sent.aim.is_many() { Killer::Itself } else { Killer::Process }
}

/// Whether the kernel accepted a signal that could be why a process ends: the rule by which the programs in the kernel
/// send signals that nobody has asked to see.
pub fn could_end(sent: &SignalSent) -> bool {
    let SignalSent { signal, flags, result, .. } = *sent;
    signal::is_accepted(result) && signal::could_end(flags & bit::HANDLER_MASK, signal.0.into())
}

/// What a fault was, in words.
pub fn fault(signal: Signal, code: i32) -> &'static str {
    match (signal.0, code) {
        (11, 1) => "it used an address at which nothing is mapped",
        (11, 2) => "it used mapped memory in a way that its protection forbids",
        (11, 3) => "an address failed a bounds check",
        (11, 4) => "it used memory that a protection key forbids",
        // exc_general_protection() reports no more than that; force_sigsegv() had no room for a handler's frame.
        (11, SI_KERNEL) => {
            "the processor refused an instruction of it (one that needs privileges, or an address that cannot be), or \
             its stack had no room for a signal"
        }
        (7, 1) => "it used an address that is not aligned",
        (7, 2) => {
            "behind a mapped address there is no memory: a mapped file is shorter than the mapping, or its disk full"
        }
        (7, 4 | 5) => "the memory of the machine is broken there",
        (8, 1) => "an integer was divided by zero, or the quotient is too large",
        (8, 2) => "an integer overflow was trapped",
        (8, 3..) => "a floating-point exception was trapped",
        (4, _) => "the processor does not know the instruction, or does not allow it",
        (5, _) => "it came to a breakpoint or a trap, and no debugger holds it",
        _ => "the processor refused what it did",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::kill;

    const KERNEL: u16 = bit::KERNEL_INFO;
    const PLAIN: u16 = bit::NO_INFO;
    const EXITING: u16 = bit::SENDER_EXITING;

    #[test]
    fn a_general_protection_fault_may_be_an_instruction_as_well_as_an_address() {
        let said = fault(Signal::SEGV, SI_KERNEL);
        assert!(["privileges", "address", "stack"].iter().all(|word| said.contains(word)), "{said}");
    }

    #[test]
    fn who_it_is_follows_from_where_the_kernel_sends_it() {
        let group = bit::GROUP;
        for (from, signal, flags, code, want) in [
            (2, Signal::KILL, group, 0, Killer::Process),
            // 7.x: kill(2) has no siginfo.
            (2, Signal::KILL, group | PLAIN, 0, Killer::Process),
            (2, Signal::TERM, 0, -6, Killer::Process),
            (2, Signal::SEGV, group, 0, Killer::Process),
            (10, Signal(6), 0, -6, Killer::Itself),
            (10, Signal::TERM, group | PLAIN, 0, Killer::Itself),
            (2, Signal::KILL, PLAIN, 0, Killer::CgroupKill),
            (2, Signal::KILL, PLAIN | bit::TRACED, 0, Killer::Process),
            (2, Signal::KILL, PLAIN | group | EXITING, 0, Killer::ParentDeath),
            (2, Signal::KILL, KERNEL | bit::TRACED | EXITING, 0, Killer::TracerExit),
            (2, Signal::KILL, KERNEL | bit::TRACED | EXITING | bit::SENDER_INIT, 0, Killer::TracerExit),
            // It exits and needs memory: the OOM killer, or the like.
            (2, Signal::KILL, KERNEL | group | EXITING, 0, Killer::Kernel),
            (2, Signal::KILL, KERNEL | bit::TRACED | group | EXITING, 0, Killer::Kernel),
            (2, Signal::KILL, KERNEL | group | EXITING | bit::SENDER_INIT, 0, Killer::NamespaceEnd),
            (2, Signal::KILL, KERNEL | group, 0, Killer::Kernel),
            (10, Signal::KILL, KERNEL | group, 0, Killer::CpuLimit),
            (10, Signal::XCPU, KERNEL | group, 0, Killer::CpuLimit),
            (10, Signal::XFSZ, PLAIN, 0, Killer::FileSizeLimit),
            (10, Signal::PIPE, PLAIN, 0, Killer::BrokenPipe),
            (10, Signal::PIPE, group, 0, Killer::Itself),
            // 7.x: kill(2) on its own pid. What comes of a write is for the thread that wrote.
            (10, Signal::PIPE, group | PLAIN, 0, Killer::Itself),
            (10, Signal::XFSZ, group | PLAIN, 0, Killer::Itself),
            (10, Signal::KILL, group | PLAIN, 0, Killer::Itself),
            // Whoever writes to `cgroup.kill` of its own group.
            (10, Signal::KILL, PLAIN, 0, Killer::CgroupKill),
            (10, Signal::SEGV, 0, 1, Killer::Fault),
            (10, Signal::SYS, 0, 1, Killer::Seccomp),
            (2, Signal::INT, KERNEL | group, 0, Killer::Terminal),
            (2, Signal::HUP, KERNEL | group, 0, Killer::Terminal),
            (2, Signal::HUP, KERNEL | group | EXITING, 0, Killer::HangUp),
            (2, Signal::ALRM, KERNEL | group, 0, Killer::Timer),
        ] {
            let sent = SignalSent { flags, code, ..kill(from, 10, signal) };
            assert_eq!(killer(&sent), want, "{signal} from {from} with {flags:#b} and code {code}");
        }
    }

    #[test]
    fn what_stops_or_does_nothing_or_is_refused_ends_nobody() {
        let default = kill(2, 10, Signal::KILL);
        assert!(could_end(&default));
        assert!(could_end(&SignalSent { result: 4, ..kill(2, 10, Signal(40)) }));
        assert!(could_end(&SignalSent { flags: bit::HANDLER, ..kill(2, 10, Signal::TERM) }));
        for harmless in [Signal::CHLD, Signal::CONT, Signal::URG, Signal::WINCH, Signal::STOP, Signal::TSTP] {
            assert!(!could_end(&kill(2, 10, harmless)), "{harmless}");
        }
        for refused in [1, 2, 3] {
            assert!(!could_end(&SignalSent { result: refused, ..default }), "{refused}");
        }
        assert!(!could_end(&SignalSent { flags: bit::HANDLER, ..kill(2, 10, Signal::VTALRM) }));
        assert!(!could_end(&SignalSent { flags: bit::IGNORE | bit::BLOCKED, ..kill(2, 10, Signal::TERM) }));
        // A trace can claim any number.
        assert!(could_end(&kill(2, 10, Signal(0))) && could_end(&kill(2, 10, Signal(200))));
    }
}
