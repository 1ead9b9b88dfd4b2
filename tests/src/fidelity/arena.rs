//! The memory that the driver and every actor share: a slot for each actor, through which it gets
//! its orders. It is a memfd, so that an actor finds it again after an exec.

use std::{
    cell::UnsafeCell,
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering},
};

use nix::libc;
use rustix::{
    fs::{MemfdFlags, ftruncate, memfd_create},
    mm::{MapFlags, ProtFlags, mmap},
    thread::futex,
};

use super::order::Order;

/// An actor of an episode: the index of its slot. [`ROOT`] is the ancestor of all others.
pub type ActorId = u16;

/// The first actor, which is a subreaper and takes away what is left of an episode.
pub const ROOT: ActorId = 0;

/// Actors that one episode can have.
pub const SLOTS: usize = 4096;

/// One actor's part.
#[repr(C, align(64))]
pub struct Slot {
    /// Number of the last order; the actor sleeps on it (futex).
    ordered: AtomicU32,
    /// Number of the last order that was carried out.
    done: AtomicU32,
    /// What it returned: 0 or more, or -1.
    result: AtomicI32,
    /// Its process on the host, 0 before it lives.
    pid: AtomicU32,
    /// Its thread on the host.
    tid: AtomicU32,
    /// It leads a process group of its own from the start.
    own_group: AtomicBool,
    /// Written by whoever may write `ordered`, before that.
    order: UnsafeCell<Order>,
}

/// All slots, and what every actor needs to know.
#[repr(C)]
pub struct Arena {
    /// Counts up as long as the driver lives.
    pub heartbeat: AtomicU32,
    /// The driver's pid on the host.
    pub driver: AtomicI32,
    /// The root's process group.
    pub root_group: AtomicI32,
    slots: [Slot; SLOTS],
}

// SAFETY: an order is written before the number that announces it, and read after it; the driver
// writes the next one only after the actor has said that it is done, or has died.
unsafe impl Sync for Slot {}

/// Descriptors that every actor has, by number: nothing is closed on exec.
#[derive(Clone, Copy, Debug)]
pub struct Descriptors {
    /// The memory of the [`Arena`].
    pub memory: i32,
    /// An eventfd that wakes the driver.
    pub bell: i32,
    /// A pidfd of the driver, from which an actor gets pidfds of others.
    pub driver: i32,
}

/// Makes the memory for an arena.
///
/// # Errors
/// If the kernel has none.
pub fn create() -> io::Result<std::os::fd::OwnedFd> {
    let memory = memfd_create("fidelity", MemfdFlags::empty())?;
    ftruncate(&memory, size_of::<Arena>() as u64)?;
    Ok(memory)
}

/// Maps an arena into this process, for ever.
///
/// # Errors
/// If the kernel refuses.
pub fn map(memory: BorrowedFd<'_>) -> io::Result<&'static Arena> {
    let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
    // SAFETY: a new mapping, of a file that is as long; it is never unmapped, and zeros are a
    // valid arena.
    unsafe {
        let address = mmap(std::ptr::null_mut(), size_of::<Arena>(), protection, flags, memory.as_fd(), 0)?;
        Ok(&*address.cast::<Arena>())
    }
}

impl Arena {
    /// An actor's slot.
    pub fn slot(&self, actor: ActorId) -> &Slot {
        &self.slots[usize::from(actor) % SLOTS]
    }

    /// Forgets all actors but the root.
    pub fn clear(&self) {
        for slot in &self.slots[1..] {
            for word in [&slot.ordered, &slot.done, &slot.pid, &slot.tid] {
                word.store(0, Ordering::Relaxed);
            }
            slot.own_group.store(false, Ordering::Relaxed);
            slot.write(Order::Nothing);
        }
    }
}

impl Slot {
    fn write(&self, order: Order) {
        // SAFETY: nobody else writes, and the reader waits for the number (see `Sync`).
        unsafe { *self.order.get() = order };
    }

    /// What it was told last.
    pub fn order(&self) -> Order {
        // SAFETY: as in `write`.
        unsafe { *self.order.get() }
    }

    /// Driver: gives an order and says its number.
    pub fn give(&self, order: Order) -> u32 {
        self.write(order);
        let number = self.ordered.load(Ordering::Relaxed).wrapping_add(1);
        self.ordered.store(number, Ordering::Release);
        // Nobody sleeps there if the actor is busy or dead.
        let _ = futex::wake(&self.ordered, futex::Flags::empty(), 1);
        number
    }

    /// Creator: prepares the slot of an actor that is about to be made, with its first order.
    pub fn prepare(&self, order: Order, own_group: bool) {
        self.write(order);
        self.own_group.store(own_group, Ordering::Release);
    }

    /// Actor: whether it is to lead a process group.
    pub fn has_own_group(&self) -> bool {
        self.own_group.load(Ordering::Acquire)
    }

    /// Actor: says that it lives.
    pub fn appear(&self, pid: u32, tid: u32) {
        self.tid.store(tid, Ordering::Relaxed);
        self.pid.store(pid, Ordering::Release);
    }

    /// Where it lives: its process and thread on the host.
    pub fn lives_at(&self) -> Option<(u32, u32)> {
        let pid = self.pid.load(Ordering::Acquire);
        (pid != 0).then(|| (pid, self.tid.load(Ordering::Relaxed)))
    }

    /// Actor: sleeps until there is an order that is not done; `None` after a while, or when a
    /// signal came.
    pub fn next(&self, patience: libc::time_t) -> Option<u32> {
        let done = self.done.load(Ordering::Relaxed);
        let ordered = self.ordered.load(Ordering::Acquire);
        if ordered != done {
            return Some(ordered);
        }
        let patience = rustix::thread::Timespec { tv_sec: patience, tv_nsec: 0 };
        let _ = futex::wait(&self.ordered, futex::Flags::empty(), done, Some(&patience));
        let ordered = self.ordered.load(Ordering::Acquire);
        (ordered != done).then_some(ordered)
    }

    /// Actor: the number of the order that it is about.
    pub fn ordered(&self) -> u32 {
        self.ordered.load(Ordering::Acquire)
    }

    /// Actor: says that an order is carried out.
    pub fn finish(&self, number: u32, result: i32) {
        self.result.store(result, Ordering::Relaxed);
        self.done.store(number, Ordering::Release);
    }

    /// Driver: what the order of that number returned, once it is done.
    pub fn result(&self, number: u32) -> Option<i32> {
        (self.done.load(Ordering::Acquire) == number).then(|| self.result.load(Ordering::Relaxed))
    }
}
