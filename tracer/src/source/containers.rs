//! Which processes belong to which container: found out at the edge, for the stream.
//!
//! Who starts a container says so itself: an OCI runtime is called with the container's id, and
//! the program that its child executes is the container's. So even a container that lives for a
//! moment is known, and nothing is read that may be gone. Those that were there before are known by
//! their cgroups. What the engine calls them is asked for elsewhere ([`lookup`]) and comes later.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    event::{Event, EventKind, Exec},
    host::{Container, Engine},
    ident::{PidNs, ProcKey},
    programs::is_watcher,
    source::procfs,
    world::{Process, World},
};

mod bundle;
mod cgroup;
mod containerd;
mod dockerd;
mod lookup;
mod runtime;

use lookup::Lookup;
use runtime::Call;

/// How long a command that ends at once waits for the engines.
const PATIENCE: Duration = Duration::from_secs(1);

/// Containers that are remembered as told of.
const MOST_KNOWN: usize = 1 << 16;

/// Follows the runtimes, and asks the engines.
#[derive(Debug, Default)]
pub struct Containers {
    /// Runtimes at work and who descends from them, until they execute the container's program.
    starting: FxHashMap<ProcKey, Starting>,
    /// Containers that were told of.
    known: FxHashSet<String>,
    lookup: Lookup,
}

#[derive(Debug, Clone)]
struct Starting {
    call: Rc<Call>,
    /// Where the runtime itself lives.
    outside: PidNs,
    /// It is runc's `init`, which sets the container up and then becomes its program. Whoever else
    /// executes something below a runtime may be a hook.
    is_setup: bool,
}

impl Containers {
    /// What an event of the kernel tells of containers; `world` is as it was before.
    pub fn see(&mut self, event: &Event, world: &World) -> Vec<EventKind> {
        match &event.kind {
            EventKind::Fork(fork) if !self.starting.is_empty() => {
                let from = fork.creator.or(fork.task.parent).and_then(|task| self.starting.get(&task.key));
                if let Some(from) = from.cloned() {
                    self.starting.insert(fork.task.key, from);
                }
            }
            EventKind::Exec(exec) => return self.executes(exec, world),
            EventKind::Free(task) => _ = self.starting.remove(&task.key),
            _ => {}
        }
        Vec::new()
    }

    fn executes(&mut self, exec: &Exec, world: &World) -> Vec<EventKind> {
        let (key, args) = (exec.task.key, &exec.args);
        let Some(process) = world.get(key) else { return Vec::new() };
        if let Some(call) = Call::of(args, || procfs::user(key.tgid)) {
            let events = self.ask(&call);
            self.starting.insert(key, Starting { call: Rc::new(call), outside: process.pid_ns, is_setup: false });
            return events;
        }
        let Some(starting) = self.starting.get_mut(&key) else { return self.unit_of(process, world) };
        if runtime::is_setup(args) {
            starting.is_setup = true;
            return Vec::new();
        }
        let is_inside = starting.is_setup || process.pid_ns != starting.outside;
        let id = starting.call.id.clone();
        self.starting.remove(&key);
        if is_inside { vec![EventKind::Contained(key, id)] } else { Vec::new() }
    }

    /// The containers of processes that were there before anybody looked.
    pub fn survey(&mut self, keys: &[ProcKey], world: &World) -> Vec<EventKind> {
        // Whose end was lost.
        self.starting.retain(|&key, _| world.get(key).is_some());
        let mut events = Vec::new();
        let processes = keys.iter().filter_map(|&key| world.get(key));
        for process in processes.filter(|process| !process.roles.kthread && process.death().is_none()) {
            if !may_be_a_way_in(world, process) {
                events.extend(self.unit_in(process, world));
                continue;
            }
            let shim = world.parent(process.key).filter(|parent| is_watcher(parent.comm.bytes()));
            let Some(call) = existing(process.key.tgid, shim.map(|shim| shim.key.tgid)) else { continue };
            events.extend(self.ask(&call));
            events.push(EventKind::Contained(process.key, call.id));
        }
        events
    }

