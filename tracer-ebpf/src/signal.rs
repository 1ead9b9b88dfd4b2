//! A signal is generated, and later taken from the queue.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::{
    DeliverRecord, SignalRecord,
    record::{aim, signal_flags as bit},
    signal::{contains, could_end, is_accepted, number, result, set},
};

use crate::{
    emit::{count, emit_uninterrupted, header, is_news, is_rare},
    kernel::{
        PF_EXITING, PF_KTHREAD, PIDTYPE_PGID, PIDTYPE_SID, Pointer, SIGNAL_CLD_MASK, SIGNAL_GROUP_COREDUMP,
        SIGNAL_GROUP_EXIT, SIGNAL_STOP_STOPPED, SIGNAL_UNKILLABLE, TaskPtr, Typed, config, has, offset, peek,
        registers, with_current,
    },
};

/// In place of a siginfo: the signal is sent on behalf of the current task.
const SEND_SIG_NOINFO: u64 = 0;
/// In place of a siginfo: the kernel sends the signal itself.
const SEND_SIG_PRIV: u64 = 1;

/// `si_code` of a stop for a tracer that asked to see exits: `PTRACE_EVENT_EXIT` and SIGTRAP.
const EXIT_STOP: u32 = 6 << 8 | 5;

/// Tells the news that a queue is full from that of a signal that waits.
const OVERFLOW: u32 = 1 << 8;

/// `signal_generate(sig, info, task, group, result)`: fires for every outcome, in the context of the sender and under
/// the target's `siglock`, so the target's state cannot change while it is read.
#[btf_tracepoint(function = "signal_generate")]
fn signal_generate(ctx: BtfTracePointContext) -> i32 {
    let target = TaskPtr(Typed::new(ctx.arg::<*const u8>(2)));
    let signal_state = target.signal().u32(offset!(signal_flags));
    count(|stats| stats.signals += 1);
    let signal = ctx.arg::<i32>(0) as u32;
    let result = ctx.arg::<i32>(4) as u8;
    let is_init = signal_state & SIGNAL_UNKILLABLE != 0;
    if config!(all_signals) == 0 && !is_init && !matters(target, signal, result) {
        return 0;
    }
    let info = ctx.arg::<u64>(1);
    let (sender, of_sender) = with_current!(|sender| (sender.id(), sender_flags(sender, target)));
    let target_flags = target.flags();
    let is_for_process = ctx.arg::<i32>(3) != 0;
    let mut flags = handler_class(target, signal) | of_sender;
    let mut set = |bit: u16, is_set: bool| {
        if is_set {
            flags |= bit;
        }
    };
    set(bit::BLOCKED, is_blocked(target, target_flags, signal, is_for_process));
    set(bit::AWAITED, is_awaited(target, signal, is_for_process));
    set(bit::UNKILLABLE, signal_state & SIGNAL_UNKILLABLE != 0);
    set(bit::DYING, is_dying(target, signal_state, signal, result));
    // When this fires, `prepare_signal()` has already continued the process.
    let stopped = if signal == number::CONT { SIGNAL_CLD_MASK } else { SIGNAL_STOP_STOPPED };
    set(bit::STOPPED, signal_state & stopped != 0);
    set(bit::TRACED, target.0.u32(offset!(task_ptrace)) != 0);
    set(bit::KTHREAD, target_flags & PF_KTHREAD != 0);
    set(bit::EXITING, is_exiting(target, target_flags, is_for_process));
    set(bit::NO_INFO, info == SEND_SIG_NOINFO);
    set(bit::KERNEL_INFO, info == SEND_SIG_PRIV);
    set(bit::GROUP, is_for_process);
    // kill(2) sends to processes, and what the kernel sends may come from a terminal.
    let aim = if info == SEND_SIG_PRIV || !is_for_process { aim::UNKNOWN } else { aim_of_call() };
    let is_for_many = info == SEND_SIG_PRIV || aim > aim::ONE;
    let header = header::<SignalRecord>();
    emit_uninterrupted(
        header.cpu,
        SignalRecord {
            header,
            sender,
            target: target.id(),
            code: code_of(&ctx),
            flags,
            signal: signal as u8,
            result,
            aim,
            group: if is_for_many { target.number_of(PIDTYPE_PGID) } else { 0 },
            session: target.number_of(PIDTYPE_SID),
            terminal: if info == SEND_SIG_PRIV { target.terminal() } else { 0 },
        },
    );
    0
}

