//! From an [`Event`] to the bytes of a record: the inverse of [`decode`](crate::wire::decode), for
//! what user space itself adds to the stream, and for what an image of the world is made of
//! ([`World::image`](crate::world::World::image)). What the programs in the kernel write is never
//! encoded again: those bytes stay as they came.

use tracer_common::{
    ExitRecord, Header, NotifyRecord, RowRecord, SurveyRecord, Task, TaskId, kind as kernel,
    note::{
        self, CommandEndedRecord, CommandLineRecord, CommandScopeRecord, CommandStartedRecord, ContainedRecord,
        EndRecord, LookRecord, LostRecord, MasksRecord, OutOfMemoryRecord, SurveyedRecord,
    },
    record::{NEVER, adopter, exit_flags},
    task::flags,
};
use zerocopy::{Immutable, IntoBytes};

use crate::{
    event::{
        Adopter, End, Event, EventKind, Exit, Look, Loss, Masks, Notify, Roles, Row, Scope, Survey, Surveyed, TaskInfo,
    },
    host::OutOfMemory,
    ident::{Args, ProcKey, TaskRef},
    world::World,
};

/// Appends the record of an event; nothing for a kind that only the kernel writes.
pub fn encode(event: &Event, to: &mut Vec<u8>) {
    let out = Out { at: event.at, cpu: event.cpu, to };
    match &event.kind {
        // A structure of strings and numbers, which JSON holds always.
        EventKind::Start(info) => out.header_and(note::kind::START, &serde_json::to_vec(info).unwrap_or_default()),
        EventKind::SnapshotBegin => out.header_and(note::kind::SNAPSHOT_BEGIN, &[]),
        EventKind::Row(row) => out.record(kernel::ROW, &row_record(row), &[]),
        EventKind::SnapshotEnd => out.header_and(note::kind::SNAPSHOT_END, &[]),
        EventKind::Survey(survey) => out.survey(survey),
        EventKind::CommandLine(key, Args { bytes, cut, trust }) => {
            let (cut, trust) = (u32::from(*cut), trust.number());
            let fixed = CommandLineRecord { id: leader(*key), cut, trust, ..Default::default() };
            out.record(note::kind::COMMAND_LINE, &fixed, bytes);
        }
        EventKind::Look(Look { key, found }) => {
            let (state, ppid) = found.map_or((0, 0), |found| (found.state, found.ppid));
            let pts = found.and_then(|found| found.pts).map_or(0, |pts| pts.saturating_add(1));
            out.record(note::kind::LOOK, &LookRecord { id: leader(*key), ppid, state, pts, ..Default::default() }, &[]);
        }
        EventKind::Lost(Loss { ring, undecodable, missed, unreadable }) => {
            let fixed = LostRecord {
                undecodable: *undecodable,
                missed: *missed,
                unreadable: *unreadable,
                ..Default::default()
            };
            out.record(note::kind::LOST, &fixed, ring.as_bytes());
        }
        EventKind::Tick => out.header_and(note::kind::TICK, &[]),
        EventKind::CommandStarted(key, args) => {
            let fixed = CommandStartedRecord { id: leader(*key), cut: u32::from(args.cut), ..Default::default() };
            out.record(note::kind::COMMAND_STARTED, &fixed, &args.bytes);
        }
        EventKind::CommandEnded(key, status) => {
            let fixed = CommandEndedRecord { id: leader(*key), status: status.0, ..Default::default() };
            out.record(note::kind::COMMAND_ENDED, &fixed, &[]);
        }
        EventKind::CommandScope(scope) => {
            let Scope { processes, namespaces } = &**scope;
            let counts = [processes.len() as u32, namespaces.len() as u32];
            let fixed = CommandScopeRecord { processes: counts[0], namespaces: counts[1], ..Default::default() };
            let processes: Vec<_> = processes.iter().copied().map(leader).collect();
            let namespaces: Vec<_> = namespaces.iter().map(|ns| ns.0).collect();
            let rest = [processes.as_slice().as_bytes(), namespaces.as_slice().as_bytes()].concat();
            out.record(note::kind::COMMAND_SCOPE, &fixed, &rest);
        }
        EventKind::Container(container) => {
            out.header_and(note::kind::CONTAINER, &serde_json::to_vec(container).unwrap_or_default());
        }
        EventKind::Rooms(rooms) => {
            out.header_and(note::kind::ROOMS, &serde_json::to_vec(rooms).unwrap_or_default());
        }
        EventKind::Masks(task, masks) => {
            let Masks { pending, shared_pending, blocked } = masks.unwrap_or_default();
            let id = TaskId { start: task.key.start, tgid: task.key.tgid, tid: task.tid };
            let fixed = MasksRecord { id, pending, shared_pending, blocked, ..Default::default() };
            out.record(note::kind::MASKS, &fixed, &[]);
        }
        EventKind::OutOfMemory(key, which) => {
            let (of_group, path) = match which {
                OutOfMemory::Machine => (0, ""),
                OutOfMemory::Group(path) => (1, path.as_deref().unwrap_or_default()),
            };
            let fixed = OutOfMemoryRecord { id: leader(*key), of_group, ..Default::default() };
            out.record(note::kind::OUT_OF_MEMORY, &fixed, path.as_bytes());
        }
        EventKind::Contained(key, id) => {
            let fixed = ContainedRecord { id: leader(*key), ..Default::default() };
            out.record(note::kind::CONTAINED, &fixed, id.as_bytes());
        }
        EventKind::End(End { began, cpu_ns, signals, walks_cut }) => {
            let (began, cpu_ns, signals, walks_cut) = (*began, *cpu_ns, *signals, *walks_cut);
            let record = EndRecord { began, cpu_ns, signals, walks_cut, ..Default::default() };
            out.record(note::kind::END, &record, &[]);
        }
        EventKind::Exit(exit) => out.record(kernel::EXIT, &exit_record(exit), &[]),
        EventKind::Notify(Notify { task, to, traced, signal }) => {
            let (id, to, traced) = (task_id(Some(*task)), task_id(Some(*to)), u32::from(*traced));
            out.record(kernel::NOTIFY, &NotifyRecord { id, to, signal: *signal, traced, ..Default::default() }, &[]);
        }
        EventKind::Fork(_)
        | EventKind::Exec(_)
        | EventKind::Free(_)
        | EventKind::Adopt(_)
        | EventKind::Reap(_)
        | EventKind::Rename(..)
        | EventKind::Signal(_)
        | EventKind::Deliver(_) => {}
    }
}

