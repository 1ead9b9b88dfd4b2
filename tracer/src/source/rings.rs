//! The rings of the processors, read in place: what programs that run with interrupts off have recorded.
//!
//! The kernel side writes by [`put`](tracer_common::ring::put) into memory that both have mapped.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    ptr::{self, NonNull},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering, fence},
    },
};

use aya::{Ebpf, maps::Map};
use clap::ValueEnum;
use nix::libc;
use tracer_common::ring::{Positions, Slot};

use crate::time::BootNs;

/// After so many records of one ring, or a quarter of it, the kernel side learns that their slots are free. More often would take the line
/// with that number away from it each time.
const AT_ONCE: u64 = 512;
/// Fewer slots are not worth a ring: a page of them.
const FEWEST: u32 = 64;

/// Which way signals take from the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// A ring for each processor, where this kernel and this processor allow that; else the ring buffer
    #[default]
    Best,
    /// The ring buffer that everything else goes through
    Ringbuf,
}

impl Transport {
    /// How so many bytes are shared out among so many processors.
    pub fn share(self, bytes: u32, processors: u32) -> Share {
        match self {
            Self::Best if OBSTACLE.is_none() => Share::with_rings(bytes, processors),
            _ => Share::without_rings(bytes),
        }
    }
}

/// Why there cannot be rings, whatever their size.
pub static OBSTACLE: LazyLock<Option<&str>> = LazyLock::new(|| {
    if cfg!(not(target_arch = "x86_64")) {
        Some("this processor does not keep stores in order")
    } else if rustix::system::uname().version().to_string_lossy().contains("PREEMPT_RT") {
        // There, siglock is a lock that sleeps, and interrupts stay on.
        Some("on a real-time kernel signals are sent with interrupts on")
    } else {
        None
    }
});

/// How the memory that records may take is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Bytes of the ring buffer that all processors share, a power of two.
    pub shared: u32,
    /// Slots of each processor's ring, a power of two; 0: there is none.
    pub slots: u32,
}

impl Share {
    /// All of it for the ring buffer.
    pub fn without_rings(bytes: u32) -> Self {
        Self { shared: bytes, slots: 0 }
    }

    /// Half of it, a power of two, for the rings of so many processors, if that is enough for them.
    pub fn with_rings(bytes: u32, processors: u32) -> Self {
        let each = bytes / 2 / processors.max(1) / size_of::<Slot>() as u32;
        match each.checked_ilog2() {
            Some(exponent) if 1 << exponent >= FEWEST => Self { shared: bytes / 2, slots: 1 << exponent },
            _ => Self::without_rings(bytes),
        }
    }
}

/// The rings of all processors.
#[derive(Debug)]
pub struct Rings {
    positions: Shared<Positions>,
    slots: Shared<Slot>,
    /// Slots of each ring.
    size: u32,
    /// By processor.
    rings: Vec<Ring>,
    /// When the next record of each ring was made that has one, and of which.
    next: BinaryHeap<Reverse<(u64, u16)>>,
}

/// What is known here of one ring.
#[derive(Clone, Copy, Debug, Default)]
struct Ring {
    /// Records that were there when it was last looked.
    head: u64,
    /// Records that were taken.
    tail: u64,
}

impl Rings {
    fn map(positions: BorrowedFd<'_>, slots: BorrowedFd<'_>, processors: u32, size: u32) -> io::Result<Self> {
        let positions = Shared::map(positions, processors as usize, libc::PROT_READ | libc::PROT_WRITE)?;
        let slots = Shared::map(slots, processors as usize * size as usize, libc::PROT_READ)?;
        Ok(Self::new(positions, slots, processors, size))
    }

    /// Those of the kernel side, if it lets them be mapped.
    pub fn of(ebpf: &Ebpf, share: Share, processors: u32) -> Option<Self> {
        let fd = |name| match ebpf.map(name)? {
            Map::Array(map) => Some(map.fd().as_fd()),
            _ => None,
        };
        Self::map(fd("POSITIONS")?, fd("SLOTS")?, processors, share.slots).ok()
    }

