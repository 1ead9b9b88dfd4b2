//! How an event changes the world: one small function per kind. None of them can fail, whatever
//! is missing or comes in the wrong order.

use crate::{
    change::{AdopterClass, Adoption, Change, Signalled},
    event::{Adopter, Event, EventKind, Exec, Exit, Fork, Look, Row, SignalSent, SignalTaken, TaskInfo},
    ident::{PidNs, ProcKey, TaskRef},
    signal::{self, Sender, Signal, Verdict},
    world::{Death, Ending, Namespace, Process, State, World, process::Pending},
};
use tracer_common::record::signal_flags;

/// Signals of one init whose senders are kept while they wait.
const MOST_PENDING: usize = 256;

impl World {
    /// Takes an event in. What it changed is added to `changes`.
    pub fn apply(&mut self, event: &Event, seq: u64, changes: &mut Vec<Change>) {
        let Event { at, cpu: _, kind } = event;
        let at = *at;
        self.now = self.now.max(at);
        match kind {
            EventKind::Start(info) => self.wall_offset_ns = info.wall_offset_ns,
            EventKind::Fork(fork) => self.fork(at, fork, changes),
            EventKind::Exec(exec) => self.exec(at, exec, changes),
            EventKind::Exit(exit) => self.exit(at, seq, exit, changes),
            EventKind::Free(task) => self.free(at, task.key, changes),
            EventKind::Signal(sent) => self.signal(at, seq, sent, changes),
            EventKind::Deliver(taken) => self.deliver(taken, changes),
            EventKind::SnapshotBegin => {
                self.snapshot += 1;
                self.snapshot_began = at;
            }
            EventKind::Row(row) => self.row(at, seq, row, changes),
            EventKind::SnapshotEnd => self.snapshot_end(changes),
            EventKind::CommandLine(key, args) => {
                if let Some(process) = self.processes.get_mut(key) {
                    process.args = args.clone();
                }
            }
            EventKind::Look(look) => self.look(at, seq, look, changes),
            EventKind::Lost(_) => {
                self.gap = Some(at);
                self.is_synced = false;
                changes.push(Change::Gap);
            }
            EventKind::Tick => {}
        }
    }

    fn fork(&mut self, at: u64, fork: &Fork, changes: &mut Vec<Change>) {
        let Fork { task, creator: _ } = fork;
        if self.gone.contains(task.key) {
            return;
        }
        let is_new = self.learn(at, task, changes);
        // The command line is the parent's until an exec.
        let args = self.parent(task.key).map(|parent| parent.args.clone());
        if is_new {
            if let (Some(process), Some(args)) = (self.processes.get_mut(&task.key), args) {
                process.args = args;
            }
            self.count_birth(task.pid_ns);
            changes.push(Change::Born(task.key));
        }
    }

    /// Enters or completes a process; true if it was not known at all.
    fn learn(&mut self, at: u64, info: &TaskInfo, changes: &mut Vec<Change>) -> bool {
        self.enter_namespace(info);
        let is_new = self.know(info.key, at, changes);
        if let Some(process) = self.processes.get_mut(&info.key) {
            process.learn(info);
        }
        // An exit or an adoption that overtook this event knows the parent better.
        if is_new || self.get(info.key).is_some_and(|process| process.parent.is_none()) {
            self.set_parent(info.key, info.parent);
        }
        is_new
    }

    /// Makes sure that a process is in the world; true if it was not.
    fn know(&mut self, key: ProcKey, at: u64, changes: &mut Vec<Change>) -> bool {
        if let Some(process) = self.processes.get_mut(&key) {
            process.seen_at = process.seen_at.max(at);
            return false;
        }
        // A pid is given out again only after its process was released.
        match self.by_pid.get(&key.tgid) {
            Some(&old) if old < key => self.remove(old, None, changes),
            _ => {}
        }
        let mut process = Process::unknown(key, self.initial_ns.unwrap_or_default());
        process.seen_at = at;
        self.processes.insert(key, process);
        let present = self.by_pid.entry(key.tgid).or_insert(key);
        *present = key.max(*present);
        true
    }

    fn enter_namespace(&mut self, info: &TaskInfo) {
        if info.parent_ns.is_none() && info.ns_level == 0 {
            self.initial_ns = Some(info.pid_ns);
        }
        let ns = self.namespaces.entry(info.pid_ns).or_insert(Namespace {
            id: info.pid_ns,
            level: info.ns_level,
            parent: info.parent_ns,
            init: None,
            ending: None,
        });
        if info.roles.init && ns.init != Some(info.key) {
            // Inode numbers are used again: a new init is a new namespace.
            *ns = Namespace { level: info.ns_level, parent: info.parent_ns, init: Some(info.key), ending: None, ..*ns };
        }
    }

