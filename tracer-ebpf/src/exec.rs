//! A process replaces its program (execve).

use aya_ebpf::{
    helpers::generated::bpf_probe_read_user,
    macros::{btf_tracepoint, map},
    maps::PerCpuArray,
    programs::BtfTracePointContext,
};
use aya_log_ebpf::debug;
use tracer_common::{
    ExecRecord,
    record::{ARGS_MAX, ExecContext},
};

use crate::{
    emit::{emit_bytes, header},
    kernel::{Pointer, TaskPtr, Typed, has, offset},
};

/// Room for a record with the longest variable part. Only the arguments that exist are sent, followed directly by the
/// context.
#[repr(C)]
struct Room {
    record: ExecRecord,
    args: [u8; ARGS_MAX],
    context: [u8; size_of::<ExecContext>()],
}

/// One per processor: too large for the stack of a program.
#[map]
static EXEC_ROOM: PerCpuArray<Room> = PerCpuArray::with_max_entries(1, 0);

/// `sched_process_exec(task, old_pid, bprm)`. The new memory is in place, so the arguments can be read from it.
#[btf_tracepoint(function = "sched_process_exec")]
fn sched_process_exec(ctx: BtfTracePointContext) -> i32 {
    let task = TaskPtr(Typed::new(ctx.arg::<*const u8>(0)));
    let Some(room) = EXEC_ROOM.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: this processor's own copy. If another exec preempts this one here, the kernel does not run a program that
    // is already active on the processor.
    let Room { record, args: copy, context: _ } = unsafe { &mut *room };
    let (start, whole) = args(task);
    let length = if whole > ARGS_MAX as u64 { ARGS_MAX as u64 } else { whole } as usize;
    record.id = task.id();
    record.comm = task.comm();
    record.old_tid = ctx.arg::<i32>(1) as u32;
    record.args_cut = u16::from(whole > ARGS_MAX as u64);
    let read = read_args(copy, length, start);
    if read < length {
        debug!(&ctx, "exec of process {}: its {} bytes of arguments cannot be read", task.tgid(), length);
    }
    record.args_len = read as u16;
    let context = task.exec_context();
    let args_at = core::mem::offset_of!(Room, args);
    let sent = args_at + read + size_of::<ExecContext>();
    record.header = header::<ExecRecord>();
    record.header.len = sent as u32;
    // SAFETY: `read` is at most `ARGS_MAX`, so the context and the slice lie within the room.
    let bytes = unsafe {
        room.cast::<u8>().add(args_at + read).cast::<ExecContext>().write_unaligned(context);
        core::slice::from_raw_parts(room.cast::<u8>(), sent)
    };
    emit_bytes::<ExecRecord>(bytes);
    0
}

/// Where the command line begins in the process's memory, and how long it is.
#[inline(always)]
fn args(task: TaskPtr<Typed>) -> (u64, u64) {
    if !has!(task_mm, mm_arg_start, mm_arg_end) {
        return (0, 0);
    }
    let mm = task.0.follow(offset!(task_mm));
    let start = mm.u64(offset!(mm_arg_start));
    (start, mm.u64(offset!(mm_arg_end)).saturating_sub(start))
}

/// Copies the command line; 0 bytes if the memory cannot be read now.
#[inline(always)]
fn read_args(room: &mut [u8; ARGS_MAX], length: usize, from: u64) -> usize {
    // SAFETY: the helper checks the source; the destination holds `length <= ARGS_MAX` bytes.
    let failed = unsafe { bpf_probe_read_user(room.as_mut_ptr().cast(), length as u32, from as *const _) };
    if failed == 0 { length } else { 0 }
}
