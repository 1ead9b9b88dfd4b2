//! The life of one process, gathered from the events of a recording.
//!
//! Which process a name means is known only at the end: the last owner of a pid, the container of that name. So all
//! candidates are followed ([`Life`]), and one is chosen ([`Follow::page`]).

use jiff::tz::TimeZone;
use rustc_hash::FxHashMap;

use crate::{
    change::Change,
    console::style,
    event::{EventKind, ExitStatus, Loss},
    finding::{Finding, Role},
    host::{Container, StartInfo},
    ident::{Identity, ProcKey, quote},
    kind::Kind,
    occurrence::Occurrence,
    step::Step,
    time::{BootNs, Span},
    why::{Missing, NAMED, WhoArg},
    world::{Process, World},
};

mod life;
mod namesakes;

use namesakes::{Namesake, Namesakes};

pub use life::{Life, Parent, Program, Reaped, Received, Sent, Stop};

/// How many processes are followed at a time: a bound on what a recording can make its reader hold.
const MOST_FOLLOWED: usize = 4096;
/// How many zombies, children and other owners of the pid are listed.
const LISTED: usize = 10;

/// The candidates so far.
#[derive(Debug)]
pub struct Follow {
    asked: WhoArg,
    /// Only this process, whoever else could be meant.
    key: Option<ProcKey>,
    /// Processes that are called so, if it may be the name of a program.
    namesakes: Option<Namesakes>,
    lives: FxHashMap<ProcKey, Life>,
    /// Lives that were dropped to stay within the bound.
    forgotten: u64,
    /// Processes that have the pid inside a pid namespace, and how many there were.
    inside: Vec<Identity>,
    inside_count: u64,
    /// Namesakes of the one that is followed.
    others: Vec<(Identity, Option<BootNs>)>,
    start: Option<Box<StartInfo>>,
    /// Boot time of the first event.
    began: Option<BootNs>,
    lost: Loss,
}

/// Everything that a recording says about a process, up to a moment.
#[derive(Debug)]
pub struct Page {
    /// Its life.
    pub life: Life,
    /// The moment that the page describes.
    pub at: BootNs,
    /// When the recording began.
    pub began: BootNs,
    /// What was recorded, and how.
    pub start: Option<Box<StartInfo>>,
    /// The process that must wait for it now: its tracer if there is one, else its parent.
    pub owed_by: Option<Identity>,
    /// Zombies that it must wait for, oldest first.
    pub zombies: Vec<Zombie>,
    /// How many there are, including those not listed.
    pub zombie_count: u64,
    /// Its living children, oldest first.
    pub children: Vec<Identity>,
    /// How many there are.
    pub child_count: u64,
    /// Other candidates, oldest first, and when each was gone: earlier owners of the pid, or first processes of other
    /// containers of that name.
    pub others: Vec<(Identity, Option<BootNs>)>,
    /// How many there are.
    pub other_count: u64,
    /// They are processes of the same name.
    pub others_are_namesakes: bool,
    /// Records that are missing from the whole recording up to the moment.
    pub lost: Loss,
    /// Not every signal was recorded, only those that findings can depend on.
    pub lacks_signals: bool,
}

/// Whom the name of a program means.
#[derive(Debug)]
pub struct Meant {
    key: ProcKey,
    /// Others of that name, and when each was gone.
    others: Vec<(Identity, Option<BootNs>)>,
}

/// A child that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zombie {
    /// Which.
    pub process: Identity,
    /// For how long it has been one.
    pub age: Span,
    /// It may have been one for longer.
    pub is_lower_bound: bool,
    /// How it ended.
    pub status: ExitStatus,
}

impl Follow {
    /// Nothing has happened yet.
    pub fn new(asked: &WhoArg) -> Self {
        let namesakes = if let WhoArg::Name(name) = asked { Some(Namesakes::new(name)) } else { None };
        Self {
            asked: asked.clone(),
            key: None,
            namesakes,
            lives: FxHashMap::default(),
            forgotten: 0,
            inside: Vec::new(),
            inside_count: 0,
            others: Vec::new(),
            start: None,
            began: None,
            lost: Loss::default(),
        }
    }

    /// The same, and it is known whom: the others could be meant as well.
    pub fn only(asked: &WhoArg, Meant { key, others }: Meant) -> Self {
        Self { key: Some(key), namesakes: None, others, ..Self::new(asked) }
    }

