//! Who will adopt the children of an exiting thread: the kernel's `find_new_reaper()`, computed
//! a moment before the kernel does.
//!
//! This is a prediction: before `exit_notify()`, a sibling thread or the chosen reaper may begin to exit as well. User
//! space verifies it when it looks at the child.
//!
//! The two walks are global functions on plain addresses, because the verifier checks a global function once and by
//! itself. If they were inlined, it would follow every exit of a loop through the rest of the program, the two loops
//! would multiply, and it would exceed its limit of a million instructions.

use tracer_common::{TaskId, record::adopter};

use crate::{
    emit::count,
    kernel::{PF_EXITING, Plain, Pointer, TaskPtr, Typed, config, offset, peek},
};

/// How many threads of a process are looked at. If that many exiting threads come before the first that is not exiting,
/// the answer is "unknown", and counted.
const MAX_THREADS: u32 = 256;
/// How many ancestors are looked at.
const MAX_ANCESTORS: u32 = 256;

/// In place of a thread's address: there is no such thread.
const NONE: u64 = 0;
/// In place of a thread's address: the walk was cut short.
const UNKNOWN: u64 = 1;

/// Who adopts.
pub struct Adopter {
    /// See [`adopter`].
    pub class: u32,
    /// Who it is.
    pub id: TaskId,
    /// Whether `reparent_leader()` will release the zombies among the children at once.
    pub ignores_children: bool,
}

impl Adopter {
    /// Nobody.
    pub const NONE: Self = Self::nobody(adopter::NONE);

    const fn nobody(class: u32) -> Self {
        Self { class, id: TaskId { start: 0, tgid: 0, tid: 0 }, ignores_children: false }
    }
}

/// Who adopts the children of that thread.
#[inline(always)]
pub fn adopter(task: TaskPtr<Typed>, live: u32) -> Adopter {
    let (class, thread) = choose(task, live);
    match thread {
        UNKNOWN => {
            count(|stats| stats.walks_cut += 1);
            Adopter::nobody(adopter::UNKNOWN)
        }
        thread => {
            let id = id_of(thread);
            // An init without other threads: the kernel ends its namespace, and nobody adopts.
            if class == adopter::NAMESPACE_INIT && id.tgid == task.tgid() {
                return Adopter::NONE;
            }
            // Within a thread group, nobody is notified of a child again.
            let ignores_children = class != adopter::THREAD && TaskPtr(Plain(thread)).ignores_children();
            Adopter { class, id, ignores_children }
        }
    }
}

#[inline(always)]
fn choose(task: TaskPtr<Typed>, live: u32) -> (u32, u64) {
    let address = task.0.address();
    // 1. Another thread of the same process, unless it is exiting too. With nobody live, all
    //    are: exit_signals() sets PF_EXITING before `live` is counted down.
    if live > 0 {
        let thread = alive_thread(peek(address, offset!(task_signal)));
        if thread != NONE {
            return (adopter::THREAD, thread);
        }
    }
    // 2. The nearest subreaper, as long as the walk stays at the depth of this namespace.
    if task.has_subreaper() {
        let thread = subreaper(peek(address, offset!(task_real_parent)), task.ns_level());
        if thread != NONE {
            return (adopter::SUBREAPER, thread);
        }
    }
    // 3. The init of the namespace, which may be a thread of it that is not the leader.
    let ns = task.upid(task.ns_level()).ns;
    (adopter::NAMESPACE_INIT, peek(ns, offset!(ns_child_reaper)))
}

/// The short identity of a task by its address.
#[inline(always)]
fn id_of(task: u64) -> TaskId {
    let leader: u64 = peek(task, offset!(task_group_leader));
    TaskId {
        start: peek(leader, offset!(task_start_boottime)),
        tgid: peek(task, offset!(task_tgid)),
        tid: peek(task, offset!(task_pid)),
    }
}

/// The second part of `find_new_reaper()`: going up from the parent, the first subreaper with a thread that is not
/// exiting.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn subreaper(parent: u64, level: u32) -> u64 {
    let mut ancestor = parent;
    let mut steps = 0;
    while steps < MAX_ANCESTORS {
        let pid: u64 = peek(ancestor, offset!(task_thread_pid));
        // The idle task (pid 0) is the root of the tree, and has no usable `struct pid`.
        if peek::<u32>(ancestor, offset!(task_tgid)) == 0 || peek::<u32>(pid, offset!(pid_level)) != level {
            return NONE;
        }
        let signal: u64 = peek(ancestor, offset!(task_signal));
        if u32::from(peek::<u8>(signal, offset!(signal_is_subreaper))) & config!(is_subreaper_mask) != 0 {
            let thread = alive_thread(signal);
            if thread != NONE {
                return thread;
            }
        }
        ancestor = peek(ancestor, offset!(task_real_parent));
        steps += 1;
    }
    UNKNOWN
}

/// `find_alive_thread()`: the first thread of a process that has not begun to exit.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn alive_thread(signal: u64) -> u64 {
    let head = signal + u64::from(offset!(signal_thread_head));
    let mut node: u64 = peek(head, 0);
    let mut steps = 0;
    while steps < MAX_THREADS {
        if node == head || node == 0 {
            return NONE;
        }
        let thread = node.wrapping_sub(u64::from(offset!(task_thread_node)));
        if peek::<u32>(thread, offset!(task_flags)) & PF_EXITING == 0 {
            return thread;
        }
        node = peek(node, 0);
        steps += 1;
    }
    UNKNOWN
}
