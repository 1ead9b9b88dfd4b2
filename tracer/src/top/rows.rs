//! The lines of the tree: every pid namespace with its processes, and those that were there a moment ago.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::{
    event::{ExitStatus, Roles},
    finding::Severity,
    host::Container,
    ident::{Args, Identity, PidNs, ProcKey},
    time::{BootNs, Span},
    top::{
        lately::{Lately, SECONDS},
        query::Query,
    },
    world::{
        Namespace, Process, State, World,
        view::{Forest, Line},
    },
};

/// A line.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which; it stays the same while it moves.
    pub id: RowId,
    /// How deep it is.
    pub depth: usize,
    /// What it shows.
    pub what: What,
    /// It is there only for the sake of what is below it.
    pub is_context: bool,
}

/// What stays the same about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RowId {
    /// The heading of a pid namespace.
    Place(PidNs),
    /// A process.
    Process(ProcKey),
    /// The first process of a nested namespace, where it stands in the tree of the outer one.
    Door(ProcKey),
}

/// What a line shows.
#[derive(Clone, Debug)]
pub enum What {
    /// A pid namespace.
    Place(Place),
    /// A process.
    Process(Box<Shown>),
}

/// A pid namespace.
#[derive(Clone, Debug)]
pub struct Place {
    /// `host`, its container, or its number. Escaped.
    pub name: String,
    /// Processes.
    pub processes: u64,
    /// Zombies of them.
    pub zombies: u64,
    /// Kernel threads, which have no lines.
    pub kernel_threads: u64,
    /// Its init has exited.
    pub is_ending: bool,
}

/// A process.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Which.
    pub identity: Identity,
    /// Its command line.
    pub args: Args,
    /// What it is besides.
    pub roles: Roles,
    /// How it is.
    pub condition: Condition,
    /// How old it is.
    pub age: Span,
    /// Signals to it in each of the last seconds.
    pub signals: [u32; SECONDS],
    /// The most urgent finding about it.
    pub accused: Option<Severity>,
    /// From whom it was adopted a moment ago.
    pub adopted_from: Option<Identity>,
    /// Where the nested namespace is that begins here: its name.
    pub door: Option<String>,
}

/// How a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It lives.
    Alive,
    /// Its main thread has ended, others live.
    LeaderDead,
    /// It is ending.
    Exiting,
    /// It waits to be reaped.
    Zombie {
        /// For how long, at least.
        age: Span,
        /// It may be longer.
        is_lower_bound: bool,
        /// By whom.
        owed_by: Option<Identity>,
    },
    /// It was reaped a moment ago.
    Gone {
        /// How it ended, if that was seen.
        status: Option<ExitStatus>,
        /// Who has reaped it, if that is known.
        by: Option<Identity>,
    },
}

impl Row {
    /// The process that the line is about.
    pub fn process(&self) -> Option<ProcKey> {
        match self.id {
            RowId::Place(_) => None,
            RowId::Process(key) | RowId::Door(key) => Some(key),
        }
    }
}

/// Makes the lines of a world.
pub struct Maker<'a> {
    /// The world.
    pub world: &'a World,
    /// What has happened a moment ago.
    pub lately: &'a Lately,
    /// How urgent the findings about each process are.
    pub accused: &'a BTreeMap<ProcKey, Severity>,
    /// What to show.
    pub query: &'a Query,
}

