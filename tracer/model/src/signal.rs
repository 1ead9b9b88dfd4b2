//! Signals: their names, their true senders, and their fate.

use std::{fmt, str::FromStr};

use tracer_common::{
    record::signal_flags as bit,
    signal::{contains, set},
};

use crate::ident::{Identity, TaskRef};

pub mod killer;

/// A signal by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(pub u8);

/// Names of the signals 1 to 31, without `SIG`; the numbers of x86-64 and arm64.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// The C library's `SIGRTMIN`; it keeps 32 and 33 for itself.
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

#[expect(missing_docs, reason = "the names say it")]
impl Signal {
    pub const HUP: Self = Self(1);
    pub const INT: Self = Self(2);
    pub const QUIT: Self = Self(3);
    pub const ABRT: Self = Self(6);
    pub const BUS: Self = Self(7);
    pub const KILL: Self = Self(9);
    pub const USR1: Self = Self(10);
    pub const SEGV: Self = Self(11);
    pub const PIPE: Self = Self(13);
    pub const ALRM: Self = Self(14);
    pub const TERM: Self = Self(15);
    pub const CHLD: Self = Self(17);
    pub const CONT: Self = Self(18);
    pub const STOP: Self = Self(19);
    pub const TSTP: Self = Self(20);
    pub const TTIN: Self = Self(21);
    pub const TTOU: Self = Self(22);
    pub const URG: Self = Self(23);
    pub const XCPU: Self = Self(24);
    pub const XFSZ: Self = Self(25);
    pub const VTALRM: Self = Self(26);
    pub const PROF: Self = Self(27);
    pub const WINCH: Self = Self(28);
    pub const PWR: Self = Self(30);
    pub const SYS: Self = Self(31);
    pub const RTMIN_3: Self = Self(RTMIN + 3);

    /// Whether a set of signals has it, as the kernel keeps them: signal `n` is bit `n - 1`.
    pub fn is_in(self, set: u64) -> bool {
        matches!(self.0, 1..=64) && contains(set, self.0.into())
    }

    /// The default action is to do nothing.
    pub fn is_ignored_by_default(self) -> bool {
        self.is_in(set::IGNORED)
    }

    /// The default action is to stop the process.
    pub fn is_stop(self) -> bool {
        self.is_in(set::STOPS)
    }

    /// It has no meaning of its own; the C library's two are among them.
    pub fn is_real_time(self) -> bool {
        usize::from(self.0) > NAMES.len()
    }

    /// Cannot be caught, blocked or ignored (`sig_kernel_only()`).
    pub fn is_kernel_only(self) -> bool {
        self.is_in(set::KERNEL_ONLY)
    }

    /// Raised by the processor for what the program did.
    fn is_fault(self) -> bool {
        matches!(self.0, 4 | 5 | 7 | 8 | 11 | 31)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n @ 1..=31 => f.pad(&format!("SIG{}", NAMES[usize::from(n) - 1])),
            RTMIN => f.pad("SIGRTMIN"),
            RTMAX => f.pad("SIGRTMAX"),
            n @ RTMIN..RTMAX => f.pad(&format!("SIGRTMIN+{}", n - RTMIN)),
            n => f.pad(&format!("SIG{n}")),
        }
    }
}

impl FromStr for Signal {
    type Err = String;

    /// Takes `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`, `RTMAX-1`.
    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let number = if let Some(i) = NAMES.iter().position(|&n| n == name) {
            Some(i as u8 + 1)
        } else if let Ok(n) = name.parse() {
            Some(n)
        } else if let Some(rest) = name.strip_prefix("RTMIN") {
            offset(rest).and_then(|n| RTMIN.checked_add_signed(n))
        } else if let Some(rest) = name.strip_prefix("RTMAX") {
            offset(rest).and_then(|n| RTMAX.checked_add_signed(n))
        } else {
            match name {
                "IOT" => Some(6),
                "CLD" => Some(17),
                "POLL" => Some(29),
                _ => None,
            }
        };
        match number {
            Some(n @ 1..=RTMAX) => Ok(Self(n)),
            _ => Err(format!("no signal is called {text:?}; try a name such as TERM, or `kill -l` for all of them")),
        }
    }
}

