//! How an event changes the world: one small function per kind. None can fail, whatever is missing or out of order.
//! Parents are in `kinship`, ends in `leave`.

use std::sync::Arc;

use tracer_common::record::signal_flags;

use crate::{
    change::{Change, Signalled},
    event::{Event, EventKind, Exec, Exit, Fork, Row, SignalSent, SignalTaken, Survey, Surveyed, TaskInfo},
    ident::{Args, Comm, PidNs, ProcKey},
    kill::{Ending, Fallen},
    signal::{
        self, Aim, Sender, Signal, Verdict,
        killer::{Killer, killer},
    },
    stop::Request,
    time::{BootNs, Seq},
    world::{
        Death, MOST_NESTED, MOST_PROCESSES, Namespace, Process, State, Waiting, World, asked::forget_client,
        kinship::Orphaned, leave::Leave, process::Pending, snapshots::Unlisted, turn::Turn,
    },
};

/// How many pending signals of one init are kept with their senders.
const MOST_PENDING: usize = 256;
/// How many of all inits together.
const MOST_PENDING_OF_ALL: usize = 65_536;
/// Processes that the kernel killed with their namespaces and that are remembered, of all namespaces.
const MOST_KILLED: usize = 1 << 17;

impl World {
    /// Applies an event, and adds what it changed to `changes`.
    pub fn apply(&mut self, event: &Event, seq: Seq, changes: &mut Vec<Change>) {
        let Event { at, cpu: _, kind } = event;
        let at = *at;
        // The first snapshot is where all knowledge begins.
        if kind.tells_time() || self.snapshots.count == 0 {
            self.now = self.now.max(at);
        }
        if !matches!(kind, EventKind::Signal(_) | EventKind::Deliver(_)) {
            self.last_sender = None;
        }
        let before = changes.len();
        let turn = &mut Turn { at, seq, changes };
        match kind {
            EventKind::Start(info) => {
                self.stream.begins(info);
            }
            EventKind::Fork(fork) => self.fork(fork, turn),
            EventKind::Exec(exec) => self.exec(exec, turn),
            EventKind::Exit(exit) => self.exit(exit, turn),
            EventKind::Free(task) => self.free(task.key, turn),
            EventKind::Adopt(adopt) => self.adopt(adopt, turn),
            EventKind::Reap(reap) => self.reap(reap, turn),
            EventKind::Notify(notify) => self.notify(at, notify),
            EventKind::Rename(key, comm) => self.rename(at, *key, *comm),
            EventKind::Survey(survey) => self.survey(at, survey),
            EventKind::Awaited(awaited) => self.note_awaited(*awaited, turn),
            EventKind::Signal(sent) => self.signal(sent, turn),
            EventKind::Deliver(taken) => self.deliver(taken, turn),
            EventKind::SnapshotBegin => self.snapshots.begin(at),
            EventKind::Row(row) => self.row(row, turn),
            EventKind::SnapshotEnd => self.snapshot_end(turn),
            EventKind::CommandLine(key, args) => {
                if let Some(process) = self.processes.get_mut(*key) {
                    let before = std::mem::replace(&mut process.args, args.clone());
                    process.args_at = at;
                    self.note_client(*key, &before);
                }
            }
            EventKind::Look(look) => self.look(look, turn),
            EventKind::Masks(task, masks) => {
                self.note_masks(at, *task, *masks);
                turn.changes.push(Change::Masked(task.key));
            }
            EventKind::Held(key, held) => self.note_held(at, *key, held),
            EventKind::Pipe(pipe) => self.note_pipe(at, *pipe),
            EventKind::Rooms(rooms) => self.learn_rooms(rooms, turn),
            EventKind::Lost(lost) => {
                self.snapshots.lose(at, lost);
                turn.changes.push(Change::Gap);
            }
            EventKind::CommandStarted(key, args) => self.command_started(*key, args, turn),
            EventKind::CommandEnded(_, status) => self.command_ended(*status, turn),
            EventKind::CommandScope(scope) => self.command_scope(scope),
            EventKind::TreeRoot(key) => self.stream.tree_root = Some(*key),
            EventKind::Running(running) => self.note_running(running),
            EventKind::Thresholds(thresholds) => self.stream.thresholds = Some(thresholds.clone()),
            EventKind::Container(container) => self.learn_container(container),
            EventKind::Contained(key, id) => self.contain(*key, id),
            EventKind::OutOfMemory(key, which) => self.learn_out_of_memory(*key, which),
            EventKind::Tick => {
                self.bury_missing(turn);
                self.close_kills(false, turn);
            }
            EventKind::End(_) => self.close_kills(true, turn),
        }
        for change in &turn.changes[before..] {
            if let Change::NamespaceEnded(ns) = change {
                self.note_ending(*ns);
            }
        }
        if self.command.is_some() {
            self.follow_command(kind, turn.changes);
        }
    }

