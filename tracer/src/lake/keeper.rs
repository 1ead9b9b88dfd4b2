//! Writes the files of a lake in a thread of its own, so that a slow disk delays nobody. What it has no room for is counted.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use super::book::{Book, Rows};
use crate::console::stderr::say;

/// How many times rows are handed over before some are dropped.
const WAITING: usize = 16;
/// How long the end waits for the disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// The loop's end of the thread.
pub(super) struct Keeper {
    rows: SyncSender<Rows>,
    done: Receiver<()>,
    /// Rows that were dropped and not told yet, at most.
    dropped: Arc<AtomicU64>,
}

impl Keeper {
    /// # Errors
    /// If no thread can be started.
    pub(super) fn start(mut book: Book) -> io::Result<Self> {
        let (rows, coming) = sync_channel::<Rows>(WAITING);
        let (tell, done) = sync_channel(1);
        let dropped = Arc::<AtomicU64>::default();
        let unwritten = dropped.clone();
        let work = move || {
            let mut complaint = String::new();
            for rows in coming {
                let count = rows.count() as u64;
                let taken = book.put(rows).inspect_err(|_| {
                    unwritten.fetch_add(count, Relaxed);
                });
                let written = taken.and_then(|()| book.save());
                // Each complaint only once: it is tried again in a minute.
                let now = written.map_or_else(|error| error.to_string(), |()| String::new());
                if now != complaint && !now.is_empty() {
                    say(format_args!("cannot write to the lake: {now}"));
                }
                complaint = now;
            }
            // Nobody may wait any more.
            let _ = tell.send(());
        };
        thread::Builder::new().name("lake".into()).spawn(work)?;
        Ok(Self { rows, done, dropped })
    }

    /// Hands rows over. Returns how many had to be dropped before, once it is possible to tell.
    pub(super) fn put(&self, rows: Rows) -> Option<u64> {
        match self.rows.try_send(rows) {
            Ok(()) => Some(self.dropped.swap(0, Relaxed)).filter(|&dropped| dropped > 0),
            Err(TrySendError::Full(rows) | TrySendError::Disconnected(rows)) => {
                self.dropped.fetch_add(rows.count() as u64, Relaxed);
                None
            }
        }
    }

    /// Waits until all is written, for a limited time.
    pub(super) fn finish(self) {
        let Self { rows, done, dropped: _ } = self;
        drop(rows);
        if done.recv_timeout(PATIENCE).is_err() {
            say("the disk of the lake is too slow; the last minutes may be missing there");
        }
    }
}
