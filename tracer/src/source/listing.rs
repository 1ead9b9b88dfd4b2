//! All processes, as the kernel's task iterator lists them: in parts, because there may be many.

use std::{
    fs::File,
    io::{self, Read},
};

use rustc_hash::FxHashSet;
use tracer_common::RowRecord;

use crate::{
    event::{Event, EventKind},
    ident::ProcKey,
    source::{
        ages::{self, Ended},
        decode::decode,
        live::now,
        procfs,
    },
};

/// A list in progress.
#[derive(Debug)]
pub struct Listing {
    file: File,
    /// An incomplete record.
    rest: Vec<u8>,
    listed: FxHashSet<ProcKey>,
    /// Parents.
    named: FxHashSet<ProcKey>,
    /// Processes that have a command line.
    with_args: Vec<ProcKey>,
    /// Records that could not be decoded.
    pub(super) undecodable: u64,
}

/// Bytes that are read at a time: some hundred rows.
const AT_ONCE: usize = 1 << 16;

impl Listing {
    /// The list that an iterator writes.
    pub(super) fn new(file: File) -> Self {
        let none = FxHashSet::default;
        Self { file, rest: Vec::new(), listed: none(), named: none(), with_args: Vec::new(), undecodable: 0 }
    }

    /// Reads some more; false if there is no more.
    ///
    /// # Errors
    /// If the iterator fails.
    pub fn read_on(&mut self, events: &mut Vec<Event>) -> io::Result<bool> {
        let before = self.rest.len();
        self.rest.resize(before + AT_ONCE, 0);
        let read = loop {
            match self.file.read(&mut self.rest[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.rest.truncate(before + *read.as_ref().unwrap_or(&0));
        if read? == 0 {
            return Ok(false);
        }
        let rest = std::mem::take(&mut self.rest);
        let new = events.len();
        let records = rest.chunks_exact(size_of::<RowRecord>());
        self.rest.extend_from_slice(records.remainder());
        for record in records {
            match decode(record) {
                Ok(event) => {
                    self.note(&event);
                    events.push(event);
                }
                Err(_) => self.undecodable += 1,
            }
        }
        tell_ages(&mut events[new..]);
        Ok(true)
    }

    fn note(&mut self, event: &Event) {
        let EventKind::Row(row) = &event.kind else { return };
        self.listed.insert(row.task.key);
        self.named.extend(row.task.parent.map(|parent| parent.key));
        if !row.task.roles.kthread && !row.leader_dead {
            self.with_args.push(row.task.key);
        }
    }

    /// Adds processes that the iterator did not show but that are named as a parent. Returns the processes with a
    /// command line, oldest first.
    pub fn close(&mut self, events: &mut Vec<Event>) -> Vec<ProcKey> {
        let unlisted = self.named.difference(&self.listed).filter_map(|&key| procfs::unlisted(key));
        let at = now();
        events.extend(unlisted.map(|row| Event { at, cpu: 0, kind: EventKind::Row(Box::new(row)) }));
        let mut with_args = std::mem::take(&mut self.with_args);
        with_args.sort_unstable();
        with_args
    }
}

/// Sets how long ago dead processes ended: the iterator's value is by the clock of the processor that it runs on, which
/// is not the one that they ran on.
fn tell_ages(events: &mut [Event]) {
    let ended = |event: &Event| match &event.kind {
        EventKind::Row(row) if row.leader_dead => Some(Ended { pid: row.task.key.tgid, is_whole: row.live == 0 }),
        _ => None,
    };
    let ended: Vec<_> = events.iter().filter_map(ended).collect();
    let ages = ages::at_least(&ended);
    for event in events {
        if let EventKind::Row(row) = &mut event.kind {
            // The row was read shortly before the clocks.
            let since = now() - event.at;
            row.idle = ages.get(&row.task.key.tgid).map(|&age| age - since).filter(|_| row.leader_dead);
        }
    }
}
