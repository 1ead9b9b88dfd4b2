//! Which processes belong to which container: determined where events enter the stream.
//!
//! Whoever starts a container names it: an OCI runtime is called with the container's id, and the program that its
//! child executes is the container's. So even a container that lives for a moment is known, and nothing is read that
//! may be gone. Containers from before tracing began are known by their cgroups. The engine's name for them is looked
//! up elsewhere ([`lookup`]), and comes later.
//!
//! Anybody can call a program like that. So a call counts as far as the kernel vouches for its caller ([`Trust`]):
//! root's for every container; a user's only for a container that nobody else has introduced, which is then marked as
//! that user's; anybody else's only if the control group says the same. And the process must have entered another
//! namespace than the runtime's.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::MetadataExt,
    path::{Component, Path},
    rc::Rc,
    time::Duration,
};

use rustc_hash::FxHashMap;

use crate::{
    event::{Event, EventKind, Exec},
    foreign::{
        cgroup::{self, Named},
        runtime::{self, Invocation},
    },
    host::{Container, Engine},
    ident::{Args, PidNs, ProcKey, Trust},
    programs::{is_client, is_watcher},
    source::{procfs, shim, witness::Witness},
    world::{Process, World},
};

mod bundle;
mod containerd;
mod dockerd;
mod lookup;
mod socket;

use lookup::Lookup;
pub use lookup::answers;

/// How long a command that ends at once waits for the engines.
const PATIENCE: Duration = Duration::from_secs(1);

/// Follows the runtimes, and asks the engines.
#[derive(Debug, Default)]
pub struct Containers {
    /// Who looks at what only root may see.
    witness: Witness,
    /// Runtimes at work and their descendants, until these execute the container's program.
    starting: FxHashMap<ProcKey, Starting>,
    /// What the processes of a snapshot say about containers, and whether they are in a control group within another
    /// container's.
    found: Vec<(Invocation, bool, ProcKey)>,
    /// What is to be reported right after the last event.
    then: Vec<EventKind>,
    lookup: Lookup,
}

#[derive(Debug, Clone)]
struct Starting {
    call: Rc<Invocation>,
    trust: Trust,
    /// The namespaces of the runtime itself.
    outside: PidNs,
    mount_ns: u32,
}

impl Containers {
    /// Nothing is known yet.
    pub fn new(witness: &Witness) -> Self {
        Self { witness: witness.clone(), lookup: Lookup::new(witness), ..Self::default() }
    }

    /// What an event of the kernel says about containers; `world` is from before it.
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

    /// What is to be reported right after the last event.
    pub fn then(&mut self) -> impl Iterator<Item = EventKind> {
        self.then.drain(..)
    }

    fn executes(&mut self, exec: &Exec, world: &World) -> Vec<EventKind> {
        let (key, args) = (exec.task.key, &exec.args);
        let Some(process) = world.get(key) else { return Vec::new() };
        if let Some(call) = Invocation::of(args, || args.trust.uid().unwrap_or(0)) {
            return self.is_called(exec, call, process.pid_ns, world);
        }
        if let (Trust::User(uid), Some(program)) = (args.trust, args.iter().next())
            && is_client(program)
            && socket::may_use(key, uid)
        {
            self.then.push(EventKind::CommandLine(key, Args { trust: Trust::Root, ..args.clone() }));
        }
        if !self.starting.contains_key(&key) {
            return self.unit_of(process, world);
        }
        // runc at work inside the container; it will become the container's program.
        if runtime::is_setup(args) {
            return Vec::new();
        }
        let Some(starting) = self.starting.remove(&key) else { return Vec::new() };
        // Any other exec below a runtime may be a hook.
        let is_inside = process.pid_ns != starting.outside || exec.mount_ns != starting.mount_ns;
        if is_inside { self.enters(key, &starting, world) } else { Vec::new() }
    }

    /// A runtime was called.
    fn is_called(&mut self, exec: &Exec, call: Invocation, outside: PidNs, world: &World) -> Vec<EventKind> {
        let trust = exec.args.trust;
        let mut events = Vec::new();
        if trust.is_believed_of(None) {
            // Ask now: the bundle of a short-lived container is soon gone.
            events = self.ask(&call, world);
        }
        let starting = Starting { call: Rc::new(call), trust, outside, mount_ns: exec.mount_ns };
        self.starting.insert(exec.task.key, starting);
        events
    }