    fn fork(&mut self, fork: &Fork, turn: &mut Turn) {
        let Fork { task, creator } = fork;
        if self.gone.contains(task.key, turn.at) {
            return;
        }
        let is_new = self.learn(task, turn);
        let maker = creator.or(task.parent).map(|task| task.key);
        self.inherit_container(task.key, maker, task.pid_ns);
        if is_new {
            self.inherit_root(task.key, maker);
        }
        // The program is the parent's until an exec.
        if is_new {
            let program = self.parent(task.key).map(|parent| (parent.args.clone(), parent.runs_for));
            if let (Some(process), Some((args, runs_for))) = (self.processes.get_mut(task.key), program) {
                process.args = args;
                if runs_for.is_some() {
                    process.rare().runs_for = runs_for;
                }
            }
            self.inherit_program(task.key, maker);
            self.count_birth(task.pid_ns);
            turn.changes.push(Change::Born(task.key));
        }
    }

    /// Adds or completes a process; true if it was entirely unknown.
    fn learn(&mut self, info: &TaskInfo, turn: &mut Turn) -> bool {
        let is_new = self.know(info.key, turn);
        let Some(process) = self.processes.get_mut(info.key) else { return false };
        // A birth that is read after a row knows less than the row.
        if is_new || process.named_at <= turn.at {
            process.named_at = turn.at;
            self.take_over(info);
        }
        // An exit or an adoption that overtook this event has the later parent.
        if is_new || self.get(info.key).is_some_and(|process| process.parent.is_none()) {
            self.told_parent(info.key, info.parent, turn);
        }
        is_new
    }

    /// Takes over the kernel's description of a process, except for its parent.
    pub(super) fn take_over(&mut self, info: &TaskInfo) {
        let Some(process) = self.processes.get_mut(info.key) else { return };
        let (before, place) = (process.pid_ns, process.place);
        process.learn(info);
        if before != info.pid_ns {
            process.place = self.members.join(info.pid_ns, info.key);
        }
        self.marked.extend(info.roles.subreaper.then_some(info.key));
        self.enter_namespace(info);
        if before != info.pid_ns {
            self.leave_namespace(info.key, before, place);
        }
    }

    /// Ensures that a process is in the world, because an event shows that it was there at that time; true if it was
    /// unknown.
    pub(super) fn know(&mut self, key: ProcKey, turn: &mut Turn) -> bool {
        let at = turn.at;
        if self.found(key, at) {
            return false;
        }
        if self.bring_back(key, turn) {
            return false;
        }
        // A pid is reused only after its process was released.
        if let Some(old) = self.by_pid(key.tgid).map(|old| old.key).filter(|&old| old < key) {
            self.remove(old, Leave::Unseen, turn);
        }
        if let Some(oldest) = self.processes.crowded(key.tgid) {
            self.remove(oldest, Leave::Unseen, turn);
        }
        if self.processes.len() >= MOST_PROCESSES {
            // It stays unknown.
            self.snapshots.lacks(at);
            return false;
        }
        let mut process = Process::unknown(key, self.initial_ns.unwrap_or_default());
        process.seen_at = at;
        process.place = self.members.join(process.pid_ns, key);
        self.processes.insert(Box::new(process));
        // It existed before the iterator started, and was not listed. It may have ended before tracing began.
        if at < self.snapshots.listed_at {
            self.not_found(key, self.snapshots.listed_at);
        }
        true
    }

