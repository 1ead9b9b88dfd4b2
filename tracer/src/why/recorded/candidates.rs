//! Processes of a recording that a name can mean, and which of them tells most.
//!
//! Whoever asks for a program, a unit or a container by its name mostly asks why it has ended.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;

use crate::{
    change::Change,
    event::{EventKind, ExitStatus},
    finding::{Finding, Role},
    ident::{Identity, ProcKey},
    signal::Signal,
    step::Step,
    time::BootNs,
    why::{
        Missing, unit,
        who::{Fit, Name, is_container},
    },
    world::{Process, World},
};

/// Candidates that are remembered: a bound for what a recording can make its reader hold.
const MOST: usize = 4096;

/// A process that can be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which, by the name that it has last.
    pub process: Identity,
    /// When it ended, and how, if that was seen.
    pub ended: Option<(BootNs, Option<ExitStatus>)>,
    /// A finding is about it.
    pub is_found: bool,
    /// It descends from no other candidate.
    pub is_first: bool,
}

/// Why one of several is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is the only one, or had the pid at the moment that was asked for.
    Asked,
    /// A signal ended it.
    Killed,
    /// It ended with another code than 0.
    Failed,
    /// A finding is about it.
    Found,
    /// It lives.
    Alive,
    /// None of the others has started it.
    First,
    /// It is the last of them.
    Last,
}

impl Reason {
    /// Its word, in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Killed => "killed",
            Self::Failed => "failed",
            Self::Found => "found",
            Self::Alive => "alive",
            Self::First => "first",
            Self::Last => "last",
        }
    }
}

impl Candidate {
    fn status(&self) -> Option<ExitStatus> {
        self.ended.and_then(|(_, status)| status)
    }

    /// How much its end needs an answer.
    fn badness(&self) -> u8 {
        match self.status().map(|status| (status.signal(), status.code())) {
            // Somebody asked for it.
            Some((Some(Signal::TERM | Signal::INT | Signal::HUP), _)) => 1,
            Some((Some(_), _)) => 2,
            Some((None, 0)) | None => 0,
            Some((None, _)) => 1,
        }
    }

    /// The more, the more it tells.
    pub(super) fn weight(&self) -> impl Ord + use<> {
        (self.badness(), self.is_found, self.ended.is_none(), self.is_first, self.process.key)
    }
}

/// The candidate that tells most, why, and the others, those that tell more first.
pub(super) fn choose(mut all: Vec<Candidate>) -> Option<(Candidate, Reason, Vec<Candidate>)> {
    all.sort_by_key(|one| Reverse(one.weight()));
    let others = all.split_off(1.min(all.len()));
    let chosen = all.pop()?;
    let is_only = |has: fn(&Candidate) -> bool| has(&chosen) && !others.iter().any(has);
    let reason = match chosen.status() {
        _ if others.is_empty() => Reason::Asked,
        Some(status) if status.signal().is_some() => Reason::Killed,
        Some(status) if status.code() != 0 => Reason::Failed,
        _ if is_only(|one| one.is_found) => Reason::Found,
        _ if is_only(|one| one.ended.is_none()) => Reason::Alive,
        _ if is_only(|one| one.is_first) => Reason::First,
        _ if others.iter().all(|other| other.process.key < chosen.process.key) => Reason::Last,
        _ if chosen.is_found => Reason::Found,
        _ if chosen.ended.is_none() => Reason::Alive,
        _ => Reason::First,
    };
    Some((chosen, reason, others))
}

/// Whom a name means.
#[derive(Debug)]
pub struct Meant {
    pub(super) key: ProcKey,
    pub(super) reason: Reason,
    /// The others that it can mean, those that tell more first, and how many there were.
    pub(super) others: Vec<Candidate>,
    pub(super) other_count: u64,
}

/// What has the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// A program: each process that ran it, but for children that did not outlive the time in which they still had
    /// their parent's name.
    Program,
    /// A unit of systemd: each process of it whose parent was not of it.
    Unit,
}

/// Those so far.
#[derive(Debug)]
pub(super) struct Candidates {
    name: Name,
    of: Of,
    all: FxHashMap<ProcKey, Seen>,
    /// How many there were that are forgotten.
    forgotten: u64,
}

#[derive(Debug)]
struct Seen {
    process: Identity,
    /// Its parent, and the one before that, whose end had left it to this one.
    parents: [Option<ProcKey>; 2],
    /// The id of its unit, and how the name fits that.
    unit: Option<(Fit, String)>,
    ended: Option<(BootNs, Option<ExitStatus>)>,
    is_found: bool,
}