/// `signal_deliver(sig, info, ka)`: fires in the target, before `get_signal()` drops a signal that a namespace's init
/// has no handler for.
#[btf_tracepoint(function = "signal_deliver")]
fn signal_deliver(ctx: BtfTracePointContext) -> i32 {
    count(|stats| stats.deliveries += 1);
    let (target, signal_state) = with_current!(|target| (target.id(), target.signal().u32(offset!(signal_flags))));
    let signal = ctx.arg::<i32>(0) as u32;
    // Not a signal that was sent: `get_signal()` gives a SIGKILL to each thread of a process that ends, whatever ended
    // it. A SIGKILL that was sent never gets here.
    if signal == number::KILL && ctx.arg::<u64>(1) == SEND_SIG_NOINFO {
        return 0;
    }
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
    let header = header::<DeliverRecord>();
    emit_uninterrupted(
        header.cpu,
        DeliverRecord { header, target, code: code_of(&ctx), flags, signal: signal as u8, reserved: 0 },
    );
    0
}

/// Whether a finding about an ordinary process could depend on it.
#[inline(always)]
fn matters(target: TaskPtr<Typed>, signal: u32, result: u8) -> bool {
    // SIGCHLD is the most frequent signal.
    if signal == number::CHLD {
        let is_merged = result == result::ALREADY_PENDING && handler_class(target, signal) == bit::HANDLER;
        return is_merged && is_news(0, target.tgid(), signal);
    }
    let is_accepted = is_accepted(result);
    // What an init passes on to its children. A child that ignores the signal, or for which it is already pending, was
    // notified as well.
    let is_told = (result == result::IGNORED || result == result::ALREADY_PENDING) && !contains(set::HARMLESS, signal);
    if (is_accepted || is_told) && with_current!(|sender| is_init(sender)) {
        return is_accepted || is_news(with_current!(|sender| sender.tgid()), target.tgid(), signal);
    }
    let is_overflow = result == result::OVERFLOW_FAIL || result == result::LOSE_INFO;
    let handler = handler_class(target, signal);
    let could_end = is_accepted && could_end(handler, signal);
    // It counts only if the program raises it again, or passes it on.
    if could_end && handler == bit::HANDLER && contains(set::OCCASIONS, signal) {
        return !blocks(target, signal) && is_rare(with_current!(|sender| sender.tgid()), target.tgid(), signal);
    }
    // What does not wait ends its target, which happens once.
    if could_end && !blocks(target, signal) && !awaits(target, signal) {
        return true;
    }
    let stops = is_accepted && contains(set::STOPS, signal) && handler == bit::DEFAULT;
    // `prepare_signal()` has continued the process by now.
    let continues = signal == number::CONT && target.signal().u32(offset!(signal_flags)) & SIGNAL_CLD_MASK != 0;
    // Whoever sent it expects an end that does not come, and may send SIGKILL next.
    let is_refused = result == result::IGNORED && handler == bit::IGNORE && contains(set::REQUESTS, signal);
    // A signal that stays pending says nothing of later ones that found no room.
    let what = if is_overflow { signal | OVERFLOW } else { signal };
    let matters = could_end || is_refused || stops || continues || is_overflow;
    matters && is_news(with_current!(|sender| sender.tgid()), target.tgid(), what)
}

/// The flags about the sender.
#[inline(always)]
fn sender_flags<P: Pointer>(sender: TaskPtr<P>, target: TaskPtr<Typed>) -> u16 {
    let mut flags = if sender.is_visible_to(target) { 0 } else { bit::OUTSIDE };
    if sender.flags() & PF_EXITING != 0 {
        flags |= bit::SENDER_EXITING;
    }
    if is_init(sender) {
        flags |= bit::SENDER_INIT;
    }
    flags
}

/// Whether a task belongs to the init of a pid namespace. The last thread of that process ends the namespace, whichever
/// thread it is.
#[inline(always)]
fn is_init<P: Pointer>(task: TaskPtr<P>) -> bool {
    let leader = TaskPtr(task.0.follow(offset!(task_group_leader)));
    match leader.ns_level() {
        0 => leader.tid() == 1,
        level => leader.upid(level).nr == 1,
    }
}