    /// Below a runtime, a process executes a program in a namespace of its own.
    fn enters(&mut self, key: ProcKey, starting: &Starting, world: &World) -> Vec<EventKind> {
        let Starting { call, trust, .. } = starting;
        if !may_tell(world, &call.id, call.uid()) {
            return Vec::new();
        }
        let mut events = Vec::new();
        match trust {
            Trust::Unknown | Trust::Root => {}
            Trust::User(_) => events = self.ask(call, world),
            Trust::Nobody => {
                let named = cgroup::container(&procfs::text(&format!("/proc/{}/cgroup", key.tgid)));
                let Some(named) = named.filter(|named| named.id == call.id && owner_of(named) == Some(0)) else {
                    return Vec::new();
                };
                // Within its own control group, root of a container can create others with any name.
                if named.is_nested && world.container(&call.id).is_some() {
                    return Vec::new();
                }
                // The path of the bundle is in the runtime's own mount namespace.
                events = self.ask(&Invocation { bundle: None, engine: named.engine, ..(**call).clone() }, world);
            }
        }
        events.push(EventKind::Contained(key, call.id.clone()));
        events
    }

    /// Takes in processes from before tracing began, and reports their units. What they say about containers waits for
    /// [`Containers::surveyed`]: only when all have been looked at is it known whom to believe.
    pub fn survey(&mut self, keys: &[ProcKey], world: &World) -> Vec<EventKind> {
        let (mut events, mut units) = (Vec::new(), BTreeSet::new());
        let processes = keys.iter().filter_map(|&key| world.get(key));
        for process in processes.filter(|process| !process.roles.kthread && process.death().is_none()) {
            if !may_be_a_way_in(world, process) {
                events.extend(self.unit_in(process, world, &mut units));
                continue;
            }
            let shim = world.parent(process.key).filter(|parent| is_watcher(parent.comm.bytes()));
            let shim = shim.and_then(|shim| self.witness.shim(shim.key.tgid));
            let existing = existing(process.key.tgid, shim);
            self.found.extend(existing.map(|(call, is_nested)| (call, is_nested, process.key)));
        }
        events
    }

    /// The containers of all processes that were looked at.
    pub fn surveyed(&mut self, world: &World) -> Vec<EventKind> {
        // A process whose end was lost.
        self.starting.retain(|&key, _| world.get(key).is_some());
        let (mut events, mut found) = (Vec::new(), std::mem::take(&mut self.found));
        // First what only the right caller could have named: of several claims about one id, the first counts.
        found.sort_by_key(|(call, is_nested, _)| (call.uid().is_some(), *is_nested));
        let mut told: BTreeMap<String, (Option<u32>, bool)> = BTreeMap::new();
        for (call, is_nested, key) in found {
            let first = told.get(&call.id).copied();
            if first.is_some_and(|first| first != (call.uid(), is_nested)) || !may_tell(world, &call.id, call.uid()) {
                continue;
            }
            if first.is_none() {
                told.insert(call.id.clone(), (call.uid(), is_nested));
                events.extend(self.ask(&call, world));
            }
            events.push(EventKind::Contained(key, call.id));
        }
        events
    }

    /// systemd itself starts the processes of units, each in the unit's control group.
    fn unit_of(&mut self, process: &Process, world: &World) -> Vec<EventKind> {
        let is_manager = |parent: &Process| parent.key.tgid == 1 || parent.comm.bytes() == b"systemd";
        if !world.parent(process.key).is_some_and(is_manager) {
            return Vec::new();
        }
        self.unit_in(process, world, &mut BTreeSet::new())
    }

