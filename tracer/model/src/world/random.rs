//! The world against a small random kernel: in order, and in any order with any loss.

use std::{collections::BTreeMap, fmt::Write as _};

use proptest::prelude::*;

use super::{
    World,
    view::{Forest, Line},
};
use crate::{
    change::Change,
    event::{Adopt, Adopter, Event, EventKind, Exit, ExitStatus, Fork, Look, Looked, Notify, Reap, Roles, TaskInfo},
    ident::PidNs,
    story::{HOST, MS, after_boot, born, end, key, running, task, zombie},
    time::{BootNs, Seq},
    wire::{decode::decode, encode::encode},
};

/// One step of the small kernel.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// The nth living process forks.
    Fork(usize),
    /// The nth living process forks the init of a new namespace.
    Unshare(usize),
    /// The nth living process but the host's init ends; its children go to the init of its
    /// namespace, and with an init its whole namespace goes.
    Exit(usize),
    /// The nth zombie is reaped.
    Reap(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        5 => (0usize..50).prop_map(Op::Fork),
        1 => (0usize..50).prop_map(Op::Unshare),
        3 => (0usize..50).prop_map(Op::Exit),
        2 => (0usize..50).prop_map(Op::Reap),
    ];
    proptest::collection::vec(op, 0..80)
}

/// A process of one thread in the small kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    pid: u32,
    parent: u32,
    is_dead: bool,
    /// Its namespace: the host pid of the init, which is 1 for the host's.
    ns: u32,
}

/// A kernel whose processes have one thread.
#[derive(Debug)]
struct Kernel {
    table: Vec<Entry>,
    /// The namespaces that there ever were, and what each is nested in.
    nested_in: BTreeMap<u32, u32>,
    events: Vec<Event>,
    /// The exact hooks are in use.
    is_exact: bool,
}

impl Kernel {
    fn run(ops: &[Op], is_exact: bool) -> Self {
        let init = Entry { pid: 1, parent: 0, is_dead: false, ns: 1 };
        let mut kernel = Self { table: vec![init], nested_in: BTreeMap::new(), events: Vec::new(), is_exact };
        for (i, op) in ops.iter().enumerate() {
            kernel.op(i as u32, *op);
        }
        kernel
    }

    fn pick(&self, nth: usize, is_dead: bool) -> Option<usize> {
        let fits = |entry: &Entry| entry.is_dead == is_dead && entry.pid != 1;
        let fit: Vec<_> = (0..self.table.len()).filter(|&i| fits(&self.table[i])).collect();
        (!fit.is_empty()).then(|| fit[nth % fit.len()])
    }

