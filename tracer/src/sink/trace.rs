//! Into trace files: the record of each step as it came, and periodically an image of the world.
//!
//! This file decides what is recorded ([`narrow`], [`redact`]); a [`Store`] decides where it goes.

use std::{io, path::Path};

use clap::ValueEnum;

use crate::{
    event::{End, Event, EventKind},
    filter::Filter,
    finding::RuleDef,
    host::StartInfo,
    sink::{
        Sink,
        select::{Item, Select},
    },
    source::encode::image,
    step::Step,
    summary::Summary,
    time::BootNs,
    trace::{Records, file::CreateError},
    world::World,
};

use self::{narrow::Narrow, redact::Redactor};

pub mod flight;
pub mod memory;
mod narrow;
mod part;
pub mod redact;
pub mod rotate;
pub mod shelf;

/// What to keep out of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Redact {
    /// Arguments of programs, all but the name of the program itself
    Argv,
    /// Those, and all names: each becomes a pseudonym, the same one throughout the trace
    Names,
}

/// Where records go.
pub trait Store {
    /// Called once, before the first record, with the contents of that record.
    ///
    /// # Errors
    /// From writing.
    fn start(&mut self, view: View<'_>, info: &StartInfo) -> io::Result<()>;

    /// Takes a record.
    ///
    /// # Errors
    /// From writing.
    fn record(&mut self, view: View<'_>, record: &[u8]) -> io::Result<()>;

    /// Takes the contents of the last record, and closes what is open.
    ///
    /// # Errors
    /// From writing; see [`Store::close`].
    fn end(&mut self, view: View<'_>, end: End) -> io::Result<()>;

    /// Closes what is open, after an error: what has been taken so far can be read.
    ///
    /// # Errors
    /// From writing.
    fn close(&mut self, end: Option<&Event>) -> io::Result<()>;

    /// A rule that the recording waits for has found something.
    ///
    /// # Errors
    /// From writing.
    fn found(&mut self, _view: View<'_>, _rule: &'static str) -> io::Result<()> {
        Ok(())
    }

    /// Bytes in files.
    fn size(&self) -> u64;

    /// What was written, for the person who asked for it: one sentence each.
    fn sentences(&self) -> Vec<String>;
}

/// The world, as far as a trace records it.
#[derive(Clone, Copy)]
pub struct View<'a> {
    world: &'a World,
    redactor: &'a Redactor,
    /// The step's event.
    event: &'a Event,
}

impl View<'_> {
    /// The time that the world has reached.
    pub fn now(&self) -> BootNs {
        self.world.now()
    }

    /// The same as a time of day, in nanoseconds since 1970.
    fn wall_ns(&self) -> i64 {
        self.now().0.cast_signed().saturating_add(self.world.wall_offset_ns())
    }

    /// Whether the stream can be read from here on with an image of the world: it is complete, and says all that will
    /// be needed of the command. If there is too much already, an image will do that says that it is not complete:
    /// whoever causes losses without end must not make a recorder grow without end.
    fn can_cut(&self, is_too_much: bool) -> bool {
        let is_good = self.world.is_whole() || (is_too_much && self.world.was_listed());
        is_good && self.world.command().is_none_or(|command| command.end.is_none())
    }

    /// An image of the world: records, one after the other.
    pub fn image(&self) -> Vec<u8> {
        let image = image(self.world);
        if self.redactor.is_idle() {
            return image;
        }
        let mut redacted = Vec::with_capacity(image.len());
        for record in Records(&image) {
            let mut record = record.to_vec();
            self.redactor.redact(&mut record);
            redacted.extend_from_slice(&record);
        }
        redacted
    }
}

/// Writes every step, or all but what is filtered out.
pub struct Recorder {
    store: Box<dyn Store>,
    narrow: Option<Narrow>,
    redactor: Redactor,
    /// Rules whose findings the store is told of.
    trigger: Option<Trigger>,
    /// Records that were taken.
    taken: u64,
    /// Buffer for a record that is changed before it is written.
    room: Vec<u8>,
}

impl Recorder {
    /// Passes everything to a store.
    pub fn new(store: Box<dyn Store>) -> Self {
        let redactor = Redactor::default();
        Self { store, narrow: None, redactor, trigger: None, taken: 0, room: Vec::new() }
    }