impl Candidates {
    pub(super) fn new(name: &Name, of: Of) -> Self {
        Self { name: name.clone(), of, all: FxHashMap::default(), forgotten: 0 }
    }

    /// Takes a step in; `world` is as it is after it.
    pub(super) fn step(&mut self, world: &World, step: &Step<'_>) {
        let at = step.event.at;
        match step.event.kind {
            EventKind::Rename(key, _) | EventKind::Contained(key, _) => self.look(world, world.get(key)),
            _ => {}
        }
        for change in step.changes {
            match *change {
                Change::Learned(key) | Change::Execed { key, .. } => self.look(world, world.get(key)),
                Change::Died { key, status } => {
                    self.look(world, world.get(key));
                    self.ends(key, at, Some(status));
                }
                Change::Reaped { identity, .. } => self.ends(identity.key, at, None),
                _ => {}
            }
        }
        for finding in step.findings.iter().filter(|finding| finding.is_new()) {
            for key in concerned(finding) {
                if let Some(one) = self.all.get_mut(&key) {
                    one.is_found = true;
                }
            }
        }
    }

    fn look(&mut self, world: &World, process: Option<&Process>) {
        let Some(process) = process else { return };
        let unit = match self.of {
            Of::Program if self.name.is_program(process.comm.bytes(), &process.args) => None,
            Of::Unit => match self.unit_of(world, process) {
                None => return,
                unit => unit,
            },
            Of::Program => return,
        };
        let parents =
            [process.parent.map(|parent| parent.key), process.adoption.as_deref().map(|adoption| adoption.from.key)];
        let process = process.identity();
        let new = Seen { process, parents, unit, ended: None, is_found: false };
        let one = self.all.entry(process.key).or_insert(new);
        (one.process, one.parents) = (process, parents);
        if self.all.len() > 2 * MOST {
            self.forget();
        }
    }

    /// The unit of a process, if that is the one that is asked for, and the parent is not of it.
    fn unit_of(&self, world: &World, process: &Process) -> Option<(Fit, String)> {
        let unit = world.container_of(&process.identity()).filter(|unit| !is_container(unit))?;
        let fit = self.name.fits_unit(&unit.id)?;
        let is_inner = world.parent(process.key).is_some_and(|parent| parent.container == process.container);
        (!is_inner).then(|| (fit, unit.id.clone()))
    }

    /// Those that tell least are forgotten; who lives may still end.
    fn forget(&mut self) {
        let mut all: Vec<_> = self.candidates(|_| true);
        all.sort_by_key(|one| (one.ended.is_none(), one.weight()));
        for one in &all[..all.len() - MOST] {
            self.all.remove(&one.process.key);
            self.forgotten += 1;
        }
    }

    fn ends(&mut self, key: ProcKey, at: BootNs, status: Option<ExitStatus>) {
        if let Some(one) = self.all.get_mut(&key) {
            one.ended.get_or_insert((at, status));
        }
    }

    fn candidates(&self, is_meant: impl Fn(&Seen) -> bool) -> Vec<Candidate> {
        let one = |one: &Seen| {
            let &Seen { process, parents, ended, is_found, .. } = one;
            let is_first = !parents.into_iter().flatten().any(|parent| self.all.contains_key(&parent));
            Candidate { process, ended, is_found, is_first }
        };
        self.all.values().filter(|one| is_meant(one)).map(one).collect()
    }

    /// The one that is meant, if there is one; `place` is where they were looked for.
    ///
    /// # Errors
    /// If several units have that name.
    pub(super) fn meant(&mut self, world: &World, place: &str) -> Result<Option<Meant>, Missing> {
        // Who has had its parent's name all the while, and whose parent is gone.
        world.processes().for_each(|process| self.look(world, Some(process)));
        let fitting = self.all.values().filter_map(|one| one.unit.as_ref()).map(|(fit, id)| (*fit, id));
        let unit = unit(&self.name, place, fitting)?;
        let is_of_unit = |one: &Seen| one.unit.as_ref().map(|(_, id)| id) == unit;
        Ok(choose(self.candidates(is_of_unit)).map(|(chosen, reason, others)| {
            let other_count = others.len() as u64 + self.forgotten;
            Meant { key: chosen.process.key, reason, others, other_count }
        }))
    }
}

/// Whom a finding is about: the process that it names, the one that owes the wait, and each that a signal ended.
pub(super) fn concerned(finding: &Finding) -> Vec<ProcKey> {
    let named = finding.facts.processes(&[Role::Debtor, Role::Victims]);
    let mut keys: Vec<_> = named.iter().map(|process| process.key).chain([finding.process.key]).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}
