//! Owns the ring buffer and the counters: a record either enters a buffer or is counted as lost.

use aya_ebpf::{
    helpers::{bpf_get_smp_processor_id, bpf_ktime_get_boot_ns},
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use tracer_common::{Header, RecordKind, Recorded, Stats, ring::Slot};

use crate::ring;

/// Records on their way to user space. The loader sets the size.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// One [`Stats`] per processor.
#[map]
static STATS: PerCpuArray<Stats> = PerCpuArray::with_max_entries(1, 0);

/// The last signal that [`is_news`] let through.
#[repr(C)]
#[derive(Clone, Copy)]
struct News {
    until: u64,
    what: [u32; 3],
}

/// One per processor.
#[map]
static NEWS: PerCpuArray<News> = PerCpuArray::with_max_entries(1, 0);

/// Until when what falls into one of these places is no news to [`is_rare`].
#[map]
static RARE: PerCpuArray<u64> = PerCpuArray::with_max_entries(PLACES, 0);

/// Places of [`RARE`] for each processor; a power of 2.
const PLACES: u32 = 64;

/// How long the same is no news, in nanoseconds.
const STALE: u64 = 10_000_000;

/// Whether this processor has not just reported the same signal from the same sender to the same target. A sender that
/// finds the queue full often retries at once, and some programs are sent a blocked signal after each wait; to report
/// each would fill the ring buffer.
#[inline(always)]
pub fn is_news(sender: u32, target: u32, signal: u32) -> bool {
    let Some(last) = NEWS.get_ptr_mut(0) else { return true };
    // SAFETY: to this processor's own copy; signals are generated with interrupts off.
    let last = unsafe { &mut *last };
    // SAFETY: a helper without arguments that cannot fail.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    let what = [sender, target, signal];
    if last.what == what && now < last.until {
        return false;
    }
    *last = News { until: now + STALE, what };
    true
}

/// The same for signals that some programs are sent all the time, many at once: whatever else falls into the
/// same place is no news either, so that the number of records is bounded.
#[inline(always)]
pub fn is_rare(sender: u32, target: u32, signal: u32) -> bool {
    let place = (sender ^ target.rotate_left(3) ^ signal) % PLACES;
    let Some(until) = RARE.get_ptr_mut(place) else { return true };
    // SAFETY: as in `is_news`.
    let until = unsafe { &mut *until };
    // SAFETY: a helper without arguments that cannot fail.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    if now < *until {
        return false;
    }
    *until = now + STALE;
    true
}

/// The header of a record of this type, stamped with the time and the processor.
#[inline(always)]
pub fn header<T: Recorded>() -> Header {
    Header {
        // SAFETY: helpers without arguments that cannot fail.
        at: unsafe { bpf_ktime_get_boot_ns() },
        kind: T::KIND as u8,
        reserved: 0,
        // SAFETY: as above.
        cpu: unsafe { bpf_get_smp_processor_id() } as u16,
        len: size_of::<T>() as u32,
    }
}

/// Puts a record into the ring buffer.
///
/// A record that finds the buffer empty wakes the reader if that sleeps (`bpf_ringbuf_commit()` without flags). While
/// records come, the reader polls on a timer instead: a wake-up per record would cost more than everything else here
/// together (measured: a signal storm ran at 0.28 of its untraced speed with it, at 0.73 without).
#[inline(always)]
pub fn emit<T: Recorded + 'static>(record: T) {
    match EVENTS.reserve::<T>(0) {
        Some(mut entry) => {
            entry.write(record);
            entry.submit(0);
        }
        None => lost(T::KIND),
    }
}

/// Puts a record into the ring of this processor, which is the one with that number; or, if that is full or not in use,
/// into the ring buffer. Only for programs that run with interrupts off.
#[inline(always)]
pub fn emit_uninterrupted<T: Recorded + Copy + Into<Slot> + 'static>(cpu: u16, record: T) {
    match ring::put(cpu, record) {
        Some(false) => {}
        Some(true) => wake(),
        None => emit(record),
    }
}

/// Wakes the reader as a record in the ring buffer does: room there that is given back is none to the reader.
#[inline(always)]
fn wake() {
    // Without room, the reader has something to do.
    if let Some(entry) = EVENTS.reserve::<u64>(0) {
        entry.discard(0);
    }
}

/// Puts a record of variable length into the ring buffer.
#[inline(always)]
pub fn emit_bytes<T: Recorded>(bytes: &[u8]) {
    if EVENTS.output::<[u8]>(bytes, 0).is_err() {
        lost(T::KIND);
    }
}

#[inline(always)]
fn lost(kind: RecordKind) {
    count(|stats| {
        if let Some(lost) = stats.lost.get_mut(kind as usize) {
            *lost += 1;
        }
    });
}

/// Changes this processor's counters.
#[inline(always)]
pub fn count(change: impl FnOnce(&mut Stats)) {
    if let Some(stats) = STATS.get_ptr_mut(0) {
        // SAFETY: the pointer is to this processor's own copy. Tracing programs do not nest on one processor, except in
        // interrupts, where an increment may be lost from the totals but memory stays sound.
        change(unsafe { &mut *stats });
    }
}
