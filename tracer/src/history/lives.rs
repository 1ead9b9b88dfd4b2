//! Lives of processes: where each lived, what it was called when, whose child it was when, and how it ended. Where there
//! are too many, those go first that tell least.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    event::ExitStatus,
    finding::{Finding, Role},
    ident::{Args, Comm, ContainerNo, Identity, PidNs, ProcKey},
    time::{BootNs, Span},
    world::World,
};

/// Processes that are kept at most; twice as many while they come.
const MOST: usize = 8_000;
/// Names and parents that are kept of one process; of further ones the last.
const MOST_TURNS: usize = 8;

/// Who can be a party of a finding, so that it is worth a look.
const PARTIES: [Role; 8] =
    [Role::Sender, Role::AskedBy, Role::Debtor, Role::Adopter, Role::Client, Role::Party, Role::Victims, Role::Plain];

/// A process that was in the process table.
#[derive(Clone, Debug)]
pub struct Life {
    /// Who, by its last name.
    pub process: Identity,
    /// Where it lives.
    pub place: Place,
    /// Its birth was seen; otherwise it is older than the recording, or events are missing.
    pub is_seen: bool,
    /// Names, each with the time since when it had that one.
    pub names: Vec<(BootNs, Comm)>,
    /// Parents, likewise.
    pub parents: Vec<(BootNs, Option<ProcKey>)>,
    /// Its last command line; empty if unknown.
    pub args: Args,
    /// Its end.
    pub end: Option<Death>,
    /// When it was gone from the process table, and who reaped it.
    pub gone: Option<(BootNs, Option<ProcKey>)>,
    /// It was found to be gone; how it ended is not known.
    pub is_missed: bool,
    /// A finding names it.
    pub is_found: bool,
    /// It has sent or got a signal that says something.
    pub is_signalled: bool,
    /// The reader has asked for it, by a filter.
    is_asked_for: bool,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// When.
    pub at: BootNs,
    /// That is when it ended; otherwise it had ended before.
    pub is_exact: bool,
    /// How.
    pub status: ExitStatus,
    /// Somebody has to reap it.
    pub is_owed: bool,
    /// Since when it was a zombie; `None` if it never was: nobody has to reap it, or its exit was held up.
    pub zombie: Option<BootNs>,
}

/// Where a process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// In no container, and in the first pid namespace of the machine.
    Host,
    /// In a container.
    Container(ContainerNo),
    /// In a pid namespace that is no known container's: its number, and the start of its init, as numbers are reused.
    Namespace(PidNs, BootNs),
}

/// Processes by birth, and how many there were.
#[derive(Clone, Debug, Default)]
pub struct Lives {
    all: FxHashMap<ProcKey, Life>,
    /// In the order of their births, once the recording is over.
    order: Vec<ProcKey>,
    /// How many there were, without kernel threads.
    seen: u64,
    /// How many of them were over so long ago that they were forgotten.
    forgotten: u64,
    /// How many are not shown, as a filter asks for others.
    hidden: u64,
    /// How far the stream has come.
    now: BootNs,
}

impl Lives {
    /// Those that were kept, by birth.
    pub fn iter(&self) -> impl Iterator<Item = &Life> {
        self.order.iter().filter_map(|key| self.all.get(key))
    }

    /// How many were kept.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether none was kept.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many there were; kernel threads do not count.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// How many of them were over so long ago that they were forgotten.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// How many are not shown, as a filter asks for others.
    pub fn hidden(&self) -> u64 {
        self.hidden
    }

    /// Notes whether the reader has asked for a process.
    pub(super) fn judge(&mut self, key: ProcKey, is_asked_for: impl FnOnce(&Identity) -> bool) {
        if let Some(life) = self.all.get_mut(&key) {
            life.is_asked_for = life.is_asked_for || is_asked_for(&life.process);
        }
    }