impl Maker<'_> {
    /// Nested namespaces first: they are what most look for. The host's processes come last.
    pub fn rows(&self) -> Vec<Row> {
        let forest = Forest::new(self.world);
        let adopted = self.lately.adopted();
        let mut gone: FxHashMap<Option<ProcKey>, Vec<Row>> = FxHashMap::default();
        for one in self.lately.gone() {
            let under = one.by.map(|by| by.key).filter(|&by| self.world.get(by).is_some());
            gone.entry(under).or_default().push(self.gone(one));
        }
        let namespaces: Vec<_> = self.world.namespaces().collect();
        let (host, nested): (Vec<_>, Vec<_>) = namespaces.into_iter().partition(|ns| ns.level == 0);
        let mut rows = Vec::new();
        for namespace in nested.into_iter().chain(host) {
            self.section(&forest, namespace, &adopted, &mut gone, &mut rows);
        }
        if !self.query.is_empty() {
            rows = kept(rows, |row| self.asks_for(row));
        }
        rows
    }

    fn section(
        &self,
        forest: &Forest<'_>,
        namespace: &Namespace,
        adopted: &FxHashMap<ProcKey, Identity>,
        gone: &mut FxHashMap<Option<ProcKey>, Vec<Row>>,
        rows: &mut Vec<Row>,
    ) {
        let heading = rows.len();
        let mut place = Place {
            name: self.name_of(namespace),
            processes: 0,
            zombies: 0,
            kernel_threads: 0,
            is_ending: namespace.ending.is_some(),
        };
        let what = What::Place(place.clone());
        rows.push(Row { id: RowId::Place(namespace.id), depth: 0, what, is_context: false });
        // A helper that the kernel started is the child of a kernel thread, which has no line.
        let mut lines_on_way: Vec<usize> = Vec::new();
        for Line { process, depth: level } in forest.tree(namespace.id) {
            lines_on_way.truncate(level);
            let depth = lines_on_way.last().copied().unwrap_or(1);
            lines_on_way.push(depth + usize::from(!process.roles.kthread));
            if process.roles.kthread {
                place.kernel_threads += 1;
                continue;
            }
            let is_door = process.pid_ns != namespace.id;
            place.processes += u64::from(!is_door);
            place.zombies += u64::from(!is_door && process.is_zombie());
            let mut shown = self.shown(process);
            shown.adopted_from = adopted.get(&process.key).copied();
            shown.door = is_door.then(|| {
                self.world.namespace(process.pid_ns).map_or_else(|| "?".to_owned(), |inner| self.name_of(inner))
            });
            let id = if is_door { RowId::Door(process.key) } else { RowId::Process(process.key) };
            rows.push(Row { id, depth, what: What::Process(Box::new(shown)), is_context: false });
            if !is_door {
                for mut row in gone.remove(&Some(process.key)).into_iter().flatten() {
                    row.depth = depth + 1;
                    rows.push(row);
                }
            }
        }
        if namespace.level == 0 {
            rows.extend(gone.remove(&None).into_iter().flatten());
        }
        rows[heading].what = What::Place(place);
    }

    fn name_of(&self, namespace: &Namespace) -> String {
        if namespace.level == 0 {
            return "host".to_owned();
        }
        let init = namespace.init.and_then(|init| self.world.get(init));
        let container = init.and_then(|init| self.world.container_of(&init.identity()));
        container.map_or_else(|| format!("pid namespace {}", namespace.id), Container::place)
    }

    fn shown(&self, process: &Process) -> Shown {
        let now = self.world.now();
        Shown {
            identity: process.identity(),
            args: process.args.clone(),
            roles: process.roles,
            condition: self.condition(process, now),
            age: now - process.key.start,
            signals: self.lately.signals(process.key),
            accused: self.accused.get(&process.key).copied(),
            adopted_from: None,
            door: None,
        }
    }

    fn condition(&self, process: &Process, now: BootNs) -> Condition {
        match &process.state {
            State::Running => Condition::Alive,
            State::LeaderDead { .. } => Condition::LeaderDead,
            State::Dead(_) if !process.is_zombie() => Condition::Exiting,
            State::Dead(death) => Condition::Zombie {
                age: now - death.zombie_since(),
                is_lower_bound: !death.exact,
                owed_by: self.world.owed_by(process.key).map(|key| self.world.identity(key)),
            },
        }
    }

    fn gone(&self, gone: &super::lately::Gone) -> Row {
        let shown = Shown {
            identity: gone.identity,
            args: Args::default(),
            roles: Roles::default(),
            condition: Condition::Gone { status: gone.status, by: gone.by },
            age: gone.at - gone.identity.key.start,
            signals: Default::default(),
            accused: self.accused.get(&gone.identity.key).copied(),
            adopted_from: None,
            door: None,
        };
        let id = RowId::Process(gone.identity.key);
        Row { id, depth: 1, what: What::Process(Box::new(shown)), is_context: false }
    }

    fn asks_for(&self, row: &Row) -> bool {
        match &row.what {
            What::Place(_) => false,
            What::Process(shown) => shown.door.is_none() && self.query.shows_process(self.world, shown),
        }
    }
}

/// Keeps the lines that are asked for, and those above them.
fn kept(rows: Vec<Row>, asks_for: impl Fn(&Row) -> bool) -> Vec<Row> {
    let mut wanted = 0;
    let mut kept = Vec::new();
    // In reverse order, an ancestor comes after its descendants.
    for mut row in rows.into_iter().rev() {
        let is_asked = asks_for(&row);
        if is_asked || row.depth < wanted {
            (wanted, row.is_context) = (row.depth, !is_asked);
            kept.push(row);
        }
    }
    kept.reverse();
    kept
}