    /// systemd starts the processes of units itself, each in the unit's control group.
    fn unit_of(&mut self, process: &Process, world: &World) -> Vec<EventKind> {
        let is_manager = |parent: &Process| parent.key.tgid == 1 || parent.comm.bytes() == b"systemd";
        if world.parent(process.key).is_some_and(is_manager) { self.unit_in(process, world) } else { Vec::new() }
    }

    /// The unit that a process is in, if it has no container, and its parent is not in the same.
    fn unit_in(&mut self, process: &Process, world: &World) -> Vec<EventKind> {
        let known = world.container_of(&process.identity());
        if known.is_some_and(|known| known.engine != Engine::Systemd) {
            return Vec::new();
        }
        let unit = cgroup::unit(&procfs::text(&format!("/proc/{}/cgroup", process.key.tgid)));
        let Some(id) = unit.filter(|id| known.is_none_or(|known| known.id != *id)) else { return Vec::new() };
        let unit = (!self.known.contains(&id)).then(|| self.introduce(&id, Engine::Systemd));
        unit.into_iter().chain([EventKind::Contained(process.key, id)]).collect()
    }

    /// What the engines have answered since the last call.
    pub fn answers(&mut self) -> Vec<EventKind> {
        self.lookup.answers().map(|container| EventKind::Container(Box::new(container))).collect()
    }

    /// As [`Containers::answers`], after a wait for all that are due.
    pub fn finish(self) -> Vec<EventKind> {
        let answers = self.lookup.finish(PATIENCE).into_iter();
        answers.map(|container| EventKind::Container(Box::new(container))).collect()
    }

    /// Asks for a container that is not known yet; what is known of it already.
    fn ask(&mut self, call: &Call) -> Vec<EventKind> {
        if self.known.contains(&call.id) {
            return Vec::new();
        }
        self.lookup.ask(call);
        vec![self.introduce(&call.id, call.engine)]
    }

    /// What is known of one by itself, told once.
    fn introduce(&mut self, id: &str, engine: Engine) -> EventKind {
        // Telling once more does no harm; remembering all of a year would.
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        self.known.insert(id.to_owned());
        EventKind::Container(Box::new(Container { id: id.to_owned(), engine, ..Container::default() }))
    }
}

/// Whether a process may be the first of a container, or have been brought into one.
fn may_be_a_way_in(world: &World, process: &Process) -> bool {
    let is_shims = || world.parent(process.key).is_some_and(|parent| is_watcher(parent.comm.bytes()));
    let is_in_none = world.container_of(&process.identity()).is_none_or(|known| known.engine == Engine::Systemd);
    is_in_none && ((process.roles.init && process.ns_level > 0) || process.roles.outsider || is_shims())
}

/// The containers of processes that exist, by their pids in this `/proc`; with each pid comes that of its
/// parent. Waits for the engines, for a moment at the most. Needs no world.
pub fn of(processes: impl IntoIterator<Item = (u32, u32)>) -> BTreeMap<u32, Container> {
    let mut lookup = Lookup::default();
    let mut found = BTreeMap::new();
    for (pid, parent) in processes {
        let comm = procfs::line(&format!("/proc/{parent}/comm"));
        if let Some(call) = existing(pid, is_watcher(comm.as_bytes()).then_some(parent)) {
            lookup.ask(&call);
            found.insert(pid, Container { id: call.id, engine: call.engine, ..Container::default() });
        }
    }
    for answer in lookup.finish(PATIENCE) {
        for container in found.values_mut().filter(|container| container.id == answer.id) {
            *container = answer.clone();
        }
    }
    found
}

/// The container of a process that exists, by its cgroup; where that names none, by the shim that
/// watches it.
fn existing(pid: u32, shim: Option<u32>) -> Option<Call> {
    let shim = shim
        .and_then(|pid| runtime::shim(&procfs::arguments(pid), procfs::directory(pid).as_deref(), procfs::user(pid)));
    match cgroup::container(&procfs::text(&format!("/proc/{pid}/cgroup"))) {
        Some((engine, id)) => {
            let owner = shim.as_ref().map_or(0, |shim| shim.owner);
            let bundle = shim.and_then(|shim| shim.bundle_of(&id));
            Some(Call { id, engine, bundle, owner })
        }
        None => shim,
    }
}