    fn enter_namespace(&mut self, info: &TaskInfo) {
        if info.parent_ns.is_none() && info.ns_level == 0 {
            self.initial_ns = Some(info.pid_ns);
        }
        let around = |ns: &Namespace| ns.parent.map(|outer| (outer, ns.id));
        let known = self.namespaces.get(&info.pid_ns).and_then(around);
        let ns = self.namespaces.entry(info.pid_ns).or_insert(Namespace {
            id: info.pid_ns,
            level: info.ns_level,
            parent: info.parent_ns,
            init: None,
            ending: None,
            fallen: Vec::new(),
            killed: Arc::default(),
        });
        if info.roles.init && ns.init != Some(info.key) {
            // Inode numbers are used again: a new init is a new namespace.
            self.killed_with_namespaces -= ns.killed.len();
            *ns = Namespace {
                level: info.ns_level,
                parent: info.parent_ns,
                init: Some(info.key),
                ending: None,
                fallen: Vec::new(),
                killed: Arc::default(),
                ..*ns
            };
        }
        let now = around(ns);
        if known != now {
            known.map(|edge| self.nested.remove(&edge));
            self.nested.extend(now);
        }
    }

    fn exec(&mut self, exec: &Exec, turn: &mut Turn) {
        let at = turn.at;
        let Exec { task, comm, old_tid, args, mount_ns: _, ignored } = exec;
        if self.gone.contains(task.key, at) {
            return;
        }
        self.know(task.key, turn);
        if *old_tid != task.tid {
            self.renumber(task.key, *old_tid, task.tid);
        }
        let before = self.identity(task.key);
        self.note_program(at, task.key, *ignored);
        let mut words = Args::default();
        if let Some(process) = self.processes.get_mut(task.key) {
            // Looks in between are more recent.
            if process.named_at <= at {
                (process.comm, process.named_at) = (*comm, at);
            }
            if process.args_at <= at {
                words = std::mem::replace(&mut process.args, args.clone());
                process.args_at = at;
            } else {
                words = process.args.clone();
            }
            process.begin_program();
            if let Some(causes) = &mut process.causes {
                causes.exec();
            }
            // A thread other than the leader called exec: the leader died, but not the process.
            if process.death().is_none_or(|death| death.at < at) {
                process.state = State::Running;
                if let Some(parent) = process.parent {
                    self.children.changed(parent.key, task.key, false);
                }
            }
        }
        self.note_unknown_children(task.key, before.comm, *comm);
        self.note_executed(task.key, at, &words);
        self.note_client(task.key, &words);
        self.plan_look(task.key, at);
        self.note_entry(task.key);
        self.note_run(task.key);
        turn.changes.push(Change::Execed { key: task.key, before });
    }

