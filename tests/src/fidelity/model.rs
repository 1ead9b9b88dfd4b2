//! Who will live, roughly: enough for a plan whose operations mostly find their actors.
//!
//! It knows neither adoption nor races nor what a tracer does to signals. Where it is wrong an
//! operation is left out, and the next episode begins anew.

use std::collections::BTreeSet;

use nix::libc;

use super::{
    arena::{ActorId, ROOT},
    order::{Birth, Order},
    plan::Act,
};

type ProcessId = usize;
type NsId = usize;

#[derive(Debug)]
struct Actor {
    process: ProcessId,
    is_alive: bool,
    /// Another child of vfork, or a wait, holds it.
    is_held: bool,
}

#[derive(Debug)]
struct Process {
    parent: ProcessId,
    ns: NsId,
    /// Where its children go: its own or a nested namespace, or a new one.
    children_ns: Option<NsId>,
    threads: Vec<ActorId>,
    is_stopped: bool,
    /// Its process group, by the process that it began with.
    group: ProcessId,
    death_signal: u8,
    tracer: Option<ActorId>,
    /// An actor that sleeps until this process execs or ends.
    vfork_parent: Option<ActorId>,
}

#[derive(Debug)]
struct Namespace {
    parent: NsId,
    level: u32,
    init: Option<ProcessId>,
    is_alive: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Model {
    actors: Vec<Actor>,
    processes: Vec<Process>,
    namespaces: Vec<Namespace>,
    /// The living but the root, in an order that depends on the operations only.
    alive: Vec<ActorId>,
    ready: Vec<ActorId>,
    is_stale: bool,
}

impl Model {
    /// The root alone.
    pub fn new() -> Self {
        let host = Namespace { parent: 0, level: 0, init: None, is_alive: true };
        let mut model = Self {
            actors: Vec::new(),
            processes: Vec::new(),
            namespaces: vec![host],
            alive: Vec::new(),
            ready: Vec::new(),
            is_stale: false,
        };
        model.name(1);
        model.be_born(ROOT, 0, 0, 0);
        model.refresh();
        model
    }

    /// The name that the next new actor gets.
    pub fn next_actor(&self) -> ActorId {
        self.actors.len() as ActorId
    }

    /// Names of new actors, which are not born yet; the first.
    pub fn name(&mut self, count: u16) -> ActorId {
        let first = self.next_actor();
        for _ in 0..count {
            self.actors.push(Actor { process: usize::MAX, is_alive: false, is_held: false });
        }
        first
    }

    /// All but the root.
    pub fn alive(&self) -> &[ActorId] {
        &self.alive
    }

    /// Those of them who can do something.
    pub fn ready(&self) -> &[ActorId] {
        &self.ready
    }

    fn is_ready(&self, actor: ActorId) -> bool {
        let one = &self.actors[usize::from(actor)];
        one.is_alive && !one.is_held && !self.processes[one.process].is_stopped
    }

    fn some(&self, rng: &mut fastrand::Rng, is_it: impl Fn(ActorId) -> bool) -> Option<ActorId> {
        let found: Vec<_> = self.alive.iter().copied().filter(|&actor| is_it(actor)).collect();
        (!found.is_empty()).then(|| found[rng.usize(..found.len())])
    }

    /// Somebody who can do something, in a namespace below the host's.
    pub fn nested_ready(&self, rng: &mut fastrand::Rng) -> Option<ActorId> {
        self.some(rng, |actor| self.is_ready(actor) && self.level(actor) > 0)
    }

    /// Somebody who is stopped.
    pub fn stopped(&self, rng: &mut fastrand::Rng) -> Option<ActorId> {
        self.some(rng, |actor| self.process(actor).is_stopped)
    }

    /// Some pid 1.
    pub fn init(&self, rng: &mut fastrand::Rng) -> Option<ActorId> {
        self.some(rng, |actor| self.is_init(self.actors[usize::from(actor)].process))
    }

    /// A leader whose process is a child of the actor's process.
    pub fn child_of(&self, parent: ActorId, rng: &mut fastrand::Rng) -> Option<ActorId> {
        let of = self.actors[usize::from(parent)].process;
        self.some(rng, |actor| {
            let process = self.process(actor);
            process.parent == of && process.threads.first() == Some(&actor)
        })
    }

    /// A tracer that can do something, and its tracee.
    pub fn traced(&self, rng: &mut fastrand::Rng) -> Option<(ActorId, ActorId)> {
        let tracee = self.some(rng, |actor| self.process(actor).tracer.is_some_and(|tracer| self.is_ready(tracer)))?;
        Some((self.process(tracee).tracer?, tracee))
    }

    /// Depth of the namespace that the actor's children go to.
    pub fn level(&self, actor: ActorId) -> u32 {
        self.namespaces[self.process(actor).ns].level
    }

    /// An exit code that tells episodes' processes apart a little.
    pub fn some_code(&self) -> u8 {
        (self.actors.len() % 251) as u8
    }

