//! Decides what of a step is shown, the same for every presenter: nothing until the world is complete, then the
//! requested events and findings, and every loss.

use std::{collections::BTreeMap, io};

use crate::{
    change::{Change, Measured},
    event::{EventKind, Loss},
    filter::{Filter, Missing},
    finding::Finding,
    host::{Container, StartInfo},
    kind::Kind,
    occurrence::Occurrence,
    sink::alike::{Alike, Together},
    step::Step,
    summary::tally,
    time::{BootNs, Seq},
    world::World,
};

/// Something to show.
#[derive(Debug)]
pub enum Item<'a> {
    /// The world is complete. Always the first item.
    Start(&'a StartInfo),
    /// An event that was requested.
    Event(Occurrence<'a>),
    /// A container is known, or more is known about it.
    Container(&'a Container),
    /// A finding.
    Finding(&'a Finding),
    /// So many that are similar to some that were shown: the last of them, and when the first was.
    Repeated(&'a Finding, &'a Together),
    /// Records are missing.
    Lost(&'a Loss),
    /// From now on something is not looked at: a sentence for a person.
    Limited(&'a str),
    /// The world is complete again after a loss.
    Whole,
}

/// Time and place of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: BootNs,
    /// The processor; 0 for items that user space makes.
    pub cpu: u16,
    /// Number of the event that caused it.
    pub seq: Seq,
}

/// Shows findings, and nothing else.
pub fn only_findings(mut show: impl FnMut(&Finding)) -> impl FnMut(Moment, Item<'_>) -> io::Result<()> {
    move |_, item| {
        if let Item::Finding(finding) = item {
            show(finding);
        }
        Ok(())
    }
}

/// Picks the items of each step.
#[derive(Clone, Debug)]
pub struct Select {
    filter: Filter,
    kinds: Vec<Kind>,
    phase: Phase,
    is_torn: bool,
    /// Boot time before which only the start is shown.
    from: BootNs,
    /// Folds similar findings.
    alike: Option<Alike>,
    /// New findings that were shown, one by one or folded, by rule.
    shown: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Debug)]
enum Phase {
    /// The snapshot is not complete: findings are held back.
    Starting {
        info: Option<Box<StartInfo>>,
        held: Vec<Held>,
    },
    Running,
}

/// How many items are held back while the world is not complete: a trace may never say that it is.
const HELD: usize = 4096;

#[derive(Clone, Debug)]
enum Held {
    Finding(Moment, Box<Finding>),
    Lost(Moment, Loss),
    Container(Moment, Box<Container>),
}

impl Select {
    /// Findings that pass the filter, and events of those kinds that do.
    pub fn new(filter: Filter, kinds: &[Kind]) -> Self {
        let phase = Phase::Starting { info: None, held: Vec::new() };
        Self {
            filter,
            kinds: kinds.to_vec(),
            phase,
            is_torn: false,
            from: BootNs::ZERO,
            alike: None,
            shown: BTreeMap::new(),
        }
    }

    /// Folds similar findings: shows the first few, then how many more there are.
    #[must_use]
    pub fn few(self) -> Self {
        Self { alike: Some(Alike::default()), ..self }
    }

    /// From now on shows what another filter does.
    ///
    /// # Errors
    /// If it names what does not exist.
    pub fn refilter(&mut self, mut filter: Filter, world: &World) -> Result<(), Missing> {
        filter.resolve(world)?;
        self.filter = filter;
        Ok(())
    }

    /// What it is that is shown.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// New findings that were shown so far, by rule; each folded one counts.
    pub fn shown(&self) -> &BTreeMap<&'static str, u64> {
        &self.shown
    }

    /// Shows only the start of what happened before a boot time.
    pub fn show_from(&mut self, from: BootNs) {
        self.from = from;
    }

    /// Hands each item of a step to `show`.
    ///
    /// # Errors
    /// What `show` returns, and at the start if the filter names what does not exist
    /// ([`Missing`]).
    pub fn step(
        &mut self,
        world: &World,
        step: &Step<'_>,
        mut show: impl FnMut(Moment, Item<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let moment = Moment { at: step.event.at, cpu: step.event.cpu, seq: step.seq };
        let Self { filter, kinds, phase, is_torn, from, alike, shown } = self;
        if matches!(step.event.kind, EventKind::Tick) {
            for (last, count) in alike.iter_mut().flat_map(|alike| alike.due(moment.at, false)) {
                show(moment, Item::Repeated(&last, &count))?;
            }
        }
        let mut show = |moment: Moment, item: Item<'_>| {
            let is_shown = match &item {
                Item::Start(_) => true,
                _ if moment.at < *from => false,
                Item::Finding(finding) => {
                    tally(shown, finding);
                    alike.as_mut().is_none_or(|alike| alike.tells(finding))
                }
                _ => true,
            };
            if is_shown { show(moment, item) } else { Ok(()) }
        };
        filter.hear(&step.event.kind);
        match phase {
            Phase::Running => {}
            Phase::Starting { info, held } => {
                if filter.is_of_recording() {
                    step.changes.iter().for_each(|change| filter.follow(world, change));
                }
                match &step.event.kind {
                    EventKind::Start(start) => *info = Some(start.clone()),
                    EventKind::Lost(loss) if loss.total() > 0 => held.push(Held::Lost(moment, *loss)),
                    EventKind::Container(container) => held.push(Held::Container(moment, container.clone())),
                    _ => {}
                }
                if !step.changes.contains(&Change::Synced) && held.len() < HELD {
                    held.extend(step.findings.iter().map(|finding| Held::Finding(moment, Box::new(finding.clone()))));
                    return Ok(());
                }
                let (info, held) = (info.take(), std::mem::take(held));
                *phase = Phase::Running;
                filter.resolve(world).map_err(missing)?;
                if let Some(info) = info {
                    show(moment, Item::Start(&info))?;
                }
                release(filter, world, held, &mut show)?;
                limited(world, moment, &mut show)?;
                return findings(filter, world, moment, step, &mut show);
            }
        }
        for change in step.changes {
            filter.follow(world, change);
            if !kinds.is_empty()
                && let Some(event) = Occurrence::of(world, step, change)
                && kinds.contains(&event.kind())
                && filter.shows_event(world, &event)
            {
                show(moment, Item::Event(event))?;
            }
            if matches!(change, Change::Synced) && std::mem::take(is_torn) {
                show(moment, Item::Whole)?;
            }
            if matches!(change, Change::Measured(Measured::GroupsLeftOut)) {
                limited(world, moment, &mut show)?;
            }
        }
        match &step.event.kind {
            EventKind::Lost(loss) => {
                *is_torn = true;
                // An image of a world that is not whole may not know what it lacks.
                if loss.total() > 0 {
                    show(moment, Item::Lost(loss))?;
                }
            }
            EventKind::Container(container) if filter.shows_container(container) => {
                show(moment, Item::Container(container))?;
            }
            _ => {}
        }
        findings(filter, world, moment, step, &mut show)
    }

    /// Hands over what was held back, if the run ended before the world was complete, and what was counted.
    ///
    /// # Errors
    /// What `show` returns, and if the filter names what a recording did not have ([`Missing`]).
    pub fn finish(
        &mut self,
        world: &World,
        mut show: impl FnMut(Moment, Item<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let Self { filter, phase, alike, shown, .. } = self;
        if let Phase::Starting { info: _, held } = std::mem::replace(phase, Phase::Running) {
            release(filter, world, held, &mut |moment, item| {
                if let Item::Finding(finding) = &item {
                    tally(shown, finding);
                }
                show(moment, item)
            })?;
        }
        let moment = Moment { at: world.now(), cpu: 0, seq: Seq::default() };
        for (last, count) in alike.iter_mut().flat_map(|alike| alike.due(moment.at, true)) {
            show(moment, Item::Repeated(&last, &count))?;
        }
        filter.conclude(world).map_err(missing)
    }
}

fn release(
    filter: &Filter,
    world: &World,
    held: Vec<Held>,
    show: &mut impl FnMut(Moment, Item<'_>) -> io::Result<()>,
) -> io::Result<()> {
    for held in held {
        match held {
            Held::Lost(moment, loss) => show(moment, Item::Lost(&loss))?,
            Held::Finding(moment, finding) if filter.shows_finding(world, &finding) => {
                show(moment, Item::Finding(&finding))?;
            }
            Held::Container(moment, container) if filter.shows_container(&container) => {
                show(moment, Item::Container(&container))?;
            }
            Held::Finding(..) | Held::Container(..) => {}
        }
    }
    Ok(())
}

/// Reports what is not looked at, if anything.
fn limited(world: &World, moment: Moment, show: &mut impl FnMut(Moment, Item<'_>) -> io::Result<()>) -> io::Result<()> {
    let left_out = world.groups_left_out();
    if left_out == 0 {
        return Ok(());
    }
    let what = format!(
        "there are so many control groups, or such deep ones, that at least {left_out} of them are not looked at; if \
         their pids run out, nothing is said"
    );
    show(moment, Item::Limited(&what))
}

fn findings(
    filter: &Filter,
    world: &World,
    moment: Moment,
    step: &Step<'_>,
    show: &mut impl FnMut(Moment, Item<'_>) -> io::Result<()>,
) -> io::Result<()> {
    for finding in step.findings.iter().filter(|finding| filter.shows_finding(world, finding)) {
        show(moment, Item::Finding(finding))?;
    }
    Ok(())
}

fn missing(missing: Missing) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, missing)
}