    fn new(positions: Shared<Positions>, slots: Shared<Slot>, processors: u32, size: u32) -> Self {
        let rings = vec![Ring::default(); processors as usize];
        Self { positions, slots, size, rings, next: BinaryHeap::new() }
    }

    /// Looks what is there now. [`Rings::take`] gives that, and nothing newer.
    pub fn look(&mut self) {
        self.next.clear();
        for cpu in 0..self.rings.len() {
            let head = self.head(cpu).load(Ordering::Acquire);
            let ring = &mut self.rings[cpu];
            ring.head = head;
            if ring.head != ring.tail {
                self.next.push(Reverse((self.slot(cpu).at, cpu as u16)));
            }
        }
    }

    /// Whether there is something that was not taken. A record that came while the last one was taken may be missed: its
    /// program has not seen that the ring was empty, and wakes nobody.
    pub fn has_more(&self) -> bool {
        // What this has stored before is there for the kernel side before it looks what that has stored.
        fence(Ordering::SeqCst);
        (0..self.rings.len()).any(|cpu| self.head(cpu).load(Ordering::Acquire) != self.rings[cpu].tail)
    }

    /// When the oldest record was made.
    pub fn oldest(&self) -> Option<BootNs> {
        self.next.peek().map(|&Reverse((at, _))| BootNs(at))
    }

    /// Takes the oldest record, and says on which processor it was made.
    pub fn take(&mut self) -> Option<(u16, Slot)> {
        let &Reverse((_, cpu)) = self.next.peek()?;
        let slot = self.slot(cpu.into());
        let ring = &mut self.rings[usize::from(cpu)];
        ring.tail = ring.tail.wrapping_add(1);
        let (tail, is_empty) = (ring.tail, ring.tail == ring.head);
        if is_empty || tail.is_multiple_of(AT_ONCE.min(u64::from(self.size) / 4)) {
            self.tail(cpu.into()).store(tail, Ordering::Release);
        }
        let following = (!is_empty).then(|| self.slot(cpu.into()).at);
        let front = self.next.peek_mut()?;
        match following {
            Some(at) => *{ front } = Reverse((at, cpu)),
            None => drop(PeekMut::pop(front)),
        }
        Some((cpu, slot))
    }

    /// The next record of a ring that has one.
    fn slot(&self, cpu: usize) -> Slot {
        let at = cpu * self.size as usize + (self.rings[cpu].tail % u64::from(self.size)) as usize;
        // SAFETY: the kernel side has written the slot before the head that was loaded, and does not write it again
        // before it finds a tail beyond it.
        unsafe { self.slots.at(at).read() }
    }

    fn head(&self, cpu: usize) -> &AtomicU64 {
        // SAFETY: the memory stays mapped as long as `self`, and the field is aligned; the other side stores it as a
        // whole.
        unsafe { AtomicU64::from_ptr(&raw mut (*self.positions.at(cpu)).head) }
    }

    fn tail(&self, cpu: usize) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { AtomicU64::from_ptr(&raw mut (*self.positions.at(cpu)).tail) }
    }
}

/// An array of `T` in memory that others write as well.
#[derive(Debug)]
struct Shared<T> {
    start: NonNull<T>,
    count: usize,
}

// SAFETY: it owns its memory, to which it gives pointers only.
unsafe impl<T> Send for Shared<T> {}

impl<T> Shared<T> {
    /// The values of an array map, which must have so many.
    fn map(map: BorrowedFd<'_>, count: usize, protection: i32) -> io::Result<Self> {
        Self::mapped(count, protection, libc::MAP_SHARED, map.as_raw_fd())
    }