fn offset(text: &str) -> Option<i8> {
    if text.is_empty() { Some(0) } else { text.parse().ok() }
}

/// A signal that the kernel generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalSent {
    /// The current task at that moment: the sender only if [`origin`] says so.
    pub current: TaskRef,
    /// The task that the signal is for.
    pub target: TaskRef,
    /// Which signal.
    pub signal: Signal,
    /// `si_code`.
    pub code: i32,
    /// Bits of [`tracer_common::record::signal_flags`].
    pub flags: u16,
    /// The tracepoint's result, 0 to 4.
    pub result: u8,
    /// Whom the sender named.
    pub aim: Aim,
    /// Where the target stands.
    pub place: Place,
}

/// Whom a process names that calls kill(2): its first argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aim {
    /// It is not known: it was another call, or the kernel does not tell.
    #[default]
    Unknown,
    /// One process.
    One,
    /// Its own process group: 0.
    OwnGroup,
    /// A process group: less than -1.
    Group,
    /// All that it may signal, but itself and the init: -1.
    All,
}

impl Aim {
    /// One call sends it to many.
    pub fn is_many(self) -> bool {
        matches!(self, Self::OwnGroup | Self::Group | Self::All)
    }
}

/// Where a process stands among those that share a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its process group, by its number on the host; 0 if it is not known, or nobody else can be meant.
    pub group: u32,
    /// Its session, by the number of its leader on the host; 0 if it is not known.
    pub session: u32,
    /// Its terminal; only of a signal that the kernel sent.
    pub terminal: Option<Terminal>,
}

/// A terminal, by the number of its device: major number << 20 | minor number (`tty_devnum()`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Terminal(pub u32);

impl fmt::Display for Terminal {
    /// Its usual name, which is the same wherever it is mounted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 >> 20, self.0 & 0xf_ffff) {
            // UNIX98_PTY_SLAVE_MAJOR; `devpts_pty_new()` counts from 0.
            (136, n) => write!(f, "/dev/pts/{n}"),
            (4, n @ 0..64) => write!(f, "/dev/tty{n}"),
            (4, n) => write!(f, "/dev/ttyS{}", n - 64),
            (major, minor) => write!(f, "terminal {major}:{minor}"),
        }
    }
}

impl SignalSent {
    /// The target had a handler for it.
    pub fn has_handler(&self) -> bool {
        self.flags & bit::HANDLER_MASK == bit::HANDLER
    }
}

/// A signal that was taken from the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalTaken {
    /// The task that takes it.
    pub target: TaskRef,
    /// Which signal.
    pub signal: Signal,
    /// `si_code`.
    pub code: i32,
    /// Bits of [`tracer_common::record::signal_flags`].
    pub flags: u16,
}

/// Who sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A process.
    Process(Identity),
    /// The kernel, on its own account.
    Kernel(KernelSender),
    /// It was sent before tracing began, or its record was lost.
    Unknown,
}

/// Why the kernel sent a signal of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelSender {
    /// alarm(2), setitimer(2), timer_create(2).
    Timer,
    /// A key on the terminal, its hang-up or a change of its size; job control.
    Terminal,
    /// The program's own fault: a bad address, an illegal instruction.
    Fault,
    /// The out-of-memory killer.
    Oom,
    /// Pid 1 of the namespace has exited.
    NamespaceEnd,
    /// Anything else.
    Other,
}

impl KernelSender {
    /// The word that stands for it in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Timer => "timer",
            Self::Terminal => "terminal",
            Self::Fault => "fault",
            Self::Oom => "oom",
            Self::NamespaceEnd => "namespace-end",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(identity) => identity.fmt(f),
            Self::Unknown => f.write_str("a sender that was not seen"),
            Self::Kernel(kernel) => f.write_str(match kernel {
                KernelSender::Timer => "the kernel (a timer)",
                KernelSender::Terminal => "the kernel (the terminal)",
                KernelSender::Fault => "the kernel (a fault of the program)",
                KernelSender::Oom => "the kernel (out of memory)",
                KernelSender::NamespaceEnd => "the kernel (end of the pid namespace)",
                KernelSender::Other => "the kernel",
            }),
        }
    }
}