    /// Keeps those that the reader has asked for, those that take part in what is shown, and all that were above them.
    pub(super) fn narrow(&mut self, is_asked_for: impl Fn(&Identity) -> bool) {
        let is_shown = |life: &Life| {
            life.is_found
                || life.is_signalled
                || life.is_asked_for
                || (life.end.is_none() && is_asked_for(&life.process))
        };
        let mut shown: FxHashSet<_> =
            self.all.values().filter(|life| is_shown(life)).map(|life| life.process.key).collect();
        let mut above: Vec<_> = shown.iter().copied().collect();
        while let Some(life) = above.pop().and_then(|key| self.all.get(&key)) {
            above.extend(life.parents.iter().filter_map(|&(_, parent)| parent).filter(|&parent| shown.insert(parent)));
        }
        let all = self.all.len();
        self.all.retain(|key, _| shown.contains(key));
        self.hidden += (all - self.all.len()) as u64;
    }

    /// Drops those that were gone by then.
    pub(super) fn forget(&mut self, before: BootNs) {
        let all = self.all.len();
        self.all.retain(|_, life| life.until().is_none_or(|until| until >= before));
        self.forgotten += (all - self.all.len()) as u64;
    }

    /// A process is in the world now.
    pub(super) fn born(&mut self, world: &World, key: ProcKey, is_seen: bool) {
        let Some(process) = world.get(key).filter(|process| !process.roles.kthread) else { return };
        self.now = world.now();
        if self.all.contains_key(&key) {
            return;
        }
        self.seen += 1;
        let identity = process.identity();
        let life = Life {
            process: identity,
            place: place(world, &identity),
            is_seen,
            names: vec![(key.start, process.comm)],
            parents: vec![(key.start, process.parent.map(|parent| parent.key))],
            args: process.args.clone(),
            end: None,
            gone: None,
            is_missed: false,
            is_found: false,
            is_signalled: false,
            is_asked_for: false,
        };
        self.all.insert(key, life);
        if !is_seen {
            self.died(world, key);
        }
        if self.all.len() > 2 * MOST {
            self.thin(MOST);
        }
    }

    pub(super) fn execed(&mut self, world: &World, at: BootNs, key: ProcKey) {
        let (Some(life), Some(process)) = (self.all.get_mut(&key), world.get(key)) else { return };
        life.process = process.identity();
        life.place = place(world, &life.process);
        life.args.clone_from(&process.args);
        push(&mut life.names, (at, process.comm));
    }

    /// A process has given itself another name, as many do right after an exec.
    pub(super) fn renamed(&mut self, world: &World, at: BootNs, key: ProcKey) {
        let (Some(life), Some(process)) = (self.all.get_mut(&key), world.get(key)) else { return };
        if life.names.last().is_some_and(|(_, name)| *name != process.comm) {
            push(&mut life.names, (at, process.comm));
        }
    }

    pub(super) fn adopted(&mut self, at: BootNs, child: ProcKey, to: ProcKey) {
        if let Some(life) = self.all.get_mut(&child) {
            push(&mut life.parents, (at, Some(to)));
        }
    }

    /// Takes in what the world knows of the end of a process, if it has ended.
    pub(super) fn died(&mut self, world: &World, key: ProcKey) {
        let (Some(life), Some(process)) = (self.all.get_mut(&key), world.get(key)) else { return };
        life.process = process.identity();
        let Some(death) = process.death() else { return };
        let is_owed = !death.autoreap || process.tracer.is_some();
        let zombie = process.is_zombie().then(|| death.zombie_since());
        life.end = Some(Death { at: death.at, is_exact: death.exact, status: death.status, is_owed, zombie });
    }

    /// One whose exit was held up may be a zombie now: an init whose namespace had to end first.
    pub(super) fn released(&mut self, world: &World, key: ProcKey) {
        if self.all.get(&key).is_some_and(|life| life.end.is_some_and(|end| end.zombie.is_none())) {
            self.died(world, key);
        }
    }

