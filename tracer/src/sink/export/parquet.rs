//! Parquet: a folder of four tables, each a file that a query names: `processes`, `signals`, `events` and `findings`.
//! In one table of everything, most columns of a row would be empty, and every query would have to reconstruct who
//! lived how long.

use std::{io, path::Path};

use rows::{EventRow, FindingRow, ProcessRow, SignalRow};

use crate::{
    change::{ExactReap, Signalled},
    event::{EventKind, WaitCall},
    filter::Filter,
    finding::{Confidence, Finding},
    ident::Identity,
    kind::Kind,
    occurrence::Occurrence,
    signal::Sender,
    sink::{
        Sink,
        export::{
            Said, container, name, signed, since_1970, status,
            table::{Table, Time},
        },
        json,
        select::{Item, Moment, Select},
    },
    step::Step,
    summary::Summary,
    trace::file::Folder,
    world::World,
};

mod processes;
mod rows;

use processes::Processes;

/// Writes the tables.
pub struct Parquet {
    select: Select,
    lives: Processes,
    tables: Tables,
    /// What was recorded, as JSON.
    start: Option<String>,
}

struct Tables {
    processes: Table<ProcessRow>,
    signals: Table<SignalRow>,
    events: Table<EventRow>,
    findings: Table<FindingRow>,
}

/// The files that [`Parquet::create`] makes.
pub const FILES: [&str; 4] = ["processes.parquet", "signals.parquet", "events.parquet", "findings.parquet"];

impl Parquet {
    /// Makes the folder, and in it a file for each table.
    ///
    /// # Errors
    /// If something has that name already, and what the file system says.
    pub fn create(folder: &Path) -> anyhow::Result<Self> {
        let folder = Folder::create(folder)?;
        let [processes, signals, events, findings] = FILES;
        let tables = Tables {
            processes: Table::new(folder.file(processes)?)?,
            signals: Table::new(folder.file(signals)?)?,
            events: Table::new(folder.file(events)?)?,
            findings: Table::new(folder.file(findings)?)?,
        };
        let select = Select::new(Filter::default(), &Kind::ALL);
        Ok(Self { select, lives: Processes::default(), tables, start: None })
    }
}

impl Sink for Parquet {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        let Self { select, lives, tables, start } = self;
        if let EventKind::Start(info) = &step.event.kind {
            *start = Some(json::to_string(info)?);
        }
        lives.step(world, step, &mut tables.processes)?;
        select.step(world, step, |moment, item| tables.put(world, moment, &item))
    }

    fn flush(&mut self) -> io::Result<()> {
        // By row groups.
        Ok(())
    }

    fn finish(&mut self, world: &World, summary: &Summary) -> io::Result<()> {
        let Self { select, lives, tables, start } = self;
        select.finish(world, |moment, item| tables.put(world, moment, &item))?;
        lives.finish(world, &mut tables.processes)?;
        let about =
            [("tracer.start", start.take().unwrap_or_default()), ("tracer.lost", summary.lost.total().to_string())];
        let Tables { processes, signals, events, findings } = tables;
        processes.finish(&about)?;
        signals.finish(&about)?;
        events.finish(&about)?;
        findings.finish(&about)
    }
}

impl Tables {
    fn put(&mut self, world: &World, moment: Moment, item: &Item<'_>) -> io::Result<()> {
        match item {
            Item::Event(Occurrence::Signal(it) | Occurrence::Deliver(it)) => {
                self.signals.put(signal(world, moment, it))
            }
            Item::Event(it) => self.events.put(event(world, moment, it)),
            Item::Finding(it) => self.findings.put(finding(world, it)),
            Item::Lost(loss) => {
                let lost = Some(signed(loss.total()));
                self.events.put(EventRow { lost, ..EventRow::new(world, moment, "lost") })
            }
            // It is in the metadata of each file.
            Item::Start(_) | Item::Container(_) | Item::Limited(_) | Item::Whole => Ok(()),
            // Each has its own row.
            Item::Repeated(..) => Ok(()),
        }
    }
}

fn signal(world: &World, moment: Moment, signalled: &Signalled) -> SignalRow {
    let Moment { at, cpu, seq } = moment;
    let Signalled { signal, sender, target, target_tid, verdict, .. } = signalled;
    let (from, kernel) = match sender {
        Sender::Process(identity) => (Some(identity), None),
        Sender::Kernel(kernel) => (None, Some(kernel.id())),
        Sender::Unknown => (None, None),
    };
    let (sender_container, sender_container_id) = from.map(|from| container(world, from)).unwrap_or_default();
    let (target_container, target_container_id) = container(world, target);
    SignalRow {
        time: Time(since_1970(world, at)),
        boot_ns: signed(at),
        seq: signed(seq),
        cpu,
        // Only what was sent has a result.
        kind: if signalled.result.is_some() { Kind::Signal.id() } else { Kind::Deliver.id() },
        signal: signal.to_string(),
        sender_pid: from.map(|from| from.key.tgid),
        sender_start_boot_ns: from.map(|from| signed(from.key.start)),
        sender_comm: from.map(|from| name(from.comm)),
        sender_pid_ns: from.map(|from| from.pid_ns.0),
        sender_container,
        sender_container_id,
        sender_kernel: kernel,
        target_pid: target.key.tgid,
        target_start_boot_ns: signed(target.key.start),
        target_comm: name(target.comm),
        target_pid_ns: target.pid_ns.0,
        target_ns_pid: target.ns_pid,
        target_ns_level: target.ns_level,
        target_container,
        target_container_id,
        target_tid: *target_tid,
        code: signalled.seen_code(),
        result: signalled.result_id(),
        verdict: verdict.id(),
        is_lost: verdict.is_loss(),
    }
}

