//! Records that wait for a receiver, in their order: a bounded number of bounded size.

use std::collections::VecDeque;

use opentelemetry_proto::tonic::logs::v1::LogRecord;

/// How many, and how many bytes, may wait.
const MOST: (usize, usize) = (4096, 8 << 20);
/// How many, and how many bytes, are sent at once; receivers take 4 MiB (gRPC's default).
const BATCH: (usize, usize) = (512, 2 << 20);

/// See the module.
#[derive(Debug, Default)]
pub struct Queue {
    records: VecDeque<(LogRecord, usize)>,
    bytes: usize,
}

impl Queue {
    /// Adds one of that many bytes; `false` if there is no room for it.
    pub fn put(&mut self, record: LogRecord, bytes: usize) -> bool {
        let has_room = self.records.len() < MOST.0 && self.bytes + bytes <= MOST.1;
        if has_room {
            self.bytes += bytes;
            self.records.push_back((record, bytes));
        }
        has_room
    }

    /// Takes the first ones, as many as are sent at once.
    pub fn take(&mut self) -> Vec<LogRecord> {
        let mut batch = Vec::new();
        let mut taken = 0;
        while batch.len() < BATCH.0
            && let Some((_, bytes)) = self.records.front()
            && (batch.is_empty() || taken + bytes <= BATCH.1)
        {
            taken += bytes;
            batch.extend(self.records.pop_front().map(|(record, _)| record));
        }
        self.bytes -= taken;
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_and_keeps_its_order() {
        let mut queue = Queue::default();
        let record = |number| LogRecord { flags: number, ..LogRecord::default() };
        let taken = (0..10_000).filter(|&number| queue.put(record(number), 1000)).count();
        assert_eq!(taken, MOST.0);
        let mut next = 0;
        loop {
            let batch = queue.take();
            if batch.is_empty() {
                break;
            }
            assert!(batch.len() <= BATCH.0);
            for record in batch {
                assert_eq!(record.flags, next);
                next += 1;
            }
        }
        assert_eq!((next as usize, queue.bytes), (MOST.0, 0));
        // One that is larger than a batch goes alone.
        assert!(queue.put(record(0), BATCH.1 + 1) && queue.put(record(1), 1));
        assert_eq!((queue.take().len(), queue.take().len()), (1, 1));
        let large = (0..100).filter(|&number| queue.put(record(number), 1 << 20)).count();
        assert_eq!(large, MOST.1 >> 20);
    }
}