    pub(super) fn reaped(&mut self, at: BootNs, identity: &Identity, by: Option<ProcKey>) {
        if let Some(life) = self.all.get_mut(&identity.key) {
            life.process = *identity;
            life.gone = Some((at, by));
            life.is_missed = life.end.is_none();
        }
    }

    pub(super) fn signalled(&mut self, key: ProcKey) {
        if let Some(life) = self.all.get_mut(&key) {
            life.is_signalled = true;
        }
    }

    pub(super) fn found(&mut self, finding: &Finding) {
        for process in finding.facts.processes(&PARTIES).into_iter().chain([&finding.process]) {
            if let Some(life) = self.all.get_mut(&process.key) {
                life.is_found = true;
            }
        }
    }

    /// After a loss, the world was compared with the kernel: who is not there any more is gone.
    pub(super) fn compare(&mut self, world: &World, at: BootNs) {
        for life in self.all.values_mut().filter(|life| life.gone.is_none()) {
            match world.get(life.process.key) {
                None => (life.gone, life.is_missed) = (Some((at, None)), life.end.is_none()),
                Some(process) => {
                    let parent = process.parent.map(|parent| parent.key);
                    if life.parents.last().is_some_and(|&(_, before)| before != parent) {
                        push(&mut life.parents, (at, parent));
                    }
                }
            }
        }
    }

    /// The recording is over: names and command lines as they are known by now.
    pub(super) fn finish(&mut self, world: &World) {
        self.now = world.now();
        for life in self.all.values_mut() {
            if let Some(process) = world.get(life.process.key) {
                life.process = process.identity();
                life.place = place(world, &life.process);
                if life.args.is_empty() {
                    life.args.clone_from(&process.args);
                }
                if let [.., (_, name)] = &mut life.names[..]
                    && name.bytes().is_empty()
                {
                    *name = process.comm;
                }
            }
        }
        self.thin(MOST);
        self.order = self.all.keys().copied().collect();
        self.order.sort_unstable();
    }

    /// Keeps so many: those that findings name, that signals concern, that are zombies or were for long, that lived long.
    pub fn thin(&mut self, most: usize) {
        if self.all.len() <= most {
            return;
        }
        let now = self.now;
        let mut ranks: Vec<_> = self.all.values().map(|life| (life.worth(now), life.process.key)).collect();
        ranks.sort_unstable_by(|one, other| other.cmp(one));
        for (_, key) in &ranks[most..] {
            self.all.remove(key);
        }
    }
}

impl Life {
    /// When it was gone from the process table, or ended if nobody has to reap it; `None` if it is there.
    fn until(&self) -> Option<BootNs> {
        let ended = self.end.filter(|end| !end.is_owed).map(|end| end.at);
        self.gone.map(|(at, _)| at).or(ended)
    }

    /// How long it was a zombie at least, up to a time.
    pub fn zombie_for(&self, now: BootNs) -> Span {
        let since = self.end.and_then(|end| end.zombie);
        let until = self.gone.map_or(now, |(at, _)| at);
        since.map_or(Span::ZERO, |since| until - since)
    }

    /// How much it tells.
    fn worth(&self, now: BootNs) -> (bool, bool, bool, Span) {
        let zombie = self.zombie_for(now);
        let until = self.gone.map_or(now, |(at, _)| at);
        (self.is_found, self.is_signalled, zombie >= Span::SECOND, zombie.max(until - self.process.key.start))
    }
}

fn place(world: &World, process: &Identity) -> Place {
    match process.container {
        Some(container) => Place::Container(container),
        None if process.ns_level == 0 => Place::Host,
        None => {
            let init = world.namespace(process.pid_ns).and_then(|ns| ns.init);
            Place::Namespace(process.pid_ns, init.map_or(BootNs::ZERO, |init| init.start))
        }
    }
}

/// Adds a turn; of too many, the last takes the place of the one before it.
fn push<T>(turns: &mut Vec<T>, turn: T) {
    if turns.len() >= MOST_TURNS {
        turns.pop();
    }
    turns.push(turn);
}