fn event(world: &World, moment: Moment, event: &Occurrence<'_>) -> EventRow {
    let row = EventRow::new(world, moment, event.kind().id());
    match event {
        Occurrence::Fork { process, parent, creator: _ } => row.about(world, process, parent.as_ref()),
        Occurrence::Exec { process, before: _, args } => {
            EventRow { command: Some(args.to_string()), ..row.about(world, process, None) }
        }
        Occurrence::Exit { process, owed_by, status: how, leader_only, autoreap: _, adopter: _ } => {
            let (status_code, status_signal) = status(*how);
            let row = row.about(world, process, owed_by.as_ref());
            EventRow { status_code, status_signal, leader_only: Some(*leader_only), ..row }
        }
        Occurrence::Reap { process, by, zombie_for, exact } => EventRow {
            zombie_for_ns: zombie_for.map(signed),
            is_exact: Some(exact.is_some()),
            call: exact.and_then(|ExactReap { call, .. }| call).map(WaitCall::id),
            ..row.about(world, process, by.as_ref())
        },
        // They have a table of their own.
        Occurrence::Signal(it) | Occurrence::Deliver(it) => row.about(world, &it.target, None),
    }
}

impl EventRow {
    fn new(world: &World, moment: Moment, kind: &'static str) -> Self {
        let Moment { at, cpu, seq } = moment;
        Self {
            time: Time(since_1970(world, at)),
            boot_ns: signed(at),
            seq: signed(seq),
            cpu,
            kind,
            pid: None,
            start_boot_ns: None,
            comm: None,
            pid_ns: None,
            ns_pid: None,
            ns_level: None,
            container: None,
            container_id: None,
            parent_pid: None,
            parent_start_boot_ns: None,
            parent_comm: None,
            command: None,
            status_code: None,
            status_signal: None,
            leader_only: None,
            zombie_for_ns: None,
            is_exact: None,
            call: None,
            lost: None,
        }
    }

    fn about(self, world: &World, process: &Identity, parent: Option<&Identity>) -> Self {
        let Identity { key, comm, pid_ns, ns_pid, ns_level, container: _ } = *process;
        let (container, container_id) = container(world, process);
        Self {
            pid: Some(key.tgid),
            start_boot_ns: Some(signed(key.start)),
            comm: Some(name(comm)),
            pid_ns: Some(pid_ns.0),
            ns_pid: Some(ns_pid),
            ns_level: Some(ns_level),
            container,
            container_id,
            parent_pid: parent.map(|parent| parent.key.tgid),
            parent_start_boot_ns: parent.map(|parent| signed(parent.key.start)),
            parent_comm: parent.map(|parent| name(parent.comm)),
            ..self
        }
    }
}

fn finding(world: &World, finding: &Finding) -> FindingRow {
    let Finding { rule, stage, at, since, process, confidence, facts, .. } = finding;
    let Identity { key, comm, pid_ns, ns_pid, ns_level, container: _ } = *process;
    let (container, container_id) = container(world, process);
    let Said { other, signal, reason, duration_ns, killed, status_code, status_signal } = Said::of(facts);
    FindingRow {
        time: Time(since_1970(world, *at)),
        boot_ns: signed(*at),
        since: Time(since_1970(world, *since)),
        since_boot_ns: signed(*since),
        rule: rule.name,
        severity: rule.severity.id(),
        stage: stage.id(),
        is_certain: *confidence == Confidence::Certain,
        pid: key.tgid,
        start_boot_ns: signed(key.start),
        comm: name(comm),
        pid_ns: pid_ns.0,
        ns_pid,
        ns_level,
        container,
        container_id,
        other: other.map(|(role, _)| role),
        other_pid: other.map(|(_, other)| other.key.tgid),
        other_start_boot_ns: other.map(|(_, other)| signed(other.key.start)),
        other_comm: other.map(|(_, other)| name(other.comm)),
        signal,
        reason,
        duration_ns,
        killed,
        message: finding.message(),
        fix: finding.fix(),
        status_code,
        status_signal,
        headline: finding.headline.clone(),
    }
}