    /// The unit that a process is in, if it has no container and its parent is not in the same unit; `told` are those
    /// reported just now.
    fn unit_in(&mut self, process: &Process, world: &World, told: &mut BTreeSet<String>) -> Vec<EventKind> {
        let known = world.container_of(&process.identity());
        if known.is_some_and(|known| known.engine != Engine::Systemd) {
            return Vec::new();
        }
        let unit = cgroup::unit(&procfs::text(&format!("/proc/{}/cgroup", process.key.tgid)));
        let Some(id) = unit.filter(|id| known.is_none_or(|known| known.id != *id)) else { return Vec::new() };
        let is_new = world.container(&id).is_none() && told.insert(id.clone());
        let unit = is_new.then(|| introduce(&id, Engine::Systemd, None));
        unit.into_iter().chain([EventKind::Contained(process.key, id)]).collect()
    }

    /// The engines' answers since the last call.
    pub fn answers(&mut self) -> Vec<EventKind> {
        self.lookup.answers().map(|container| EventKind::Container(Box::new(container))).collect()
    }

    /// As [`Containers::answers`], after waiting for all that are outstanding.
    pub fn finish(self) -> Vec<EventKind> {
        let answers = self.lookup.finish(PATIENCE).into_iter();
        answers.map(|container| EventKind::Container(Box::new(container))).collect()
    }

    /// Asks for a container that is not known yet, or has no processes (any more): it may be another one with that id.
    /// Returns what is known about it already.
    fn ask(&mut self, call: &Invocation, world: &World) -> Vec<EventKind> {
        let known = world.container(&call.id);
        let is_same = known.is_some_and(|(known, _)| known.uid == call.uid());
        if !(is_same && known.is_some_and(|(_, members)| members > 0)) {
            self.lookup.ask(call);
        }
        // What is known about one that has ended stays until more is known.
        if is_same { Vec::new() } else { vec![introduce(&call.id, call.engine, call.uid())] }
    }
}

/// What is known about a container without asking.
fn introduce(id: &str, engine: Engine, uid: Option<u32>) -> EventKind {
    EventKind::Container(Box::new(Container { id: id.to_owned(), engine, uid, ..Container::default() }))
}

/// Where control groups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The user who owns that group, by their id on the host: a user to whom a part of the hierarchy was delegated can name
/// groups in it freely. `None` if it cannot be looked at.
fn owner_of(named: &Named) -> Option<u32> {
    // In a control group namespace, the path of a group outside of it begins with `..` (cgroup_namespaces(7)).
    if named.group.components().any(|part| part == Component::ParentDir) {
        return None;
    }
    // The second is for machines with both cgroup versions.
    let places = ["", "unified"].map(|hierarchy| Path::new(CGROUPS).join(hierarchy).join(&named.group));
    places.iter().find_map(|place| std::fs::metadata(place).ok()).map(|found| found.uid())
}

/// Whether to believe a user (root for `None`) about who is in a container: root about all; a user about their own, and
/// about one that nobody has introduced.
fn may_tell(world: &World, id: &str, uid: Option<u32>) -> bool {
    uid.is_none() || world.container(id).is_none_or(|(known, _)| known.uid == uid)
}

/// Whether a process may be the first of a container, or have been brought into one.
fn may_be_a_way_in(world: &World, process: &Process) -> bool {
    let is_shims = || world.parent(process.key).is_some_and(|parent| is_watcher(parent.comm.bytes()));
    let is_in_none = world.container_of(&process.identity()).is_none_or(|known| known.engine == Engine::Systemd);
    is_in_none && (process.is_init_of_namespace() || process.roles.outsider || is_shims())
}

/// The containers of existing processes, by their pids in this `/proc`; each pid comes with its parent's. Waits for the
/// engines, but only briefly. Needs no world.
pub fn of(processes: impl IntoIterator<Item = (u32, u32)>) -> BTreeMap<u32, Container> {
    let mut lookup = Lookup::default();
    let mut found = BTreeMap::new();
    for (pid, parent) in processes {
        let comm = procfs::line(&format!("/proc/{parent}/comm"));
        let shim = is_watcher(comm.as_bytes()).then(|| shim::shim(parent)).flatten();
        if let Some((call, _)) = existing(pid, shim) {
            lookup.ask(&call);
            let uid = call.uid();
            found.insert(pid, Container { id: call.id, engine: call.engine, uid, ..Container::default() });
        }
    }
    for answer in lookup.finish(PATIENCE) {
        for container in found.values_mut().filter(|known| (&known.id, known.uid) == (&answer.id, answer.uid)) {
            *container = answer.clone();
        }
    }
    found
}