/// An image of the world ([`World::image`]) as records, one after the other.
pub fn image(world: &World) -> Vec<u8> {
    let mut records = Vec::new();
    for event in world.image() {
        encode(&event, &mut records);
    }
    records
}

/// Where a record goes, and what its header says besides kind and length.
struct Out<'a> {
    at: u64,
    cpu: u16,
    to: &'a mut Vec<u8>,
}

impl Out<'_> {
    fn header_and(self, kind: u8, rest: &[u8]) {
        self.record(kind, &Header::default(), rest);
    }

    /// Appends a structure that begins with a header, which is filled in, and what follows it.
    fn record(self, kind: u8, fixed: &(impl IntoBytes + Immutable), rest: &[u8]) {
        let Self { at, cpu, to } = self;
        let fixed = fixed.as_bytes();
        let header = Header { at, kind, reserved: 0, cpu, len: (fixed.len() + rest.len()) as u32 };
        to.extend_from_slice(header.as_bytes());
        to.extend_from_slice(&fixed[size_of::<Header>()..]);
        to.extend_from_slice(rest);
    }

    fn survey(self, survey: &Survey) {
        let Survey { began, found } = survey;
        let header =
            Header { at: self.at, kind: kernel::SURVEY, reserved: 0, cpu: 0, len: size_of::<SurveyRecord>() as u32 };
        let rows: Vec<_> = found
            .iter()
            .map(|&Surveyed { key, tracer, subreaper }| SurveyRecord {
                header,
                id: leader(key),
                tracer: task_id(tracer),
                flags: if subreaper { flags::SUBREAPER } else { 0 },
                reserved: 0,
            })
            .collect();
        self.record(
            note::kind::SURVEYED,
            &SurveyedRecord { began: *began, ..Default::default() },
            rows.as_slice().as_bytes(),
        );
    }
}