    fn exit(&mut self, exit: &Exit, turn: &mut Turn) {
        let Turn { at, seq, .. } = *turn;
        let Exit {
            task,
            parent,
            tracer,
            status,
            live,
            leader,
            group_dead,
            group_exit,
            autoreap,
            adopter: _,
            adopter_ignores: _,
            oom,
            seccomp,
        } = *exit;
        if self.gone.contains(task.key, at) {
            return;
        }
        self.know(task.key, turn);
        if parent.is_some() {
            self.told_parent(task.key, parent, turn);
        }
        let Some(process) = self.processes.get_mut(task.key) else { return };
        if process.told_tracer(at, tracer) {
            self.marked.insert(task.key);
        }
        // Its parent is exiting too, in whichever order: in the end, the heir is notified.
        let autoreap = autoreap || process.orphaned.as_deref().is_some_and(Orphaned::heir_ignores);
        let is_namespace_init = process.is_init_of_namespace();
        if group_dead {
            match process.death_mut() {
                None => {
                    self.die(task.key, Death { autoreap, oom, seccomp, ..Death::new(at, true, status, seq) }, turn);
                }
                // A snapshot saw it before this record was read.
                Some(death) if !death.exact => {
                    (death.at, death.exact, death.status, death.autoreap) = (at, true, status, autoreap);
                    death.tearing_down &= is_namespace_init;
                }
                // Two threads that exit together may both see that no thread is left.
                Some(_) => {}
            }
        } else if leader {
            match process.death_mut() {
                None => {
                    process.state = State::LeaderDead { since: at, live, is_ending: group_exit, seq };
                    turn.changes.push(Change::LeaderDied(task.key));
                }
                // The last thread was exiting meanwhile, and its record came first. It may not have seen the main
                // thread's exit code yet (`do_exit()` decrements `live` before it sets the code).
                Some(death) => death.status = status,
            }
        }
        self.hand_on(exit, turn);
    }

    pub(super) fn die(&mut self, key: ProcKey, death: Death, turn: &mut Turn) {
        let Some(process) = self.processes.get_mut(key) else { return };
        process.state = State::Dead(death);
        if let Some(parent) = process.parent {
            self.children.changed(parent.key, key, true);
        }
        self.pending -= process.some_rare().map_or(0, |rare| std::mem::take(&mut rare.pending).len());
        let (ns, is_init) = (process.pid_ns, process.is_init_of_namespace());
        let (asked_by, client) = (process.signalled_by, process.entry.as_ref().map(|entry| entry.client.key));
        forget_client(&mut self.engine_clients, key, &process.args);
        if let Some(client) = client {
            self.clients.remove(&(client, key));
        }
        self.plan_look(key, death.at);
        turn.changes.push(Change::Died { key, status: death.status });
        turn.changes.extend(self.lost_by_ignoring(key, &death));
        self.end_client(key, death.at, Some(death.status), Some(death.seq), turn);
        let is_by_end = self.note_kill(key, &death, turn);
        self.note_former(key, death.at);
        self.count_death(key, ns, death.at, is_by_end, turn);
        if is_init {
            self.begin_end(key, ns, asked_by, death, turn);
        }
    }

    fn begin_end(&mut self, init: ProcKey, ns: PidNs, asked_by: Option<ProcKey>, death: Death, turn: &mut Turn) {
        self.note_untold(init, death.at);
        let others = self.members_of(ns).filter(|process| process.key != init);
        let (zombies, living): (Vec<_>, Vec<_>) = others.partition(|process| process.death().is_some());
        let left = living.len() as u64;
        let is_alone = zombies.is_empty() && living.is_empty();
        if let Some(death) = self.processes.get_mut(init).and_then(|process| process.death_mut()) {
            death.tearing_down = !is_alone;
        }
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
        turn.changes.push(Change::NamespaceEnding(ns));
        if left == 0 {
            turn.changes.push(Change::NamespaceEnded(ns));
        }
    }

    /// Whether the kernel is killing what is left in a namespace.
    pub fn is_ending(&self, ns: PidNs) -> bool {
        self.namespace(ns).is_some_and(|ns| ns.ending.is_some())
    }

    fn count_birth(&mut self, ns: PidNs) {
        self.each_outwards(ns, |ns| {
            if let Some(ending) = &mut ns.ending {
                ending.left += 1;
            }
        });
    }