/// The container of an existing process, by its cgroup; if that names none, by the shim that is its parent. Also
/// whether its group lies within that of another container.
fn existing(pid: u32, shim: Option<Invocation>) -> Option<(Invocation, bool)> {
    told(cgroup::container(&procfs::text(&format!("/proc/{pid}/cgroup"))), shim)
}

fn told(named: Option<Named>, shim: Option<Invocation>) -> Option<(Invocation, bool)> {
    match named {
        Some(named) => {
            // Anybody could have named a group that cannot be looked at: then the one who watches over it counts.
            let owner = owner_of(&named).or_else(|| shim.as_ref().map(|shim| shim.owner))?;
            // A user is not believed about where the bundle of one of root's containers is.
            let bundle = shim.filter(|shim| shim.owner == owner).and_then(|shim| shim.bundle_of(&named.id));
            Some((Invocation { id: named.id, engine: named.engine, bundle, owner }, named.is_nested))
        }
        None => shim.map(|shim| (shim, false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ident::Comm,
        story::{Story, args, born, born_in, key, task},
    };

    /// An id that an engine made.
    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    /// The mount namespaces of the host and of a container.
    const HOST: u32 = 1;
    const INSIDE: u32 = 2;

    /// What is found here enters the story, as the pump does it.
    struct Edge {
        story: Story,
        containers: Containers,
    }

    impl Edge {
        fn new() -> Self {
            let mut edge = Self { story: Story::new(), containers: Containers::default() };
            edge.fork(born(2, 1));
            edge
        }

        fn fork(&mut self, info: crate::event::TaskInfo) {
            let creator = info.parent;
            self.happens(EventKind::Fork(Box::new(crate::event::Fork { task: info, creator })));
        }

        fn exec(&mut self, pid: u32, line: &str, trust: Trust, mount_ns: u32) {
            let args = Args { trust, ..args(line) };
            let comm = Comm::from(line.split(' ').next().unwrap_or_default());
            self.happens(EventKind::Exec(Box::new(Exec {
                task: task(pid),
                comm,
                old_tid: pid,
                args,
                mount_ns,
                ignored: Some(0),
            })));
        }

        fn happens(&mut self, kind: EventKind) {
            let event = Event { at: self.story.now, cpu: 0, kind };
            for told in self.containers.see(&event, self.story.world()) {
                self.story.event(told);
            }
            self.story.event(event.kind);
        }

        fn container(&self, pid: u32) -> Option<String> {
            let world = self.story.world();
            world.container_of(&world.identity(key(pid))).map(|container| container.label().into_owned())
        }

        /// A runtime (10) of whoever that is, and the program (11) that it brings into a mount namespace.
        fn starts(&mut self, pid: u32, id: &str, trust: Trust) {
            self.fork(born(pid, 2));
            self.exec(pid, &format!("crun create --bundle /nowhere {id}"), trust, HOST);
            self.fork(born(pid + 1, pid));
            let inside = if trust == Trust::Root { Trust::Nobody } else { trust };
            self.exec(pid + 1, "sleep 9", inside, INSIDE);
        }
    }

    #[test]
    fn a_program_in_the_hosts_pid_namespace_is_known_by_its_mount_namespace() {
        let mut edge = Edge::new();
        edge.starts(10, "web", Trust::Root);
        assert_eq!(edge.container(11).as_deref(), Some("web"));
        assert_eq!(edge.container(10), None);
    }

    #[test]
    fn a_container_of_lxc_has_the_name_that_its_user_chose() {
        let mut edge = Edge::new();
        edge.fork(born(10, 2));
        edge.exec(10, "lxc-start -P /srv/lxc -n shop-of-the-year", Trust::Root, HOST);
        // The monitor.
        edge.fork(born(11, 10));
        edge.fork(born_in(77, 12, 1, 11));
        edge.exec(12, "/sbin/init", Trust::Nobody, INSIDE);
        assert_eq!((edge.container(12).as_deref(), edge.container(11)), (Some("shop-of-the-year"), None));
    }

    #[test]
    fn a_hook_in_the_runtimes_namespaces_is_in_no_container() {
        let mut edge = Edge::new();
        edge.fork(born(10, 2));
        edge.exec(10, "crun create web", Trust::Root, HOST);
        edge.fork(born(11, 10));
        edge.exec(11, "hook", Trust::Root, HOST);
        edge.fork(born_in(77, 12, 1, 10));
        edge.exec(12, "sleep 9", Trust::Nobody, INSIDE);
        assert_eq!((edge.container(11), edge.container(12).as_deref()), (None, Some("web")));
    }

    #[test]
    fn nobody_else_than_root_has_a_process_in_roots_container() {
        let mut edge = Edge::new();
        edge.starts(10, "payments", Trust::Root);
        for (pid, trust) in [(20, Trust::User(1000)), (30, Trust::Nobody)] {
            edge.starts(pid, "payments", trust);
            assert_eq!(edge.container(pid + 1), None, "{trust:?}");
        }
        let world = edge.story.world();
        assert_eq!(world.container("payments").map(|(known, members)| (known.uid, members)), Some((None, 1)));
    }

    #[test]
    fn words_alone_bring_nobody_into_a_container() {
        let mut edge = Edge::new();
        for (pid, trust) in [(20, Trust::User(1000)), (30, Trust::Root)] {
            edge.fork(born(pid, 2));
            edge.exec(pid, "runc exec payments", trust, HOST);
            edge.fork(born(pid + 1, pid));
            edge.exec(pid + 1, "runc init", trust, HOST);
            edge.exec(pid + 1, "sleep 31.7", trust, HOST);
            assert_eq!(edge.container(pid + 1), None, "{trust:?}");
        }
    }

    #[test]
    fn a_users_container_is_told_with_the_user_until_root_has_one_of_that_id() {
        let mut edge = Edge::new();
        edge.starts(10, "web", Trust::User(1000));
        edge.starts(20, "web", Trust::User(1001));
        assert_eq!((edge.container(11).as_deref(), edge.container(21)), (Some("web (uid 1000)"), None));
        edge.starts(30, "web", Trust::Root);
        assert_eq!((edge.container(11), edge.container(31).as_deref()), (None, Some("web")));
    }

    #[test]
    fn a_group_that_cannot_be_looked_at_counts_by_the_shim() {
        let told_by = |group: &str, shim: Option<&Invocation>| {
            let named = Named { engine: Engine::Containerd, id: ID.into(), is_nested: false, group: group.into() };
            told(Some(named), shim.cloned()).map(|(call, _)| (call.id, call.owner, call.bundle))
        };
        // Seen from a control group namespace, and gone; the third is root's.
        let [outside, gone, roots] = ["../../user.slice/x", "/nowhere/x", "/proc"];
        let bundle = Path::new("/run/containerd/io.containerd.runtime.v2.task/k8s.io").join(ID);
        let shim = Invocation { id: ID.into(), engine: Engine::Containerd, bundle: Some(bundle.clone()), owner: 0 };
        for group in [outside, gone] {
            assert_eq!(told_by(group, None), None, "{group}");
            assert_eq!(told_by(group, Some(&shim)), Some((ID.into(), 0, Some(bundle.clone()))), "{group}");
            let users = Invocation { owner: 1000, ..shim.clone() };
            assert_eq!(told_by(group, Some(&users)).map(|(_, owner, _)| owner), Some(1000), "{group}");
        }
        assert_eq!(told_by(roots, None), Some((ID.into(), 0, None)));
    }

    #[test]
    fn fake_calls_without_a_container_leave_nothing() {
        let mut edge = Edge::new();
        for pid in 100..1100 {
            edge.fork(born(pid, 2));
            edge.exec(pid, &format!("runc create fake-{pid}"), Trust::User(1000), HOST);
            edge.happens(EventKind::Free(task(pid)));
        }
        assert_eq!((edge.story.world().containers().count(), edge.containers.starting.len()), (0, 0));
    }
}
