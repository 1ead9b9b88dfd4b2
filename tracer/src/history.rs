//! The whole story of a recording as data, for whatever draws it: lives of processes, signals and their fates, findings as
//! they were in the end, stops, losses. Nothing here draws, and everything is bounded and counted.

use std::{io, ops::ControlFlow};

use anyhow::Result;
use rustc_hash::FxHashMap;

use crate::{
    change::{AdopterClass, Change, Signalled},
    density::Density,
    detector::Detector,
    event::{EventKind, Loss},
    filter::{self, Filter},
    host::Container,
    ident::{ContainerNo, Identity},
    signal::Sender,
    sink::{
        Counted, Sink,
        select::{Item, Moment, Select},
    },
    source::trace::Trace,
    step::Step,
    summary::Summary,
    time::{BootNs, Span},
    world::World,
};

mod findings;
mod lives;
mod signals;
mod stops;

pub use findings::{Ending, Findings, Found};
pub use lives::{Life, Lives, Place};
pub use signals::{Sent, SentBy, Signals};
pub use stops::{Outcome, Stop, Stops};

/// What happened, as far as it was recorded.
#[derive(Clone)]
pub struct History {
    select: Select,
    /// What the reader has asked for, in words; empty, if for everything.
    pub asked: Vec<String>,
    /// Boot time before which there is only who lived.
    from: BootNs,
    /// How long what is over is kept; `None` for ever.
    kept_for: Option<Span>,
    /// When something was forgotten last.
    forgot: BootNs,
    /// Nanoseconds from boot times to those since 1970.
    pub wall_offset_ns: i64,
    /// Counts of everything.
    pub summary: Summary,
    /// Processes.
    pub lives: Lives,
    /// Signals.
    pub signals: Signals,
    /// Findings, in the order in which they were told first.
    pub findings: Findings,
    /// Who was asked to stop.
    pub stops: Stops,
    /// Times of which something is missing, in order.
    pub gaps: Vec<Gap>,
    /// How much happened when.
    pub density: Density,
    /// What was not looked at, a sentence each.
    pub limits: Vec<String>,
    /// Those of the processes above.
    containers: FxHashMap<ContainerNo, Container>,
}

/// A time of which something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// No record is missing from before this.
    pub from: BootNs,
    /// The world was compared with the kernel then, or the recording ended.
    pub until: BootNs,
    /// How many records, at least.
    pub records: u64,
}

/// The counts of what is lost enter the stream within this time.
const COUNTED_WITHIN: Span = Span::ms(100);
/// Stretches of time of which there is a count.
const BUCKETS: usize = 512;
/// How long what is over is kept of a run that goes on, if there is room.
pub const KEPT: Span = Span::seconds(600);
/// How often what is over is forgotten.
const FORGETS: Span = Span::SECOND;
/// Gaps that are kept apart; later ones make the last one longer.
const MOST_GAPS: usize = 256;

impl Default for History {
    fn default() -> Self {
        Self {
            select: Select::new(Filter::default(), &[]).few(),
            asked: Vec::new(),
            from: BootNs::ZERO,
            kept_for: None,
            forgot: BootNs::ZERO,
            wall_offset_ns: 0,
            summary: Summary::default(),
            lives: Lives::default(),
            signals: Signals::default(),
            findings: Findings::default(),
            stops: Stops::default(),
            gaps: Vec::new(),
            density: Density::new(BUCKETS),
            limits: Vec::new(),
            containers: FxHashMap::default(),
        }
    }
}

impl History {
    /// Of what passes the filter, which is for a recording; that one in words. Processes that take part in it, and those
    /// above them, are there as well.
    pub fn of_asked(filter: Filter, asked: Vec<String>) -> Self {
        Self { select: Select::new(filter, &[]).few(), asked, ..Self::default() }
    }

    /// Plays a recording between two boot times; `come_to` hears how far it is.
    ///
    /// # Errors
    /// If it cannot be read, or the filter names what it does not have.
    pub fn play(
        &mut self,
        trace: &mut Trace,
        detector: &mut Detector,
        (from, until): (BootNs, BootNs),
        mut come_to: impl FnMut(BootNs),
    ) -> Result<()> {
        let mut sink = Counted::from(self, from);
        trace.detect(detector, until, |world, step| {
            come_to(step.event.at);
            sink.step(world, step)?;
            Ok(ControlFlow::Continue(()))
        })?;
        sink.finish(detector.world())?;
        Ok(())
    }

