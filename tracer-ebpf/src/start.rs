//! A process is created.

use aya_ebpf::{helpers::bpf_get_current_task_btf, macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::{NewRecord, kind};

use crate::{
    emit::{emit, header},
    kernel::{TaskPtr, Typed},
};

/// `task_newtask(task, clone_flags)`; unlike `sched_process_fork` it fires for every task.
///
/// It comes after the task has its pids, cgroup and parent, and before it runs.
#[btf_tracepoint(function = "task_newtask")]
fn task_newtask(ctx: BtfTracePointContext) -> i32 {
    let task = TaskPtr(Typed::new(ctx.arg::<*const u8>(0)));
    // Threads are not processes, and pid 0 is the idle task of a processor that comes up.
    if task.tid() != task.tgid() || task.tid() == 0 {
        return 0;
    }
    // SAFETY: the helper has no arguments and cannot fail.
    let creator = TaskPtr(Typed::new(unsafe { bpf_get_current_task_btf() }));
    emit(kind::NEW, NewRecord { header: header::<NewRecord>(kind::NEW), task: task.identity(), creator: creator.id() });
    0
}
