//! The tables of one stream, each in the file that it fills.

use std::io;

use super::{
    files::{Folder, Part},
    rows::{FindingRow, HostRow, LossRow, ProcessRow, SignalRow, StopRow},
};

/// Rows that are handed over at once.
const MANY: usize = 1_024;

/// Rows of all tables.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) hosts: Vec<HostRow>,
    pub(super) findings: Vec<FindingRow>,
    pub(super) stops: Vec<StopRow>,
    pub(super) signals: Vec<SignalRow>,
    pub(super) processes: Vec<ProcessRow>,
    pub(super) losses: Vec<LossRow>,
}

impl Rows {
    /// Whether what is rare is not: they should not wait for the end of the minute.
    pub(super) fn are_many(&self) -> bool {
        self.findings.len() + self.stops.len() + self.losses.len() >= MANY
    }

    pub(super) fn count(&self) -> usize {
        let Self { hosts, findings, stops, signals, processes, losses } = self;
        let rare = hosts.len() + findings.len() + stops.len() + losses.len();
        rare + signals.len() + processes.len()
    }
}

/// See the module.
pub(super) struct Book {
    folder: Folder,
    budget: Option<u64>,
    is_done: bool,
    hosts: Part<HostRow>,
    findings: Part<FindingRow>,
    stops: Part<StopRow>,
    signals: Part<SignalRow>,
    processes: Part<ProcessRow>,
    losses: Part<LossRow>,
}

impl Book {
    /// With a budget, what was written stays even if it is not finished, and the oldest files make room.
    pub(super) fn new(folder: Folder, budget: Option<u64>) -> Self {
        Self {
            folder,
            budget,
            is_done: budget.is_some(),
            hosts: Part::of("hosts"),
            findings: Part::of("findings"),
            stops: Part::of("stops"),
            signals: Part::of("signals"),
            processes: Part::of("processes"),
            losses: Part::of("losses"),
        }
    }

    /// Adds rows; full files are written.
    pub(super) fn put(&mut self, rows: Rows) -> io::Result<()> {
        let Rows { hosts, findings, stops, signals, processes, losses } = rows;
        let folder = &mut self.folder;
        findings.into_iter().try_for_each(|row| self.findings.put(folder, (row.time_ns, row.time_ns), row))?;
        stops.into_iter().try_for_each(|row| self.stops.put(folder, (row.time_ns, row.time_ns), row))?;
        signals.into_iter().try_for_each(|row| self.signals.put(folder, (row.time_ns, row.time_ns), row))?;
        processes.into_iter().try_for_each(|row| self.processes.put(folder, (row.time_ns, row.time_ns), row))?;
        losses.into_iter().try_for_each(|row| self.losses.put(folder, (row.time_ns, row.until_ns), row))?;
        hosts.into_iter().try_for_each(|row| self.hosts.put(folder, (row.time_ns, row.until_ns), row))
    }

    /// Writes what is not in a file yet.
    pub(super) fn save(&mut self) -> io::Result<()> {
        let folder = &mut self.folder;
        self.findings.save(folder)?;
        self.stops.save(folder)?;
        self.signals.save(folder)?;
        self.processes.save(folder)?;
        self.losses.save(folder)?;
        // Last: what it says to be watched is there.
        self.hosts.save(folder)?;
        self.budget.map_or(Ok(()), |budget| self.folder.make_room(budget))
    }

    /// The stream is over.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.save()?;
        self.is_done = true;
        Ok(())
    }
}

/// Half a stream is worse than none.
impl Drop for Book {
    fn drop(&mut self) {
        if !self.is_done {
            self.folder.remove();
        }
    }
}
