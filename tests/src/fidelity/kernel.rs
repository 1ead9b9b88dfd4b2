//! What the kernel says of the workload: by the task iterator and by `/proc`, which must agree.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context as _, Result};
use tracer::{
    event::{EventKind, ExitStatus, Row},
    ident::{Comm, PidNs, ProcKey, TaskRef},
    source::{
        decode::decode,
        load::{ITERATOR, LoadOptions, Loaded, load},
    },
    world::{Namespace, Process, State, World},
};
use tracer_common::RowRecord;

/// Whether a process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It lives.
    Running,
    /// All its threads have begun to exit, and it is no zombie yet: the init of a namespace that
    /// waits for the others there (`zap_pid_ns_processes()`).
    Exiting,
    /// As a zombie, but nobody can reap it: another thread than the main one is held, dead, by a
    /// tracer, or waits in an init for its namespace to end (`delay_group_leader()`).
    Held,
    /// Its main thread is dead, others live.
    LeaderDead,
    /// It has ended, and how.
    Zombie(ExitStatus),
}

/// A process: what is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Present parent.
    pub parent: Option<ProcKey>,
    /// The thread that traces it.
    pub tracer: Option<TaskRef>,
    /// Its name.
    pub comm: Comm,
    /// Its pid namespace.
    pub pid_ns: PidNs,
    /// Its pids from the host's namespace to its own.
    pub pids: Vec<u32>,
    /// Whether it lives.
    pub life: Life,
    /// Pid 1 of its namespace.
    pub is_init: bool,
    /// It adopts orphans.
    pub is_subreaper: bool,
    /// Its parent has no pid in its namespace.
    pub is_outsider: bool,
}

/// A pid namespace: what is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NsFacts {
    /// Its depth.
    pub level: u32,
    /// The one around it.
    pub parent: Option<PidNs>,
    /// Its pid 1.
    pub init: Option<ProcKey>,
}

/// Processes and their namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// By identity.
    pub processes: BTreeMap<ProcKey, Facts>,
    /// Those that have a process here, but for the host's.
    pub namespaces: BTreeMap<PidNs, NsFacts>,
}

/// Reads the kernel with the task iterator.
pub struct Kernel {
    loaded: Loaded,
}

impl Kernel {
    /// Loads the iterator.
    ///
    /// # Errors
    /// If it cannot be loaded.
    pub fn open() -> Result<Self> {
        let mut loaded = load(&LoadOptions { ring_size: 4096, ..LoadOptions::default() })
            .context("cannot load the task iterator")?;
        loaded.load_iterators().context("cannot load the task iterator")?;
        Ok(Self { loaded })
    }

    /// All processes, as the iterator lists them.
    ///
    /// # Errors
    /// If the iterator fails.
    pub fn all(&mut self) -> Result<Picture> {
        Ok(picture(self.rows()?.iter()))
    }

    /// The descendants of a process, itself included.
    ///
    /// # Errors
    /// If the iterator fails.
    pub fn descendants(&mut self, root: u32) -> Result<Picture> {
        let rows = self.rows()?;
        let mut children: BTreeMap<ProcKey, Vec<ProcKey>> = BTreeMap::new();
        for row in rows.values() {
            if let Some(parent) = row.task.parent {
                children.entry(parent.key).or_default().push(row.task.key);
            }
        }
        let mut next: Vec<ProcKey> = rows.keys().copied().filter(|key| key.tgid == root).collect();
        let mut found = Vec::new();
        while let Some(key) = next.pop() {
            next.extend(children.get(&key).into_iter().flatten());
            found.extend(rows.get_key_value(&key));
        }
        Ok(picture(found.into_iter()))
    }

    fn rows(&mut self) -> Result<BTreeMap<ProcKey, Row>> {
        let bytes = self.loaded.iterate(ITERATOR).context("the task iterator")?;
        let mut rows = BTreeMap::new();
        for record in bytes.chunks(size_of::<RowRecord>()) {
            if let EventKind::Row(row) = decode(record).context("a record of the task iterator")?.kind {
                rows.insert(row.task.key, *row);
            }
        }
        Ok(rows)
    }
}

fn picture<'a>(rows: impl Iterator<Item = (&'a ProcKey, &'a Row)>) -> Picture {
    let mut picture = Picture::default();
    let mut inits = BTreeMap::new();
    for (&key, row) in rows {
        let facts = of_row(row);
        if facts.is_init {
            inits.insert(facts.pid_ns, key);
        }
        if row.task.ns_level > 0 {
            let ns = NsFacts { level: row.task.ns_level, parent: row.task.parent_ns, init: None };
            picture.namespaces.insert(facts.pid_ns, ns);
        }
        picture.processes.insert(key, facts);
    }
    for (ns, facts) in &mut picture.namespaces {
        facts.init = inits.get(ns).copied();
    }
    picture
}

