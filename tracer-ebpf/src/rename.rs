//! A process changes its name without an exec.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::RenameRecord;

use crate::{
    emit::{emit, header},
    kernel::{Pointer, TaskPtr, Typed, config, offset, peek},
};

/// `task_rename(task, comm)`: `prctl(PR_SET_NAME)`, a write to `/proc/PID/comm`, and every exec,
/// which has its own record. Fires before the name is changed (`__set_task_comm()`).
#[btf_tracepoint(function = "task_rename")]
fn task_rename(ctx: BtfTracePointContext) -> i32 {
    let task = TaskPtr(Typed::new(ctx.arg::<*const u8>(0)));
    let is_exec = u32::from(task.0.u8(offset!(task_in_execve))) & config!(in_execve_mask) != 0;
    // The name of a process is that of its leader.
    if is_exec || task.tid() != task.tgid() {
        return 0;
    }
    emit(RenameRecord { header: header::<RenameRecord>(), id: task.id(), comm: peek(ctx.arg::<u64>(1), 0) });
    0
}
