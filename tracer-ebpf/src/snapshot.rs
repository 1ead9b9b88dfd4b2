//! The processes that exist: one task iterator for the start and after a loss, and one for what no tracepoint shows.

use aya_ebpf::helpers::{bpf_ktime_get_boot_ns, generated::bpf_seq_write};
use tracer_common::{Header, Recorded, RowRecord, SurveyRecord, record::NEVER, task::flags};

use crate::kernel::{Pointer, SIGNAL_GROUP_EXIT, SIGNAL_STOP_STOPPED, TaskPtr, Typed, has, offset, with_current};

/// Every state with this bit is on its way out of the process table (`EXIT_DEAD`).
const EXIT_DEAD: u32 = 0x10;
/// This bit alone: a zombie (`EXIT_ZOMBIE`). With `EXIT_DEAD`, a tracer is reaping it (`EXIT_TRACE`), and it will be a
/// zombie again or be gone.
const EXIT_ZOMBIE: u32 = 0x20;

/// Of `task_struct.jobctl`: the signal of the last stop of its process.
const JOBCTL_STOP_SIGMASK: u32 = 0xff;
/// The wait status of a process that is stopped, without the signal.
const STOPPED: u32 = 0x7f;

/// `struct bpf_iter__task`.
#[repr(C)]
struct Context {
    meta: *const *mut aya_ebpf::bindings::seq_file,
    task: *const u8,
}

/// Called once per thread of the opener's pid namespace, and once more with no task at the end.
///
/// aya has no macro for iterators; the section name is what makes it one.
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
extern "C" fn snapshot(ctx: *const Context) -> i32 {
    let Some((task, exit_state)) = process(ctx) else {
        return 0;
    };
    let signal = task.signal();
    let mut identity = task.identity();
    if exit_state & EXIT_ZOMBIE != 0 {
        identity.flags |= flags::LEADER_DEAD;
    }
    let state = signal.u32(offset!(signal_flags));
    let is_group_exit = state & SIGNAL_GROUP_EXIT != 0;
    let row = RowRecord {
        header: header::<RowRecord>(),
        task: identity,
        tracer: task.tracer(),
        idle: idle(task),
        exit_code: if is_group_exit {
            signal.u32(offset!(signal_group_exit_code))
        } else if state & SIGNAL_STOP_STOPPED != 0 && exit_state == 0 {
            stopped_by(task) << 8 | STOPPED
        } else {
            task.0.u32(offset!(task_exit_code))
        } as i32,
        live: signal.u32(offset!(signal_live)),
    };
    write(ctx, &row);
    0
}

/// The signal that has stopped the process, 0 if the kernel does not show it (`do_signal_stop()`).
#[inline(always)]
fn stopped_by(task: TaskPtr<Typed>) -> u32 {
    if has!(task_jobctl) { task.0.u64(offset!(task_jobctl)) as u32 & JOBCTL_STOP_SIGMASK } else { 0 }
}

/// Called like [`snapshot`]. Lists who is traced or a subreaper: neither ptrace(2) attaching or detaching nor
/// `prctl(PR_SET_CHILD_SUBREAPER)` fires a tracepoint.
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
extern "C" fn survey(ctx: *const Context) -> i32 {
    let Some((task, _)) = process(ctx) else {
        return 0;
    };
    let tracer = task.tracer();
    let is_subreaper = task.is_subreaper();
    if tracer.tgid == 0 && !is_subreaper {
        return 0;
    }
    let record = SurveyRecord {
        header: header::<SurveyRecord>(),
        id: task.id(),
        tracer,
        flags: if is_subreaper { flags::SUBREAPER } else { 0 },
        reserved: 0,
    };
    write(ctx, &record);
    0
}

/// The task that the iterator is at, with its `exit_state`, if it stands for a process.
#[inline(always)]
fn process(ctx: *const Context) -> Option<(TaskPtr<Typed>, u32)> {
    // SAFETY: the kernel passes a valid context.
    let task = unsafe { (*ctx).task };
    if task.is_null() {
        return None;
    }
    let task = TaskPtr(Typed::new(task));
    let exit_state = task.0.u32(offset!(task_exit_state));
    // A leader stands for its process. A process that is being released right now counts as gone: the record of its end
    // is already in the ring buffer.
    if task.tid() != task.tgid() || exit_state == EXIT_DEAD {
        return None;
    }
    Some((task, exit_state))
}

/// A header for a record that does not go through the ring buffer, and so has no processor.
#[inline(always)]
fn header<T: Recorded>() -> Header {
    Header {
        // SAFETY: a helper without arguments that cannot fail.
        at: unsafe { bpf_ktime_get_boot_ns() },
        kind: T::KIND as u8,
        reserved: 0,
        cpu: 0,
        len: size_of::<T>() as u32,
    }
}

#[inline(always)]
fn write<T>(ctx: *const Context, record: &T) {
    // SAFETY: the kernel passes a valid context; the record is on the caller's stack.
    unsafe { bpf_seq_write(*(*ctx).meta, core::ptr::from_ref(record).cast(), size_of::<T>() as u32) };
}

/// How long ago the task last ran: the difference of its `exec_start` and that of the current task, which is running
/// now. Both are `rq_clock_task`, which leaves out stolen time, so the result is too short rather than too long.
#[inline(always)]
fn idle(task: TaskPtr<Typed>) -> u64 {
    if !has!(task_exec_start) {
        return NEVER;
    }
    let now: u64 = with_current!(|current| current.0.u64(offset!(task_exec_start)));
    let last = task.0.u64(offset!(task_exec_start));
    if last == 0 { NEVER } else { now.saturating_sub(last) }
}