    /// One process less in each ending namespace around it. `is_by_end`: the kernel killed it because of that end. It
    /// did not if the process was already exiting, somebody else had killed it, or it ended by itself in its last
    /// moments.
    pub(super) fn count_death(&mut self, key: ProcKey, ns: PidNs, at: BootNs, is_by_end: bool, turn: &mut Turn) {
        let fallen = if is_by_end { self.fallen(key) } else { None };
        let killed = self.get(key).filter(|_| is_by_end).map(Process::identity);
        let mut remembered = self.killed_with_namespaces;
        self.each_outwards(ns, |ns| {
            let Some(ending) = &mut ns.ending else { return };
            if ending.init.key == key || ending.left == 0 {
                return;
            }
            if let Some(fallen) = fallen.as_ref().filter(|_| ending.asked_by != Some(key)) {
                Fallen::choose(&mut ns.fallen, fallen, ending.since);
            }
            if let Some(killed) = killed.filter(|_| remembered < MOST_KILLED) {
                Arc::make_mut(&mut ns.killed).push(killed);
                remembered += 1;
            }
            ending.left -= 1;
            ending.killed += u64::from(is_by_end);
            ending.bystanders += u64::from(is_by_end && ending.asked_by != Some(key));
            ending.last_death = ending.last_death.max(at);
            if ending.left == 0 {
                turn.changes.push(Change::NamespaceEnded(ns.id));
            }
        });
        self.killed_with_namespaces = remembered;
    }

    /// Applies something to a namespace and to each around it.
    fn each_outwards(&mut self, ns: PidNs, mut act: impl FnMut(&mut Namespace)) {
        let mut next = Some(ns);
        for _ in 0..MOST_NESTED {
            let Some(ns) = next.and_then(|ns| self.namespaces.get_mut(&ns)) else { return };
            next = ns.parent;
            act(ns);
        }
    }

    fn signal(&mut self, sent: &SignalSent, turn: &mut Turn) {
        let Turn { at, seq, .. } = *turn;
        let SignalSent { current, target, signal, code, flags, result, .. } = *sent;
        let sender = match signal::origin(sent) {
            Some(kernel) => Sender::Kernel(kernel),
            None => Sender::Process(self.identity(current.key)),
        };
        let verdict = signal::verdict_of_sent(sent);
        let is_sent = matches!(sender, Sender::Process(_)) || killer(sent) == Killer::CgroupKill;
        let asked_by = if is_sent { self.asked_by(current.key, target.key) } else { Vec::new() };
        let from_outside = flags & signal_flags::OUTSIDE != 0;
        let is_protected = flags & signal_flags::UNKILLABLE != 0;
        if is_protected && let Some(process) = self.processes.get_mut(target.key).map(Process::rare) {
            if matches!(verdict, Verdict::Queued | Verdict::InfoLost) {
                // A standard signal is pending at most once; real-time signals queue, in order.
                let before = process.pending.len();
                if signal.0 < 32 || before >= MOST_PENDING {
                    process.pending.retain(|pending| pending.signal != signal);
                }
                self.pending -= before - process.pending.len();
                if process.pending.len() < MOST_PENDING && self.pending < MOST_PENDING_OF_ALL {
                    let asked_by = asked_by.clone();
                    process.pending.push(Pending { signal, sender, asked_by, from_outside, at, seq });
                    self.pending += 1;
                }
            }
            // SIGCHLD does not ask for anything.
            let is_accepted = matches!(verdict, Verdict::Queued | Verdict::Delivered);
            if is_accepted && !signal.is_ignored_by_default() && matches!(sender, Sender::Process(_)) {
                process.signalled_by = Some(current.key);
            }
        }
        let signalled = Signalled {
            signal,
            code,
            sender,
            asked_by,
            target: self.identity(target.key),
            target_tid: target.tid,
            to_init: is_protected || self.get(target.key).is_some_and(|process| process.roles.init),
            from_outside,
            verdict,
            result: Some(result),
            sent_at: Some(at),
            sent_seq: Some(seq),
        };
        self.note_overflow(target.key, signal, verdict, turn);
        let by = matches!(sender, Sender::Process(_)).then_some(current.key);
        self.note_heard(at, by, target.key, signal, verdict);
        self.note_merged(sent, verdict, turn);
        self.note_waiting(Waiting { signal, sender, target, at, seq, masks: None }, verdict, sent.has_handler());
        if matches!(verdict, Verdict::Delivered | Verdict::Queued | Verdict::InfoLost) {
            self.note_cause(sent, sender, &signalled, turn);
        }
        self.note_fatal(sent, sender, verdict, turn);
        let continued = self.note_stopped(sent, sender, verdict, turn);
        if signal == Signal::CONT && flags & signal_flags::STOPPED != 0 {
            self.note_continued(target.key);
        }
        if let Sender::Process(sender) = sender
            && (signal == Signal::KILL || self.meaning_of(signal, &signalled.target).is_some())
        {
            // Not the mark of the record: a SIGKILL has taken the protection away when it is told of
            // (`complete_signal()`).
            let is_init = self.get(target.key).is_some_and(Process::is_init_of_namespace);
            let request = Request {
                signal,
                target: signalled.target,
                is_to_container: from_outside && is_init,
                killer: killer(sent),
                sender,
                ancestors: Vec::new(),
                asked_by: Vec::new(),
                origin: self.origin(target.key, signal).into(),
                former: None,
                is_stopped: flags & (signal_flags::STOPPED | signal_flags::BLOCKED) == signal_flags::STOPPED,
                is_to_leader: sent.place.session == target.key.tgid,
                aim: sent.aim,
                leads_named: sent.aim == Aim::Group && sent.place.group == target.key.tgid,
                verdict,
                at,
                seq,
            };
            self.note_request(request, &signalled.asked_by);
        }
        if verdict == Verdict::InitNoHandler && current.key == target.key {
            self.note_dropped(target.key, signal, verdict, seq);
        }
        turn.changes.push(Change::Signalled(Box::new(signalled)));
        turn.changes.extend(continued.then_some(Change::Continued { key: target.key, by: sender }));
    }