    /// Takes a step in; `world` is as it is after it.
    pub fn step(&mut self, world: &World, step: &Step<'_>) {
        let at = step.event.at;
        self.began.get_or_insert(at);
        if let Some(namesakes) = &mut self.namesakes {
            namesakes.step(world, step);
        }
        self.find(world, step);
        for change in step.changes {
            self.change(world, step, change);
        }
        match &step.event.kind {
            EventKind::Start(info) => self.start = Some(info.clone()),
            EventKind::Exit(exit) => self.look(world, exit.task.key),
            EventKind::Notify(notify) => self.look(world, notify.task.key),
            &EventKind::Rename(key, comm) => {
                if let Some(life) = self.lives.get_mut(&key) {
                    life.renamed(at, comm);
                }
            }
            EventKind::CommandLine(key, args) => {
                if let Some(life) = self.lives.get_mut(key) {
                    life.is_read(args);
                }
            }
            EventKind::Lost(loss) => {
                self.lost.add(loss);
                self.lives.values_mut().for_each(|life| life.misses(loss));
            }
            _ => {}
        }
        for finding in step.findings {
            self.found(finding);
        }
    }

    /// Begins to follow candidates.
    fn find(&mut self, world: &World, step: &Step<'_>) {
        let at = step.event.at;
        if let Some(key) = self.key {
            self.follow(world, key, at);
            return;
        }
        match self.asked {
            WhoArg::Pid(pid) => {
                // Whatever introduced it: it may be an exec whose fork was lost.
                if let Some(process) = world.by_pid(pid) {
                    self.follow(world, process.key, at);
                }
                for change in step.changes {
                    if let &(Change::Born(key) | Change::Learned(key)) = change {
                        self.note_inside(world, key, pid);
                    }
                }
            }
            WhoArg::Name(_) => {
                for change in step.changes {
                    if let &(Change::Born(key) | Change::Learned(key)) = change
                        && world.get(key).is_some_and(Process::is_init_of_namespace)
                    {
                        self.follow(world, key, at);
                    }
                }
                // A container without a pid namespace of its own.
                if let &EventKind::Contained(key, _) = &step.event.kind {
                    self.follow(world, key, at);
                    self.look(world, key);
                }
            }
        }
    }

    fn follow(&mut self, world: &World, key: ProcKey, at: BootNs) {
        if self.lives.contains_key(&key) {
            return;
        }
        let Some(process) = world.get(key) else { return };
        if self.lives.len() >= MOST_FOLLOWED
            && let Some(&oldest) = self.lives.keys().min()
        {
            self.lives.remove(&oldest);
            self.forgotten += 1;
        }
        self.lives.insert(key, Life::new(world, process, at));
        self.look(world, key);
    }

    /// Remembers the processes that have the pid in a namespace below the host's.
    fn note_inside(&mut self, world: &World, key: ProcKey, pid: u32) {
        let Some(process) = world.get(key).filter(|process| process.ns_level > 0) else { return };
        if process.ns_pid != pid && !process.mid_pids.contains(&pid) {
            return;
        }
        if self.inside.iter().any(|identity| identity.key == key) {
            return;
        }
        self.inside_count += 1;
        if self.inside.len() >= NAMED {
            // The later, the more likely.
            self.inside.remove(0);
        }
        self.inside.push(process.identity());
    }