    fn outwards(&self, ns: u32) -> impl Iterator<Item = u32> + '_ {
        std::iter::successors(Some(ns), |ns| self.nested_in.get(ns).copied())
    }

    fn task(&self, Entry { pid, parent, ns, .. }: Entry) -> TaskInfo {
        let id = |ns| if ns == 1 { HOST } else { PidNs(4_026_532_000 + ns) };
        TaskInfo {
            pid_ns: id(ns),
            parent_ns: self.nested_in.get(&ns).map(|&outer| id(outer)),
            ns_level: self.outwards(ns).count() as u32 - 1,
            ns_pid: if pid == ns { 1 } else { pid },
            roles: Roles { init: pid == ns, ..Roles::default() },
            ..born(pid, parent)
        }
    }

    fn op(&mut self, i: u32, op: Op) {
        let kinds = match op {
            Op::Fork(nth) | Op::Unshare(nth) => {
                let (parent, ns) = self.pick(nth, false).map_or((1, 1), |i| (self.table[i].pid, self.table[i].ns));
                let pid = 100 + i;
                let mut entry = Entry { pid, parent, is_dead: false, ns };
                if matches!(op, Op::Unshare(_)) {
                    self.nested_in.insert(pid, ns);
                    entry.ns = pid;
                }
                self.table.push(entry);
                vec![EventKind::Fork(Box::new(Fork { task: self.task(entry), creator: None }))]
            }
            Op::Exit(nth) => match self.pick(nth, false) {
                Some(at) => self.exit(at),
                None => return,
            },
            Op::Reap(nth) => match self.pick(nth, true) {
                Some(at) => {
                    let Entry { pid, parent, .. } = self.table.remove(at);
                    let reap = Reap { task: task(pid), reaper: task(parent), call: None };
                    vec![EventKind::Reap(reap), EventKind::Free(task(pid))]
                }
                None => return,
            },
        };
        let at = after_boot(2_000 + u64::from(i));
        let is_there = |kind: &EventKind| {
            self.is_exact || !matches!(kind, EventKind::Adopt(_) | EventKind::Notify(_) | EventKind::Reap(_))
        };
        self.events.extend(kinds.into_iter().filter(is_there).map(|kind| Event { at, cpu: 0, kind }));
    }

    fn exit(&mut self, at: usize) -> Vec<EventKind> {
        let Entry { pid, parent, ns, .. } = self.table[at];
        self.table[at].is_dead = true;
        let told = Notify { task: task(pid), to: task(parent), traced: false, signal: 17 };
        if pid != ns {
            let mut kinds = vec![EventKind::Exit(Box::new(end(pid, parent, Adopter::NamespaceInit(task(ns)))))];
            for child in self.table.iter_mut().filter(|child| child.parent == pid) {
                child.parent = ns;
                kinds.push(EventKind::Adopt(Adopt { child: task(child.pid), from: task(pid), to: task(ns) }));
            }
            kinds.push(EventKind::Notify(told));
            return kinds;
        }
        // zap_pid_ns_processes()
        let mut kinds = vec![EventKind::Exit(Box::new(end(pid, parent, Adopter::None)))];
        let is_member = |entry: &Entry| entry.pid != pid && self.outwards(entry.ns).any(|outer| outer == ns);
        let (members, rest): (Vec<_>, Vec<_>) = self.table.iter().copied().partition(is_member);
        for member in members.iter().filter(|member| !member.is_dead) {
            let killed =
                Exit { status: ExitStatus(9), autoreap: true, ..end(member.pid, member.parent, Adopter::None) };
            kinds.push(EventKind::Exit(Box::new(killed)));
        }
        for member in members {
            let reap = Reap { task: task(member.pid), reaper: task(pid), call: None };
            kinds.extend([EventKind::Reap(reap), EventKind::Free(task(member.pid))]);
        }
        self.table = rest;
        kinds.push(EventKind::Notify(told));
        kinds
    }

    /// What its task iterator says at that time.
    fn rows(&self, at: BootNs) -> Vec<Event> {
        let row = |&entry: &Entry| {
            let task = self.task(entry);
            EventKind::Row(Box::new(if entry.is_dead { zombie(task, Some(0)) } else { running(task) }))
        };
        let rows = self.table.iter().map(row);
        [EventKind::SnapshotBegin]
            .into_iter()
            .chain(rows)
            .chain([EventKind::SnapshotEnd])
            .map(|kind| Event { at, cpu: 0, kind })
            .collect()
    }
}

fn assert_equal(world: &World, kernel: &Kernel) {
    world.check();
    let entry = |process: &super::Process| Entry {
        pid: process.key.tgid,
        parent: process.parent.map_or(0, |parent| parent.key.tgid),
        is_dead: process.is_zombie(),
        ns: if process.pid_ns == HOST { 1 } else { process.pid_ns.0 - 4_026_532_000 },
    };
    let mut have: Vec<_> = world.processes().map(entry).collect();
    have.sort_unstable();
    let mut want = kernel.table.clone();
    want.sort_unstable();
    assert_eq!(have, want);
}

/// Looks at processes in doubt until none is left.
fn look_again(world: &mut World, kernel: &Kernel, mut at: BootNs) {
    for _ in 0..3 {
        at += 20 * MS;
        for doubtful in world.doubtful(at).collect::<Vec<_>>() {
            let entry = kernel.table.iter().find(|entry| entry.pid == doubtful.tgid);
            let found = entry.map(|entry| {
                let state = if entry.is_dead { b'Z' } else { b'S' };
                Looked { state, ppid: entry.parent, pts: None }
            });
            let look = EventKind::Look(Look { key: doubtful, found });
            world.apply(&Event { at, cpu: 0, kind: look }, Seq::default(), &mut Vec::new());
        }
        world.apply(&Event { at, cpu: 0, kind: EventKind::Tick }, Seq::default(), &mut Vec::new());
        world.check();
    }
}

/// The trees of all namespaces, with what is known of each process.
fn shown(world: &World) -> String {
    let forest = Forest::new(world);
    let mut out = String::new();
    for ns in world.namespaces() {
        writeln!(out, "{} in {:?}", ns.id, ns.parent).unwrap();
        for Line { process, depth } in forest.tree(ns.id) {
            let (death, roles) = (process.death().map(|death| (death.at, death.status)), process.roles);
            writeln!(out, "{depth} {:?} {:?} {death:?} {roles:?}", process.identity(), process.parent).unwrap();
        }
    }
    out
}

/// The world that the records of its image make.
fn through_its_image(world: &World) -> World {
    let mut records = Vec::new();
    let mut copy = World::default();
    for event in world.image() {
        records.clear();
        encode(&event, &mut records);
        copy.apply(&decode(&records).unwrap(), Seq::default(), &mut Vec::new());
    }
    copy.check();
    copy
}

