//! The world: every process in the kernel's process table, zombies included, and every pid namespace that has one.
//!
//! There is one forest, by present parents. The tree of a namespace is a view of it ([`view`]), never stored. The world
//! has no clock and does no I/O: it is the result of [`World::apply`] for all events, and an event that contradicts it
//! wins.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use crate::{
    host::StartInfo,
    ident::{Identity, PidNs, ProcKey},
    thresholds::Thresholds,
    time::{BootNs, Span},
};

mod apply;
mod asked;
mod call;
mod cause;
mod children;
mod command;
mod contained;
pub mod descent;
mod doubt;
mod dying;
mod entered;
mod family;
mod former;
mod image;
mod inherited;
mod kill;
mod kinship;
mod leave;
mod limits;
mod lineage;
mod members;
mod missing;
mod namespace;
mod options;
mod origin;
mod overflow;
mod process;
#[cfg(test)]
mod random;
mod run;
#[cfg(test)]
mod scale;
mod snapshots;
mod status;
mod stop;
mod stopped;
mod table;
mod terminal;
#[cfg(test)]
mod tests;
mod turn;
pub mod view;
mod waiting;

pub use cause::InVain;
pub use command::{Command, CommandEnd};
pub use dying::Fatal;
pub use entered::{Entry, Way};
pub use family::Merged;
pub use inherited::Inherited;
pub use namespace::Namespace;
pub use overflow::Overflow;
pub use process::{Death, Process, Rare, State};
pub use stopped::Stopped;
pub use terminal::OfTerminal;
pub use waiting::Waiting;

/// The present state, as far as it is known.
#[derive(Debug, Default)]
pub struct World {
    processes: table::Table,
    children: children::Children,
    /// Who is traced or a subreaper, as far as is known; and some who were.
    marked: BTreeSet<ProcKey>,
    /// When to look at which process.
    looks: BTreeSet<(BootNs, ProcKey)>,
    /// Processes that were looked for in vain.
    missing: BTreeSet<ProcKey>,
    /// Processes that were removed for that reason, without an end that was seen.
    mislaid: VecDeque<missing::Mislaid>,
    namespaces: BTreeMap<PidNs, Namespace>,
    members: members::Members,
    /// Namespace, and one that is nested directly in it.
    nested: BTreeSet<(PidNs, PidNs)>,
    initial_ns: Option<PidNs>,
    gone: Tombstones,
    ends: origin::Ends,
    /// Pending signals of all processes.
    pending: usize,
    kills: kill::Kills,
    /// Who sent the last signal, with its ancestors; `None` once anything else has happened.
    last_sender: Option<(ProcKey, Arc<[Identity]>)>,
    /// How many are remembered that the kernel killed with their namespaces.
    killed_with_namespaces: usize,
    now: BootNs,
    stream: Stream,
    /// Clients, and the living processes that came into a container on their behalf.
    clients: BTreeSet<(ProcKey, ProcKey)>,
    /// Living clients of engines, by user.
    engine_clients: BTreeSet<(u64, ProcKey)>,
    /// Whose pids were before.
    formers: former::Formers,
    snapshots: snapshots::Snapshots,
    containers: contained::Containers,
    limits: limits::Limits,
    /// The command that the stream is about, once it was started.
    command: Option<Command>,
}

/// What the stream says of itself, and what its reader asks for.
#[derive(Debug, Default)]
struct Stream {
    /// To be added to a boot time to get the time since 1970, in nanoseconds.
    wall_offset_ns: i64,
    /// Fatal signals are not in it, except those to an init.
    lacks_killers: bool,
    /// Signals that an init sends are not in it, except fatal ones.
    lacks_forwards: bool,
    /// It is about a command.
    has_command: bool,
    /// The process whose tree was asked for when it was made.
    tree_root: Option<ProcKey>,
    /// Whoever reads it asks for the tree of each process that has this pid.
    tree_of: Option<u32>,
    /// The thresholds, if they are others than at the start.
    thresholds: Option<Box<Thresholds>>,
}

impl Stream {
    fn begins(&mut self, info: &StartInfo) {
        self.wall_offset_ns = info.wall_offset_ns;
        self.has_command = info.has_command;
        self.lacks_killers = !info.all_signals && !info.fatal_signals;
        self.lacks_forwards = !info.all_signals && !info.forwarded_signals;
    }
}

impl World {
    /// How far the stream has come ([`EventKind::tells_time`]): what happened until then is known. Results of looks may
    /// be later.
    ///
    /// [`EventKind::tells_time`]: crate::event::EventKind::tells_time
    pub fn now(&self) -> BootNs {
        self.now
    }

    /// Nanoseconds to add to a boot time to get the time since 1970.
    pub fn wall_offset_ns(&self) -> i64 {
        self.stream.wall_offset_ns
    }

