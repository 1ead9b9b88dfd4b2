//! Processes of a recording that had a name: whom somebody may mean who knows a program and no pid.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    change::Change,
    event::{EventKind, ExitStatus},
    finding::Role,
    ident::{Identity, ProcKey},
    step::Step,
    time::BootNs,
    why::{Missing, NAMED, page::words::ended, who::is_called},
    world::{Process, World},
};

/// Namesakes that are remembered: a bound for what a recording can make its reader hold.
const MOST: usize = 4096;

/// Those that had the name so far, but for children that did not outlive the time in which they still had their
/// parent's.
#[derive(Debug)]
pub(super) struct Namesakes {
    name: String,
    all: BTreeMap<ProcKey, Namesake>,
    /// How many there were that are forgotten.
    forgotten: u64,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Namesake {
    pub(super) identity: Identity,
    parent: Option<ProcKey>,
    /// When it ended, and how, if that was seen.
    pub(super) ended: Option<(BootNs, Option<ExitStatus>)>,
    /// Something was found about it.
    is_found: bool,
}

impl Namesakes {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), all: BTreeMap::new(), forgotten: 0 }
    }

    /// Takes a step in; `world` is as it is after it.
    pub(super) fn step(&mut self, world: &World, step: &Step<'_>) {
        let at = step.event.at;
        if let EventKind::Rename(key, _) = step.event.kind {
            self.look(world.get(key));
        }
        for change in step.changes {
            match *change {
                Change::Learned(key) | Change::Execed { key, .. } => self.look(world.get(key)),
                Change::Died { key, status } => {
                    self.look(world.get(key));
                    self.ends(key, at, Some(status));
                }
                Change::Reaped { identity, .. } => self.ends(identity.key, at, None),
                _ => {}
            }
        }
        for finding in step.findings.iter().filter(|finding| finding.is_new()) {
            let named = finding.facts.processes(&[Role::Debtor, Role::Victims]);
            for key in named.iter().map(|process| process.key).chain([finding.process.key]) {
                if let Some(one) = self.all.get_mut(&key) {
                    one.is_found = true;
                }
            }
        }
    }

    fn look(&mut self, process: Option<&Process>) {
        let Some(process) = process.filter(|one| is_called(&self.name, one.comm.bytes(), &one.args)) else { return };
        let parent = process.parent.map(|parent| parent.key);
        let new = Namesake { identity: process.identity(), parent, ended: None, is_found: false };
        self.all.entry(process.key).or_insert(new).identity = process.identity();
        if self.all.len() > MOST {
            self.all.pop_first();
            self.forgotten += 1;
        }
    }

    fn ends(&mut self, key: ProcKey, at: BootNs, status: Option<ExitStatus>) {
        if let Some(one) = self.all.get_mut(&key) {
            one.ended.get_or_insert((at, status));
        }
    }

    /// The one that is meant, if that is clear, and the others, oldest first: the only one, else the only one about
    /// which something was found, else the one from which all others descend.
    pub(super) fn meant(&mut self, world: &World) -> Option<(ProcKey, Vec<Namesake>)> {
        // Who has had its parent's name all the while.
        world.processes().for_each(|process| self.look(Some(process)));
        let only = |are: &dyn Fn(&Namesake) -> bool| {
            let mut those = self.all.iter().filter(|(_, one)| are(one)).map(|(&key, _)| key);
            those.next().filter(|_| those.next().is_none())
        };
        let is_top = |one: &Namesake| one.parent.is_none_or(|parent| !self.all.contains_key(&parent));
        let meant = only(&|_| true).or_else(|| only(&|one| one.is_found)).or_else(|| only(&is_top))?;
        let others = self.all.iter().filter(|&(&key, _)| key != meant).map(|(_, one)| *one);
        (self.forgotten == 0).then(|| (meant, others.collect()))
    }

    /// Why none is shown; `place` is where they were looked for, `file` the recording as the command line names it.
    pub(super) fn missing(&self, world: &World, zone: &TimeZone, place: String, file: &str) -> Option<Missing> {
        // The later, the likelier.
        let likely = self.all.values().next_back()?;
        let clock = |at: BootNs| {
            let time = Timestamp::from_nanosecond(at.since_1970(world.wall_offset_ns())).unwrap_or(Timestamp::MAX);
            time.to_zoned(zone.clone()).strftime("%F %H:%M:%S").to_string()
        };
        let told = |Namesake { identity, ended: end, .. }: &Namesake| {
            let end = match *end {
                None => "it lives".to_owned(),
                Some((at, Some(status))) => format!("{} at {}", ended(status), clock(at)),
                Some((at, None)) => format!("gone at {}", clock(at)),
            };
            format!("{identity}, since {}: {end}", clock(identity.key.start))
        };
        Some(Missing::Programs {
            name: self.name.clone(),
            place,
            candidates: self.all.values().rev().take(NAMED).map(told).collect(),
            count: self.all.len() as u64 + self.forgotten,
            first: likely.identity.key.tgid,
            file: format!(" {file}"),
        })
    }
}
