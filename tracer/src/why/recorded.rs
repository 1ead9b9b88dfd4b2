//! The life of one process, gathered from the events of a recording.
//!
//! Which process is meant is known only at the end: the last owner of a pid, the container of that name. So all
//! candidates are followed ([`Life`]), and one is chosen ([`Follow::page`]). The name of a program or a unit has too many
//! candidates for that: whom it means is found out first ([`Follow::meant`]).

use rustc_hash::FxHashMap;

use crate::{
    change::Change,
    console::style,
    event::{EventKind, ExitStatus, Loss},
    finding::Finding,
    host::{Container, StartInfo},
    ident::{Identity, ProcKey},
    kind::Kind,
    occurrence::Occurrence,
    step::Step,
    time::{BootNs, Span},
    why::{
        Missing, NAMED, WhoArg, hints,
        nearest::Nearest,
        who::{Name, is_container},
    },
    world::{Process, World},
};

mod candidates;
mod life;

use candidates::{Candidates, Of, choose, concerned};

pub use candidates::{Candidate, Meant, Reason};
pub use life::{Life, Parent, Program, Reaped, Received, Sent, Stop};

/// How many processes are followed at a time: a bound on what a recording can make its reader hold.
const MOST_FOLLOWED: usize = 4096;
/// How many zombies, children and other candidates are listed.
const LISTED: usize = 10;

/// The candidates so far.
#[derive(Debug)]
pub struct Follow {
    asked: WhoArg,
    /// Who had the pid at this moment is meant.
    had_at: Option<BootNs>,
    /// Only this process is followed, and why.
    meant: Option<Meant>,
    /// Whom it can mean, if it is a name and that is to be found out.
    named: Option<Named>,
    lives: FxHashMap<ProcKey, Life>,
    /// Lives that were dropped to stay within the bound.
    forgotten: u64,
    /// Processes that have the pid inside a pid namespace, and how many there were.
    inside: Vec<Identity>,
    inside_count: u64,
    start: Option<Box<StartInfo>>,
    /// Boot time of the first event.
    began: Option<BootNs>,
    lost: Loss,
}

/// Processes that a name can mean, and names that are like it.
#[derive(Debug)]
struct Named {
    programs: Candidates,
    units: Candidates,
    nearest: Nearest,
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
    /// Who was asked for.
    pub asked: WhoArg,
    /// The recording that it is from.
    pub provenance: Provenance,
    /// Why this one is shown.
    pub reason: Reason,
    /// Others that can be meant, those that tell more first: other owners of the pid, or processes of that name.
    pub others: Vec<Candidate>,
    /// How many there are.
    pub other_count: u64,
    /// Records that are missing from the whole recording up to the moment.
    pub lost: Loss,
    /// Not every signal was recorded, only those that findings can depend on.
    pub lacks_signals: bool,
}

/// The recording that a page is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// A file, as the command line names it.
    File(String),
    /// The memory of a flight recorder, with its pid.
    Memory(u32),
    /// A file that a flight recorder has written: its pid, and the file's name.
    Written(u32, String),
}

impl Provenance {
    /// Where something is said to be, or not to be.
    fn place(&self) -> String {
        match self {
            Self::File(file) => format!("in the recording {file}"),
            Self::Memory(recorder) => format!("in the memory of the flight recorder (pid {recorder})"),
            Self::Written(recorder, file) => format!("in {file}, which the flight recorder (pid {recorder}) wrote"),
        }
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::File(file) | Self::Written(_, file) => Some(file),
            Self::Memory(_) => None,
        }
    }

    /// The pid of the flight recorder, if it is from one.
    pub fn recorder(&self) -> Option<u32> {
        match self {
            Self::File(_) => None,
            Self::Memory(recorder) | Self::Written(recorder, _) => Some(*recorder),
        }
    }

    /// The file as a further argument of a command.
    pub fn argument(&self) -> String {
        self.file().map_or_else(String::new, |file| format!(" {file}"))
    }
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

impl Page {
    /// The more, the more it tells: of several pages, that of a process that a signal killed is shown, for example.
    pub fn weight(&self) -> impl Ord + use<> {
        self.life.candidate().weight()
    }
}

impl Follow {
    /// Nothing has happened yet.
    pub fn new(asked: &WhoArg) -> Self {
        let named = if let WhoArg::Name(name) = asked { Some(Named::new(name)) } else { None };
        Self {
            asked: asked.clone(),
            had_at: None,
            meant: None,
            named,
            lives: FxHashMap::default(),
            forgotten: 0,
            inside: Vec::new(),
            inside_count: 0,
            start: None,
            began: None,
            lost: Loss::default(),
        }
    }