    fn process(&self, actor: ActorId) -> &Process {
        &self.processes[self.actors[usize::from(actor)].process]
    }

    fn is_init(&self, process: ProcessId) -> bool {
        self.namespaces[self.processes[process].ns].init == Some(process)
    }

    fn be_born(&mut self, actor: ActorId, parent: ProcessId, creator: ProcessId, ns: NsId) {
        let process = self.processes.len();
        // The root's children lead groups of their own.
        let group = if creator == 0 { process } else { self.processes[creator].group };
        self.processes.push(Process {
            parent,
            ns,
            children_ns: Some(ns),
            threads: vec![actor],
            is_stopped: false,
            group,
            death_signal: 0,
            tracer: None,
            vfork_parent: None,
        });
        let level = self.namespaces[ns].level;
        if level > 0 && self.namespaces[ns].init.is_none() {
            self.namespaces[ns].init = Some(process);
        }
        self.actors[usize::from(actor)] = Actor { process, is_alive: true, is_held: false };
        self.is_stale = true;
    }

    /// The namespace of a child that is made now; `None` if it cannot be made.
    fn place(&mut self, of: ProcessId, is_new: bool) -> Option<NsId> {
        let Process { ns, children_ns, .. } = self.processes[of];
        let inside = if is_new { None } else { children_ns };
        let inside = inside.unwrap_or_else(|| {
            let level = self.namespaces[ns].level + 1;
            self.namespaces.push(Namespace { parent: ns, level, init: None, is_alive: true });
            self.namespaces.len() - 1
        });
        if !is_new {
            self.processes[of].children_ns = Some(inside);
        }
        self.namespaces[inside].is_alive.then_some(inside)
    }

    /// Takes the likely consequences of an operation in.
    pub fn foresee(&mut self, by: ActorId, act: Act) {
        if self.actors[usize::from(by)].is_alive {
            self.act(by, act);
        }
        self.refresh();
    }

    fn refresh(&mut self) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        let living = (1..self.actors.len()).filter(|&actor| self.actors[actor].is_alive);
        self.alive = living.map(|actor| actor as ActorId).collect();
        self.ready = self.alive.iter().copied().filter(|&actor| self.is_ready(actor)).collect();
    }

    fn act(&mut self, by: ActorId, act: Act) {
        let process = self.actors[usize::from(by)].process;
        match act {
            Act::Plain(order) => self.order(by, process, order),
            Act::Kill(target, signal) => {
                if self.actors[usize::from(target)].is_alive {
                    let target = self.actors[usize::from(target)].process;
                    let is_inside = self.is_in(self.processes[process].ns, self.processes[target].ns);
                    self.signal(target, signal, is_inside);
                }
            }
            Act::WaitFor(..) => {}
            Act::Join(target) => {
                let (own, other) = (self.processes[process].ns, self.process(target).ns);
                if self.is_in(other, own) {
                    self.processes[process].children_ns = Some(other);
                }
            }
            Act::Seize(target, _) | Act::Attach(target) => {
                let (own, other) = (self.processes[process].ns, self.actors[usize::from(target)].process);
                let is_possible = self.actors[usize::from(target)].is_alive
                    && other != process
                    && self.processes[other].tracer.is_none()
                    && self.is_in(self.processes[other].ns, own);
                if is_possible {
                    self.processes[other].tracer = Some(by);
                    self.processes[other].is_stopped |= matches!(act, Act::Attach(_));
                    self.is_stale = true;
                }
            }
            Act::Detach(target) => {
                let target = self.actors[usize::from(target)].process;
                if let Some(target) = self.processes.get_mut(target)
                    && target.tracer == Some(by)
                {
                    target.tracer = None;
                    target.is_stopped = false;
                    self.is_stale = true;
                }
            }
        }
    }

    fn order(&mut self, by: ActorId, process: ProcessId, order: Order) {
        match order {
            Order::Make { child, count, deep, birth } => self.make(by, process, child, count, deep, birth),
            Order::Reuse(child, _) => self.make(by, process, child, 1, false, Birth::Fork),
            Order::Spawn { child, .. } => self.make(by, process, child, 1, false, Birth::Fork),
            Order::Thread(child) => {
                let Process { ns, children_ns, .. } = self.processes[process];
                if children_ns == Some(ns) {
                    self.processes[process].threads.push(child);
                    self.actors[usize::from(child)] = Actor { process, is_alive: true, is_held: false };
                    self.is_stale = true;
                }
            }
            Order::ExitThread => {
                self.actors[usize::from(by)].is_alive = false;
                self.is_stale = true;
                if self.processes[process].threads.iter().all(|&one| !self.actors[usize::from(one)].is_alive) {
                    self.die(process);
                }
            }
            Order::Exit(_) | Order::Crash => self.die(process),
            Order::Exec(_) => {
                for other in std::mem::take(&mut self.processes[process].threads) {
                    self.actors[usize::from(other)].is_alive = other == by;
                }
                self.processes[process].threads = vec![by];
                self.let_go(process);
                self.is_stale = true;
            }
            Order::KillSelf(signal, _) => self.signal(process, signal, true),
            Order::KillAll(signal) => {
                let ns = self.processes[process].ns;
                for other in self.living_processes() {
                    if other != process && self.is_in(self.processes[other].ns, ns) && !self.is_init(other) {
                        self.signal(other, signal, true);
                    }
                }
            }
            Order::KillGroup(signal) => {
                let group = self.processes[process].group;
                for other in self.living_processes() {
                    if self.processes[other].group == group {
                        let is_inside = self.is_in(self.processes[process].ns, self.processes[other].ns);
                        self.signal(other, signal, is_inside);
                    }
                }
            }
            Order::OwnGroup => self.processes[process].group = process,
            Order::TraceMe => {
                let parent = self.processes[process].parent;
                self.processes[process].tracer = self.processes[parent].threads.first().copied();
            }
            Order::DeathSignal(signal) => self.processes[process].death_signal = signal,
            Order::Unshare if self.processes[process].children_ns == Some(self.processes[process].ns) => {
                self.processes[process].children_ns = None;
            }
            Order::Resume => {
                for traced in self.living_processes() {
                    if self.processes[traced].tracer == Some(by) {
                        self.processes[traced].is_stopped = false;
                    }
                }
                self.is_stale = true;
            }
            _ => {}
        }
    }