fn row_record(row: &Row) -> RowRecord {
    let Row { task, tracer, idle, status, leader_dead, live } = row;
    let mut task = task_record(task);
    if *leader_dead {
        task.flags |= flags::LEADER_DEAD;
    }
    RowRecord {
        header: Header::default(),
        task,
        tracer: task_id(*tracer),
        idle: idle.unwrap_or(NEVER),
        exit_code: status.0,
        live: *live,
    }
}

fn task_record(info: &TaskInfo) -> Task {
    let TaskInfo {
        key,
        parent,
        comm,
        cgroup,
        pid_ns,
        parent_ns,
        ns_level,
        ns_pid,
        mid_pids,
        roles,
        exiting,
        exit_signal,
        threads,
    } = *info;
    let Roles { init, subreaper, outsider, kthread } = roles;
    Task {
        id: leader(key),
        parent: task_id(parent),
        comm: comm.0,
        cgroup,
        pid_ns: pid_ns.0,
        parent_ns: parent_ns.map_or(0, |ns| ns.0),
        ns_level,
        ns_pid,
        mid_pids,
        flags: set(&[
            (init, flags::INIT),
            (subreaper, flags::SUBREAPER),
            (outsider, flags::OUTSIDER),
            (kthread, flags::KTHREAD),
            (exiting, flags::EXITING),
        ]),
        exit_signal,
        threads,
    }
}

fn exit_record(exit: &Exit) -> ExitRecord {
    let Exit { task, parent, tracer, adopter, status, live, leader, group_dead, autoreap, adopter_ignores, oom } =
        *exit;
    let (adopter_class, to) = match adopter {
        Adopter::None => (adopter::NONE, None),
        Adopter::Thread(to) => (adopter::THREAD, Some(to)),
        Adopter::Subreaper(to) => (adopter::SUBREAPER, Some(to)),
        Adopter::NamespaceInit(to) => (adopter::NAMESPACE_INIT, Some(to)),
        Adopter::Unknown => (adopter::UNKNOWN, None),
    };
    ExitRecord {
        header: Header::default(),
        id: task_id(Some(task)),
        parent: task_id(parent),
        tracer: task_id(tracer),
        adopter: task_id(to),
        exit_code: status.0,
        group_code: 0,
        live,
        exit_signal: 0,
        flags: set(&[
            (group_dead, exit_flags::GROUP_DEAD),
            (leader, exit_flags::LEADER),
            (autoreap, exit_flags::AUTOREAP),
            (adopter_ignores, exit_flags::ADOPTER_IGNORES),
            (oom, exit_flags::OOM_VICTIM),
        ]),
        adopter_class,
    }
}

/// The bits whose conditions hold.
fn set(bits: &[(bool, u32)]) -> u32 {
    bits.iter().filter(|(holds, _)| *holds).map(|(_, bit)| bit).sum()
}

fn leader(ProcKey { start, tgid }: ProcKey) -> TaskId {
    TaskId { start, tgid, tid: tgid }
}

