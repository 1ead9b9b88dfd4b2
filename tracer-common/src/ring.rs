//! The ring of one processor, in memory that the kernel side and user space share: how it is laid out, and how a record
//! gets in.
//!
//! One writer at a time, on the processor that the ring belongs to, with interrupts off; one reader. The writer uses
//! plain stores only: an atomic operation for each record would cost as much as everything else together. So this is for
//! processors that keep stores in order (x86-64).

use core::{
    ptr::{addr_of, addr_of_mut},
    sync::atomic::{Ordering, compiler_fence},
};

use crate::{
    describe::Recorded as _,
    record::{DeliverRecord, Header, RecordKind, SignalRecord},
    task::TaskId,
};

/// Bytes that a processor fetches at once.
const LINE: usize = 64;

/// How far writer and reader have come; both only ever grow. Each has a line of its own, which the other one's stores do
/// not take away from it.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default)]
pub struct Positions {
    /// Records that were written. Only the kernel side stores it.
    pub head: u64,
    apart: [u64; LINE / size_of::<u64>() - 1],
    /// Records that were read. Only user space stores it.
    pub tail: u64,
    apart_too: [u64; LINE / size_of::<u64>() - 1],
}

/// The place of a record: all that a [`SignalRecord`] or [`DeliverRecord`] says, in one line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Of the header: when it happened.
    pub at: u64,
    sender: TaskId,
    target: TaskId,
    code: i32,
    flags: u16,
    signal: u8,
    result: u8,
    group: u32,
    session: u32,
    terminal: u32,
    kind: u8,
    aim: u8,
    reserved: u16,
}

const _: () = assert!(size_of::<Slot>() == LINE && size_of::<Positions>() == 2 * LINE);

impl From<SignalRecord> for Slot {
    #[inline(always)]
    fn from(record: SignalRecord) -> Self {
        let SignalRecord { header, sender, target, code, flags, signal, result, aim, group, session, terminal } =
            record;
        Self {
            at: header.at,
            sender,
            target,
            code,
            flags,
            signal,
            result,
            group,
            session,
            terminal,
            kind: header.kind,
            // One of a few small values.
            aim: aim as u8,
            reserved: 0,
        }
    }
}

impl From<DeliverRecord> for Slot {
    #[inline(always)]
    fn from(record: DeliverRecord) -> Self {
        let DeliverRecord { header, target, code, flags, signal, reserved: _ } = record;
        Self { at: header.at, target, code, flags, signal, kind: header.kind, ..Self::default() }
    }
}

/// A record as it was before it was put into a [`Slot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// From `signal_generate`.
    Signal(SignalRecord),
    /// From `signal_deliver`.
    Deliver(DeliverRecord),
}

impl Slot {
    /// The record, which was written on that processor; `None` if no program writes such a one.
    pub fn restore(self, cpu: u16) -> Option<Restored> {
        let Self { at, sender, target, code, flags, signal, result, group, session, terminal, kind, aim, .. } = self;
        let header = |len: usize| Header { at, kind, reserved: 0, cpu, len: len as u32 };
        if kind == SignalRecord::KIND as u8 {
            Some(Restored::Signal(SignalRecord {
                header: header(size_of::<SignalRecord>()),
                sender,
                target,
                code,
                flags,
                signal,
                result,
                aim: aim.into(),
                group,
                session,
                terminal,
            }))
        } else if kind == RecordKind::Deliver as u8 {
            let header = header(size_of::<DeliverRecord>());
            Some(Restored::Deliver(DeliverRecord { header, target, code, flags, signal, reserved: 0 }))
        } else {
            None
        }
    }
}

/// Puts a record into the ring with these positions and so many slots (a power of two), of which `slot` gives the place
/// of each. Returns whether it found the ring empty, `None` if there was no room.
///
/// # Safety
/// `positions` and what `slot` returns are valid, aligned and this ring's; nobody else writes into the ring meanwhile.
#[inline(always)]
pub unsafe fn put(
    positions: *mut Positions,
    slots: u32,
    slot: impl FnOnce(u32) -> Option<*mut Slot>,
    record: impl Into<Slot>,
) -> Option<bool> {
    // SAFETY: the caller's.
    let (head, tail) = unsafe { (addr_of!((*positions).head).read(), addr_of!((*positions).tail).read_volatile()) };
    if head.wrapping_sub(tail) >= u64::from(slots) {
        return None;
    }
    let place = slot(head as u32 & (slots - 1))?;
    // SAFETY: the caller's.
    unsafe {
        place.write(record.into());
        // The record before the head that announces it: the compiler keeps that order here, the processor by itself.
        compiler_fence(Ordering::Release);
        addr_of_mut!((*positions).head).write_volatile(head.wrapping_add(1));
    }
    Some(head == tail)
}
