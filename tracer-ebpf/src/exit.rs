//! A thread begins to exit, and later its process is released.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use aya_log_ebpf::debug;
use tracer_common::{ExitRecord, FreeRecord, TaskId, record::exit_flags};

use crate::{
    emit::{emit, header},
    kernel::{Pointer, SIGCHLD, SIGNAL_GROUP_EXIT, TaskPtr, Typed, config, has, offset},
    reaper::{self, Adopter},
    waiter,
};

/// `sched_process_exit(task)`: fires in the exiting thread, before `exit_notify()` hands its
/// children on and makes it a zombie. Since 6.16 there is a second argument `group_dead`; the
/// portable answer is `signal->live == 0`, which two threads that exit together may both see.
///
/// A thread matters if it is the leader, the last one, or has children. Whoever it is, the end of
/// the process is the leader's: `do_notify_parent()` is called for it, by its own end or by the
/// release of the last other thread.
#[btf_tracepoint(function = "sched_process_exit")]
fn sched_process_exit(ctx: BtfTracePointContext) -> i32 {
    let task = TaskPtr(Typed::new(ctx.arg::<*const u8>(0)));
    let signal = task.signal();
    let live = signal.u32(offset!(signal_live));
    let is_leader = task.tid() == task.tgid();
    let own_list = task.0.address() + u64::from(offset!(task_children));
    let has_children = task.0.u64(offset!(task_children)) != own_list;
    if !is_leader && live > 0 && !has_children {
        return 0;
    }
    let Adopter { class: adopter_class, id: adopter, ignores_children } =
        if has_children { reaper::adopter(task, live) } else { Adopter::NONE };
    if has_children {
        // Costs nothing unless asked for: the level is a constant when the program is verified.
        debug!(
            &ctx,
            "exit of thread {} of process {}, {} live: adopter class {}, thread {}",
            task.tid(),
            task.tgid(),
            live,
            adopter_class,
            adopter.tid
        );
    }
    let leader = TaskPtr(task.0.follow(offset!(task_group_leader)));
    let parent = leader.real_parent();
    let exit_signal = exit_signal(leader, parent);
    let mut flags = 0;
    let mut set = |bit: u32, is_set: bool| {
        if is_set {
            flags |= bit;
        }
    };
    set(exit_flags::GROUP_DEAD, live == 0);
    set(exit_flags::LEADER, is_leader);
    set(exit_flags::HAS_CHILDREN, has_children);
    set(exit_flags::GROUP_EXIT, signal.u32(offset!(signal_flags)) & SIGNAL_GROUP_EXIT != 0);
    if live == 0 {
        let is_ignored = exit_signal == SIGCHLD as i32 && parent.ignores_children();
        set(exit_flags::AUTOREAP, is_ignored || reaps_itself(leader));
        waiter::tell(leader, parent, is_ignored);
    }
    set(exit_flags::ADOPTER_IGNORES, ignores_children);
    set(exit_flags::OOM_VICTIM, signal.u64(offset!(signal_oom_mm)) != 0);
    emit(ExitRecord {
        header: header::<ExitRecord>(),
        id: task.id(),
        parent: parent.id(),
        tracer: leader.tracer(),
        adopter,
        exit_code: leader.0.u32(offset!(task_exit_code)) as i32,
        group_code: signal.u32(offset!(signal_group_exit_code)) as i32,
        live,
        exit_signal,
        flags,
        adopter_class,
    });
    0
}

/// What `do_notify_parent()` sends for that leader: a parent that has called exec since gets
/// SIGCHLD, whatever was asked for.
#[inline(always)]
fn exit_signal(leader: TaskPtr<Typed>, parent: TaskPtr<Typed>) -> i32 {
    let has_execed = has!(task_parent_exec_id, task_self_exec_id)
        && leader.0.u64(offset!(task_parent_exec_id)) != parent.0.u64(offset!(task_self_exec_id));
    if has_execed { SIGCHLD as i32 } else { leader.0.u32(offset!(task_exit_signal)) as i32 }
}

/// Whether that process was cloned with `CLONE_AUTOREAP`.
#[inline(always)]
fn reaps_itself(leader: TaskPtr<Typed>) -> bool {
    u32::from(leader.signal().u8(offset!(signal_autoreap))) & config!(autoreap_mask) != 0
}

/// `sched_process_free(task)`: fires from RCU, milliseconds after the reap, in anybody's
/// context; `thread_pid` is gone and `real_parent` must not be followed. Threads, and the former
/// leader that an exec left behind, have `exit_signal` -1.
#[btf_tracepoint(function = "sched_process_free")]
fn sched_process_free(ctx: BtfTracePointContext) -> i32 {
    let task = TaskPtr(Typed::new(ctx.arg::<*const u8>(0)));
    if (task.0.u32(offset!(task_exit_signal)) as i32) < 0 {
        return 0;
    }
    emit(FreeRecord {
        header: header::<FreeRecord>(),
        // Not `id()`: the leader is this task itself, and `group_leader` may dangle.
        id: TaskId { start: task.0.u64(offset!(task_start_boottime)), tgid: task.tgid(), tid: task.tid() },
    });
    0
}