    fn change(&mut self, world: &World, step: &Step<'_>, change: &Change) {
        let at = step.event.at;
        match change {
            &Change::Born(key) => {
                if let Some(life) = self.lives.get_mut(&key)
                    && let Some(Occurrence::Fork { creator, .. }) = Occurrence::of(world, step, change)
                {
                    life.born(creator);
                }
                let parent = world.get(key).and_then(|process| process.parent);
                if let Some(life) = parent.and_then(|parent| self.lives.get_mut(&parent.key)) {
                    life.children_born += 1;
                }
            }
            Change::Execed { key, before: _ } => {
                self.look(world, *key);
                if let Some(life) = self.lives.get_mut(key) {
                    life.executed(at);
                }
            }
            Change::Adopted { child, adoption } => {
                if let Some(life) = self.lives.get_mut(child) {
                    life.adopted(*adoption);
                }
                if let Some(life) = self.lives.get_mut(&adoption.to.key) {
                    life.children_adopted += 1;
                }
            }
            &Change::Died { key, status: _ } => {
                self.look(world, key);
                if let Some(life) = self.lives.get_mut(&key) {
                    life.died();
                }
            }
            &Change::LeaderDied(key) | &Change::Learned(key) => self.look(world, key),
            &Change::Reaped { identity, by, zombie_for, exact } => {
                let by = by.map(|by| world.identity(by));
                if let Some(life) = self.lives.get_mut(&identity.key) {
                    life.reaped(identity, Reaped { at, by, zombie_for, exact });
                }
                if let Some(life) = by.and_then(|by| self.lives.get_mut(&by.key)) {
                    life.children_reaped += 1;
                }
            }
            Change::Signalled(signalled) => {
                if let Some(life) = self.lives.get_mut(&signalled.target.key) {
                    life.is_sent(world, at, signalled);
                }
                if let Some(life) = life::process(&signalled.sender).and_then(|key| self.lives.get_mut(&key)) {
                    life.sends(at, signalled);
                }
            }
            Change::Taken(taken) => {
                if let Some(life) = self.lives.get_mut(&taken.target.key) {
                    life.takes(at, taken);
                }
            }
            Change::Continued { .. }
            | Change::StatusLost(_)
            | Change::Killed(_)
            | Change::NamespaceEnding(_)
            | Change::NamespaceEnded(_)
            | Change::Looked(_)
            | Change::Masked(_)
            | Change::Measured(_)
            | Change::ClientEnded(_)
            | Change::CommandStarted(_)
            | Change::CommandEnded(_)
            | Change::Gap
            | Change::Synced => {}
        }
    }

    fn look(&mut self, world: &World, key: ProcKey) {
        if let (Some(life), Some(process)) = (self.lives.get_mut(&key), world.get(key)) {
            life.look(process);
        }
    }

    /// A finding is about the process that it names, the one that owes the wait, and each that a signal ended.
    fn found(&mut self, finding: &Finding) {
        let mut keys = vec![finding.process.key];
        keys.extend(finding.facts.processes(&[Role::Debtor, Role::Victims]).iter().map(|process| process.key));
        keys.sort_unstable();
        keys.dedup();
        let finding = finding.brief();
        for key in keys {
            if let Some(life) = self.lives.get_mut(&key) {
                life.is_found(&finding);
            }
        }
    }

    /// The page about the process that is meant, as of the last step. `file` is the recording, as the command line
    /// names it.
    ///
    /// # Errors
    /// If there is no such process, or it is not clear which one is meant.
    pub fn page(mut self, world: &World, file: &str) -> Result<Page, Missing> {
        let keys: Vec<_> = self.lives.keys().copied().collect();
        keys.into_iter().for_each(|key| self.look(world, key));
        let place = format!("in the recording {file}");
        let (mut life, others) = match (self.key, self.asked.clone()) {
            (Some(key), asked) => (self.lives.remove(&key).ok_or_else(|| unknown(&asked, world, place))?, Vec::new()),
            (None, WhoArg::Pid(pid)) => self.owner(pid, world, file, place)?,
            (None, WhoArg::Name(name)) => self.first_of(&name, world, place)?,
        };
        let key = life.process.key;
        life.settle(world);
        let others = others.iter().map(|life| (life.process.identity(), life.gone_at()));
        let others: Vec<_> = others.chain(self.others).collect();
        let other_count = others.len() as u64 + self.forgotten;
        let first = others.len().saturating_sub(LISTED);
        let others = others[first..].to_vec();

        let (zombies, zombie_count) = zombies(world, key);
        let living = world.children(key).filter(|child| child.death().is_none());
        let living: Vec<_> = living.map(Process::identity).collect();
        Ok(Page {
            life,
            at: world.now(),
            began: self.began.unwrap_or_default(),
            lacks_signals: self.start.as_ref().is_some_and(|start| start.lacks(&[Kind::Signal])),
            start: self.start,
            owed_by: world.owed_by(key).map(|key| world.identity(key)),
            zombies,
            zombie_count,
            child_count: living.len() as u64,
            children: living.into_iter().take(LISTED).collect(),
            others,
            other_count,
            others_are_namesakes: self.key.is_some(),
            lost: self.lost,
        })
    }

    /// Whom the name of a program means, if no container is called so. To tell of it from its birth on, the recording
    /// is to be read again.
    ///
    /// # Errors
    /// If several are called so, and nothing says which is meant; times in that zone.
    pub fn program(&mut self, world: &World, zone: &TimeZone, file: &str) -> Result<Option<Meant>, Missing> {
        let (WhoArg::Name(name), Some(namesakes)) = (&self.asked, &mut self.namesakes) else { return Ok(None) };
        let containers: Vec<_> = world.containers().collect();
        if !Container::called(containers.iter().copied(), name).is_empty() {
            return Ok(None);
        }
        if let Some((key, others)) = namesakes.meant(world) {
            let gone = |one: &Namesake| (one.identity, one.ended.map(|(at, _)| at));
            return Ok(Some(Meant { key, others: others.iter().map(gone).collect() }));
        }
        let place = format!("in the recording {file}");
        namesakes.missing(world, zone, place, file).map_or(Ok(None), Err)
    }