    fn make(&mut self, by: ActorId, process: ProcessId, first: ActorId, count: u16, deep: bool, birth: Birth) {
        let mut parent = process;
        for child in first..first + count {
            let Some(ns) = self.place(parent, birth == Birth::NewNamespace) else { return };
            let of = if birth == Birth::Sibling { self.processes[parent].parent } else { parent };
            let is_refused = birth == Birth::Sibling && self.is_init(process);
            if is_refused {
                return;
            }
            self.be_born(child, of, parent, ns);
            let born = self.processes.len() - 1;
            if birth == Birth::Vfork {
                self.processes[born].vfork_parent = Some(by);
                self.actors[usize::from(by)].is_held = true;
            }
            if deep {
                parent = born;
            }
        }
    }

    /// Whether a namespace is the other one or nested in it.
    fn is_in(&self, inner: NsId, outer: NsId) -> bool {
        let mut ns = inner;
        while ns != outer && ns != 0 {
            ns = self.namespaces[ns].parent;
        }
        ns == outer
    }

    fn living_processes(&self) -> BTreeSet<ProcessId> {
        self.alive
            .iter()
            .map(|&actor| &self.actors[usize::from(actor)])
            .filter(|a| a.is_alive)
            .map(|a| a.process)
            .collect()
    }

    fn signal(&mut self, target: ProcessId, signal: u8, is_inside: bool) {
        if target == 0 {
            return;
        }
        let is_immune = self.is_init(target) && is_inside;
        match i32::from(signal) {
            libc::SIGKILL if !is_immune => self.die(target),
            libc::SIGSTOP if !is_immune => self.processes[target].is_stopped = true,
            libc::SIGCONT => self.processes[target].is_stopped = false,
            // A tracee stops for it.
            libc::SIGTERM | libc::SIGHUP | libc::SIGINT | libc::SIGABRT | libc::SIGUSR1
                if self.processes[target].tracer.is_some() =>
            {
                self.processes[target].is_stopped = true;
            }
            libc::SIGTERM | libc::SIGHUP | libc::SIGINT | libc::SIGABRT
                if !self.is_init(target) && !self.processes[target].is_stopped =>
            {
                self.die(target);
            }
            _ => {}
        }
        self.is_stale = true;
    }

    /// The creator that waits for this child of vfork goes on.
    fn let_go(&mut self, process: ProcessId) {
        if let Some(parent) = self.processes[process].vfork_parent.take() {
            self.actors[usize::from(parent)].is_held = false;
        }
    }

    fn die(&mut self, process: ProcessId) {
        if process == 0 {
            return;
        }
        let mut dying = vec![process];
        while let Some(process) = dying.pop() {
            let threads = std::mem::take(&mut self.processes[process].threads);
            if threads.is_empty() {
                continue;
            }
            for &thread in &threads {
                self.actors[usize::from(thread)].is_alive = false;
            }
            self.let_go(process);
            let ns = self.processes[process].ns;
            let ends_ns = self.is_init(process);
            if ends_ns {
                for inner in 0..self.namespaces.len() {
                    if self.is_in(inner, ns) {
                        self.namespaces[inner].is_alive = false;
                    }
                }
            }
            for other in 0..self.processes.len() {
                let one = &self.processes[other];
                let is_orphan = one.parent == process && i32::from(one.death_signal) == libc::SIGKILL;
                if !one.threads.is_empty() && (is_orphan || (ends_ns && self.is_in(one.ns, ns))) {
                    dying.push(other);
                }
                if self.processes[other].tracer.is_some_and(|tracer| threads.contains(&tracer)) {
                    self.processes[other].tracer = None;
                    self.processes[other].is_stopped = false;
                }
            }
        }
        self.is_stale = true;
    }
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}
