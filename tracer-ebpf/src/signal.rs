//! A signal is generated, and later taken from the queue.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::{DeliverRecord, SignalRecord, kind, record::signal_flags as bit};

use crate::{
    emit::{count, emit, header},
    kernel::{
        PF_EXITING, PF_KTHREAD, Pointer, SIGNAL_GROUP_COREDUMP, SIGNAL_GROUP_EXIT, SIGNAL_UNKILLABLE, TaskPtr, Typed,
        config, offset, peek, with_current,
    },
};

/// What stands in for a siginfo when a signal is sent on behalf of the current task.
const SEND_SIG_NOINFO: u64 = 0;
/// What stands in for one when the kernel sends a signal of its own.
const SEND_SIG_PRIV: u64 = 1;

/// `signal_generate(sig, info, task, group, result)`: fires for every outcome, in the context of
/// the sender, under the target's `siglock`, so what is read of the target cannot change.
#[btf_tracepoint(function = "signal_generate")]
fn signal_generate(ctx: BtfTracePointContext) -> i32 {
    let target = TaskPtr(Typed::new(ctx.arg::<*const u8>(2)));
    let signal_state = target.signal().u32(offset!(signal_flags));
    count(|stats| stats.signals += 1);
    // An init whose protection is being lifted (a forced fault) is dying: no finding rests on it.
    if config!(all_signals) == 0 && signal_state & SIGNAL_UNKILLABLE == 0 {
        return 0;
    }
    let signal = ctx.arg::<i32>(0) as u32;
    let info = ctx.arg::<u64>(1);
    let (sender, of_sender) = with_current!(|sender| (sender.id(), sender_flags(sender, target)));
    let target_flags = target.flags();
    let mut flags = handler_class(target, signal) | of_sender;
    let mut set = |bit: u16, is_set: bool| {
        if is_set {
            flags |= bit;
        }
    };
    set(bit::BLOCKED, is_blocked(target, signal));
    set(bit::UNKILLABLE, signal_state & SIGNAL_UNKILLABLE != 0);
    set(bit::DYING, signal_state & (SIGNAL_GROUP_EXIT | SIGNAL_GROUP_COREDUMP) != 0);
    set(bit::ZOMBIE, target.0.u32(offset!(task_exit_state)) != 0);
    set(bit::TRACED, target.0.u32(offset!(task_ptrace)) != 0);
    set(bit::KTHREAD, target_flags & PF_KTHREAD != 0);
    set(bit::EXITING, target_flags & PF_EXITING != 0);
    set(bit::NO_INFO, info == SEND_SIG_NOINFO);
    set(bit::KERNEL_INFO, info == SEND_SIG_PRIV);
    set(bit::GROUP, ctx.arg::<i32>(3) != 0);
    emit(
        kind::SIGNAL,
        SignalRecord {
            header: header::<SignalRecord>(kind::SIGNAL),
            sender,
            target: target.id(),
            code: code_of(&ctx),
            flags,
            signal: signal as u8,
            result: ctx.arg::<i32>(4) as u8,
        },
    );
    0
}

/// `signal_deliver(sig, info, ka)`: fires in the target, before the kernel throws a signal away
/// that a namespace's init has no handler for (`get_signal()`).
#[btf_tracepoint(function = "signal_deliver")]
fn signal_deliver(ctx: BtfTracePointContext) -> i32 {
    count(|stats| stats.deliveries += 1);
    let (target, signal_state) = with_current!(|target| (target.id(), target.signal().u32(offset!(signal_flags))));
    let handler: u64 = peek(ctx.arg::<u64>(2), 0);
    if config!(all_deliveries) == 0 && (signal_state & SIGNAL_UNKILLABLE == 0 || handler != 0) {
        return 0;
    }
    let mut flags = class(handler);
    if signal_state & SIGNAL_UNKILLABLE != 0 {
        flags |= bit::UNKILLABLE;
    }
    if signal_state & SIGNAL_GROUP_EXIT != 0 {
        flags |= bit::DYING;
    }
    emit(
        kind::DELIVER,
        DeliverRecord {
            header: header::<DeliverRecord>(kind::DELIVER),
            target,
            code: code_of(&ctx),
            flags,
            signal: ctx.arg::<i32>(0) as u8,
            reserved: 0,
        },
    );
    0
}

/// The bits that tell of the sender.
#[inline(always)]
fn sender_flags<P: Pointer>(sender: TaskPtr<P>, target: TaskPtr<Typed>) -> u16 {
    let mut flags = if sender.is_visible_to(target) { 0 } else { bit::OUTSIDE };
    if sender.flags() & PF_EXITING != 0 {
        flags |= bit::SENDER_EXITING;
        if sender.upid(sender.ns_level()).nr == 1 {
            flags |= bit::SENDER_INIT;
        }
    }
    flags
}

/// `si_code`; 0 (`SI_USER`) where one of the two constants stands in for a siginfo.
///
/// Some kernels (6.12.117, 7.3) leave the argument without a type, because of those constants.
#[inline(always)]
fn code_of(ctx: &BtfTracePointContext) -> i32 {
    let info = ctx.arg::<u64>(1);
    if info == SEND_SIG_NOINFO || info == SEND_SIG_PRIV {
        0
    } else if config!(has_typed_siginfo) != 0 {
        Typed::new(ctx.arg::<*const u8>(1)).u32(offset!(siginfo_code)) as i32
    } else {
        peek(info, offset!(siginfo_code))
    }
}

#[inline(always)]
fn class(handler: u64) -> u16 {
    match handler {
        0 => bit::DEFAULT,
        1 => bit::IGNORE,
        _ => bit::HANDLER,
    }
}

#[inline(always)]
fn handler_class(target: TaskPtr<Typed>, signal: u32) -> u16 {
    if signal == 0 || signal > 64 {
        return bit::DEFAULT;
    }
    class(target.action(signal).handler)
}

/// `blocked`, or `real_blocked`, which sigtimedwait(2) uses while it waits.
#[inline(always)]
fn is_blocked(target: TaskPtr<Typed>, signal: u32) -> bool {
    let masks = target.0.u64(offset!(task_blocked)) | target.0.u64(offset!(task_real_blocked));
    (masks >> ((signal - 1) & 63)) & 1 != 0
}
