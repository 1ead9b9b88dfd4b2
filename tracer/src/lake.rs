//! A lake: tables of many hosts and days, as Parquet files in folders by table and day, for any engine with SQL.
//! `docs/lake.md` is the contract.
//!
//! A host's day must be small, so what happens all the time is counted by the minute, and what is rare has a row each.

use std::{
    io,
    path::{Path, PathBuf},
};

use anyhow::Result;

use crate::{
    change::Change,
    event::EventKind,
    filter::Filter,
    finding::{Confidence, Finding},
    history::{Outcome, Stop},
    host::StartInfo,
    ident::escape,
    sink::{
        Sink,
        export::{Said, name, signed, table::Micros},
        select::{Item, Select},
    },
    step::Step,
    summary::Summary,
    time::BootNs,
    world::World,
};

mod book;
mod files;
mod keeper;
mod minute;
mod place;
mod rows;

use book::{Book, Rows};
use files::Folder;
use keeper::Keeper;
use minute::Minute;
use place::Place;
use rows::{FindingRow, HostRow, LossRow, StopRow};

/// Nanoseconds of a minute.
const MINUTE: i64 = 60_000_000_000;
/// Findings and stops of a minute. What an ordinary user stages must not drive out the days before.
const MOST: u64 = 4_096;

/// Writes the tables of one stream into a lake.
pub struct Lake {
    root: PathBuf,
    kept: Option<Kept>,
    stream: Option<Stream>,
}

/// For a lake to which somebody adds for a long time.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// How many bytes the files of this host may take together; the oldest days make room.
    pub budget: u64,
}

/// A stream that has begun.
struct Stream {
    source: Source,
    way: Way,
    select: Select,
    rows: Rows,
    stretch: Stretch,
    minute: Minute,
}

/// Where rows go.
enum Way {
    /// Into files, which are written when they are full, and at the end.
    Book(Box<Book>),
    /// To a thread that does so each minute: the loop never waits for a disk.
    Keeper(Keeper),
}

/// Where a stream comes from.
struct Source {
    host: String,
    boot_id: String,
    kernel: String,
    version: String,
    wall_offset_ns: i64,
    has_all_signals: bool,
}

impl Source {
    fn of(info: &StartInfo) -> Self {
        let StartInfo { version, kernel, boot_id, host, wall_offset_ns, all_signals, .. } = info;
        let [host, boot_id, kernel, version] = [host, boot_id, kernel, version].map(|text| escape(text.as_bytes()));
        let (wall_offset_ns, has_all_signals) = (*wall_offset_ns, *all_signals);
        Self { host, boot_id, kernel, version, wall_offset_ns, has_all_signals }
    }

    /// Nanoseconds since 1970 of a boot time.
    fn wall(&self, at: BootNs) -> i64 {
        signed(at).saturating_add(self.wall_offset_ns)
    }

    /// Between two times, in nanoseconds since 1970.
    fn loss(&self, from: i64, until: i64, place: &'static str, kind: &'static str, records: Option<i64>) -> LossRow {
        LossRow {
            time: Micros(from),
            time_ns: from,
            until_ns: until,
            host: self.host.clone(),
            boot_id: self.boot_id.clone(),
            place,
            kind,
            records,
        }
    }
}

/// What is counted from minute to minute.
#[derive(Default)]
struct Stretch {
    /// Nanoseconds since 1970; `None` before the first event.
    from: Option<i64>,
    until: i64,
    events: u64,
    lost: u64,
    /// Findings and stops.
    rare: u64,
}

impl Stretch {
    /// Whether there is room for one more, which is counted.
    fn has_room(&mut self) -> bool {
        self.rare += 1;
        self.rare <= MOST
    }
}

impl Lake {
    /// Of the lake in that folder, which is made if it is not there. What was not finished leaves nothing behind.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), kept: None, stream: None }
    }

    /// The same, for a stream without an end: a file is there a minute after the first row of it.
    #[must_use]
    pub fn kept(self, kept: Kept) -> Self {
        Self { kept: Some(kept), ..self }
    }
}