/// `si_code` of what the kernel sends on its own account.
pub const SI_KERNEL: i32 = 0x80;
/// `si_code` of tgkill(2), which raise(3) and abort(3) use.
pub const SI_TKILL: i32 = -6;
const SI_TIMER: i32 = -2;
const SI_MESGQ: i32 = -3;
const SI_ASYNCIO: i32 = -4;
const SI_SIGIO: i32 = -5;
const SI_ASYNCNL: i32 = -60;

/// Whether the kernel sent a signal on its own account, and why; `None` if the current task is the sender. For the
/// kernel's own signals, the current task can be any task that was interrupted.
///
/// A process can put a forged `si_code` of a timer or of asynchronous I/O into rt_sigqueueinfo(2);
/// such a signal is taken for the kernel's.
pub fn origin(sent: &SignalSent) -> Option<KernelSender> {
    let SignalSent { current, target, signal, code, flags, .. } = *sent;
    let has = |bit: u16| flags & bit != 0;
    if has(bit::NO_INFO) {
        return None;
    }
    if has(bit::KERNEL_INFO) {
        return Some(match signal {
            // zap_pid_ns_processes() runs in the namespace's exiting init.
            Signal::KILL if has(bit::SENDER_EXITING) && has(bit::SENDER_INIT) && has(bit::GROUP) => {
                KernelSender::NamespaceEnd
            }
            // Other senders of such a SIGKILL: PTRACE_O_EXITKILL, in an exiting tracer, and RLIMIT_CPU, in the process
            // itself. What remains is the OOM killer, in whichever task needed memory.
            Signal::KILL if !has(bit::SENDER_EXITING) && current.key != target.key => KernelSender::Oom,
            Signal::ALRM | Signal::VTALRM | Signal::PROF => KernelSender::Timer,
            Signal::HUP
            | Signal::INT
            | Signal::QUIT
            | Signal::CONT
            | Signal::TSTP
            | Signal::TTIN
            | Signal::TTOU
            | Signal::WINCH => KernelSender::Terminal,
            _ => KernelSender::Other,
        });
    }
    match code {
        SI_TIMER => Some(KernelSender::Timer),
        SI_MESGQ | SI_ASYNCIO | SI_SIGIO | SI_ASYNCNL => Some(KernelSender::Other),
        // Other codes below zero are chosen by the sender, 0 is kill(2).
        i32::MIN..=0 => None,
        // CLD_*: current is the child.
        1..=6 if signal == Signal::CHLD => None,
        _ if signal.is_fault() => Some(KernelSender::Fault),
        SI_KERNEL => Some(KernelSender::Other),
        _ => Some(KernelSender::Other),
    }
}