    fn mapped(count: usize, protection: i32, flags: i32, fd: i32) -> io::Result<Self> {
        // SAFETY: a new mapping, which replaces none.
        let start = unsafe { libc::mmap(ptr::null_mut(), count * size_of::<T>(), protection, flags, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { start, count })
    }

    /// The place of one of them.
    fn at(&self, index: usize) -> *mut T {
        assert!(index < self.count, "{index} of {}", self.count);
        // SAFETY: within the mapping.
        unsafe { self.start.add(index) }.as_ptr()
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: what `mapped` has mapped, and nobody has a reference to.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.count * size_of::<T>()) };
    }
}

/// The kernel side, in plain memory.
#[cfg(test)]
pub(super) mod test {
    use tracer_common::ring::put;

    use super::*;

    /// Rings without a kernel.
    pub fn rings(processors: u32, size: u32) -> Rings {
        fn anonymous<T>(count: u32) -> Shared<T> {
            let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
            Shared::mapped(count as usize, protection, flags, -1).unwrap()
        }
        Rings::new(anonymous(processors), anonymous(processors * size), processors, size)
    }

    /// What the kernel side has of such rings, which must outlive it.
    #[derive(Clone, Copy)]
    pub struct Kernel(*mut Positions, *mut Slot, u32);

    // SAFETY: the pointers are to memory that is shared on purpose.
    unsafe impl Send for Kernel {}

    impl Kernel {
        /// Of these rings.
        pub fn of(rings: &Rings) -> Self {
            Self(rings.positions.at(0), rings.slots.at(0), rings.size)
        }

        /// As the program does it: whether there was room. There must be one writer for each processor.
        pub fn put(self, cpu: usize, record: impl Into<Slot>) -> bool {
            self.put_and_see(cpu, record).is_some()
        }

