//! A world that follows the kernel by tracer's own means, and what its steps tell the test.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
};

use anyhow::{Context as _, Result};
use tracer::{
    event::{Event, EventKind},
    finding::Finding,
    ident::{PidNs, ProcKey},
    pump::Pump,
    source::{hooks::Hooks, live::Live, load::LoadOptions},
    step::Step,
    thresholds::{THRESHOLDS, Thresholds},
    time::{BootNs, Seq, Span},
    world::World,
};
use tracer_common::RecordKind;

use super::truth::Truth;

/// How records are lost on purpose.
#[derive(Clone, Copy, Debug)]
pub struct Losing {
    /// Share of the records that is thrown away.
    pub share: f64,
    /// Bytes of the ring buffer.
    pub ring_size: u32,
}

/// One way to follow the kernel.
pub struct Follower {
    /// What a report calls it.
    pub name: String,
    /// Its rules speak of zombies, so that it must have spoken of every one.
    pub has_rules: bool,
    /// It looks at processes at random moments.
    pub has_looks: bool,
    /// What its steps told.
    pub watch: Watch,
    pump: Pump,
}

const WAYS: [(&str, Hooks); 3] =
    [("tracepoints", Hooks::Tracepoint), ("fentry", Hooks::Fentry), ("kprobes", Hooks::Kprobe)];

/// A rule looks at a process in `/proc` before it speaks, and what it finds goes into the world. That
/// would mend what is to be seen here, so no rule comes to speak.
fn no_findings() -> Thresholds {
    let mut thresholds = Thresholds::default();
    THRESHOLDS.iter().for_each(|def| (def.set)(&mut thresholds, NEVER));
    thresholds
}

const NEVER: u64 = u64::MAX / 4;

/// Rules that speak while the workload rests.
fn soon() -> Thresholds {
    Thresholds { unreaped_after: Span::ms(50), ..no_findings() }
}

/// What a follower's steps tell the test.
#[derive(Default)]
pub struct Watch {
    /// Records are lost on purpose.
    pub is_losing: bool,
    /// The last events, with their numbers.
    pub history: VecDeque<(Seq, Event)>,
    /// Births that are still to be told to the session: the child, who may be its parent, where.
    pub births: Vec<(ProcKey, [Option<ProcKey>; 2], PidNs)>,
    /// Findings that are still to be judged.
    pub findings: Vec<Heard>,
    /// Of whom it was said that nobody waits for it, and parents of whose zombies that was said at once.
    pub unreaped: BTreeSet<ProcKey>,
    /// Records that came, and that were said to be lost, by their kind.
    pub told: [u64; RecordKind::IN_KERNEL],
    /// Programs that the kernel skipped.
    pub missed: u64,
    /// Records that were said to be lost.
    pub lost: u64,
    /// All events.
    pub events: u64,
    /// Boot time of the last word of a loss.
    lost_at: Option<BootNs>,
    /// Boot times of the looks at processes that came before the next tick.
    looks: BTreeMap<ProcKey, BootNs>,
}

/// A finding, and what it rests on.
pub struct Heard {
    /// What was said.
    pub finding: Finding,
    /// When the last loss before it was told of, in nanoseconds of the boot-time clock.
    pub lost_at: Option<BootNs>,
    /// When the process was last looked at before it, likewise.
    pub looked_at: Option<BootNs>,
}

/// Events that are kept to explain a difference.
const HISTORY: usize = 30_000;

impl Watch {
    fn step(&mut self, truth: &mut Truth, step: &Step<'_>) -> io::Result<()> {
        // The kind stands after the time (`Header`); user space has larger ones of its own.
        if let Some(told) = step.record.get(8).and_then(|&kind| self.told.get_mut(usize::from(kind))) {
            *told += 1;
        }
        for finding in step.findings.iter().filter(|finding| finding.is_new()) {
            // The one of a zombie; the other of a parent, for all zombies of it.
            if matches!(finding.rule.name, "unreaped-child" | "coalesced-sigchld") {
                self.unreaped.insert(finding.process.key);
            }
            let looked_at = self.looks.get(&finding.process.key).copied();
            self.findings.push(Heard { finding: finding.clone(), lost_at: self.lost_at, looked_at });
        }
        truth.hear(step);
        if !self.is_losing {
            truth.believe(step);
        }
        match &step.event.kind {
            EventKind::Fork(fork) => {
                let from = [fork.task.parent, fork.creator].map(|task| task.map(|task| task.key));
                self.births.push((fork.task.key, from, fork.task.pid_ns));
            }
            EventKind::Lost(loss) => {
                self.lost += loss.total();
                self.missed += loss.missed;
                for (told, lost) in self.told.iter_mut().zip(loss.ring) {
                    *told += lost;
                }
                self.lost_at = Some(step.event.at);
            }
            EventKind::Look(look) => {
                self.looks.insert(look.key, step.event.at);
            }
            EventKind::Tick => self.looks.clear(),
            _ => {}
        }
        if let EventKind::Tick | EventKind::Survey(_) | EventKind::CommandLine(..) = step.event.kind {
            return Ok(());
        }
        self.events += 1;
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back((step.seq, step.event.clone()));
        Ok(())
    }
}