    /// A process by its key.
    pub fn get(&self, key: ProcKey) -> Option<&Process> {
        #[cfg(test)]
        scale::visited();
        self.processes.get(key)
    }

    /// What only few processes have, of one that has something of it.
    fn rare_mut(&mut self, key: ProcKey) -> Option<&mut Rare> {
        self.processes.get_mut(key)?.some_rare()
    }

    /// The process that has this pid on the host now.
    pub fn by_pid(&self, host_pid: u32) -> Option<&Process> {
        self.processes.by_pid(host_pid)
    }

    /// A process as outputs name it; with an empty name if it is not known.
    #[inline]
    pub fn identity(&self, key: ProcKey) -> Identity {
        self.get(key)
            .map_or_else(|| Process::unknown(key, self.initial_ns.unwrap_or_default()).identity(), Process::identity)
    }

    /// The present parent.
    pub fn parent(&self, key: ProcKey) -> Option<&Process> {
        self.get(self.get(key)?.parent?.key)
    }

    /// The children, oldest first.
    pub fn children(&self, key: ProcKey) -> impl Iterator<Item = &Process> {
        self.children.of(key).filter_map(|child| self.get(child))
    }

    /// The children that are younger than a process, oldest first.
    pub fn children_since(&self, key: ProcKey, since: ProcKey) -> impl Iterator<Item = &Process> {
        self.children.since(key, since).filter_map(|child| self.get(child))
    }

    /// The zombies that a process has had to wait for, as their parent, for at least that long: no tracer holds them.
    pub fn unreaped(&self, parent: ProcKey, older: Span) -> impl Iterator<Item = (&Process, &Death)> {
        let is_owed = |child: &&Process| child.is_zombie() && child.holder().is_none() && !child.is_missing();
        let zombies = self.children.ended(parent).filter_map(|child| self.get(child)).filter(is_owed);
        let zombies = zombies.filter_map(|child| Some((child, child.death()?)));
        zombies.filter(move |(child, death)| child.owed_since(death) + older <= self.now)
    }

    /// Those of them that are surely still there: the record of a release may have been lost. If anything was, since its
    /// end, a zombie must have been seen after it had waited for that long.
    pub fn surely_unreaped(&self, parent: ProcKey, older: Span) -> impl Iterator<Item = (&Process, &Death)> {
        self.unreaped(parent, older).filter(move |(zombie, death)| {
            !self.is_gap_since(death.at) || zombie.seen_at >= zombie.owed_since(death) + older
        })
    }

    /// Who must wait for it: its tracer if there is one, else its parent.
    pub fn owed_by(&self, key: ProcKey) -> Option<ProcKey> {
        let process = self.get(key)?;
        Some(process.tracer.or(process.parent)?.key)
    }

