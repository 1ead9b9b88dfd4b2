//! The optional hooks, by fentry or kprobe: exact moments that no tracepoint shows.
//!
//! Each program exists in both forms with the same body. The loader picks the form and, for a reap, the function, whose
//! name and call site differ between kernels.

use aya_ebpf::{
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};
use tracer_common::{AdoptRecord, NotifyRecord, ReapRecord, record::NO_CALL};

use crate::{
    emit::{emit, header},
    kernel::{PF_EXITING, Plain, Pointer, TaskPtr, Typed, offset, registers, with_current},
};

/// `kill_orphaned_pgrp(child, parent)`.
#[fentry]
fn fentry_adopt(ctx: FEntryContext) -> i32 {
    adopt(TaskPtr(Typed::new(ctx.arg::<*const u8>(0))), ctx.arg::<u64>(1))
}

/// `kill_orphaned_pgrp(child, parent)`.
#[kprobe]
fn kprobe_adopt(ctx: ProbeContext) -> i32 {
    adopt(TaskPtr(Plain(argument(&ctx, 0))), argument(&ctx, 1))
}

/// `cgroup_task_release(task)`, `cgroup_release(task)` or `release_task(task)`.
#[fentry]
fn fentry_reap(ctx: FEntryContext) -> i32 {
    reap(TaskPtr(Typed::new(ctx.arg::<*const u8>(0))))
}

/// `cgroup_task_release(task)`, `cgroup_release(task)` or `release_task(task)`.
#[kprobe]
fn kprobe_reap(ctx: ProbeContext) -> i32 {
    reap(TaskPtr(Plain(argument(&ctx, 0))))
}

/// `do_notify_parent(task, signal)`.
#[fentry]
fn fentry_notify(ctx: FEntryContext) -> i32 {
    notify(TaskPtr(Typed::new(ctx.arg::<*const u8>(0))), ctx.arg::<i32>(1))
}

/// `do_notify_parent(task, signal)`.
#[kprobe]
fn kprobe_notify(ctx: ProbeContext) -> i32 {
    notify(TaskPtr(Plain(argument(&ctx, 0))), argument(&ctx, 1) as i32)
}

#[inline(always)]
fn argument(ctx: &ProbeContext, n: usize) -> u64 {
    ctx.arg(n).unwrap_or(0)
}

/// `reparent_leader()` calls it for each child that leaves the thread group, once the child has its new parent. Without
/// a parent argument it is about the exiting process itself.
#[inline(always)]
fn adopt<P: Pointer>(child: TaskPtr<P>, parent: u64) -> i32 {
    if parent == 0 {
        return 0;
    }
    emit(AdoptRecord {
        header: header::<AdoptRecord>(),
        child: child.id(),
        from: with_current!(|task| task.id()),
        to: child.real_parent().id(),
    });
    0
}

/// `release_task()` calls it while the identity is still intact. Threads have `exit_signal` -1, and so has the former
/// leader that an exec leaves behind.
#[inline(always)]
fn reap<P: Pointer>(task: TaskPtr<P>) -> i32 {
    if (task.0.u32(offset!(task_exit_signal)) as i32) < 0 {
        return 0;
    }
    let (reaper, reaper_flags) = with_current!(|reaper| (reaper.id(), reaper.flags()));
    emit(ReapRecord {
        header: header::<ReapRecord>(),
        id: task.id(),
        reaper,
        // An exiting task reaps for other reasons than the system call that it is in.
        call: if reaper_flags & PF_EXITING == 0 { call() } else { NO_CALL },
        reserved: 0,
    });
    0
}

/// Called when a process has become a zombie, and when its tracer hands it to its parent.
#[inline(always)]
fn notify<P: Pointer>(task: TaskPtr<P>, signal: i32) -> i32 {
    if task.tid() != task.tgid() {
        return 0;
    }
    emit(NotifyRecord {
        header: header::<NotifyRecord>(),
        id: task.id(),
        to: TaskPtr(task.0.follow(offset!(task_parent))).id(),
        signal,
        traced: u32::from(task.0.u32(offset!(task_ptrace)) != 0),
    });
    0
}

/// The number of the system call that the current task is in.
#[inline(always)]
fn call() -> i32 {
    match registers() {
        None => NO_CALL,
        Some(regs) => regs.u32(offset!(regs_call)) as i32,
    }
}
