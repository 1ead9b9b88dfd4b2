//! Owns the rings of the processors, which user space reads in place: a record there costs a few plain stores.
//!
//! Only for programs that run with interrupts off, so that no two of them write into the same ring at a time. Where that
//! is not so, or the processor does not keep stores in order, the loader leaves the rings unused.

use aya_ebpf::{macros::map, maps::Array};
use tracer_common::ring::{Positions, Slot, put as put_into};

use crate::kernel::config;

/// `BPF_F_MMAPABLE`.
const MMAPABLE: u32 = 1 << 10;

/// How far each ring is written and read. The loader sets the number.
#[map]
static POSITIONS: Array<Positions> = Array::with_max_entries(1, MMAPABLE);

/// The slots of all rings, one ring after the other. The loader sets the number.
#[map]
static SLOTS: Array<Slot> = Array::with_max_entries(1, MMAPABLE);

/// Puts a record into the ring of this processor, which is the one with that number. Returns whether it found the ring
/// empty, `None` if there was no room.
#[inline(always)]
pub fn put(cpu: u16, record: impl Into<Slot>) -> Option<bool> {
    let slots = config!(ring_slots);
    if slots == 0 {
        return None;
    }
    let first = u32::from(cpu) * slots;
    let positions = POSITIONS.get_ptr_mut(u32::from(cpu))?;
    // SAFETY: the pointers are to elements of the maps, and interrupts are off.
    unsafe { put_into(positions, slots, |slot| SLOTS.get_ptr_mut(first + slot), record) }
}