impl Sink for Lake {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        if let (None, EventKind::Start(info)) = (&self.stream, &step.event.kind) {
            let stream = Stream::open(&self.root, self.kept, info, step.event.at);
            self.stream = Some(stream.map_err(|error| io::Error::other(format!("{error:#}")))?);
        }
        self.stream.as_mut().map_or(Ok(()), |stream| stream.step(world, step))
    }

    fn flush(&mut self) -> io::Result<()> {
        // By the minute, or by files.
        Ok(())
    }

    fn finish(&mut self, world: &World, _: &Summary) -> io::Result<()> {
        let Some(mut stream) = self.stream.take() else { return Ok(()) };
        stream.end(world)?;
        match stream.way {
            Way::Book(book) => book.finish(),
            Way::Keeper(keeper) => {
                keeper.finish();
                Ok(())
            }
        }
    }
}

impl Stream {
    /// In the lake in that folder, at that boot time.
    fn open(root: &Path, kept: Option<Kept>, info: &StartInfo, began: BootNs) -> Result<Self> {
        let source = Source::of(info);
        let began = source.wall(began);
        let folder = Folder::open(root, &info.host, &info.boot_id, began)?;
        let mut rows = Rows::default();
        let way = match kept {
            None => Way::Book(Box::new(Book::new(folder, None))),
            Some(Kept { budget }) => {
                // If the agent was killed, the last minute is missing, and all that happened until now.
                let last = folder.watched_until().filter(|&until| until < began);
                rows.losses.extend(last.map(|until| source.loss(until, began, "not watched", "", None)));
                Way::Keeper(Keeper::start(Book::new(folder, Some(budget)))?)
            }
        };
        let select = Select::new(Filter::default(), &[]).few();
        Ok(Self { source, way, select, rows, stretch: Stretch::default(), minute: Minute::default() })
    }

    /// The minute is over: its counts become rows.
    fn turn(&mut self, world: &World) -> io::Result<()> {
        let Self { source, rows, stretch, minute, .. } = self;
        let Some(from) = stretch.from.take() else { return Ok(()) };
        let Stretch { until, events, lost, rare, .. } = std::mem::take(stretch);
        if let Some(dropped @ 1..) = rare.checked_sub(MOST) {
            rows.losses.push(source.loss(from, until, "lake", "", Some(signed(dropped))));
        }
        (rows.signals, rows.processes) = minute.take(world, source, from);
        rows.hosts.push(HostRow {
            time: Micros(from),
            time_ns: from,
            until_ns: until,
            host: source.host.clone(),
            boot_id: source.boot_id.clone(),
            kernel: source.kernel.clone(),
            tracer_version: source.version.clone(),
            events: signed(events),
            lost: signed(lost),
            processes: signed(world.process_count() as u64),
            zombies: signed(world.zombie_count() as u64),
            pid_namespaces: signed(world.namespace_count() as u64),
            containers: signed(world.containers().count() as u64),
            is_whole: world.is_whole(),
            has_all_signals: source.has_all_signals,
        });
        self.hand_over()
    }