    /// The last owner of a pid, and those before it, oldest first.
    fn owner(&mut self, pid: u32, world: &World, file: &str, place: String) -> Result<(Life, Vec<Life>), Missing> {
        let keys = self.lives.keys().copied().collect();
        let mut lives = self.take(keys);
        if let Some(last) = lives.pop() {
            return Ok((last, lives));
        }
        let Some(likely) = self.inside.last() else {
            let next = format!("`tracer tree {file}` lists all processes of its end, `--at WHEN` those of a moment");
            return Err(Missing::Pid { pid, place, next });
        };
        let candidates = self.inside.iter().rev().map(|&identity| named(world, identity)).collect();
        let (count, first, file) = (self.inside_count, likely.key.tgid, format!(" {file}"));
        Err(Missing::Inside { pid, place, candidates, count, first, file })
    }

    /// The first process of the container of that name, and those of others with the same name, oldest first.
    fn first_of(&mut self, name: &str, world: &World, place: String) -> Result<(Life, Vec<Life>), Missing> {
        let all: Vec<_> = world.containers().collect();
        let called = Container::called(all.iter().copied(), name);
        match called[..] {
            [] => return Err(unknown(&self.asked, world, place)),
            // Of several with the same name each has had its time.
            [first, _, ..] if !first.is_exactly(name) => {
                let (candidates, count) = (shown(&called), called.len() as u64);
                return Err(Missing::Ambiguous { name: name.into(), place, candidates, count });
            }
            _ => {}
        }
        let firsts = called.iter().filter_map(|container| self.first_in(world, container)).collect();
        let mut firsts = self.take(firsts);
        let next = "it was heard of and then had none, or their records were lost";
        let last = firsts.pop().ok_or_else(|| Missing::Empty { name: quote(name), place, next })?;
        Ok((last, firsts))
    }

    /// Those lives, oldest first.
    fn take(&mut self, mut keys: Vec<ProcKey>) -> Vec<Life> {
        keys.sort_unstable();
        keys.iter().filter_map(|key| self.lives.remove(key)).collect()
    }

    /// Pid 1 of a container; where it shares a pid namespace, its first process.
    fn first_in(&self, world: &World, container: &Container) -> Option<ProcKey> {
        let is_in =
            |process: &&Process| world.container_of(&process.identity()).is_some_and(|one| one.id == container.id);
        let members = self.lives.values().map(|life| &life.process).filter(is_in);
        let first = members.min_by_key(|process| {
            let is_init = process.is_init_of_namespace();
            (!is_init, process.ns_level, process.key)
        });
        first.map(|process| process.key)
    }
}

fn shown(some: &[&Container]) -> Vec<String> {
    some.iter().take(NAMED).map(|&container| style::container(container)).collect()
}

/// Nobody is called so.
fn unknown(asked: &WhoArg, world: &World, place: String) -> Missing {
    let all: Vec<_> = world.containers().collect();
    let next = "`tracer tree FILE` lists all processes of its end, `--at WHEN` those of a moment".to_owned();
    Missing::Name { name: asked.to_string(), place, known: shown(&all), count: all.len() as u64, next }
}

/// The zombies that a process has to wait for.
fn zombies(world: &World, key: ProcKey) -> (Vec<Zombie>, u64) {
    let owed = world.processes().filter(|process| process.is_zombie() && world.owed_by(process.key) == Some(key));
    let all: Vec<_> = owed
        .filter_map(|process| {
            let death = process.death()?;
            let age = world.now() - death.zombie_since();
            Some(Zombie { process: process.identity(), age, is_lower_bound: !death.exact, status: death.status })
        })
        .collect();
    let count = all.len() as u64;
    (all.into_iter().take(LISTED).collect(), count)
}

/// A process in an error: with its container, if it has one.
fn named(world: &World, identity: Identity) -> String {
    // More may be known about it by now.
    let identity = world.get(identity.key).map_or(identity, Process::identity);
    let container = world.container_of(&identity);
    let container = container.map_or_else(String::new, |container| format!(" of {}", style::container(container)));
    format!("{identity}{container}")
}
