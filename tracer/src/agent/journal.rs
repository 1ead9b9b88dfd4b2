//! Findings as entries of systemd's journal, each with fields to search for; what was lost, and what is not looked at, as
//! well.
//!
//! A thread of its own writes them. If journald takes none in time, entries are dropped and counted, and the next one
//! that it takes says so.

use std::{
    collections::BTreeMap,
    io,
    sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel},
    thread,
    time::Duration,
};

use log::{Level, Record, kv::Value};
use systemd_journal_logger::JournalLog;

use crate::{
    console::style::count,
    filter::{Filter, Missing},
    finding::{Finding, Severity},
    ident::{escape, quote},
    sink::{
        Sink,
        json::line_of,
        select::{Item, Moment, Select},
    },
    step::Step,
    summary::{Summary, seconds},
    time::BootNs,
    world::World,
};

/// How many entries may wait.
const ROOM: usize = 4096;
/// How long the end waits for the last of them.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// See the module.
pub struct Journal {
    select: Select,
    entries: Option<SyncSender<Entry>>,
    written: Receiver<()>,
    dropped: u64,
}

/// An entry.
struct Entry {
    /// Of which the journal makes a priority.
    level: Level,
    message: String,
    /// Names as the journal has them, without `TRACER_`.
    fields: Vec<(&'static str, String)>,
}

impl Journal {
    /// Entries for what that filter shows, each finding of its own if that is wanted.
    ///
    /// # Errors
    /// If there is no journal, or no thread can be started.
    pub fn open(filter: Filter, each: bool) -> io::Result<Self> {
        let journal = connect()?;
        let (entries, waiting) = sync_channel(ROOM);
        let (done, written) = channel();
        let write = move || write(journal, &waiting, &done);
        thread::Builder::new().name("journal".into()).spawn(write)?;
        let select = Select::new(filter, &[]);
        let select = if each { select } else { select.few() };
        Ok(Self { select, entries: Some(entries), written, dropped: 0 })
    }