    fn deliver(&mut self, taken: &SignalTaken, turn: &mut Turn) {
        let SignalTaken { target, signal, code, flags } = *taken;
        let pending = self.processes.get_mut(target.key).and_then(|process| {
            let pending = &mut process.some_rare()?.pending;
            let i = pending.iter().position(|pending| pending.signal == signal)?;
            Some(pending.remove(i))
        });
        self.pending -= usize::from(pending.is_some());
        self.note_taken(target.key, signal);
        let verdict = signal::verdict_of_taken(taken);
        let own =
            pending.as_ref().filter(|pending| matches!(pending.sender, Sender::Process(by) if by.key == target.key));
        if let Some(own) = own.filter(|_| verdict == Verdict::DroppedAtDelivery) {
            self.note_dropped(target.key, signal, verdict, own.seq);
        }
        turn.changes.push(Change::Taken(Box::new(Signalled {
            signal,
            code,
            sender: pending.as_ref().map_or(Sender::Unknown, |pending| pending.sender),
            asked_by: pending.as_ref().map_or_else(Vec::new, |pending| pending.asked_by.clone()),
            target: self.identity(target.key),
            target_tid: target.tid,
            to_init: flags & signal_flags::UNKILLABLE != 0,
            from_outside: pending.as_ref().is_some_and(|pending| pending.from_outside),
            verdict,
            result: None,
            sent_at: pending.as_ref().map(|pending| pending.at),
            sent_seq: pending.map(|pending| pending.seq),
        })));
    }