        /// The same: whether the ring was empty.
        pub fn put_and_see(self, cpu: usize, record: impl Into<Slot>) -> Option<bool> {
            let Self(positions, slots, size) = self;
            // SAFETY: both stay within their maps, which are still there.
            unsafe {
                let slot = |at: u32| Some(slots.add(cpu * size as usize + at as usize));
                put(positions.add(cpu), size, slot, record)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::{DeliverRecord, Header, Recorded, SignalRecord, TaskId, ring::Restored};

    use super::{
        test::{Kernel, rings},
        *,
    };

    fn signal(at: u64, cpu: u16) -> SignalRecord {
        let id = |tgid| TaskId { start: at, tgid, tid: tgid + 1 };
        SignalRecord {
            header: Header {
                at,
                kind: SignalRecord::KIND as u8,
                cpu,
                len: size_of::<SignalRecord>() as u32,
                ..Header::default()
            },
            sender: id(1),
            target: id(u32::MAX - 1),
            code: -6,
            flags: 0xabcd,
            signal: 64,
            result: 4,
            aim: 4,
            group: u32::MAX,
            session: 7,
            terminal: 136 << 20,
        }
    }

    fn taken(rings: &mut Rings) -> Vec<(u64, u16)> {
        std::iter::from_fn(|| rings.take().map(|(cpu, slot)| (slot.at, cpu))).collect()
    }

    #[test]
    fn a_record_comes_out_as_it_went_in() {
        let sent = signal(5, 1);
        assert_eq!(Slot::from(sent).restore(1), Some(Restored::Signal(sent)));
        let header = Header { kind: DeliverRecord::KIND as u8, len: size_of::<DeliverRecord>() as u32, ..sent.header };
        let taken = DeliverRecord { header, target: sent.target, code: -1, flags: 0xabcd, signal: 64, reserved: 0 };
        assert_eq!(Slot::from(taken).restore(1), Some(Restored::Deliver(taken)));
        assert_eq!(Slot::default().restore(1), None);
    }

    #[test]
    fn a_full_ring_takes_nothing_until_it_was_read() {
        let mut rings = rings(1, 4);
        let kernel = Kernel::of(&rings);
        // Around the end of the ring, again and again.
        for round in (0..40).step_by(4) {
            for at in round..round + 4 {
                assert!(kernel.put(0, signal(at, 0)));
            }
            assert!(!kernel.put(0, signal(99, 0)));
            assert!(taken(&mut rings).is_empty());
            rings.look();
            assert!(!kernel.put(0, signal(99, 0)));
            assert_eq!(taken(&mut rings), [0, 1, 2, 3].map(|i| (round + i, 0)));
        }
    }

    #[test]
    fn the_first_record_after_the_last_one_was_taken_says_so() {
        let mut rings = rings(2, 4);
        let kernel = Kernel::of(&rings);
        for at in 0..20 {
            assert!(!rings.has_more());
            assert_eq!(kernel.put_and_see(1, signal(at, 1)), Some(true));
            assert_eq!(kernel.put_and_see(1, signal(at, 1)), Some(false));
            assert!(rings.has_more());
            rings.look();
            assert_eq!(taken(&mut rings).len(), 2);
        }
    }

    #[test]
    fn positions_may_grow_beyond_their_type() {
        let mut rings = rings(1, 4);
        let kernel = Kernel::of(&rings);
        let before = u64::MAX - 1;
        rings.head(0).store(before, Ordering::Relaxed);
        rings.tail(0).store(before, Ordering::Relaxed);
        rings.rings[0] = Ring { head: before, tail: before };
        for at in 0..4 {
            assert!(kernel.put(0, signal(at, 0)));
        }
        assert!(!kernel.put(0, signal(4, 0)));
        rings.look();
        assert_eq!(taken(&mut rings), [0, 1, 2, 3].map(|at| (at, 0)));
        assert!(kernel.put(0, signal(4, 0)));
    }

    #[test]
    fn records_of_several_processors_come_by_time() {
        let mut rings = rings(3, 8);
        let kernel = Kernel::of(&rings);
        for (cpu, times) in [(2, &[1, 4, 9][..]), (0, &[2, 3, 8]), (1, &[])] {
            for &at in times {
                assert!(kernel.put(cpu, signal(at, cpu as u16)));
            }
        }
        rings.look();
        assert_eq!(rings.oldest(), Some(BootNs(1)));
        assert!(kernel.put(1, signal(0, 1)));
        assert_eq!(taken(&mut rings), [(1, 2), (2, 0), (3, 0), (4, 2), (8, 0), (9, 2)]);
        assert_eq!(rings.oldest(), None);
        rings.look();
        assert_eq!(taken(&mut rings), [(0, 1)]);
    }

    #[test]
    fn nothing_is_torn_or_lost_while_both_are_at_work() {
        const COUNT: u64 = 20_000;
        let mut rings = rings(2, 16);
        let kernel = Kernel::of(&rings);
        let writers = [0, 1].map(|cpu| {
            std::thread::spawn(move || {
                for at in 0..COUNT {
                    while !kernel.put(cpu, signal(at, cpu as u16)) {
                        std::thread::yield_now();
                    }
                }
            })
        });
        let mut expected = [0; 2];
        while expected != [COUNT; 2] {
            rings.look();
            while let Some((cpu, slot)) = rings.take() {
                let at = &mut expected[usize::from(cpu)];
                assert_eq!(slot, Slot::from(signal(*at, cpu)));
                *at += 1;
            }
            std::thread::yield_now();
        }
        for writer in writers {
            writer.join().unwrap();
        }
    }

    #[test]
    fn the_memory_is_shared_out() {
        // 8 MiB and two processors: 4 MiB for all, 2 MiB for each.
        assert_eq!(Share::with_rings(8 << 20, 2), Share { shared: 4 << 20, slots: 32_768 });
        assert_eq!(Share::with_rings(8 << 20, 6), Share { shared: 4 << 20, slots: 8_192 });
        assert_eq!(Share::with_rings(8 << 20, 1024), Share { shared: 4 << 20, slots: 64 });
        assert_eq!(Share::with_rings(8 << 20, 1025), Share::without_rings(8 << 20));
        assert_eq!(Share::with_rings(4096, 1), Share::without_rings(4096));
        assert_eq!(Share::with_rings(8192, 1), Share { shared: 4096, slots: 64 });
    }
}
