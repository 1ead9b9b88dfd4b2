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
    filter::Filter,
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
    /// Plays a recording to its end; `come_to` hears how far it is.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(trace: &mut Trace, detector: &mut Detector, mut come_to: impl FnMut(BootNs)) -> Result<Self> {
        let mut history = Self::default();
        let mut sink = Counted::new(&mut history);
        trace.detect(detector, BootNs::MAX, |world, step| {
            come_to(step.event.at);
            sink.step(world, step)?;
            Ok(ControlFlow::Continue(()))
        })?;
        sink.finish(detector.world())?;
        Ok(history)
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
        match change {
            Change::Born(key) => self.lives.born(world, *key, true),
            Change::Learned(key) => self.lives.born(world, *key, false),
            Change::Execed { key, .. } => self.lives.execed(world, at, *key),
            Change::Adopted { child, adoption } if adoption.class != AdopterClass::Thread => {
                self.lives.adopted(at, *child, adoption.to.key);
            }
            Change::Died { key, .. } => {
                self.lives.died(world, *key);
                if is_shown {
                    self.stops.died(world, *key);
                }
            }
            Change::Reaped { identity, by, .. } => self.lives.reaped(at, identity, *by),
            Change::Signalled(signalled) if is_shown => {
                self.signals.sent(at, signalled);
                self.touch(signalled);
            }
            Change::Taken(taken) if is_shown => self.signals.taken(at, taken),
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

    /// Who takes part in a signal that says something is worth more than others.
    fn touch(&mut self, signalled: &Signalled) {
        if !signals::is_routine(signalled.signal, signalled.verdict) {
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
        if let EventKind::Notify(notify) = &step.event.kind {
            self.lives.released(world, notify.task.key);
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
        self.lives.finish(world);
        self.name_containers(world);
        self.wall_offset_ns = world.wall_offset_ns();
        self.summary = summary.clone();
        finished
    }
}
