//! For tests: tells a story of processes, event by event, as the kernel would.
//!
//! A process is named by its host pid; it starts at `pid` milliseconds after boot. Time passes
//! only when the story says so.

use tracer_common::record::signal_flags as bit;

use crate::{
    detector::Detector,
    event::{
        Adopter, Event, EventKind, Exec, Exit, ExitStatus, Fork, Look, Looked, Loss, Roles, Row, SignalSent,
        SignalTaken, TaskInfo,
    },
    finding::Finding,
    ident::{Args, Comm, PidNs, ProcKey, TaskRef},
    rules::Wanted,
    signal::{Aim, Place, Signal},
    thresholds::Thresholds,
    time::{BootNs, Span},
    world::World,
};

/// The host's pid namespace.
pub const HOST: PidNs = PidNs(4_026_531_836);

/// One millisecond.
pub const MS: Span = Span::MS;

/// So many milliseconds after the boot.
pub fn after_boot(ms: u64) -> BootNs {
    BootNs::ZERO + ms * MS
}

/// The key of the process with that pid.
pub fn key(pid: u32) -> ProcKey {
    ProcKey { start: after_boot(pid.into()), tgid: pid }
}

/// A command line of words without blanks.
pub fn args(line: &str) -> Args {
    Args { bytes: (line.replace(' ', "\0") + "\0").into_bytes().into(), ..Args::default() }
}

/// Its main thread.
pub fn task(pid: u32) -> TaskRef {
    TaskRef { key: key(pid), tid: pid }
}

/// A process of the host that a parent has forked.
pub fn born(pid: u32, parent: u32) -> TaskInfo {
    TaskInfo {
        key: key(pid),
        parent: (parent != 0).then(|| task(parent)),
        comm: Comm::from(format!("p{pid}").as_str()),
        cgroup: 1,
        pid_ns: HOST,
        parent_ns: None,
        ns_level: 0,
        ns_pid: pid,
        mid_pids: [0; 3],
        roles: Roles { init: pid == 1, ..Roles::default() },
        exiting: false,
        exit_signal: 17,
        threads: 1,
    }
}

/// A process of a namespace of the first level.
pub fn born_in(ns: u32, pid: u32, ns_pid: u32, parent: u32) -> TaskInfo {
    TaskInfo {
        pid_ns: PidNs(ns),
        parent_ns: Some(HOST),
        ns_level: 1,
        ns_pid,
        mid_pids: [ns_pid, 0, 0],
        roles: Roles { init: ns_pid == 1, ..Roles::default() },
        ..born(pid, parent)
    }
}

/// The end of a process with one thread.
pub fn end(pid: u32, parent: u32, adopter: Adopter) -> Exit {
    Exit {
        task: task(pid),
        parent: (parent != 0).then(|| task(parent)),
        tracer: None,
        adopter,
        status: ExitStatus(0),
        live: 0,
        leader: true,
        group_dead: true,
        group_exit: true,
        autoreap: false,
        adopter_ignores: false,
        oom: false,
        seccomp: false,
    }
}

/// A signal that the kernel accepted, by kill(2).
pub fn kill(from: u32, to: u32, signal: Signal) -> SignalSent {
    SignalSent {
        current: task(from),
        target: task(to),
        signal,
        code: 0,
        flags: bit::GROUP,
        result: 0,
        aim: Aim::One,
        place: Place::default(),
    }
}

/// The beginning of a stream that has the fatal signals, and of others only what a finding may depend on.
pub fn start(thresholds: &Thresholds) -> EventKind {
    let info = serde_json::json!({
        "version": "0", "kernel": "6", "boot_id": "", "host": "", "wall_offset_ns": 0, "hooks": [], "degraded": [],
        "ring_size": 0, "all_signals": false, "fatal_signals": true, "all_deliveries": false, "arguments": [],
        "thresholds": thresholds
    });
    EventKind::Start(serde_json::from_value(info).expect("the fields of a start"))
}

/// A detector, the clock of the story, and what was found so far.
pub struct Story {
    /// What is told goes there.
    pub detector: Detector,
    /// The time.
    pub now: BootNs,
    /// What was found since it was last asked for.
    pub found: Vec<Finding>,
}

impl Default for Story {
    fn default() -> Self {
        Self::new()
    }
}

impl Story {
    /// A host with its init, at one second after boot.
    pub fn new() -> Self {
        Self::with(&Thresholds::default())
    }

    /// The same, with other thresholds.
    pub fn with(thresholds: &Thresholds) -> Self {
        let mut story = Self { detector: Detector::new(thresholds), now: after_boot(1_000), found: Vec::new() };
        story.snapshot(&[born(1, 0)]);
        story
    }

    /// The same, read by somebody who asks for the tree of a process with that pid.
    #[must_use]
    pub fn read_for_tree(self, pid: Option<u32>) -> Self {
        Self { detector: self.detector.asked_for_tree(pid), ..self }
    }

    /// The world as it is now.
    pub fn world(&self) -> &World {
        self.detector.world()
    }