    /// See [`Select::refilter`].
    ///
    /// # Errors
    /// See there.
    pub fn refilter(&mut self, filter: Filter, world: &World) -> Result<(), Missing> {
        self.select.refilter(filter, world)
    }
}

fn connect() -> io::Result<JournalLog> {
    Ok(JournalLog::empty()?.with_syslog_identifier("tracer".to_owned()))
}

/// Writes entries until there can be no more.
fn write(mut journal: JournalLog, entries: &Receiver<Entry>, done: &Sender<()>) {
    while let Ok(entry) = entries.recv() {
        if send(&journal, &entry).is_err()
            && let Ok(new) = connect()
        {
            // journald has started anew.
            journal = new;
            // If it takes none now either, there is nobody to tell.
            let _ = send(&journal, &entry);
        }
    }
    let _ = done.send(());
}

fn send(journal: &JournalLog, entry: &Entry) -> io::Result<()> {
    let Entry { level, message, fields } = entry;
    let names: Vec<_> = fields.iter().map(|(name, _)| format!("TRACER_{name}")).collect();
    let values = names.iter().zip(fields).map(|(name, (_, value))| (name.as_str(), Value::from(value.as_str())));
    let values: BTreeMap<_, _> = values.collect();
    let mut record = Record::builder();
    record.level(*level).target("tracer").key_values(&values);
    journal.journal_send(&record.args(format_args!("{message}")).build())
}

/// What stands in the journal for an item; `None` for nothing.
fn entry(world: &World, moment: Moment, item: &Item<'_>) -> io::Result<Option<Entry>> {
    let plain = |level, message| Entry { level, message, fields: Vec::new() };
    let mut entry = match item {
        Item::Start(info) => {
            let degraded: Vec<_> = info.degraded.iter().map(|sentence| format!("; limited: {sentence}")).collect();
            let level = if degraded.is_empty() { Level::Debug } else { Level::Warn };
            let processes = count(world.process_count() as u64, "process");
            let namespaces = count(world.namespace_count() as u64, "pid namespace");
            let version = quote(&info.version);
            let message = format!("tracer {version} watches {processes} in {namespaces}{}", degraded.concat());
            plain(level, message)
        }
        Item::Finding(finding) => found(world, finding, ""),
        Item::Repeated(last, together) => found(world, last, &format!("{} more like this one: ", together.count)),
        Item::Lost(loss) => plain(
            Level::Warn,
            format!("{} lost: findings about that time may be incomplete", count(loss.total(), "record")),
        ),
        Item::Limited(what) => plain(Level::Warn, format!("limited: {what}")),
        Item::Whole => {
            plain(Level::Debug, "after the loss, the processes have been compared with the kernel".to_owned())
        }
        Item::Event(_) | Item::Container(_) => return Ok(None),
    };
    if let Some(line) = line_of(world, moment, item)? {
        entry.fields.push(("JSON", line));
    }
    Ok(Some(entry))
}

fn found(world: &World, finding: &Finding, before: &str) -> Entry {
    let level = match finding.rule.severity {
        Severity::Error => Level::Error,
        Severity::Warning => Level::Warn,
        Severity::Info => Level::Debug,
    };
    let container = world.container_of(&finding.process).map_or_else(String::new, |one| escape(one.label().as_bytes()));
    let fields = vec![
        ("RULE", finding.rule.name.to_owned()),
        ("SEVERITY", finding.rule.severity.id().to_owned()),
        ("STAGE", finding.stage.id().to_owned()),
        ("PID", finding.process.key.tgid.to_string()),
        ("CONTAINER", container),
        ("FIX", finding.fix()),
    ];
    Entry { level, message: format!("{}: {before}{}", finding.rule.name, finding.headline), fields }
}

impl Sink for Journal {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        let Self { select, entries, written: _, dropped } = self;
        select.step(world, step, |moment, item| {
            let Some(entry) = entry(world, moment, &item)? else { return Ok(()) };
            put(entries.as_ref(), dropped, entry);
            Ok(())
        })
    }

    fn show_from(&mut self, from: BootNs) {
        self.select.show_from(from);
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, world: &World, summary: &Summary) -> io::Result<()> {
        let Self { select, entries, written, dropped } = self;
        select.finish(world, |moment, item| {
            if let Some(entry) = entry(world, moment, &item)? {
                put(entries.as_ref(), dropped, entry);
            }
            Ok(())
        })?;
        let found: u64 = select.shown().values().sum();
        let message = format!("watched for {}: {}", seconds(summary.duration_ns), count(found, "finding"));
        put(entries.as_ref(), dropped, Entry { level: Level::Debug, message, fields: Vec::new() });
        drop(entries.take());
        // A journald that takes nothing must not hold up the end.
        let _ = written.recv_timeout(LAST_WORDS);
        Ok(())
    }
}

/// Hands over an entry, or counts it.
fn put(entries: Option<&SyncSender<Entry>>, dropped: &mut u64, mut entry: Entry) {
    let Some(entries) = entries else { return };
    if *dropped > 0 {
        let missing = count(*dropped, "message");
        entry.message =
            format!("({missing} are missing before this one: journald took none in time) {}", entry.message);
    }
    match entries.try_send(entry) {
        Ok(()) => *dropped = 0,
        Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => *dropped += 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted_in_the_next_entry() {
        let (entries, waiting) = sync_channel(1);
        let entry = || Entry { level: Level::Debug, message: "x".to_owned(), fields: Vec::new() };
        let mut dropped = 0;
        for _ in 0..4 {
            put(Some(&entries), &mut dropped, entry());
        }
        assert_eq!((waiting.recv().unwrap().message.as_str(), dropped), ("x", 3));
        put(Some(&entries), &mut dropped, entry());
        let message = waiting.recv().unwrap().message;
        assert_eq!(message, "(3 messages are missing before this one: journald took none in time) x");
        assert_eq!(dropped, 0);
    }
}
