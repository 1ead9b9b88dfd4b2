//! What both sides must agree on about signals: sets of them, the results of `signal_generate`, and which signals could
//! end a process.

use crate::record::signal_flags;

/// The numbers that the sets and the programs need; those of x86-64 and arm64.
#[expect(missing_docs, reason = "the names say it")]
pub mod number {
    pub const HUP: u32 = 1;
    pub const INT: u32 = 2;
    pub const QUIT: u32 = 3;
    pub const ILL: u32 = 4;
    pub const TRAP: u32 = 5;
    pub const ABRT: u32 = 6;
    pub const BUS: u32 = 7;
    pub const FPE: u32 = 8;
    pub const KILL: u32 = 9;
    pub const USR1: u32 = 10;
    pub const SEGV: u32 = 11;
    pub const USR2: u32 = 12;
    pub const PIPE: u32 = 13;
    pub const ALRM: u32 = 14;
    pub const TERM: u32 = 15;
    pub const CHLD: u32 = 17;
    pub const CONT: u32 = 18;
    pub const STOP: u32 = 19;
    pub const TSTP: u32 = 20;
    pub const TTIN: u32 = 21;
    pub const TTOU: u32 = 22;
    pub const URG: u32 = 23;
    pub const XCPU: u32 = 24;
    pub const XFSZ: u32 = 25;
    pub const WINCH: u32 = 28;
    pub const SYS: u32 = 31;
}

/// Sets of signals, as the kernel has them: signal `n` is bit `n - 1`.
pub mod set {
    use super::number::{
        ABRT, ALRM, BUS, CHLD, CONT, FPE, HUP, ILL, INT, KILL, PIPE, QUIT, SEGV, STOP, SYS, TERM, TRAP, TSTP, TTIN,
        TTOU, URG, USR1, USR2, WINCH, XCPU, XFSZ,
    };

    const fn set(signals: &[u32]) -> u64 {
        let (mut set, mut i) = (0, 0);
        while i < signals.len() {
            set |= 1 << (signals[i] - 1);
            i += 1;
        }
        set
    }

    /// By default they do nothing.
    pub const IGNORED: u64 = set(&[CHLD, CONT, URG, WINCH]);
    /// By default they stop the process.
    pub const STOPS: u64 = set(&[STOP, TSTP, TTIN, TTOU]);
    /// By default they leave the process alive. All others end it by default.
    pub const HARMLESS: u64 = IGNORED | STOPS;
    /// By default they end the process once it takes them, as it writes a core file first (`sig_kernel_coredump()`).
    pub const DUMPS_CORE: u64 = set(&[QUIT, ILL, TRAP, ABRT, BUS, FPE, SEGV, XCPU, XFSZ, SYS]);
    /// Programs handle them as a request to end.
    pub const REQUESTS: u64 = set(&[HUP, INT, QUIT, TERM]);
    /// Some programs do so with these, too; others are sent them all the time.
    pub const OCCASIONS: u64 = set(&[ILL, ABRT, BUS, FPE, USR1, SEGV, USR2, PIPE, ALRM]);
    /// What shells, nohup(1) and services ignore, and hand on to the programs that they start.
    pub const HANDED_ON: u64 = REQUESTS | set(&[PIPE, CHLD, TSTP, TTIN, TTOU]);
    /// They cannot be caught, blocked or ignored (`sig_kernel_only()`).
    pub const KERNEL_ONLY: u64 = set(&[KILL, STOP]);
}

/// Results of `signal_generate` (`TRACE_SIGNAL_*`): values of [`crate::SignalRecord::result`].
pub mod result {
    words! { u8:
        /// Delivered.
        DELIVERED = 0;
        /// Ignored.
        IGNORED = 1;
        /// The same signal was already pending.
        ALREADY_PENDING = 2;
        /// The queue had no room: the signal is lost.
        OVERFLOW_FAIL = 3;
        /// The queue had no room: the siginfo is lost.
        LOSE_INFO = 4;
    }
}

/// Whether a set contains a signal, which must be from 1 to 64. This is not checked: the programs in the kernel ask it
/// for each signal.
#[inline(always)]
pub const fn contains(set: u64, signal: u32) -> bool {
    set >> (signal.wrapping_sub(1) & 63) & 1 != 0
}

/// Whether the kernel accepted a signal: `complete_signal()` has run.
#[inline(always)]
pub const fn is_accepted(result: u8) -> bool {
    result == result::DELIVERED || result == result::LOSE_INFO
}

/// Whether an accepted signal could be why a process ends: by its default action, or because programs take it as a
/// request to end. `handler` says what the target does with it: a value of [`signal_flags::HANDLER_MASK`].
#[inline(always)]
pub const fn could_end(handler: u16, signal: u32) -> bool {
    match handler {
        signal_flags::DEFAULT => !contains(set::HARMLESS, signal),
        signal_flags::HANDLER => contains(set::REQUESTS | set::OCCASIONS, signal),
        _ => false,
    }
}