    fn hand_over(&mut self) -> io::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        match &mut self.way {
            Way::Book(book) => book.put(rows),
            Way::Keeper(keeper) => {
                let now = self.stretch.until;
                self.rows.losses.extend(keeper.put(rows).map(|lost| {
                    let records = Some(signed(lost));
                    self.source.loss(now, now, "lake", "", records)
                }));
                Ok(())
            }
        }
    }

    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        let at = step.event.at;
        let now = self.source.wall(at);
        // Records are a little out of order: one of the minute before counts for this one.
        let is_over = self.stretch.from.is_some_and(|from| now.div_euclid(MINUTE) > from.div_euclid(MINUTE));
        if is_over {
            self.turn(world)?;
        }
        let Self { source, select, rows, stretch, minute, .. } = self;
        let from = *stretch.from.get_or_insert(now);
        stretch.until = stretch.until.max(now).max(from);
        stretch.events += u64::from(step.event.kind.kind().is_some());
        if let EventKind::Lost(loss) = &step.event.kind {
            stretch.lost = stretch.lost.saturating_add(loss.total());
            let places = loss.places();
            rows.losses.extend(places.map(|(place, kind, count)| {
                let records = Some(signed(count));
                source.loss(now, now, place, kind, records)
            }));
        }
        minute.count(world, at, step.changes);
        for change in step.changes {
            if let Change::Died { key, .. } = change
                && let Some(stop) = Stop::of(world, *key)
                && stretch.has_room()
            {
                rows.stops.push(stop_row(world, source, &stop));
            }
        }
        select.step(world, step, |_, item| {
            add(rows, stretch, world, source, &item);
            Ok(())
        })?;
        if rows.are_many() { self.hand_over() } else { Ok(()) }
    }

    /// The stream is over.
    fn end(&mut self, world: &World) -> io::Result<()> {
        let Self { source, select, rows, stretch, .. } = self;
        select.finish(world, |_, item| {
            add(rows, stretch, world, source, &item);
            Ok(())
        })?;
        self.turn(world)
    }
}

/// Adds the row of a finding, if the item is one and there is room.
fn add(rows: &mut Rows, stretch: &mut Stretch, world: &World, source: &Source, item: &Item<'_>) {
    let (finding, findings) = match *item {
        Item::Finding(finding) => (finding, 1),
        Item::Repeated(last, together) => (last, together.count),
        _ => return,
    };
    if stretch.has_room() {
        rows.findings.push(finding_row(world, source, finding, findings));
    }
}

/// `findings` is how many the row stands for.
fn finding_row(world: &World, source: &Source, finding: &Finding, findings: u64) -> FindingRow {
    let Finding { rule, stage, at, since, process, confidence, facts, headline, .. } = finding;
    let Place { container, container_id, image, pod, pod_namespace } = Place::of(world, process);
    let Said { other, signal, reason, duration_ns, killed, status_code, status_signal } = Said::of(facts);
    let time_ns = source.wall(*at);
    FindingRow {
        time: Micros(time_ns),
        time_ns,
        since_ns: source.wall(*since),
        host: source.host.clone(),
        boot_id: source.boot_id.clone(),
        rule: rule.name,
        severity: rule.severity.id(),
        stage: stage.id(),
        findings: signed(findings),
        is_certain: *confidence == Confidence::Certain,
        pid: process.key.tgid.into(),
        start_boot_ns: signed(process.key.start),
        comm: name(process.comm),
        ns_pid: process.ns_pid.into(),
        ns_level: process.ns_level.into(),
        container,
        container_id,
        image,
        pod,
        pod_namespace,
        other: other.map(|(role, _)| role),
        other_comm: other.map(|(_, other)| name(other.comm)),
        signal,
        reason,
        duration_ns,
        killed,
        status_code,
        status_signal,
        headline: headline.clone(),
        fix: finding.fix(),
    }
}

fn stop_row(world: &World, source: &Source, stop: &Stop) -> StopRow {
    let Stop { process, signal, sender, client, verdict, asked, ended, outcome } = stop;
    let Place { container, container_id, image, pod, pod_namespace } = Place::of(world, process);
    let (is_killed, wasted_ns) = match outcome {
        Outcome::Killed(wasted) => (true, signed(*wasted)),
        Outcome::ByItself => (false, 0),
    };
    let time_ns = source.wall(*ended);
    StopRow {
        time: Micros(time_ns),
        time_ns,
        asked_ns: source.wall(*asked),
        took_ns: signed(*ended - *asked),
        wasted_ns,
        host: source.host.clone(),
        boot_id: source.boot_id.clone(),
        is_killed,
        signal: signal.to_string(),
        verdict: verdict.id(),
        pid: process.key.tgid.into(),
        start_boot_ns: signed(process.key.start),
        comm: name(process.comm),
        container,
        container_id,
        image,
        pod,
        pod_namespace,
        sender_comm: name(sender.comm),
        client_comm: client.map(|client| name(client.comm)),
    }
}

#[cfg(test)]
mod tests;