    /// Of a run without an end, for somebody who looks on: what is over is kept for that long, and of findings and stops
    /// the last ones.
    pub fn of_late(kept_for: Span) -> Self {
        let (findings, stops) = (Findings::of_late(), Stops::of_late());
        Self { kept_for: Some(kept_for), findings, stops, ..Self::default() }
    }

    /// What there is by now, as if the stream had ended.
    ///
    /// # Errors
    /// None of its own: a sink has some.
    pub fn so_far(&self, world: &World, summary: &Summary) -> io::Result<Self> {
        let mut now = self.clone();
        now.finish(world, summary)?;
        Ok(now)
    }

    /// Drops what was over long ago, now and then.
    fn forget(&mut self, now: BootNs) {
        let Some(kept_for) = self.kept_for.filter(|_| now - self.forgot >= FORGETS) else { return };
        self.forgot = now;
        let from = now - kept_for;
        self.lives.forget(from);
        self.signals.forget(from);
        self.density.forget(from);
        self.gaps.retain(|gap| gap.until >= from);
    }

    /// The boot time from which on everything is kept that there was room for.
    pub fn kept_from(&self) -> BootNs {
        let began = self.summary.began;
        self.kept_for.map_or(began, |kept_for| began.max(self.summary.ended_at - kept_for))
    }

    /// Whether it is the story of a run that goes on.
    pub fn is_of_late(&self) -> bool {
        self.kept_for.is_some()
    }

    /// The container of a process.
    pub fn container_of(&self, process: &Identity) -> Option<&Container> {
        self.containers.get(&process.container?)
    }

    /// Takes down the containers of all processes, as they are known by now.
    fn name_containers(&mut self, world: &World) {
        let stopped = self.stops.iter().flat_map(|stop| [&stop.process, &stop.sender].into_iter().chain(&stop.client));
        let all = self.lives.iter().map(|life| &life.process).chain(stopped);
        let known = all.filter_map(|process| Some((process.container?, world.container_of(process)?)));
        let mut containers = FxHashMap::default();
        known.for_each(|(number, container)| {
            containers.entry(number).or_insert_with(|| container.clone());
        });
        self.containers = containers;
    }

    fn change(&mut self, world: &World, at: BootNs, change: &Change) {
        let is_shown = at >= self.from;
        let (is_narrowed, filter) = (self.is_narrowed(), self.select.filter());
        let is_sending_shown = |signalled: &Signalled| {
            let Signalled { signal, sender, target, verdict, .. } = signalled;
            !is_narrowed || filter.shows_sending(world, *signal, *verdict, filter::process(sender), target)
        };
        match change {
            Change::Born(key) => self.lives.born(world, *key, true),
            Change::Learned(key) => self.lives.born(world, *key, false),
            Change::Execed { key, .. } => self.lives.execed(world, at, *key),
            Change::Adopted { child, adoption } if adoption.class != AdopterClass::Thread => {
                self.lives.adopted(at, *child, adoption.to.key);
            }
            Change::Died { key, .. } => {
                self.lives.died(world, *key);
                self.lives.judge(*key, |who| is_narrowed && filter.shows_process(world, who));
                if is_shown {
                    self.stops.died(world, *key, |stop| {
                        let Stop { signal, verdict, sender, process, .. } = stop;
                        !is_narrowed || filter.shows_sending(world, *signal, *verdict, Some(sender), process)
                    });
                }
            }
            Change::Reaped { identity, by, .. } => self.lives.reaped(at, identity, *by),
            Change::Signalled(signalled) if is_shown && is_sending_shown(signalled) => {
                self.signals.sent(at, signalled);
                self.touch(signalled);
            }
            Change::Taken(taken) if is_shown && is_sending_shown(taken) => self.signals.taken(at, taken),
            Change::Looked(key) => self.lives.released(world, *key),
            Change::Signalled(_)
            | Change::Taken(_)
            | Change::Adopted { .. }
            | Change::Continued { .. }
            | Change::FoundStopped(_)
            | Change::StatusLost(_)
            | Change::LeaderDied(_)
            | Change::Killed(_)
            | Change::NamespaceEnding(_)
            | Change::NamespaceEnded(_)
            | Change::Masked(_)
            | Change::Measured(_)
            | Change::ClientEnded(_)
            | Change::ClientBack(_)
            | Change::CommandStarted(_)
            | Change::CommandEnded(_)
            | Change::Gap
            | Change::Synced => {}
        }
    }

