//! How full the ring buffer was: how near tracing came to losing something. What a processor's own ring has no room for
//! goes there as well, so whatever is lost finds it full.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The header of each record in the buffer, and what its length is rounded up to (`kernel/bpf/ringbuf.c`).
const HEADER: usize = 8;
/// How far [`Fill::peak`] looks back, at least; at most twice that.
const BACK: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub struct Fill {
    size: u64,
    peaks: Mutex<Peaks>,
}

#[derive(Debug)]
struct Peaks {
    /// The most in the span before this one, and in this one.
    most: [u64; 2],
    /// When this one began.
    began: Instant,
}

impl Fill {
    /// Of a buffer of that many bytes, which is empty.
    pub fn new(size: u32) -> Self {
        Self { size: size.into(), peaks: Mutex::new(Peaks { most: [0; 2], began: Instant::now() }) }
    }

    /// Bytes of the buffer.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The most bytes that were in use at once in the last half minute to minute. What came up while it was emptied counts
    /// as if it had been there before.
    pub fn peak(&self) -> u64 {
        let mut peaks = self.peaks.lock().unwrap_or_else(PoisonError::into_inner);
        peaks.turn(Instant::now());
        peaks.most[0].max(peaks.most[1])
    }

    /// It was emptied of so many bytes.
    pub(super) fn emptied(&self, bytes: u64) {
        let mut peaks = self.peaks.lock().unwrap_or_else(PoisonError::into_inner);
        peaks.turn(Instant::now());
        peaks.most[1] = peaks.most[1].max(bytes.min(self.size));
    }
}

impl Peaks {
    fn turn(&mut self, now: Instant) {
        let spans = (now - self.began).as_nanos() / BACK.as_nanos();
        if spans > 0 {
            self.most = [if spans == 1 { self.most[1] } else { 0 }, 0];
            self.began = now;
        }
    }
}

/// What a record takes of the buffer.
pub(super) fn room_of(record: &[u8]) -> u64 {
    (record.len() + HEADER).next_multiple_of(HEADER) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_forgotten_after_a_minute() {
        let began = Instant::now();
        let mut peaks = Peaks { most: [0, 7], began };
        peaks.turn(began + BACK / 2);
        assert_eq!(peaks.most, [0, 7]);
        peaks.turn(began + BACK);
        assert_eq!(peaks.most, [7, 0]);
        peaks.turn(began + BACK * 2);
        assert_eq!(peaks.most, [0, 0]);
        peaks.most[1] = 3;
        peaks.turn(began + BACK * 10);
        assert_eq!(peaks.most, [0, 0]);
        let fill = Fill::new(4096);
        fill.emptied(room_of(&[0; 33]));
        assert_eq!(fill.peak(), 48);
        fill.emptied(1 << 20);
        assert_eq!(fill.peak(), 4096);
    }
}
