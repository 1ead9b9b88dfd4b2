//! The processes that exist: a task iterator, for the start and after a loss.

use aya_ebpf::helpers::{bpf_ktime_get_boot_ns, generated::bpf_seq_write};
use tracer_common::{Header, RowRecord, kind, record::NEVER, task::flags};

use crate::kernel::{Pointer, SIGNAL_GROUP_EXIT, TaskPtr, Typed, has, offset, with_current};

/// Every state with this bit is on its way out of the process table (`EXIT_DEAD`).
const EXIT_DEAD: u32 = 0x10;
/// Only this bit: a zombie (`EXIT_ZOMBIE`); with `EXIT_DEAD` it is in a tracer's hands
/// (`EXIT_TRACE`) and will be a zombie again or be gone.
const EXIT_ZOMBIE: u32 = 0x20;

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
    // SAFETY: the kernel passes a valid context.
    let (meta, task) = unsafe { ((*ctx).meta, (*ctx).task) };
    if task.is_null() {
        return 0;
    }
    let task = TaskPtr(Typed::new(task));
    let exit_state = task.0.u32(offset!(task_exit_state));
    // A leader stands for its process. What is being released right now is as good as gone; the
    // record of its end is in the ring buffer already.
    if task.tid() != task.tgid() || exit_state == EXIT_DEAD {
        return 0;
    }
    let signal = task.signal();
    let mut identity = task.identity();
    if exit_state & EXIT_ZOMBIE != 0 {
        identity.flags |= flags::LEADER_DEAD;
    }
    let is_group_exit = signal.u32(offset!(signal_flags)) & SIGNAL_GROUP_EXIT != 0;
    let row = RowRecord {
        header: Header {
            // SAFETY: a helper without arguments that cannot fail.
            at: unsafe { bpf_ktime_get_boot_ns() },
            kind: kind::ROW,
            reserved: 0,
            cpu: 0,
            len: size_of::<RowRecord>() as u32,
        },
        task: identity,
        tracer: task.tracer(),
        idle: idle(task),
        exit_code: if is_group_exit {
            signal.u32(offset!(signal_group_exit_code))
        } else {
            task.0.u32(offset!(task_exit_code))
        } as i32,
        live: signal.u32(offset!(signal_live)),
    };
    // SAFETY: the kernel's own seq_file, and a record on this stack.
    unsafe { bpf_seq_write(*meta, (&raw const row).cast(), size_of::<RowRecord>() as u32) };
    0
}

/// How long ago the task last ran: its `exec_start` against that of the current task, which is
/// running now. Both are `rq_clock_task`, which leaves stolen time out, so it is rather less
/// than more.
#[inline(always)]
fn idle(task: TaskPtr<Typed>) -> u64 {
    if !has!(task_exec_start) {
        return NEVER;
    }
    let now: u64 = with_current!(|current| current.0.u64(offset!(task_exec_start)));
    let last = task.0.u64(offset!(task_exec_start));
    if last == 0 { NEVER } else { now.saturating_sub(last) }
}