impl Follower {
    fn start(name: String, options: &LoadOptions, rules: bool, truth: &mut Truth) -> Result<Self> {
        let live = Live::attach(options)?;
        let is_losing = options.simulate_loss > 0.0 || options.ring_size < LoadOptions::default().ring_size;
        let mut watch = Watch { is_losing, ..Watch::default() };
        let thresholds = if rules { soon() } else { no_findings() };
        let pump = Pump::start(live, options, &thresholds, &mut |_, step| watch.step(truth, step))?;
        Ok(Self { name, has_rules: rules, has_looks: false, watch, pump })
    }

    /// One for which the programs were attached while the workload was at work. The processes that were there
    /// come with its next turns.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn begin(live: Live, truth: &mut Truth) -> Result<Self> {
        let mut watch = Watch::default();
        let options = LoadOptions::default();
        let pump = Pump::begin(live, &options, &no_findings(), &mut |_, step| watch.step(truth, step))?;
        Ok(Self { name: "one that began meanwhile".to_owned(), has_rules: false, has_looks: true, watch, pump })
    }

    /// One that needs no more than tracepoints, and one for each way to the exact hooks that this
    /// kernel allows; and one that looks at processes at random moments, which must not mislead it. Where records are
    /// to be lost all of the former lose them, one more does so with
    /// rules that speak, and the first loses nothing: it knows what really happened.
    ///
    /// # Errors
    /// If nothing can be attached.
    pub fn all(losing: Option<Losing>, truth: &mut Truth) -> Result<Vec<Self>> {
        // With a loss, records are counted. Which signal says nothing new, and makes no record, is a question of time: each
        // program answers it for itself.
        let (all_signals, all_deliveries) = (losing.is_some(), losing.is_some());
        let whole = LoadOptions { all_signals, all_deliveries, ..LoadOptions::default() };
        let options = losing.map_or(whole, |Losing { share, ring_size }| LoadOptions {
            simulate_loss: share,
            ring_size,
            ..whole
        });
        let mut all = Vec::new();
        if losing.is_some() {
            let best = LoadOptions { hooks: Hooks::Best, ..options };
            all.push(Self::start("a witness".to_owned(), &whole, false, truth).context(CANNOT)?);
            all.push(Self::start("the best, with rules".to_owned(), &best, true, truth).context(CANNOT)?);
        }
        for (name, hooks) in WAYS {
            match Self::start(name.to_owned(), &LoadOptions { hooks, ..options }, false, truth) {
                Ok(follower) => all.push(follower),
                Err(error) if hooks == Hooks::Tracepoint => return Err(error).context(CANNOT),
                Err(_) => {}
            }
        }
        if losing.is_none() {
            let options = LoadOptions { hooks: Hooks::Tracepoint, ..options };
            let looking = Self::start("tracepoints and looks".to_owned(), &options, false, truth).context(CANNOT)?;
            all.push(Self { has_looks: true, ..looking });
        }
        Ok(all)
    }

    /// What it believes.
    pub fn world(&self) -> &World {
        self.pump.world()
    }

    /// Takes in what there is, until there is nothing more.
    ///
    /// # Errors
    /// If the kernel side cannot be read.
    pub fn catch_up(&mut self, truth: &mut Truth) -> Result<()> {
        let Self { pump, watch, .. } = self;
        while pump.turn(&mut |_, step| watch.step(truth, step))? > 0 || pump.is_listing() {}
        Ok(())
    }

    /// Looks at a process, if it is one that does so.
    ///
    /// # Errors
    /// If its world cannot be told.
    pub fn look_at(&mut self, key: ProcKey, truth: &mut Truth) -> Result<()> {
        let Self { pump, watch, has_looks, .. } = self;
        if *has_looks {
            pump.look_at(key, &mut |_, step| watch.step(truth, step))?;
        }
        Ok(())
    }

    /// Finds out what no event tells.
    ///
    /// # Errors
    /// If the kernel's iterator fails.
    pub fn survey(&mut self, truth: &mut Truth) -> Result<()> {
        let Self { pump, watch, .. } = self;
        pump.survey(&mut |_, step| watch.step(truth, step))
    }
}

const CANNOT: &str = "cannot attach the programs";