    /// All processes, oldest first.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        let mut all: Vec<_> = self.processes.iter().map(|process| (process.key, process)).collect();
        all.sort_unstable_by_key(|&(key, _)| key);
        all.into_iter().map(|(_, process)| process)
    }

    /// How many processes there are, zombies included.
    pub fn process_count(&self) -> usize {
        self.processes.len()
    }

    /// How many of them are zombies.
    pub fn zombie_count(&self) -> usize {
        self.processes.iter().filter(|process| process.is_zombie()).count()
    }

    /// A namespace by its inode number.
    pub fn namespace(&self, ns: PidNs) -> Option<&Namespace> {
        self.namespaces.get(&ns)
    }

    /// All namespaces, outer ones before inner ones.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        let mut all: Vec<_> = self.namespaces.values().collect();
        all.sort_unstable_by_key(|ns| (ns.level, ns.init, ns.id));
        all.into_iter()
    }

    /// How many namespaces there are.
    pub fn namespace_count(&self) -> usize {
        self.namespaces.len()
    }

    /// Whether a namespace is another one, or nested in it at any depth.
    pub fn is_in(&self, ns: PidNs, outer: PidNs) -> bool {
        self.outwards(ns).any(|ns| ns == outer)
    }

    /// A namespace, the one around it, and so on to the initial one.
    fn outwards(&self, ns: PidNs) -> impl Iterator<Item = PidNs> + '_ {
        std::iter::successors(Some(ns), |ns| self.namespaces.get(ns)?.parent).take(MOST_NESTED)
    }

    /// The processes of a namespace and of those nested in it, in no order; costs as many steps.
    fn members_of(&self, ns: PidNs) -> impl Iterator<Item = &Process> {
        let mut left = vec![ns];
        let inside = std::iter::from_fn(move || {
            let ns = left.pop()?;
            let nested = self.nested.range((ns, PidNs(0))..=(ns, PidNs(u32::MAX))).map(|&(_, inner)| inner);
            // Always true, unless a forged trace would make a cycle.
            let is_deeper = |inner: &PidNs| self.level(*inner) > self.level(ns);
            left.extend(nested.filter(is_deeper));
            Some(ns)
        });
        inside.flat_map(|ns| self.members.of(ns)).filter_map(|&key| self.get(key))
    }

    /// Those of them that have not ended, oldest first.
    pub fn living_of(&self, ns: PidNs) -> impl Iterator<Item = &Process> {
        let mut living: Vec<_> = self.members_of(ns).filter(|process| process.death().is_none()).collect();
        living.sort_unstable_by_key(|process| process.key);
        living.into_iter()
    }

    fn level(&self, ns: PidNs) -> Option<u32> {
        self.namespaces.get(&ns).map(|ns| ns.level)
    }

    /// All descendants of a process, by present parents, without itself; costs as many steps.
    fn below(&self, key: ProcKey) -> impl Iterator<Item = ProcKey> + '_ {
        let mut left = vec![key];
        std::iter::from_fn(move || {
            let key = left.pop()?;
            left.extend(self.children.of(key));
            Some(key)
        })
        .skip(1)
    }

    /// Whether a process is another one or descends from it, by present parents.
    pub fn is_below(&self, key: ProcKey, ancestor: ProcKey) -> bool {
        self.upwards(key).any(|key| key == ancestor)
    }

    /// A process, its parent, and so on.
    pub fn ancestry(&self, key: ProcKey) -> impl Iterator<Item = &Process> {
        self.upwards(key).filter_map(|key| self.get(key))
    }

    /// Whoever descends from a process, by present parents.
    pub fn descendants(&self, key: ProcKey) -> impl Iterator<Item = &Process> {
        self.below(key).filter_map(|key| self.get(key))
    }

    /// A process, its parent, and so on.
    fn upwards(&self, key: ProcKey) -> impl Iterator<Item = ProcKey> + '_ {
        // `set_parent` allows no cycle; the bound lets tests prove that.
        std::iter::successors(Some(key), |&key| Some(self.get(key)?.parent?.key)).take(self.processes.len() + 2)
    }

    /// Whoever reads the stream asks for the tree of each process that has this pid.
    pub(crate) fn ask_for_tree(&mut self, pid: u32) {
        self.stream.tree_of = Some(pid);
    }

    /// Whether somebody asked for the tree of that process.
    pub fn is_tree_root(&self, key: ProcKey) -> bool {
        self.stream.tree_root == Some(key) || self.stream.tree_of == Some(key.tgid)
    }

    /// Whether it was compared with the kernel, and nothing has been lost since.
    pub fn is_whole(&self) -> bool {
        self.snapshots.is_whole()
    }

    /// Whether all processes were listed once, whatever was lost since.
    pub fn was_listed(&self) -> bool {
        self.snapshots.was_listed()
    }

    /// Whether events were lost at or after a time, or the world has not been compared with the kernel since the last
    /// loss: conclusions about that time are incomplete.
    pub fn is_gap_since(&self, at: BootNs) -> bool {
        self.snapshots.is_gap_since(at)
    }
}

/// Namespaces nest at most `MAX_PID_NS_LEVEL` (32) deep; the bound keeps a torn view or a forged trace from making a
/// cycle.
const MOST_NESTED: usize = 64;

/// The most processes that are known at a time: a quarter of what the kernel can have (`PID_MAX_LIMIT`), and a bound on
/// what a trace can make its reader remember.
const MOST_PROCESSES: usize = 1 << 20;

/// Processes that were just removed: a late event of one of them must not bring it back.
///
/// The kernel allocates pids in sequence, so processes that end together are close together here. One is forgotten
/// after some 32,768 others: more than can be released between two records that overtake each other.
#[derive(Debug)]
struct Tombstones(Vec<[Tombstone; 4]>);

/// The processes that are gone, and until when that is certain: an event from a later time proves the contrary.
type Tombstone = (ProcKey, BootNs);

impl Default for Tombstones {
    fn default() -> Self {
        Self(vec![[Tombstone::default(); 4]; 8192])
    }
}

impl Tombstones {
    fn place(&self, key: ProcKey) -> usize {
        key.tgid as usize % self.0.len()
    }

    fn insert(&mut self, key: ProcKey, until: BootNs) {
        let place = self.place(key);
        let stones = &mut self.0[place];
        match stones.iter_mut().find(|(gone, _)| *gone == key) {
            Some((_, before)) => *before = until.max(*before),
            None => {
                stones.rotate_right(1);
                stones[0] = (key, until);
            }
        }
    }

    /// Whether a process was gone at that time.
    fn contains(&self, key: ProcKey, at: BootNs) -> bool {
        self.until(key).is_some_and(|until| at <= until)
    }

    /// Whether a process is gone, as far as is known.
    fn has(&self, key: ProcKey) -> bool {
        self.until(key).is_some()
    }

    fn until(&self, key: ProcKey) -> Option<BootNs> {
        let stones = &self.0[self.place(key)];
        stones.iter().find(|&&(gone, _)| gone == key && key != ProcKey::default()).map(|&(_, until)| until)
    }
}