/// The name of a `si_code`, as in sigaction(2); `None` for one that has none.
pub fn code_name(signal: Signal, code: i32) -> Option<&'static str> {
    const CHILD: [&str; 6] = ["CLD_EXITED", "CLD_KILLED", "CLD_DUMPED", "CLD_TRAPPED", "CLD_STOPPED", "CLD_CONTINUED"];
    match code {
        0 => Some("SI_USER"),
        SI_KERNEL => Some("SI_KERNEL"),
        -1 => Some("SI_QUEUE"),
        SI_TIMER => Some("SI_TIMER"),
        SI_MESGQ => Some("SI_MESGQ"),
        SI_ASYNCIO => Some("SI_ASYNCIO"),
        SI_SIGIO => Some("SI_SIGIO"),
        SI_TKILL => Some("SI_TKILL"),
        SI_ASYNCNL => Some("SI_ASYNCNL"),
        1..=6 if signal == Signal::CHLD => CHILD.get(code as usize - 1).copied(),
        1.. => match (signal.0, code) {
            (4, 1) => Some("ILL_ILLOPC"),
            (4, 2) => Some("ILL_ILLOPN"),
            (4, 5) => Some("ILL_PRVOPC"),
            (5, 1) => Some("TRAP_BRKPT"),
            (5, 2) => Some("TRAP_TRACE"),
            (7, 1) => Some("BUS_ADRALN"),
            (7, 2) => Some("BUS_ADRERR"),
            (7, 4) => Some("BUS_MCEERR_AR"),
            (7, 5) => Some("BUS_MCEERR_AO"),
            (8, 1) => Some("FPE_INTDIV"),
            (8, 2) => Some("FPE_INTOVF"),
            (8, 3) => Some("FPE_FLTDIV"),
            (8, 4) => Some("FPE_FLTOVF"),
            (8, 5) => Some("FPE_FLTUND"),
            (8, 6) => Some("FPE_FLTRES"),
            (8, 7) => Some("FPE_FLTINV"),
            (11, 1) => Some("SEGV_MAPERR"),
            (11, 2) => Some("SEGV_ACCERR"),
            (11, 3) => Some("SEGV_BNDERR"),
            (11, 4) => Some("SEGV_PKUERR"),
            (31, 1) => Some("SYS_SECCOMP"),
            _ => None,
        },
        _ => None,
    }
}

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Accepted, and not blocked.
    Delivered,
    /// Accepted, but pending: it is blocked, or the process is stopped.
    Queued,
    /// The same signal was pending already; this one left no trace.
    Merged,
    /// The program ignores it (`SIG_IGN`).
    IgnoredByChoice,
    /// There is no handler, and the default is to do nothing.
    IgnoredByDefault,
    /// A namespace's pid 1 without a handler: dropped.
    InitNoHandler,
    /// SIGKILL or SIGSTOP to a namespace's pid 1 from inside the namespace: dropped.
    KillFromInside,
    /// It had been accepted, and was dropped when a namespace's pid 1 took it from the queue.
    DroppedAtDelivery,
    /// The queue is full: the signal is lost, the sender got EAGAIN.
    QueueOverflow,
    /// The queue is full: the signal is pending, its siginfo is lost.
    InfoLost,
    /// The target is dying or dead.
    TargetExiting,
    /// The target is a kernel thread that takes no signals.
    KernelThread,
}

impl Verdict {
    /// All of [`Verdict::id`].
    pub const IDS: &[&str] = &[
        "delivered",
        "queued",
        "merged",
        "ignored-by-choice",
        "ignored-by-default",
        "no-handler",
        "kill-from-inside",
        "dropped-at-delivery",
        "queue-overflow",
        "siginfo-lost",
        "target-exiting",
        "kernel-thread",
    ];

    /// The word that stands for it in JSON and text.
    pub fn id(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Queued => "queued",
            Self::Merged => "merged",
            Self::IgnoredByChoice => "ignored-by-choice",
            Self::IgnoredByDefault => "ignored-by-default",
            Self::InitNoHandler => "no-handler",
            Self::KillFromInside => "kill-from-inside",
            Self::DroppedAtDelivery => "dropped-at-delivery",
            Self::QueueOverflow => "queue-overflow",
            Self::InfoLost => "siginfo-lost",
            Self::TargetExiting => "target-exiting",
            Self::KernelThread => "kernel-thread",
        }
    }

    /// Whether somebody may be waiting for the signal's effect in vain.
    pub fn is_loss(self) -> bool {
        matches!(
            self,
            Self::InitNoHandler | Self::KillFromInside | Self::DroppedAtDelivery | Self::QueueOverflow | Self::InfoLost
        )
    }
}