    fn row(&mut self, row: &Row, turn: &mut Turn) {
        let Turn { at, seq, .. } = *turn;
        let Row { task, tracer, idle, status, leader_dead, live } = row;
        let key = task.key;
        if self.gone.contains(key, at) {
            return;
        }
        let is_new = self.learn(task, turn);
        if is_new {
            self.inherit_container(key, task.parent.map(|task| task.key), task.pid_ns);
            self.inherit_root(key, task.parent.map(|task| task.key));
        }
        // The kernel's word about the present parent counts.
        self.told_parent(key, task.parent, turn);
        let Some(process) = self.processes.get_mut(key) else { return };
        if process.told_tracer(at, *tracer) {
            self.marked.insert(key);
        }
        process.snapshot = self.snapshots.count;
        // An exiting task was running a moment ago, and will report its own death; an earlier report of its end stands.
        if !leader_dead && !task.exiting {
            process.state = State::Running;
            if let Some(parent) = process.parent {
                self.children.changed(parent.key, key, false);
            }
        }
        let is_found_stopped = self.note_found_stopped(row, turn);
        if is_new {
            self.count_birth(task.pid_ns);
            turn.changes.push(Change::Learned(key));
        }
        turn.changes.extend(is_found_stopped.then_some(Change::FoundStopped(key)));
        let since = idle.map_or(at, |idle| at - idle).max(key.start);
        let Some(process) = self.processes.get_mut(key) else { return };
        if *leader_dead && *live == 0 {
            match process.death_mut() {
                None => self.die(key, Death::new(since, false, *status, seq), turn),
                // It was first seen while it exited, perhaps before its status was set.
                Some(death) if !death.exact => {
                    death.status = *status;
                    death.at = death.at.min(since);
                }
                Some(_) => {}
            }
            // Whatever was expected of its end, it is a zombie.
            let is_held = tracer.is_some();
            if let Some(death) = self.processes.get_mut(key).and_then(|process| process.death_mut()) {
                (death.autoreap, death.tearing_down) = (death.autoreap && is_held, false);
            }
        } else if task.exiting && *live == 0 {
            // Its exit is held up. That its last thread is exiting may not be known: the record was lost, or is still
            // to come.
            if process.death().is_none() {
                self.die(key, Death::new(since, false, *status, seq), turn);
            }
            if let Some(death) = self.processes.get_mut(key).and_then(|process| process.death_mut()) {
                (death.tearing_down, death.notified) = (true, None);
            }
        } else if *leader_dead && *live > 0 && process.state == State::Running {
            process.state = State::LeaderDead { since, live: *live, is_ending: false, seq };
            turn.changes.push(Change::LeaderDied(key));
        }
        self.plan_look(key, at);
    }

    fn rename(&mut self, at: BootNs, key: ProcKey, comm: Comm) {
        // A process that is not known yet will be reported in full, with the new name.
        if let Some(process) = self.processes.get_mut(key) {
            process.seen_at = process.seen_at.max(at);
            if process.named_at <= at {
                (process.comm, process.named_at) = (comm, at);
            }
        }
    }

    fn survey(&mut self, at: BootNs, survey: &Survey) {
        let Survey { began, found } = survey;
        // A process that is not on the list is neither traced nor a subreaper; but an exit in between knows its own
        // tracer better.
        let Self { processes, marked, .. } = self;
        let mut doubtful = Vec::new();
        marked.retain(|key| {
            let Some(process) = processes.get_mut(*key) else { return false };
            if process.seen_at < *began {
                process.roles.subreaper = false;
                if process.tracer_at < *began && process.lose_tracer(*began) {
                    doubtful.push(*key);
                }
            }
            process.roles.subreaper || process.tracer.is_some()
        });
        for &Surveyed { key, tracer, subreaper } in found {
            if let Some(process) = processes.get_mut(key) {
                process.roles.subreaper = subreaper;
                let is_marked = process.told_tracer(at, tracer) || subreaper;
                marked.extend(is_marked.then_some(key));
            }
        }
        doubtful.into_iter().for_each(|key| self.plan_look(key, at));
    }

    fn snapshot_end(&mut self, turn: &mut Turn) {
        let Some(what) = self.snapshots.end() else { return };
        let (count, began) = (self.snapshots.count, self.snapshots.began);
        let is_unlisted = |process: &&Process| process.snapshot != count && process.seen_at < began;
        let mut unlisted: Vec<_> = self.processes.iter().filter(is_unlisted).map(|process| process.key).collect();
        unlisted.sort_unstable();
        match what {
            Unlisted::Gone => self.bury(unlisted, began, turn),
            Unlisted::NotFound => unlisted.into_iter().for_each(|key| self.not_found(key, began)),
        }
        turn.changes.push(Change::Synced);
    }
}
