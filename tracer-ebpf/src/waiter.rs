//! A process ends, and a thread of its parent that waits for it may not get its status.

use tracer_common::AwaitedRecord;

use crate::{
    emit::{emit, header},
    kernel::{Plain, Pointer, TaskPtr, Typed, has, offset, peek},
};

/// Threads of one parent that wait at the same time and are looked at.
const MAX_WAITERS: u32 = 16;
/// `PIDTYPE_PID` of `enum pid_type`: for one process, by its pid.
const ONE: u32 = 0;
/// `WNOWAIT`: to look, and leave the status where it is.
const WNOWAIT: u32 = 0x0100_0000;

/// Tells of a thread that waits, if it may wait in vain. A parent with one thread that does not ignore SIGCHLD
/// gets what it waits for.
#[inline(always)]
pub fn tell(leader: TaskPtr<Typed>, parent: TaskPtr<Typed>, is_ignored: bool) {
    let is_alone = parent.signal().u32(offset!(signal_nr_threads)) < 2;
    if !has!(signal_waiters, waiter_entry, waiter_task, wait_entry, wait_type, wait_pid) || (is_alone && !is_ignored) {
        return;
    }
    // Copied: the verifier takes no typed pointer for a number.
    let signal: u64 = peek(parent.0.address(), offset!(task_signal));
    let process: u64 = peek(leader.0.address(), offset!(task_thread_pid));
    let queue = signal + u64::from(offset!(signal_waiters));
    let mut options = waiter(queue, process, u32::from(is_ignored));
    let only = u32::from(options != 0);
    if options == 0 && is_ignored {
        // For any child.
        options = waiter(queue, 0, 1);
    }
    if options != 0 {
        let thread: u64 = peek(options + u64::from(offset!(wait_entry)), offset!(waiter_task));
        let waiter = TaskPtr(Plain(thread)).id();
        emit(AwaitedRecord { header: header::<AwaitedRecord>(), id: leader.id(), waiter, only, reserved: 0 });
    }
}

/// The `struct wait_opts` of a task that waits in `do_wait()` for exactly the process with that `struct pid`, or
/// without one for any child; 0 if none does. Each waiter's entry in the queue is part of it. By itself, so that
/// the verifier looks at it once.
///
/// Who only looks may leave the status to another thread on purpose (os/exec of Go does); where nobody can get
/// it, that counts too.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn waiter(queue: u64, process: u64, is_lost: u32) -> u64 {
    let mut node: u64 = peek(queue, 0);
    let mut steps = 0;
    while steps < MAX_WAITERS {
        if node == queue || node == 0 {
            return 0;
        }
        let entry = node.wrapping_sub(u64::from(offset!(waiter_entry)));
        let options = entry.wrapping_sub(u64::from(offset!(wait_entry)));
        let is_one = peek::<u32>(options, offset!(wait_type)) == ONE;
        let is_for_it = peek::<u64>(options, offset!(wait_pid)) == process && is_one == (process != 0);
        if is_for_it && (is_lost != 0 || peek::<u32>(options, offset!(wait_flags)) & WNOWAIT == 0) {
            return options;
        }
        node = peek(node, 0);
        steps += 1;
    }
    0
}