    /// Whether the reader has asked for a part of it.
    pub fn is_narrowed(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Who takes part in a signal that says something, or that was asked for, is worth more than others.
    fn touch(&mut self, signalled: &Signalled) {
        if self.is_narrowed() || !signals::is_routine(signalled.signal, signalled.verdict) {
            self.lives.signalled(signalled.target.key);
            if let Sender::Process(sender) = &signalled.sender {
                self.lives.signalled(sender.key);
            }
        }
    }
}

/// What the selected items of a step go into.
struct Told<'a> {
    lives: &'a mut Lives,
    findings: &'a mut Findings,
    gaps: &'a mut Vec<Gap>,
    limits: &'a mut Vec<String>,
}

impl Told<'_> {
    fn lost(&mut self, at: BootNs, loss: &Loss) {
        let (from, records) = (at - COUNTED_WITHIN, loss.total());
        let is_full = self.gaps.len() >= MOST_GAPS;
        match self.gaps.last_mut() {
            Some(last) if is_full || last.until >= from => {
                last.until = BootNs::MAX;
                last.records = last.records.saturating_add(records);
            }
            _ => self.gaps.push(Gap { from, until: BootNs::MAX, records }),
        }
    }

    fn item(&mut self, moment: Moment, item: Item<'_>) {
        match item {
            Item::Finding(finding) => {
                self.lives.found(finding);
                self.findings.told(finding);
            }
            Item::Repeated(last, together) => self.findings.repeated(last, together),
            Item::Lost(loss) => self.lost(moment.at, loss),
            Item::Limited(what) => self.limits.push(what.to_owned()),
            Item::Whole => close(self.gaps, moment.at),
            Item::Start(_) | Item::Event(_) | Item::Container(_) => {}
        }
    }
}

/// Nothing more is missing from that time on.
fn close(gaps: &mut [Gap], at: BootNs) {
    if let Some(open) = gaps.last_mut().filter(|gap| gap.until == BootNs::MAX) {
        open.until = at;
    }
}

impl Sink for History {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        let at = step.event.at;
        if at >= self.from {
            self.density.step(world, step);
        }
        self.forget(at);
        for change in step.changes {
            self.change(world, at, change);
        }
        match &step.event.kind {
            EventKind::Notify(notify) => self.lives.released(world, notify.task.key),
            EventKind::Rename(key, _) => self.lives.renamed(world, at, *key),
            _ => {}
        }
        let Self { select, lives, findings, gaps, limits, .. } = self;
        let mut told = Told { lives, findings, gaps, limits };
        select.step(world, step, |moment, item| {
            if matches!(item, Item::Whole) {
                told.lives.compare(world, moment.at);
            }
            told.item(moment, item);
            Ok(())
        })
    }

    fn show_from(&mut self, from: BootNs) {
        self.from = from;
        self.select.show_from(from);
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, world: &World, summary: &Summary) -> io::Result<()> {
        let Self { select, lives, findings, gaps, limits, .. } = self;
        let mut told = Told { lives, findings, gaps, limits };
        let finished = select.finish(world, |moment, item| {
            told.item(moment, item);
            Ok(())
        });
        close(&mut self.gaps, world.now());
        if self.is_narrowed() {
            let filter = self.select.filter();
            self.lives.narrow(|who| filter.shows_process(world, who));
        }
        self.lives.finish(world);
        self.name_containers(world);
        self.wall_offset_ns = world.wall_offset_ns();
        self.summary = summary.clone();
        finished
    }
}
