//! A process is created.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::NewRecord;

use crate::{
    emit::{emit, header},
    kernel::{TaskPtr, Typed, with_current},
};

/// `task_newtask(task, clone_flags)`; unlike `sched_process_fork` it fires for every task.
///
/// It fires when the task has its pids, cgroup and parent, before it runs.
#[btf_tracepoint(function = "task_newtask")]
fn task_newtask(ctx: BtfTracePointContext) -> i32 {
    let task = TaskPtr(Typed::new(ctx.arg::<*const u8>(0)));
    // Threads are not processes, and pid 0 is the idle task of a processor that is brought up.
    if task.tid() != task.tgid() || task.tid() == 0 {
        return 0;
    }
    emit(NewRecord { header: header::<NewRecord>(), task: task.identity(), creator: with_current!(|task| task.id()) });
    0
}