fn of_row(row: &Row) -> Facts {
    let Row { task, tracer, idle: _, status, leader_dead, live } = row;
    let mut pids = vec![task.key.tgid];
    pids.extend(task.mid_pids.iter().take((task.ns_level as usize).saturating_sub(1)));
    if task.ns_level > 0 {
        pids.push(task.ns_pid);
    }
    Facts {
        parent: task.parent.map(|parent| parent.key),
        tracer: *tracer,
        comm: task.comm,
        pid_ns: task.pid_ns,
        pids,
        life: match (leader_dead, live) {
            (false, 0) if task.exiting => Life::Exiting,
            (false, _) => Life::Running,
            (true, 0) if task.threads > 1 => Life::Held,
            (true, 0) => Life::Zombie(*status),
            (true, _) => Life::LeaderDead,
        },
        is_init: task.roles.init,
        is_subreaper: task.roles.subreaper,
        is_outsider: task.roles.outsider,
    }
}

/// What the world says of those processes and namespaces, and of the namespaces that are named by
/// one of the processes. The number of a namespace that has ended is given to others, who may be
/// strangers.
pub fn of_world(world: &World, ours: &BTreeSet<ProcKey>, namespaces: &BTreeSet<PidNs>) -> Picture {
    let known = ours.iter().filter_map(|&key| world.get(key));
    let processes: BTreeMap<_, _> = known.map(|process| (process.key, of_process(process))).collect();
    let inhabited: BTreeSet<PidNs> = processes.values().map(|facts| facts.pid_ns).collect();
    let foreign = world.processes().filter(|process| !ours.contains(&process.key));
    let foreign: BTreeSet<PidNs> = foreign.map(|process| process.pid_ns).collect();
    let is_ours = |ns: &Namespace| match ns.init {
        _ if inhabited.contains(&ns.id) => true,
        Some(init) => ours.contains(&init),
        None => namespaces.contains(&ns.id) && !foreign.contains(&ns.id),
    };
    let namespaces = world
        .namespaces()
        .filter(|ns| ns.level > 0 && is_ours(ns))
        .map(|ns| (ns.id, NsFacts { level: ns.level, parent: ns.parent, init: ns.init }))
        .collect();
    Picture { processes, namespaces }
}

fn of_process(process: &Process) -> Facts {
    Facts {
        parent: process.parent.map(|parent| parent.key),
        tracer: process.tracer,
        comm: process.comm,
        pid_ns: process.pid_ns,
        pids: (0..=process.ns_level).map(|level| process.pid_at(level)).collect(),
        life: match process.state {
            State::Running => Life::Running,
            State::LeaderDead { .. } => Life::LeaderDead,
            State::Dead(_) if !process.is_zombie() => Life::Exiting,
            State::Dead(death) => Life::Zombie(death.status),
        },
        is_init: process.roles.init,
        is_subreaper: process.roles.subreaper,
        is_outsider: process.roles.outsider,
    }
}

/// Where `/proc` says something else than the iterator; `None` if the process is gone from it.
pub fn against_proc(key: ProcKey, facts: &Facts) -> Option<Vec<String>> {
    let pid = key.tgid;
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    let (stat, status) = (String::from_utf8_lossy(&stat), String::from_utf8_lossy(&status));
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 2..)?.split_ascii_whitespace().collect();
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    let mut differences = Vec::new();
    let mut check = |what: &str, iterator: String, proc: String| {
        if iterator != proc {
            differences.push(format!("{what}: the iterator says {iterator}, /proc says {proc}"));
        }
    };
    check("parent", facts.parent.map_or(0, |parent| parent.tgid).to_string(), line("PPid:").to_owned());
    check("tracer", facts.tracer.map_or(0, |tracer| tracer.tid).to_string(), line("TracerPid:").to_owned());
    let pids = facts.pids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    check("pids", pids.clone(), line("NStgid:").split_ascii_whitespace().collect::<Vec<_>>().join(" "));
    check("pids", pids, line("NSpid:").split_ascii_whitespace().collect::<Vec<_>>().join(" "));
    check("name", String::from_utf8_lossy(facts.comm.bytes()).into_owned(), line("Name:").to_owned());
    let is_dead = !matches!(facts.life, Life::Running | Life::Exiting);
    check("dead", is_dead.to_string(), matches!(fields.first(), Some(&"Z" | &"X")).to_string());
    // Field 22 of proc(5), in ticks of 10 ms; the state is field 3.
    check("start", (key.start.0 / 10_000_000).to_string(), (*fields.get(19)?).to_owned());
    // A task that is being released has none.
    if let Ok(ns) = tracer::source::procfs::pid_namespace(&pid.to_string()) {
        check("namespace", facts.pid_ns.to_string(), ns.to_string());
    }
    Some(differences)
}