    fn set_parent(&mut self, child: ProcKey, parent: Option<TaskRef>) {
        // A process is never below itself. What says so is older than what is known.
        let has_children = self.child_keys(child).next().is_some();
        if parent.is_some_and(|parent| parent.key == child || (has_children && self.is_below(parent.key, child))) {
            return;
        }
        let Some(process) = self.processes.get_mut(&child) else { return };
        if let Some(old) = std::mem::replace(&mut process.parent, parent) {
            self.edges.remove(&(old.key, child));
        }
        if let Some(parent) = parent {
            self.edges.insert((parent.key, child));
        }
    }

    fn exec(&mut self, at: u64, exec: &Exec, changes: &mut Vec<Change>) {
        let Exec { task, comm, old_tid: _, args } = exec;
        if self.gone.contains(task.key) {
            return;
        }
        self.know(task.key, at, changes);
        let before = self.identity(task.key);
        if let Some(process) = self.processes.get_mut(&task.key) {
            process.comm = *comm;
            process.args = args.clone();
            process.threads = 1;
            // Another thread than the leader called exec: the leader died, the process did not.
            process.state = State::Running;
        }
        changes.push(Change::Execed { key: task.key, before });
    }

    fn exit(&mut self, at: u64, seq: u64, exit: &Exit, changes: &mut Vec<Change>) {
        let Exit { task, parent, tracer, adopter, status, live, leader, group_dead, autoreap } = *exit;
        if self.gone.contains(task.key) {
            return;
        }
        self.know(task.key, at, changes);
        if parent.is_some() {
            self.set_parent(task.key, parent);
        }
        let Some(process) = self.processes.get_mut(&task.key) else { return };
        process.tracer = tracer;
        if group_dead {
            // Two threads that exit together may both see that nobody is left.
            if !process.is_zombie() {
                self.die(task.key, Death { at, exact: true, status, autoreap, seq }, changes);
            }
        } else if leader {
            process.state = State::LeaderDead { since: at, live, seq };
            changes.push(Change::LeaderDied(task.key));
        }
        self.hand_on(at, seq, task, group_dead, adopter, changes);
    }

    /// Gives the children of an exiting thread to whom the kernel will give them.
    fn hand_on(
        &mut self,
        at: u64,
        seq: u64,
        from: TaskRef,
        group_dead: bool,
        adopter: Adopter,
        changes: &mut Vec<Change>,
    ) {
        let (to, class) = match adopter {
            Adopter::None | Adopter::Unknown => return,
            Adopter::Thread(to) => (to, AdopterClass::Thread),
            Adopter::Subreaper(to) => (to, AdopterClass::Subreaper),
            Adopter::NamespaceInit(to) => (to, AdopterClass::NamespaceInit),
        };
        let adoption = Adoption { at, seq, from: self.identity(from.key), to: self.identity(to.key), class };
        let children: Vec<_> = self
            .children(from.key)
            // Children belong to the thread that forked them; the last thread leaves none.
            .filter(|child| group_dead || child.parent.is_some_and(|parent| parent.tid == from.tid))
            .map(|child| child.key)
            .collect();
        for child in children {
            self.set_parent(child, Some(to));
            if let Some(process) = self.processes.get_mut(&child) {
                process.adoption = (class != AdopterClass::Thread).then_some(adoption).or(process.adoption);
            }
            changes.push(Change::Adopted { child, adoption });
        }
    }