    /// The same; of a pid, who had it at that moment.
    #[must_use]
    pub fn had_at(self, moment: Option<BootNs>) -> Self {
        Self { had_at: moment, ..self }
    }

    /// The same, and it is known whom a name means.
    pub fn only(asked: &WhoArg, meant: Meant) -> Self {
        Self { meant: Some(meant), named: None, ..Self::new(asked) }
    }

    /// The process itself is known.
    pub fn of(key: ProcKey) -> Self {
        let meant = Meant { key, reason: Reason::Asked, others: Vec::new(), other_count: 0 };
        Self::only(&WhoArg::Pid(key.tgid, None), meant)
    }

    /// Takes a step in; `world` is as it is after it.
    pub fn step(&mut self, world: &World, step: &Step<'_>) {
        let at = step.event.at;
        self.began.get_or_insert(at);
        if let Some(named) = &mut self.named {
            named.step(world, step);
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
        if let Some(Meant { key, .. }) = self.meant {
            self.follow(world, key, at);
            return;
        }
        match self.asked {
            WhoArg::Pid(pid, _) => {
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
                if let EventKind::Contained(key, id) = &step.event.kind
                    && world.container(id).is_some_and(|(container, _)| is_container(&container))
                {
                    self.follow(world, *key, at);
                    self.look(world, *key);
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
            | Change::FoundStopped(_)
            | Change::StatusLost(_)
            | Change::Killed(_)
            | Change::NamespaceEnding(_)
            | Change::NamespaceEnded(_)
            | Change::Looked(_)
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

    fn look(&mut self, world: &World, key: ProcKey) {
        if let (Some(life), Some(process)) = (self.lives.get_mut(&key), world.get(key)) {
            life.look(process);
        }
    }

    fn found(&mut self, finding: &Finding) {
        let brief = finding.brief();
        for key in concerned(finding) {
            if let Some(life) = self.lives.get_mut(&key) {
                life.is_found(&brief);
            }
        }
    }

    /// The page about the process that is meant, as of the last step.
    ///
    /// # Errors
    /// If there is no such process, or it is not clear which one is meant.
    pub fn page(mut self, world: &World, provenance: &Provenance) -> Result<Page, Missing> {
        let keys: Vec<_> = self.lives.keys().copied().collect();
        keys.into_iter().for_each(|key| self.look(world, key));
        let Chosen { mut life, reason, others, other_count } = self.chosen(world, provenance)?;
        let key = life.process.key;
        life.settle(world);
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
            asked: self.asked,
            provenance: provenance.clone(),
            reason,
            others: others.into_iter().take(LISTED).collect(),
            other_count,
            lost: self.lost,
        })
    }

    fn chosen(&mut self, world: &World, provenance: &Provenance) -> Result<Chosen, Missing> {
        let place = provenance.place();
        match (self.meant.take(), self.asked.clone()) {
            (Some(Meant { key, reason, others, other_count }), asked) => {
                let life = self.lives.remove(&key).ok_or_else(|| self.unknown(&asked, world, place))?;
                Ok(Chosen { life, reason, others, other_count })
            }
            (None, WhoArg::Pid(pid, _)) => self.owner(pid, world, provenance),
            (None, WhoArg::Name(name)) => self.first_of(&name, world, place),
        }
    }

    /// Whom the name of a program or a unit means, if no container is called so. To tell of it from its birth on, the
    /// recording is to be read again.
    ///
    /// # Errors
    /// If several units are called so.
    pub fn meant(&mut self, world: &World, provenance: &Provenance) -> Result<Option<Meant>, Missing> {
        let (WhoArg::Name(name), Some(named)) = (&self.asked, &mut self.named) else { return Ok(None) };
        if !name.containers(world.containers()).is_empty() {
            return Ok(None);
        }
        let place = provenance.place();
        let Named { programs, units, nearest: _ } = named;
        let in_turn = if name.says_unit() { [units, programs] } else { [programs, units] };
        for candidates in in_turn {
            if let Some(meant) = candidates.meant(world, &place)? {
                return Ok(Some(meant));
            }
        }
        Ok(None)
    }

    /// The last owner of a pid, or that of a moment.
    fn owner(&mut self, pid: u32, world: &World, provenance: &Provenance) -> Result<Chosen, Missing> {
        let mut keys: Vec<_> = self.lives.keys().copied().collect();
        keys.sort_unstable();
        let (key, reason) = match self.had_at {
            None => (keys.pop(), if keys.is_empty() { Reason::Asked } else { Reason::Last }),
            Some(at) => (keys.iter().rposition(|key| key.start <= at).map(|i| keys.remove(i)), Reason::Asked),
        };
        let Some(life) = key.and_then(|key| self.lives.remove(&key)) else {
            return Err(self.without_owner(pid, !keys.is_empty(), world, provenance));
        };
        let others: Vec<_> = keys.iter().rev().filter_map(|key| Some(self.lives.get(key)?.candidate())).collect();
        let other_count = others.len() as u64 + self.forgotten;
        Ok(Chosen { life, reason, others, other_count })
    }

    fn without_owner(&self, pid: u32, is_later: bool, world: &World, provenance: &Provenance) -> Missing {
        let mut place = provenance.place();
        if let (false, Some(likely)) = (is_later, self.inside.last()) {
            let candidates = self.inside.iter().rev().map(|&identity| named(world, identity)).collect();
            let (count, first, file) = (self.inside_count, likely.key.tgid, provenance.argument());
            return Missing::Inside { pid, place, candidates, count, first, file };
        }
        if is_later {
            place.push_str(" at that moment");
        }
        let file = provenance.argument();
        let next = format!("`tracer tree{file}` lists all processes of its end, `--at WHEN` those of a moment");
        Missing::Pid { pid, place, next }
    }

    /// The first process of the container of that name.
    fn first_of(&mut self, name: &Name, world: &World, place: String) -> Result<Chosen, Missing> {
        let mut called = name.containers(world.containers());
        if called.is_empty() {
            called = name.begins(world.containers());
            if called.len() > 1 {
                let (candidates, count) = (shown(&called), called.len() as u64);
                return Err(Missing::Ambiguous { name: name.to_string(), place, candidates, count });
            }
        }
        if called.is_empty() {
            return Err(self.unknown(&self.asked, world, place));
        }
        let firsts: Vec<_> = called.iter().flat_map(|container| self.first_in(world, container)).collect();
        let chosen = choose(firsts).and_then(|(chosen, reason, others)| {
            let (life, other_count) = (self.lives.remove(&chosen.process.key)?, others.len() as u64);
            Some(Chosen { life, reason, others, other_count })
        });
        let next = "it was heard of and then had none, or their records were lost";
        chosen.ok_or_else(|| Missing::Empty { name: name.to_string(), place, next })
    }

    /// Pid 1 of a container, each if it was started again; where it shares a pid namespace, its first process.
    fn first_in(&self, world: &World, container: &Container) -> Vec<Candidate> {
        let is_in =
            |life: &&Life| world.container_of(&life.process.identity()).is_some_and(|one| one.id == container.id);
        let members: Vec<_> = self.lives.values().filter(is_in).collect();
        let is_init = |life: &&&Life| life.process.is_init_of_namespace();
        let level = members.iter().filter(is_init).map(|life| life.process.ns_level).min();
        let is_first = |life: &&&Life| is_init(life) && Some(life.process.ns_level) == level;
        let inits: Vec<_> = members.iter().filter(is_first).map(|life| life.candidate()).collect();
        let oldest = members.iter().min_by_key(|life| life.process.key).filter(|_| level.is_none());
        oldest.map(|life| vec![life.candidate()]).unwrap_or(inits)
    }

    /// Nobody is called so.
    fn unknown(&self, asked: &WhoArg, world: &World, place: String) -> Missing {
        let all: Vec<_> = world.containers().filter(is_container).collect();
        let nearest = self.named.as_ref().map(|named| named.nearest.clone());
        let mut nearest = nearest.unwrap_or_else(|| Nearest::new(&[]));
        world.containers().for_each(|container| nearest.offer(container.label().as_bytes()));
        let next = "`tracer tree FILE` lists all processes of its end, `--at WHEN` those of a moment";
        let hints = hints(&shown(&all), all.len() as u64, nearest, next);
        Missing::Name { name: asked.to_string(), place, hints }
    }
}

/// The process that is shown.
struct Chosen {
    life: Life,
    reason: Reason,
    /// Those that tell more first.
    others: Vec<Candidate>,
    other_count: u64,
}

impl Named {
    fn new(name: &Name) -> Self {
        let [programs, units] = [Of::Program, Of::Unit].map(|of| Candidates::new(name, of));
        Self { programs, units, nearest: Nearest::new(name.read()) }
    }

    fn step(&mut self, world: &World, step: &Step<'_>) {
        self.programs.step(world, step);
        self.units.step(world, step);
        for change in step.changes {
            if let &(Change::Learned(key) | Change::Execed { key, .. }) = change
                && let Some(process) = world.get(key)
            {
                self.nearest.offer(process.comm.bytes());
            }
        }
        if let EventKind::Rename(_, comm) = &step.event.kind {
            self.nearest.offer(comm.bytes());
        }
    }
}

fn shown(some: &[&Container]) -> Vec<String> {
    some.iter().take(NAMED).map(|&container| style::container(container)).collect()
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
