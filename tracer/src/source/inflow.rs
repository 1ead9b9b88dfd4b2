//! All that the kernel side has written, as one stream by time: from the ring buffer, and from the rings of the
//! processors where they are in use.

use std::{mem, ops::Deref};

use aya::maps::{MapData, RingBuf};
use tracer_common::ring::{Restored, Slot};
use zerocopy::IntoBytes;

use crate::{
    source::{fill::room_of, rings::Rings},
    time::BootNs,
};

/// What all processors share: records that come one after the other, not quite by time.
pub trait Queue {
    /// A record, whose place is free when it is dropped.
    type Item<'a>: Deref<Target = [u8]>
    where
        Self: 'a;

    /// The next record.
    fn next(&mut self) -> Option<Self::Item<'_>>;
}

impl Queue for RingBuf<MapData> {
    type Item<'a> = aya::maps::ring_buf::RingBufItem<'a>;

    fn next(&mut self) -> Option<Self::Item<'_>> {
        Self::next(self)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Inflow<Q> {
    queue: Q,
    rings: Option<Rings>,
    clock: fn() -> BootNs,
    /// When the rings were looked at: whatever is older is known, but for what a program is just about to write.
    looked: BootNs,
    /// The next record of the queue; empty: not known.
    ahead: Vec<u8>,
    /// The record that was taken last.
    taken: Vec<u8>,
    /// Bytes of the queue that were freed.
    freed: u64,
}

impl<Q: Queue> Inflow<Q> {
    /// From these, by the clock of the records.
    pub fn new(queue: Q, rings: Option<Rings>, clock: fn() -> BootNs) -> Self {
        Self { queue, rings, clock, looked: BootNs::ZERO, ahead: Vec::new(), taken: Vec::new(), freed: 0 }
    }

    /// Begins to take what is there now.
    pub fn look(&mut self) {
        if let Some(rings) = &mut self.rings {
            self.looked = (self.clock)();
            rings.look();
        }
    }

    /// The next record by time: of the rings as they were looked at, and of the queue as long as there is anything.
    pub fn take(&mut self) -> Option<&[u8]> {
        if self.ahead.is_empty()
            && let Some(record) = self.queue.next()
        {
            self.freed += room_of(&record);
            self.ahead.extend_from_slice(&record);
        }
        let ahead = if self.ahead.is_empty() { None } else { Some(time_of(&self.ahead)) };
        // It must not overtake what has come into a ring since.
        if ahead.is_some_and(|ahead| ahead >= self.looked) {
            self.look();
        }
        let ring = self.rings.as_mut().filter(|rings| match (rings.oldest(), ahead) {
            (Some(oldest), Some(ahead)) => oldest <= ahead,
            (oldest, _) => oldest.is_some(),
        });
        self.taken.clear();
        match ring.and_then(Rings::take) {
            Some((cpu, slot)) => restore(slot, cpu, &mut self.taken),
            None if ahead.is_some() => mem::swap(&mut self.ahead, &mut self.taken),
            None => return None,
        }
        Some(&self.taken)
    }

    /// What all processors share.
    pub fn queue(&self) -> &Q {
        &self.queue
    }

    /// Whether there is something in a ring that was not taken.
    pub fn has_in_rings(&self) -> bool {
        self.rings.as_ref().is_some_and(Rings::has_more)
    }

    /// How many bytes of the queue were freed since the last call.
    pub fn freed(&mut self) -> u64 {
        mem::take(&mut self.freed)
    }
}

/// The bytes of a record, of which the kernel side would have written as many into the queue. Without a kind, they are
/// not decoded, and count as that.
fn restore(slot: Slot, cpu: u16, bytes: &mut Vec<u8>) {
    match slot.restore(cpu) {
        Some(Restored::Signal(record)) => bytes.extend_from_slice(record.as_bytes()),
        Some(Restored::Deliver(record)) => bytes.extend_from_slice(record.as_bytes()),
        None => bytes.extend_from_slice(&slot.at.to_ne_bytes()),
    }
}

/// When a record was made ([`Header`](tracer_common::Header)).
pub fn time_of(record: &[u8]) -> BootNs {
    record.first_chunk().map_or(BootNs::MAX, |&at| BootNs(u64::from_ne_bytes(at)))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tracer_common::{FreeRecord, Header, Recorded, SignalRecord};

    use super::*;
    use crate::source::rings::test::{Kernel, rings};

    impl Queue for VecDeque<Vec<u8>> {
        type Item<'a> = Vec<u8>;

        fn next(&mut self) -> Option<Self::Item<'_>> {
            self.pop_front()
        }
    }

    fn header<T: Recorded>(at: u64) -> Header {
        Header { at, kind: T::KIND as u8, reserved: 0, cpu: 0, len: size_of::<T>() as u32 }
    }

    fn signal(at: u64) -> SignalRecord {
        SignalRecord { header: header::<SignalRecord>(at), ..SignalRecord::default() }
    }

    fn free(at: u64) -> Vec<u8> {
        FreeRecord { header: header::<FreeRecord>(at), ..FreeRecord::default() }.as_bytes().to_vec()
    }

    fn taken(inflow: &mut Inflow<VecDeque<Vec<u8>>>) -> Vec<u64> {
        std::iter::from_fn(|| inflow.take().map(|record| time_of(record).0)).collect()
    }

    #[test]
    fn both_ways_make_one_stream() {
        let rings = rings(2, 4);
        let kernel = Kernel::of(&rings);
        let mut inflow = Inflow::new(VecDeque::from([free(2), free(5), free(6)]), Some(rings), || BootNs(100));
        for (cpu, at) in [(0, 1), (1, 3), (0, 4), (1, 7)] {
            assert!(kernel.put(cpu, signal(at)));
        }
        inflow.look();
        assert_eq!(taken(&mut inflow), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(inflow.freed(), 3 * 40);
        assert_eq!(inflow.freed(), 0);
    }

    #[test]
    fn what_has_come_since_is_not_overtaken() {
        let rings = rings(1, 4);
        let kernel = Kernel::of(&rings);
        let mut inflow = Inflow::new(VecDeque::new(), Some(rings), || BootNs(10));
        inflow.look();
        // Nothing of the queue is younger: it waits for the next look.
        assert!(kernel.put(0, signal(11)));
        assert!(taken(&mut inflow).is_empty());
        inflow.queue.push_back(free(12));
        assert_eq!(taken(&mut inflow), [11, 12]);
    }

    #[test]
    fn without_rings_it_is_the_queue() {
        let mut inflow = Inflow::new(VecDeque::from([free(2), free(1)]), None, || BootNs(0));
        inflow.look();
        assert_eq!(taken(&mut inflow), [2, 1]);
    }
}