    /// Takes an event in, one microsecond after the last.
    pub fn event(&mut self, kind: EventKind) -> &mut Self {
        self.now += Span::MICROSECOND;
        let event = Event { at: self.now, cpu: 0, kind };
        let (step, _) = self.detector.step(&event, &[]);
        self.found.extend_from_slice(step.findings);
        self
    }

    /// A birth.
    pub fn fork(&mut self, task: TaskInfo) -> &mut Self {
        let creator = task.parent;
        self.event(EventKind::Fork(Box::new(Fork { task, creator })))
    }

    /// By a command line of words without blanks, of which the first is its name.
    pub fn exec(&mut self, pid: u32, line: &str) -> &mut Self {
        let comm = Comm::from(line.split(' ').next().unwrap_or_default());
        self.event(EventKind::Exec(Box::new(Exec {
            task: task(pid),
            comm,
            old_tid: pid,
            args: args(line),
            mount_ns: 0,
            ignored: Some(0),
        })))
    }

    /// An end.
    pub fn exit(&mut self, exit: Exit) -> &mut Self {
        self.event(EventKind::Exit(Box::new(exit)))
    }

    /// A process leaves the process table.
    pub fn free(&mut self, pid: u32) -> &mut Self {
        self.event(EventKind::Free(task(pid)))
    }

    /// A signal is sent.
    pub fn signal(&mut self, sent: SignalSent) -> &mut Self {
        self.event(EventKind::Signal(sent))
    }

    /// A signal is taken from the queue.
    pub fn deliver(&mut self, pid: u32, signal: Signal, flags: u16) -> &mut Self {
        self.event(EventKind::Deliver(SignalTaken { target: task(pid), signal, code: 0, flags }))
    }

    /// So many records are lost.
    pub fn lose(&mut self, count: u64) -> &mut Self {
        let mut loss = Loss::default();
        loss.ring[1] = count;
        self.event(EventKind::Lost(loss))
    }

    /// What the task iterator shows.
    pub fn snapshot(&mut self, alive: &[TaskInfo]) -> &mut Self {
        let rows: Vec<_> = alive.iter().map(|&task| running(task)).collect();
        self.rows(&rows)
    }

    /// The same, with full rows.
    pub fn rows(&mut self, rows: &[Row]) -> &mut Self {
        self.event(EventKind::SnapshotBegin);
        for &row in rows {
            self.event(EventKind::Row(Box::new(row)));
        }
        self.event(EventKind::SnapshotEnd)
    }

    /// A look at a process, which finds this state and this parent.
    pub fn look(&mut self, pid: u32, found: Option<(u8, u32)>) -> &mut Self {
        let found = found.map(|(state, ppid)| Looked { state, ppid, pts: None });
        self.event(EventKind::Look(Look { key: key(pid), found }))
    }

    /// Lets time pass. What is due is looked at first, and found as `looks` says: pid, state, parent. For the others:
    /// orphans have the predicted parents, living processes are unchanged, and the rest is gone; so is a process that
    /// was not found before.
    pub fn wait(&mut self, ms: u64, looks: &[(u32, u8, u32)]) -> &mut Self {
        self.now += ms * MS;
        let until = self.now;
        loop {
            for due in self.detector.due(until, usize::MAX) {
                let Wanted::Look(due) = due else { continue };
                let told = looks.iter().find(|(pid, ..)| *pid == due.tgid).map(|&(_, state, ppid)| (state, ppid));
                let found = told.or_else(|| self.expected(due));
                self.look(due.tgid, found);
            }
            self.event(EventKind::Tick);
            if !self.detector.is_more_due(until) {
                return self;
            }
        }
    }

    /// What a look will find for a process that `looks` does not mention.
    fn expected(&self, key: ProcKey) -> Option<(u8, u32)> {
        let process = self.world().get(key).filter(|process| !process.is_missing())?;
        let is_predicted = || self.world().doubtful(self.now).any(|doubtful| doubtful == key);
        let parent = self.world().parent(key).map_or(0, |parent| parent.key.tgid);
        let is_there = process.death().is_none() || is_predicted();
        is_there.then_some((if process.is_zombie() { b'Z' } else { b'S' }, parent))
    }

    /// The findings since the last call, by rule.
    pub fn rules(&mut self) -> Vec<&'static str> {
        self.found.drain(..).map(|finding| finding.rule.name).collect()
    }

    /// The one finding since the last call.
    pub fn only(&mut self) -> Finding {
        assert_eq!(self.found.len(), 1, "{:#?}", self.found);
        self.found.remove(0)
    }
}

/// A row of a process that runs.
pub fn running(task: TaskInfo) -> Row {
    Row { task, tracer: None, idle: Some(Span::ZERO), status: ExitStatus(0), leader_dead: false, live: 1 }
}

/// A row of a zombie that died `ago` milliseconds ago.
pub fn zombie(task: TaskInfo, ago: Option<u64>) -> Row {
    Row { leader_dead: true, live: 0, idle: ago.map(|ms| ms * MS), ..running(task) }
}
