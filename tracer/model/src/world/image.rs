//! The world as events that restore it: traces hold such images, so that a reader can start in the middle.

use crate::{
    event::{Adopter, Event, EventKind, Exit, ExitStatus, Notify, Row, TaskInfo},
    ident::TaskRef,
    time::BootNs,
    world::{Death, Process, State, World},
};

impl World {
    /// A snapshot as from the task iterator: each process with its command line, then the ends of those that have
    /// ended. Applied to an empty world, it restores processes, parents, namespaces, states and ages. It does not hold
    /// a process's past (its first parent, pending signals), except for membership in the command's tree and what its
    /// program has ignored from its start.
    pub fn image(&self) -> Vec<Event> {
        let now = self.now();
        let event = |at, kind| Event { at, cpu: 0, kind };
        let mut events = vec![event(now, EventKind::SnapshotBegin)];
        let mut ends = Vec::new();
        for process in self.processes() {
            let (at, row) = self.row_of(process);
            events.push(event(at, EventKind::Row(Box::new(row))));
            if !process.args.is_empty() || process.args.cut {
                events.push(event(now, EventKind::CommandLine(process.key, process.args.clone())));
            }
            events.extend(process.running().map(|running| event(now, EventKind::Running(running))));
            if let Some(death) = process.death().filter(|death| death.exact) {
                ends.push((death.at, process, death));
            }
        }
        // In order of death: an init's remaining processes must be there when it ends.
        ends.sort_by_key(|&(at, process, _)| (at, process.key));
        for (at, process, death) in ends {
            events.push(event(at, EventKind::Exit(Box::new(exit_of(process, death)))));
            if let Some((at, notify)) = notify_of(process, death) {
                events.push(event(at, EventKind::Notify(notify)));
            }
        }
        // Before the end, at which a reader has all it needs.
        let command = self.command().map_or_else(Vec::new, |command| command.image(self));
        let limits = self.image_of_limits().map(|rooms| EventKind::Rooms(Box::new(rooms)));
        let root = self.stream.tree_root.map(EventKind::TreeRoot);
        let thresholds = self.stream.thresholds.clone().map(EventKind::Thresholds);
        let others = self.image_of_containers().into_iter().chain(limits).chain(command).chain(root).chain(thresholds);
        events.extend(others.map(|kind| event(now, kind)));
        // Of a world that is not whole, no reader is to believe that it is.
        events.extend(self.snapshots.missing().map(|lost| event(now, EventKind::Lost(lost))));
        events.push(event(now, EventKind::SnapshotEnd));
        events
    }

    /// A process as the iterator would show it, and when. One that ended at a known time is shown as it was before; one
    /// that had ended before tracing began, as a zombie since then, or as one whose exit is held up.
    fn row_of(&self, process: &Process) -> (BootNs, Row) {
        let now = self.now();
        let (at, idle, leader_dead, live) = match process.state {
            State::Running => (now, None, false, process.threads),
            State::LeaderDead { since, live, .. } => (now, Some(now - since), true, live),
            State::Dead(Death { at, exact: true, .. }) => (at, None, false, process.threads),
            State::Dead(Death { at, tearing_down, .. }) => (at, None, !tearing_down, 0),
        };
        let stop = || process.stopped.as_ref().map(|stopped| ExitStatus::of_stop(stopped.signal));
        let status = process.death().map(|death| death.status).or_else(stop).unwrap_or_default();
        (at, Row { task: self.task_of(process), tracer: process.tracer, idle, status, leader_dead, live })
    }

    /// A process as the kernel would describe it.
    pub(super) fn task_of(&self, process: &Process) -> TaskInfo {
        let Process {
            key, parent, comm, cgroup, pid_ns, ns_level, ns_pid, mid_pids, roles, exit_signal, threads, ..
        } = *process;
        TaskInfo {
            key,
            parent,
            comm,
            cgroup,
            pid_ns,
            parent_ns: self.namespace(pid_ns).and_then(|ns| ns.parent),
            ns_level,
            ns_pid,
            mid_pids,
            roles,
            exiting: process.death().is_some_and(|death| !death.exact),
            exit_signal,
            threads,
        }
    }
}

fn exit_of(process: &Process, death: &Death) -> Exit {
    Exit {
        task: leader(process),
        parent: process.parent,
        tracer: process.tracer,
        // Its children have already got another parent.
        adopter: Adopter::None,
        status: death.status,
        live: 0,
        leader: true,
        group_dead: true,
        group_exit: true,
        autoreap: death.autoreap,
        adopter_ignores: false,
        oom: death.oom,
        seccomp: death.seccomp,
    }
}

/// When it became a zombie, if that is known.
fn notify_of(process: &Process, death: &Death) -> Option<(BootNs, Notify)> {
    let to = process.tracer.or(process.parent)?;
    let traced = process.tracer.is_some();
    Some((death.notified?, Notify { task: leader(process), to, traced, signal: process.exit_signal }))
}

fn leader(process: &Process) -> TaskRef {
    TaskRef { key: process.key, tid: process.key.tgid }
}