    fn die(&mut self, key: ProcKey, death: Death, changes: &mut Vec<Change>) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        process.state = State::Dead(death);
        process.pending = Vec::new();
        let (ns, is_init) = (process.pid_ns, process.roles.init && process.ns_level > 0);
        let asked_by = process.signalled_by;
        changes.push(Change::Died { key, status: death.status });
        let is_killed = death.status.signal() == Some(Signal::KILL);
        self.count_death(key, ns, death.at, is_killed, changes);
        if is_init {
            self.begin_end(key, ns, asked_by, death, changes);
        }
    }

    fn begin_end(
        &mut self,
        init: ProcKey,
        ns: PidNs,
        asked_by: Option<ProcKey>,
        death: Death,
        changes: &mut Vec<Change>,
    ) {
        let left = self
            .processes
            .values()
            .filter(|process| process.key != init && !process.is_zombie() && self.is_in(process.pid_ns, ns))
            .count() as u64;
        let nested = self.outwards(ns).skip(1).any(|outer| self.is_ending(outer));
        let ending = Ending {
            init: self.identity(init),
            since: death.at,
            seq: death.seq,
            killed: 0,
            asked_by,
            bystanders: 0,
            left,
            last_death: death.at,
            nested,
        };
        if let Some(ns) = self.namespaces.get_mut(&ns) {
            ns.ending = Some(ending);
        }
        changes.push(Change::NamespaceEnding(ns));
        if left == 0 {
            changes.push(Change::NamespaceEnded(ns));
        }
    }

    /// Whether the kernel is killing what is left in a namespace.
    pub fn is_ending(&self, ns: PidNs) -> bool {
        self.namespace(ns).is_some_and(|ns| ns.ending.is_some())
    }

    fn count_birth(&mut self, ns: PidNs) {
        let mut next = Some(ns);
        while let Some(ns) = next.and_then(|ns| self.namespaces.get_mut(&ns)) {
            next = ns.parent;
            if let Some(ending) = &mut ns.ending {
                ending.left += 1;
            }
        }
    }

    /// One process less in each ending namespace around it.
    fn count_death(&mut self, key: ProcKey, ns: PidNs, at: u64, is_killed: bool, changes: &mut Vec<Change>) {
        let mut next = Some(ns);
        while let Some(ns) = next.and_then(|ns| self.namespaces.get_mut(&ns)) {
            next = ns.parent;
            let Some(ending) = &mut ns.ending else { continue };
            if ending.init.key == key || ending.left == 0 {
                continue;
            }
            ending.left -= 1;
            // Who was on its way out already, or handled its last moments itself, was not killed.
            ending.killed += u64::from(is_killed);
            ending.bystanders += u64::from(is_killed && ending.asked_by != Some(key));
            ending.last_death = ending.last_death.max(at);
            if ending.left == 0 {
                changes.push(Change::NamespaceEnded(ns.id));
            }
        }
    }

    fn free(&mut self, at: u64, key: ProcKey, changes: &mut Vec<Change>) {
        self.remove(key, Some(at), changes);
        self.gone.insert(key);
    }

    /// Takes a process out of the world; `at` is when it was released, if that is known.
    fn remove(&mut self, key: ProcKey, at: Option<u64>, changes: &mut Vec<Change>) {
        let Some(process) = self.processes.remove(&key) else { return };
        if self.by_pid.get(&key.tgid) == Some(&key) {
            self.by_pid.remove(&key.tgid);
        }
        self.gone.insert(key);
        let by = process.tracer.or(process.parent).map(|task| task.key);
        if let Some(parent) = process.parent {
            self.edges.remove(&(parent.key, key));
        }
        // Children that were not seen to be handed on: their next event tells the new parent.
        for child in self.child_keys(key).collect::<Vec<_>>() {
            self.edges.remove(&(key, child));
            if let Some(child) = self.processes.get_mut(&child) {
                child.parent = None;
            }
        }
        let death = process.death().copied();
        match death {
            Some(death) => {
                if !death.autoreap
                    && at.is_some()
                    && let Some(parent) = by.and_then(|by| self.processes.get_mut(&by))
                {
                    parent.reaped += 1;
                }
            }
            // Its end was not seen.
            None => self.count_death(key, process.pid_ns, at.unwrap_or(self.now), false, changes),
        }
        self.leave_namespace(&process);
        changes.push(Change::Reaped {
            identity: process.identity(),
            by: by.filter(|_| !death.is_some_and(|death| death.autoreap)),
            zombie_for: death.zip(at).map(|(death, at)| at.saturating_sub(death.at)),
        });
    }

    fn leave_namespace(&mut self, process: &Process) {
        let Some(ns) = self.namespaces.get_mut(&process.pid_ns) else { return };
        if ns.init == Some(process.key) {
            ns.init = None;
        }
        // The init is the last to be released, except for what never had one in sight.
        if ns.init.is_none() && ns.level > 0 && !self.processes.values().any(|p| p.pid_ns == process.pid_ns) {
            self.namespaces.remove(&process.pid_ns);
        }
    }

    fn signal(&mut self, at: u64, seq: u64, sent: &SignalSent, changes: &mut Vec<Change>) {
        let SignalSent { current, target, signal, code, flags, result } = *sent;
        let sender = match signal::origin(sent) {
            Some(kernel) => Sender::Kernel(kernel),
            None => Sender::Process(self.identity(current.key)),
        };
        let verdict = signal::verdict_of_sent(sent);
        let from_outside = flags & signal_flags::OUTSIDE != 0;
        let is_protected = flags & signal_flags::UNKILLABLE != 0;
        if is_protected && let Some(process) = self.processes.get_mut(&target.key) {
            if matches!(verdict, Verdict::Queued | Verdict::InfoLost) {
                // A standard signal waits once; of the others each does, in order.
                if signal.0 < 32 || process.pending.len() >= MOST_PENDING {
                    process.pending.retain(|pending| pending.signal != signal);
                }
                process.pending.push(Pending { signal, sender, from_outside, at, seq });
            }
            // A SIGCHLD asks for nothing.
            let is_accepted = matches!(verdict, Verdict::Queued | Verdict::Delivered);
            if is_accepted && !signal.is_ignored_by_default() && matches!(sender, Sender::Process(_)) {
                process.signalled_by = Some(current.key);
            }
        }
        changes.push(Change::Signalled(Box::new(Signalled {
            signal,
            code,
            sender,
            target: self.identity(target.key),
            target_tid: target.tid,
            to_init: is_protected || self.get(target.key).is_some_and(|process| process.roles.init),
            from_outside,
            verdict,
            result: Some(result),
            sent_at: Some(at),
            sent_seq: Some(seq),
        })));
    }

    fn deliver(&mut self, taken: &SignalTaken, changes: &mut Vec<Change>) {
        let SignalTaken { target, signal, code, flags } = *taken;
        let pending = self.processes.get_mut(&target.key).and_then(|process| {
            let i = process.pending.iter().position(|pending| pending.signal == signal)?;
            Some(process.pending.remove(i))
        });
        changes.push(Change::Taken(Box::new(Signalled {
            signal,
            code,
            sender: pending.map_or(Sender::Unknown, |pending| pending.sender),
            target: self.identity(target.key),
            target_tid: target.tid,
            to_init: flags & signal_flags::UNKILLABLE != 0,
            from_outside: pending.is_some_and(|pending| pending.from_outside),
            verdict: signal::verdict_of_taken(taken),
            result: None,
            sent_at: pending.map(|pending| pending.at),
            sent_seq: pending.map(|pending| pending.seq),
        })));
    }

    fn row(&mut self, at: u64, seq: u64, row: &Row, changes: &mut Vec<Change>) {
        let Row { task, tracer, idle, status, leader_dead, live } = row;
        let key = task.key;
        if self.gone.contains(key) {
            return;
        }
        let is_new = self.learn(at, task, changes);
        // The kernel is right about the present parent.
        self.set_parent(key, task.parent);
        let Some(process) = self.processes.get_mut(&key) else { return };
        process.tracer = *tracer;
        process.snapshot = self.snapshot;
        // A task that is on its way out was running a moment ago, and will say itself when it is
        // dead; an earlier word of its end stands.
        if !leader_dead && !task.exiting {
            process.state = State::Running;
        }
        if is_new {
            self.count_birth(task.pid_ns);
            changes.push(Change::Learned(key));
        }
        let since = idle.map_or(at, |idle| at.saturating_sub(idle)).max(key.start);
        let Some(process) = self.processes.get_mut(&key) else { return };
        if *leader_dead && *live == 0 && !process.is_zombie() {
            let death = Death { at: since, exact: idle.is_some(), status: *status, autoreap: false, seq };
            self.die(key, death, changes);
        } else if *leader_dead && *live > 0 && process.state == State::Running {
            process.state = State::LeaderDead { since, live: *live, seq };
            changes.push(Change::LeaderDied(key));
        }
    }

    fn snapshot_end(&mut self, changes: &mut Vec<Change>) {
        let vanished: Vec<_> = self
            .processes
            .values()
            .filter(|process| process.snapshot != self.snapshot && process.seen_at < self.snapshot_began)
            .map(|process| process.key)
            .collect();
        for key in vanished {
            self.remove(key, None, changes);
        }
        self.is_synced = true;
        changes.push(Change::Synced);
    }

    fn look(&mut self, at: u64, seq: u64, look: &Look, changes: &mut Vec<Change>) {
        let Look { key, found } = *look;
        let Some(found) = found else {
            self.remove(key, Some(at), changes);
            return;
        };
        let parent = self.by_pid.get(&found.ppid).copied();
        let Some(process) = self.processes.get_mut(&key) else { return };
        process.look = Some((at, found));
        let believed = process.parent.map(|parent| parent.key.tgid);
        let was_missed = found.state == b'Z' && process.state == State::Running;
        if believed != Some(found.ppid)
            && let Some(parent) = parent
        {
            // A thread of it is not known here; the leader stands for it.
            self.set_parent(key, Some(TaskRef { key: parent, tid: parent.tgid }));
        }
        if was_missed {
            let death = Death { at, exact: false, status: crate::event::ExitStatus(0), autoreap: false, seq };
            self.die(key, death, changes);
        }
        changes.push(Change::Looked(key));
    }
}