    /// With the store that is a single file of that name.
    ///
    /// # Errors
    /// If there can be none.
    pub fn single(path: &Path, overwrite: bool) -> Result<Box<dyn Store>, CreateError> {
        Ok(Box::new(part::Single::new(path, overwrite)?))
    }

    /// Leaves out signals that the filter hides, if it may hide any, but none that a finding could depend on.
    #[must_use]
    pub fn narrowed(self, filter: Filter) -> Self {
        Self { narrow: filter.narrows_signals().then(|| Narrow::new(filter)), ..self }
    }

    /// Redacts the trace.
    #[must_use]
    pub fn redacted(self, redactor: Redactor) -> Self {
        Self { redactor, ..self }
    }

    /// Tells the store of findings of these rules that the filter shows.
    #[must_use]
    pub fn on(self, rules: &[&'static RuleDef], filter: Filter) -> Self {
        let rules: Vec<_> = rules.iter().map(|rule| rule.name).collect();
        let trigger = (!rules.is_empty()).then(|| Trigger { rules, select: Select::new(filter, &[]) });
        Self { trigger, ..self }
    }

    /// Records that were taken.
    pub fn records(&self) -> u64 {
        self.taken
    }

    /// Signals that were left out.
    pub fn left_out(&self) -> u64 {
        self.narrow.as_ref().map_or(0, Narrow::left_out)
    }

    /// Bytes in files.
    pub fn size(&self) -> u64 {
        self.store.size()
    }

    /// What was written, one sentence each.
    pub fn sentences(&self) -> Vec<String> {
        self.store.sentences()
    }

    /// Closes the trace where it is, with `end` as its last record if there is room.
    ///
    /// # Errors
    /// From writing.
    pub fn close(&mut self, end: Option<&Event>) -> io::Result<()> {
        self.store.close(end)
    }
}

/// The findings that the store waits for.
struct Trigger {
    rules: Vec<&'static str>,
    select: Select,
}

impl Trigger {
    /// The rule of a finding that this step brought and the store waits for.
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<Option<&'static str>> {
        let mut found = None;
        self.select.step(world, step, |_, item| {
            if let Item::Finding(finding) = item
                && finding.is_new()
                && self.rules.contains(&finding.rule.name)
            {
                found = Some(finding.rule.name);
            }
            Ok(())
        })?;
        Ok(found)
    }
}

impl Sink for Recorder {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        let Self { store, narrow, redactor, trigger, taken, room } = self;
        if let Some(narrow) = narrow
            && !narrow.takes(world, step)?
        {
            return Ok(());
        }
        *taken += 1;
        let view = View { world, redactor, event: step.event };
        match &step.event.kind {
            EventKind::Start(info) => {
                let mut info = (**info).clone();
                info.all_signals &= narrow.is_none();
                info.all_deliveries &= narrow.is_none();
                redactor.redact_start(&mut info);
                store.start(view, &info)?;
            }
            &EventKind::End(end) => store.end(view, end)?,
            _ if redactor.is_idle() => store.record(view, step.record)?,
            _ => {
                room.clear();
                room.extend_from_slice(step.record);
                redactor.redact(room);
                store.record(view, room)?;
            }
        }
        match trigger.as_mut().map(|trigger| trigger.step(world, step)).transpose()?.flatten() {
            Some(rule) => store.found(view, rule),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // By the world's time: see `Part::record`.
        Ok(())
    }

    fn finish(&mut self, _world: &World, _summary: &Summary) -> io::Result<()> {
        // The last record closes it; without one, what is open must be closed here.
        self.store.close(None)
    }
}