/// A list of all processes, and second looks, bring a world back in line with the kernel.
fn assert_mended(mut world: World, kernel: &Kernel) {
    for event in kernel.rows(after_boot(10_000)) {
        world.apply(&event, Seq::default(), &mut Vec::new());
    }
    look_again(&mut world, kernel, after_boot(10_000));
    assert_equal(&world, kernel);
}

proptest! {
    #[test]
    fn an_image_makes_the_same_world(ops in ops(), is_exact in any::<bool>(), at in any::<prop::sample::Index>()) {
        let events: Vec<_> = Kernel::run(&[], false).rows(after_boot(1)).into_iter().chain(Kernel::run(&ops, is_exact).events).collect();
        let (before, after) = events.split_at(at.index(events.len() + 1));
        let mut world = World::default();
        for event in before {
            world.apply(event, Seq::default(), &mut Vec::new());
        }
        let mut copy = through_its_image(&world);
        prop_assert_eq!(shown(&copy), shown(&world));
        for event in after {
            world.apply(event, Seq::default(), &mut Vec::new());
            copy.apply(event, Seq::default(), &mut Vec::new());
        }
        prop_assert_eq!(shown(&copy), shown(&world));
    }

    /// Of an init whose end comes before births in its namespace the image knows better: it tells them
    /// in order, so that the end is that of a namespace.
    #[test]
    fn an_image_of_a_torn_world_has_the_same_processes(
        ops in ops(),
        is_exact in any::<bool>(),
        shuffle in proptest::collection::vec((any::<u16>(), 0u8..4), 400),
    ) {
        let kernel = Kernel::run(&ops, is_exact);
        let mut events: Vec<_> = kernel.events.iter().zip(&shuffle).filter(|(_, (_, lost))| *lost != 0).collect();
        events.sort_by_key(|(_, (order, _))| *order);
        let mut world = World::default();
        for event in Kernel::run(&[], false).rows(after_boot(1)).iter().chain(events.into_iter().map(|(event, _)| event)) {
            world.apply(event, Seq::default(), &mut Vec::new());
        }
        let known = |world: &World| -> Vec<_> {
            let known = |process: &super::Process| {
                (process.identity(), process.parent, process.roles, process.death().map(|death| death.at))
            };
            world.processes().map(known).collect()
        };
        prop_assert_eq!(known(&through_its_image(&world)), known(&world));
    }

    #[test]
    fn the_world_follows_the_kernel(ops in ops(), is_exact in any::<bool>()) {
        let kernel = Kernel::run(&ops, is_exact);
        let mut world = World::default();
        let start = Kernel::run(&[], false).rows(after_boot(1));
        for (seq, event) in start.iter().chain(&kernel.events).enumerate() {
            world.apply(event, Seq(seq as u64), &mut Vec::new());
        }
        assert_equal(&world, &kernel);
    }

    /// Looks that find nothing, as in the middle of `de_thread()`, however many and whenever, harm no process that is
    /// seen again; the next snapshot finds the others.
    #[test]
    fn looks_that_find_nobody_change_nothing_for_long(
        ops in ops(),
        is_exact in any::<bool>(),
        looks in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..20),
    ) {
        let kernel = Kernel::run(&ops, is_exact);
        let mut world = World::default();
        let mut changes = Vec::new();
        let mut events: Vec<_> = Kernel::run(&[], false).rows(after_boot(1)).into_iter().chain(kernel.events.iter().cloned()).collect();
        let first = events.len();
        for (place, whom) in &looks {
            let (place, pid) = (place.index(first), 100 + whom.index(80) as u32);
            let at = events[place].at;
            let look = EventKind::Look(Look { key: key(pid), found: None });
            events.splice(place..place, [look, EventKind::Tick].map(|kind| Event { at, cpu: 0, kind }));
        }
        for event in &events {
            world.apply(event, Seq::default(), &mut changes);
            world.check();
        }
        assert_mended(world, &kernel);
    }

    #[test]
    fn any_order_and_any_loss_is_survived_and_mended(
        ops in ops(),
        is_exact in any::<bool>(),
        shuffle in proptest::collection::vec((any::<u16>(), 0u8..4), 400),
    ) {
        let kernel = Kernel::run(&ops, is_exact);
        // Some events are lost, the others come in any order.
        let mut events: Vec<_> = kernel.events.iter().zip(&shuffle).filter(|(_, (_, lost))| *lost != 0).collect();
        events.sort_by_key(|(_, (order, _))| *order);
        let mut world = World::default();
        let mut changes: Vec<Change> = Vec::new();
        for event in Kernel::run(&[], false).rows(after_boot(1)) {
            world.apply(&event, Seq::default(), &mut changes);
        }
        for (event, _) in events {
            world.apply(event, Seq::default(), &mut changes);
            world.check();
        }
        assert_mended(world, &kernel);
    }
}