/// `si_code`; 0 (`SI_USER`) where one of the two constants stands for a siginfo.
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

/// Whom the current task names, if it is in kill(2): `kill_something_info()` sends to each of a group in turn,
/// and nothing but the argument tells that from a loop of the program.
#[inline(always)]
fn aim_of_call() -> u32 {
    let Some(regs) = registers() else { return aim::UNKNOWN };
    if !has!(regs_first) || regs.u32(offset!(regs_call)) != config!(call_kill) {
        return aim::UNKNOWN;
    }
    match regs.u64(offset!(regs_first)) as i32 {
        0 => aim::OWN_GROUP,
        -1 => aim::ALL,
        ..-1 => aim::GROUP,
        1.. => aim::ONE,
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

/// Whether every thread that could take the signal blocks it. A signal that sigtimedwait(2) waits for is not blocked
/// meanwhile: `real_blocked` holds the mask then.
#[inline(always)]
fn is_blocked(target: TaskPtr<Typed>, flags: u32, signal: u32, is_for_process: bool) -> bool {
    let is_passed_over = flags & PF_EXITING != 0;
    if !blocks(target, signal) && !is_passed_over {
        return false;
    }
    if !is_for_process || !has!(signal_curr_target) {
        return !is_passed_over;
    }
    // `complete_signal()` has chosen another thread, and left it here.
    let chosen = TaskPtr(target.signal().follow(offset!(signal_curr_target)));
    blocks(chosen, signal) || chosen.flags() & PF_EXITING != 0
}

#[inline(always)]
fn blocks(task: TaskPtr<Typed>, signal: u32) -> bool {
    contains(task.0.u64(offset!(task_blocked)), signal)
}

/// Whether whoever takes the signal waits for it, so that it does not end the process (`complete_signal()`).
#[inline(always)]
fn is_awaited(target: TaskPtr<Typed>, signal: u32, is_for_process: bool) -> bool {
    if !is_for_process || !blocks(target, signal) || !has!(signal_curr_target) {
        return awaits(target, signal);
    }
    awaits(TaskPtr(target.signal().follow(offset!(signal_curr_target))), signal)
}

#[inline(always)]
fn awaits(task: TaskPtr<Typed>, signal: u32) -> bool {
    contains(task.0.u64(offset!(task_real_blocked)), signal)
}

/// Whether the process was being killed, or dumping its core, before this signal. Up to 5.15
/// nothing else shows it: the signal is accepted.
#[inline(always)]
fn is_dying(target: TaskPtr<Typed>, signal_state: u32, signal: u32, result: u8) -> bool {
    if signal_state & (SIGNAL_GROUP_EXIT | SIGNAL_GROUP_COREDUMP) == 0 {
        return false;
    }
    // `complete_signal()` may have begun it right now, with a SIGKILL for each thread.
    let is_cause = target.signal().u32(offset!(signal_group_exit_code)) == signal
        && (!has!(task_pending) || contains(target.0.u64(offset!(task_pending)), number::KILL));
    !(is_accepted(result) && is_cause)
}

/// Whether every thread that could take the signal is in `do_exit()`.
#[inline(always)]
fn is_exiting(target: TaskPtr<Typed>, flags: u32, is_for_process: bool) -> bool {
    let is_marked = flags & PF_EXITING != 0;
    // `live` still counts a thread that is not marked yet.
    let is_held = !is_marked && is_held_in_exit(target);
    (is_marked || is_held) && (!is_for_process || live(target) == u32::from(is_held))
}

/// Whether a tracer holds that thread in `do_exit()` before `exit_signals()` (`PTRACE_EVENT_EXIT`). Up to 5.15 nothing
/// else shows yet that it exits.
#[inline(always)]
fn is_held_in_exit(target: TaskPtr<Typed>) -> bool {
    if !has!(task_last_siginfo) || has!(signal_quick_threads) {
        return false;
    }
    // `ptrace_stop()` leaves the reason for the stop here.
    let info = target.0.u64(offset!(task_last_siginfo));
    info != 0 && peek::<u32>(info, offset!(siginfo_code)) == EXIT_STOP
}

/// Threads of the process that have not begun to exit.
#[inline(always)]
fn live(target: TaskPtr<Typed>) -> u32 {
    target.signal().u32(offset!(signal_live))
}