fn task_id(task: Option<TaskRef>) -> TaskId {
    task.map_or(TaskId::default(), |TaskRef { key: ProcKey { start, tgid }, tid }| TaskId { start, tgid, tid })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use tracer_common::record::ARGS_MAX;

    use super::*;
    use crate::{
        event::{ExitStatus, Looked},
        host::{GroupRoom, Holder, Room, Rooms, StartInfo},
        ident::{Comm, PidNs, Trust},
        thresholds::Thresholds,
        wire::decode::decode,
    };

    fn key() -> impl Strategy<Value = ProcKey> {
        (any::<u64>(), 1..=u32::MAX).prop_map(|(start, tgid)| ProcKey { start, tgid })
    }

    fn task() -> impl Strategy<Value = Option<TaskRef>> {
        proptest::option::of((key(), any::<u32>()).prop_map(|(key, tid)| TaskRef { key, tid }))
    }

    prop_compose! {
        fn info()(
            key in key(), parent in task(), comm in any::<[u8; 16]>(), cgroup in any::<u64>(),
            ns in any::<u32>(), parent_ns in proptest::option::of(1..=u32::MAX), pids in any::<[u32; 5]>(),
            roles in any::<[bool; 5]>(), exit_signal in any::<i32>(), threads in any::<u32>(),
        ) -> TaskInfo {
            let [ns_level, ns_pid, mid_pids @ ..] = pids;
            let [init, subreaper, outsider, kthread, exiting] = roles;
            TaskInfo {
                key, parent, comm: Comm(comm), cgroup, pid_ns: PidNs(ns), parent_ns: parent_ns.map(PidNs), ns_level,
                ns_pid, mid_pids, roles: Roles { init, subreaper, outsider, kthread }, exiting, exit_signal, threads,
            }
        }
    }

    fn loss() -> impl Strategy<Value = Loss> {
        (any::<[u32; kernel::COUNT]>(), any::<[u64; 3]>()).prop_map(|(ring, [undecodable, missed, unreadable])| Loss {
            ring: ring.map(u64::from),
            undecodable,
            missed,
            unreadable,
        })
    }

    fn kind() -> impl Strategy<Value = EventKind> {
        let start =
            any::<(String, i64, u32, bool, u64)>().prop_map(|(text, wall_offset_ns, ring_size, flag, after)| {
                EventKind::Start(Box::new(StartInfo {
                    version: text.clone(),
                    kernel: text.clone(),
                    boot_id: text.clone(),
                    host: text.clone(),
                    wall_offset_ns,
                    hooks: vec![text.clone()],
                    degraded: vec![text.clone(), text.clone()],
                    ring_size,
                    all_signals: flag,
                    fatal_signals: !flag,
                    forwarded_signals: flag,
                    all_deliveries: !flag,
                    arguments: vec![text],
                    has_command: flag,
                    thresholds: Thresholds { unreaped_after: after, ..Thresholds::default() },
                }))
            });
        let idle = proptest::option::of(0..u64::MAX);
        let row = (info(), task(), idle, any::<(i32, bool, u32)>()).prop_map(|(task, tracer, idle, rest)| {
            let (status, leader_dead, live) = rest;
            EventKind::Row(Box::new(Row { task, tracer, idle, status: ExitStatus(status), leader_dead, live }))
        });
        let found = proptest::collection::vec((key(), task(), any::<bool>()), 0..4);
        let survey = (any::<u64>(), found).prop_map(|(began, found)| {
            let found = found.into_iter().map(|(key, tracer, subreaper)| Surveyed { key, tracer, subreaper }).collect();
            EventKind::Survey(Box::new(Survey { began, found }))
        });
        let args = (key(), proptest::collection::vec(any::<u8>(), 0..=ARGS_MAX), any::<(bool, u32)>()).prop_map(
            |(key, bytes, (cut, trust))| {
                let trust = Trust::from_number(trust);
                EventKind::CommandLine(key, Args { bytes: bytes.into(), cut, trust })
            },
        );
        let group = proptest::option::of("[/a-z]{1,40}").prop_map(OutOfMemory::Group);
        let which = prop_oneof![Just(OutOfMemory::Machine), group];
        let memory = (key(), which).prop_map(|(key, which)| EventKind::OutOfMemory(key, which));
        let found = proptest::option::of((1..=u8::MAX, any::<u32>(), proptest::option::of(0..u16::MAX)));
        let look = (key(), found).prop_map(|(key, found)| {
            EventKind::Look(Look { key, found: found.map(|(state, ppid, pts)| Looked { state, ppid, pts }) })
        });
        let masks = (task(), any::<[u64; 3]>()).prop_map(|(task, [pending, shared_pending, blocked])| {
            let masks = Masks { pending, shared_pending, blocked };
            EventKind::Masks(task.unwrap_or_default(), (masks != Masks::default()).then_some(masks))
        });
        let room = || any::<(u64, u64)>().prop_map(|(used, most)| Room { used, most });
        let members = proptest::collection::vec(key(), 0..3);
        let failed = (any::<u64>(), proptest::option::of(any::<u64>()), any::<bool>());
        let group = (key(), room(), failed, members, any::<u64>(), ".{0,9}");
        let group = group.prop_map(|(process, room, failed, members, id, path)| {
            let (failed, failed_now, failed_is_inferred) = failed;
            GroupRoom { process, room, failed, failed_now, failed_is_inferred, members, id, path }
        });
        let holder = (key(), any::<u64>()).prop_map(|(process, held)| Holder { process, held });
        let rooms = (
            proptest::option::of(room()),
            proptest::collection::vec(holder, 0..3),
            proptest::option::of(room()),
            proptest::collection::vec(group, 0..3),
            proptest::option::of((key(), room())),
            (any::<u64>(), proptest::collection::vec(any::<u64>(), 0..3), proptest::option::of(any::<u64>())),
        );
        let rooms = rooms.prop_map(|(ptys, pty_holders, pids, groups, of, others)| {
            let (pty_reserve, groups_gone, groups_left_out) = others;
            EventKind::Rooms(Box::new(Rooms {
                ptys,
                pty_reserve,
                pty_holders,
                pids,
                groups,
                groups_gone,
                groups_left_out,
                of,
            }))
        });
        let started =
            (key(), proptest::collection::vec(any::<u8>(), 0..600), any::<bool>()).prop_map(|(key, bytes, cut)| {
                EventKind::CommandStarted(key, Args { bytes: bytes.into(), cut, ..Args::default() })
            });
        let ended = (key(), any::<i32>()).prop_map(|(key, status)| EventKind::CommandEnded(key, ExitStatus(status)));
        let scope = (proptest::collection::vec(key(), 0..4), proptest::collection::vec(any::<u32>(), 0..4));
        let scope = scope.prop_map(|(processes, namespaces)| {
            let namespaces = namespaces.into_iter().map(PidNs).collect();
            EventKind::CommandScope(Box::new(Scope { processes, namespaces }))
        });
        let end = any::<[u64; 4]>()
            .prop_map(|[began, cpu_ns, signals, walks_cut]| EventKind::End(End { began, cpu_ns, signals, walks_cut }));
        let adopter = (0..5, task()).prop_map(|(class, to)| match (class, to) {
            (0, Some(to)) => Adopter::Thread(to),
            (1, Some(to)) => Adopter::Subreaper(to),
            (2, Some(to)) => Adopter::NamespaceInit(to),
            (3, _) => Adopter::Unknown,
            _ => Adopter::None,
        });
        let exit = (task(), [task(), task()], adopter, any::<(i32, u32, [bool; 5])>());
        let exit = exit.prop_map(|(task, [parent, tracer], adopter, (status, live, bits))| {
            let (task, status, [leader, group_dead, autoreap, adopter_ignores, oom]) =
                (task.unwrap_or_default(), ExitStatus(status), bits);
            EventKind::Exit(Box::new(Exit {
                task,
                parent,
                tracer,
                adopter,
                status,
                live,
                leader,
                group_dead,
                autoreap,
                adopter_ignores,
                oom,
            }))
        });
        let notify = (task(), task(), any::<(bool, i32)>()).prop_map(|(task, to, (traced, signal))| {
            EventKind::Notify(Notify { task: task.unwrap_or_default(), to: to.unwrap_or_default(), traced, signal })
        });
        prop_oneof![
            exit,
            notify,
            memory,
            start,
            Just(EventKind::SnapshotBegin),
            row,
            Just(EventKind::SnapshotEnd),
            survey,
            args,
            look,
            masks,
            rooms,
            loss().prop_map(EventKind::Lost),
            Just(EventKind::Tick),
            started,
            ended,
            scope,
            end,
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(at in any::<u64>(), kind in kind()) {
            let event = Event { at, cpu: 0, kind };
            let mut bytes = Vec::new();
            encode(&event, &mut bytes);
            prop_assert_eq!(decode(&bytes), Ok(event));
        }
    }
}