/// The fate of a signal when it was sent.
///
/// `TRACE_SIGNAL_IGNORED` alone says little: every ordinary SIGCHLD has it. The reason follows from the checks of the
/// kernel, in the kernel's order: `prepare_signal()`, `sig_ignored()`, `sig_task_ignored()`.
pub fn verdict_of_sent(sent: &SignalSent) -> Verdict {
    let SignalSent { target, signal, flags, result, .. } = *sent;
    let has = |bit: u16| flags & bit != 0;
    match result {
        3 => Verdict::QueueOverflow,
        // Whatever the result: kernels up to 5.15 accept signals that nobody is left to take.
        _ if has(bit::EXITING) || has(bit::DYING) => Verdict::TargetExiting,
        0 if has(bit::BLOCKED) || (has(bit::STOPPED) && signal != Signal::CONT) => Verdict::Queued,
        0 => Verdict::Delivered,
        2 => Verdict::Merged,
        4 => Verdict::InfoLost,
        // A SIGCONT without a handler is "ignored" after it has continued the process.
        _ if has(bit::STOPPED) && signal == Signal::CONT => Verdict::Delivered,
        _ => {
            let handler = flags & bit::HANDLER_MASK;
            let is_protected = has(bit::UNKILLABLE) || target.key.tgid == 1;
            if has(bit::KTHREAD) {
                // A kthread ignores every signal that it has not allowed (`ignore_signals()`).
                Verdict::KernelThread
            } else if is_protected && signal.is_kernel_only() {
                Verdict::KillFromInside
            } else if handler == bit::IGNORE {
                Verdict::IgnoredByChoice
            } else if handler == bit::DEFAULT && signal.is_ignored_by_default() {
                Verdict::IgnoredByDefault
            } else if is_protected && handler == bit::DEFAULT {
                Verdict::InitNoHandler
            } else {
                Verdict::TargetExiting
            }
        }
    }
}

/// The fate of a signal when it was taken from the queue (`get_signal()`).
pub fn verdict_of_taken(taken: &SignalTaken) -> Verdict {
    let SignalTaken { signal, flags, .. } = *taken;
    match flags & bit::HANDLER_MASK {
        bit::IGNORE => Verdict::IgnoredByChoice,
        bit::DEFAULT if signal.is_ignored_by_default() => Verdict::IgnoredByDefault,
        bit::DEFAULT if flags & bit::UNKILLABLE != 0 && !signal.is_kernel_only() => Verdict::DroppedAtDelivery,
        _ => Verdict::Delivered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::kill;

    fn sent(signal: Signal, flags: u16, result: u8) -> SignalSent {
        SignalSent { flags, result, ..kill(10, 20, signal) }
    }

    #[test]
    fn names_go_both_ways() {
        for n in 1..=64 {
            assert_eq!(Signal(n).to_string().parse(), Ok(Signal(n)), "{n}");
        }
        assert_eq!("term".parse(), Ok(Signal::TERM));
        assert_eq!("RTMAX-1".parse(), Ok(Signal(63)));
        for bad in ["", "0", "65", "SIGNOPE", "RTMIN+99", "RTMAX-1000", "-1"] {
            assert!(bad.parse::<Signal>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_reason_of_an_ignored_signal() {
        let unkillable = bit::UNKILLABLE;
        for (signal, flags, want) in [
            (Signal::TERM, unkillable, Verdict::InitNoHandler),
            (Signal::TERM, unkillable | bit::OUTSIDE, Verdict::InitNoHandler),
            (Signal::KILL, unkillable, Verdict::KillFromInside),
            (Signal::STOP, unkillable, Verdict::KillFromInside),
            (Signal::CHLD, unkillable, Verdict::IgnoredByDefault),
            (Signal::CHLD, 0, Verdict::IgnoredByDefault),
            (Signal::TERM, bit::IGNORE, Verdict::IgnoredByChoice),
            (Signal::TERM, unkillable | bit::IGNORE, Verdict::IgnoredByChoice),
            (Signal::KILL, bit::EXITING, Verdict::TargetExiting),
            (Signal::KILL, bit::DYING, Verdict::TargetExiting),
            (Signal::TERM, bit::KTHREAD | bit::HANDLER, Verdict::KernelThread),
            (Signal::TERM, bit::KTHREAD | bit::IGNORE, Verdict::KernelThread),
            (Signal::CONT, 0, Verdict::IgnoredByDefault),
            (Signal::CONT, bit::STOPPED, Verdict::Delivered),
            (Signal::CONT, bit::STOPPED | bit::IGNORE, Verdict::Delivered),
        ] {
            assert_eq!(verdict_of_sent(&sent(signal, flags, 1)), want, "{signal} {flags:#b}");
        }
    }

    #[test]
    fn an_accepted_signal_may_still_wait() {
        assert_eq!(verdict_of_sent(&sent(Signal::TERM, 0, 0)), Verdict::Delivered);
        assert_eq!(verdict_of_sent(&sent(Signal::TERM, bit::BLOCKED, 0)), Verdict::Queued);
        assert_eq!(verdict_of_sent(&sent(Signal::TERM, bit::STOPPED, 0)), Verdict::Queued);
        assert_eq!(verdict_of_sent(&sent(Signal::CONT, bit::STOPPED, 0)), Verdict::Delivered);
        assert_eq!(verdict_of_sent(&sent(Signal::TERM, 0, 2)), Verdict::Merged);
    }

    #[test]
    fn what_nobody_is_left_to_take_is_not_delivered() {
        for flag in [bit::EXITING, bit::DYING] {
            for result in [0, 1, 2, 4] {
                assert_eq!(verdict_of_sent(&sent(Signal::KILL, flag, result)), Verdict::TargetExiting, "{result}");
            }
            assert_eq!(verdict_of_sent(&sent(Signal(40), flag, 3)), Verdict::QueueOverflow);
        }
    }

    #[test]
    fn an_init_drops_at_delivery_what_it_has_no_handler_for() {
        let task = TaskRef::default();
        let taken = |signal, flags| SignalTaken { target: task, signal, code: 0, flags };
        assert_eq!(verdict_of_taken(&taken(Signal::TERM, bit::UNKILLABLE)), Verdict::DroppedAtDelivery);
        assert_eq!(verdict_of_taken(&taken(Signal::TERM, bit::UNKILLABLE | bit::HANDLER)), Verdict::Delivered);
        assert_eq!(verdict_of_taken(&taken(Signal::CHLD, bit::UNKILLABLE)), Verdict::IgnoredByDefault);
        assert_eq!(verdict_of_taken(&taken(Signal::KILL, bit::UNKILLABLE)), Verdict::Delivered);
        assert_eq!(verdict_of_taken(&taken(Signal::TERM, 0)), Verdict::Delivered);
    }

    #[test]
    fn who_sent_it() {
        let from = |signal, flags, code| origin(&SignalSent { code, ..sent(signal, flags, 0) });
        assert_eq!(from(Signal::TERM, bit::NO_INFO, 0), None);
        assert_eq!(from(Signal::TERM, 0, 0), None);
        assert_eq!(from(Signal::TERM, 0, -6), None);
        assert_eq!(from(Signal::CHLD, 0, 1), None);
        assert_eq!(from(Signal::ALRM, bit::KERNEL_INFO, 0), Some(KernelSender::Timer));
        assert_eq!(from(Signal::INT, bit::KERNEL_INFO, 0), Some(KernelSender::Terminal));
        assert_eq!(from(Signal::KILL, bit::KERNEL_INFO, 0), Some(KernelSender::Oom));
        let zap = bit::GROUP | bit::KERNEL_INFO | bit::SENDER_EXITING | bit::SENDER_INIT;
        assert_eq!(from(Signal::KILL, zap, 0), Some(KernelSender::NamespaceEnd));
        assert_eq!(from(Signal(11), 0, 1), Some(KernelSender::Fault));
        assert_eq!(from(Signal(11), 0, SI_KERNEL), Some(KernelSender::Fault));
        assert_eq!(from(Signal::USR, 0, SI_TIMER), Some(KernelSender::Timer));
    }

    impl Signal {
        const USR: Self = Self(10);
    }
}
