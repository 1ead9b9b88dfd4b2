//! From an [`Event`] to the bytes of a record: the inverse of [`decode`](crate::wire::decode), for events that user
//! space adds to the stream and for images of the world ([`World::image`](crate::world::World::image)). Records of the
//! programs in the kernel are kept as they came; only tests encode those.

use std::mem::offset_of;

use tracer_common::{
    AdoptRecord, AwaitedRecord, DeliverRecord, ExecRecord, ExitRecord, FreeRecord, Header, NewRecord, NotifyRecord,
    ReapRecord, Recorded, RenameRecord, RowRecord, SignalRecord, SurveyRecord, Task, TaskId,
    record::{
        ARGS_MAX, CommandEndedRecord, CommandLineRecord, CommandScopeRecord, CommandStartedRecord, ContainedRecord,
        ContainerRecord, EndRecord, ExecContext, HeldRecord, LookRecord, LostRecord, MasksRecord, NEVER, NO_CALL,
        OutOfMemoryRecord, PipeRecord, RoomsRecord, RunningRecord, SnapshotBeginRecord, SnapshotEndRecord, StartRecord,
        SurveyedRecord, ThresholdsRecord, TickRecord, TreeRootRecord, adopter, aim, exit_flags,
    },
    task::flags,
};
use zerocopy::{Immutable, IntoBytes};

use crate::{
    event::{
        Adopt, Adopter, Awaited, CommandParts, End, Event, EventKind, Exec, Exit, Fork, Look, Loss, Masks, Notify,
        Pipe, Reap, Roles, Row, Running, SignalSent, SignalTaken, Survey, Surveyed, TaskInfo, WaitCall,
    },
    host::OutOfMemory,
    ident::{Args, ProcKey, TaskRef},
    signal::{Aim, Place},
    time::BootNs,
    world::World,
};

/// Appends the record of an event.
pub fn encode(event: &Event, to: &mut Vec<u8>) {
    let out = Out { at: event.at, cpu: event.cpu, to };
    match &event.kind {
        EventKind::Fork(fork) => {
            let Fork { task, creator } = &**fork;
            out.fixed(&NewRecord { task: task_record(task), creator: task_id(*creator), ..Default::default() });
        }
        EventKind::Exec(exec) => out.exec(exec),
        EventKind::Exit(exit) => out.fixed(&exit_record(exit)),
        EventKind::Free(task) => out.fixed(&FreeRecord { id: id(*task), ..Default::default() }),
        EventKind::Signal(SignalSent { current, target, signal, code, flags, result, aim, place }) => {
            let (sender, target, signal) = (id(*current), id(*target), signal.0);
            let (code, flags, result) = (*code, *flags, *result);
            let Place { group, session, terminal } = *place;
            let (aim, terminal) = (aim_number(*aim), terminal.map_or(0, |terminal| terminal.0));
            let header = Header::default();
            out.fixed(&SignalRecord {
                header,
                sender,
                target,
                code,
                flags,
                signal,
                result,
                aim,
                group,
                session,
                terminal,
            });
        }
        EventKind::Deliver(SignalTaken { target, signal, code, flags }) => {
            let (target, code, flags, signal) = (id(*target), *code, *flags, signal.0);
            out.fixed(&DeliverRecord { target, code, flags, signal, ..Default::default() });
        }
        EventKind::Row(row) => out.fixed(&row_record(row)),
        EventKind::Adopt(Adopt { child, from, to }) => {
            let (child, from, to) = (id(*child), id(*from), id(*to));
            out.fixed(&AdoptRecord { child, from, to, ..Default::default() });
        }
        EventKind::Reap(Reap { task, reaper, call }) => {
            let (id, reaper, call) = (id(*task), id(*reaper), call_number(*call));
            out.fixed(&ReapRecord { id, reaper, call, ..Default::default() });
        }
        EventKind::Notify(Notify { task, to, traced, signal }) => {
            let (id, to, traced) = (id(*task), id(*to), u32::from(*traced));
            out.fixed(&NotifyRecord { id, to, signal: *signal, traced, ..Default::default() });
        }
        EventKind::Rename(key, comm) => {
            out.fixed(&RenameRecord { id: leader(*key), comm: comm.0, ..Default::default() });
        }
        // Structs of strings and numbers, which JSON can always represent.
        EventKind::Awaited(Awaited { task, waiter, only }) => {
            let only = u32::from(*only);
            out.fixed(&AwaitedRecord { id: id(*task), waiter: id(*waiter), only, ..Default::default() });
        }
        EventKind::Start(info) => {
            out.record(&StartRecord::default(), &serde_json::to_vec(info).unwrap_or_default());
        }
        EventKind::Thresholds(thresholds) => {
            out.record(&ThresholdsRecord::default(), &serde_json::to_vec(thresholds).unwrap_or_default());
        }
        EventKind::Container(container) => {
            out.record(&ContainerRecord::default(), &serde_json::to_vec(container).unwrap_or_default());
        }
        EventKind::Held(key, held) => {
            let json = serde_json::to_vec(held).unwrap_or_default();
            out.record(&HeldRecord { id: leader(*key), ..Default::default() }, &json);
        }
        EventKind::Pipe(Pipe { reader, writer, shared }) => {
            let (reader, writer, shared) = (leader(*reader), leader(*writer), u32::from(*shared));
            out.fixed(&PipeRecord { reader, writer, shared, ..Default::default() });
        }
        EventKind::Rooms(rooms) => {
            out.record(&RoomsRecord::default(), &serde_json::to_vec(rooms).unwrap_or_default());
        }
        EventKind::SnapshotBegin => out.fixed(&SnapshotBeginRecord::default()),
        EventKind::SnapshotEnd => out.fixed(&SnapshotEndRecord::default()),
        EventKind::Survey(survey) => out.survey(survey),
        EventKind::CommandLine(key, Args { bytes, cut, trust }) => {
            let (cut, trust) = (u32::from(*cut), trust.number());
            let fixed = CommandLineRecord { id: leader(*key), cut, trust, ..Default::default() };
            out.record(&fixed, bytes);
        }
        EventKind::Look(Look { key, found }) => {
            let (state, ppid) = found.map_or((0, 0), |found| (found.state, found.ppid));
            let pts = found.and_then(|found| found.pts).map_or(0, |pts| pts.saturating_add(1));
            out.fixed(&LookRecord { id: leader(*key), ppid, state, pts, ..Default::default() });
        }
        EventKind::Lost(Loss { ring, undecodable, missed, unreadable }) => {
            let fixed = LostRecord {
                undecodable: *undecodable,
                missed: *missed,
                unreadable: *unreadable,
                ..Default::default()
            };
            out.record(&fixed, ring.as_bytes());
        }
        EventKind::Tick => out.fixed(&TickRecord::default()),
        EventKind::CommandStarted(key, args) => {
            let fixed = CommandStartedRecord { id: leader(*key), cut: u32::from(args.cut), ..Default::default() };
            out.record(&fixed, &args.bytes);
        }
        EventKind::CommandEnded(key, status) => {
            let fixed = CommandEndedRecord { id: leader(*key), status: status.0, ..Default::default() };
            out.fixed(&fixed);
        }
        EventKind::CommandScope(scope) => {
            let CommandParts { processes, namespaces } = &**scope;
            let counts = [processes.len() as u32, namespaces.len() as u32];
            let fixed = CommandScopeRecord { processes: counts[0], namespaces: counts[1], ..Default::default() };
            let processes: Vec<_> = processes.iter().copied().map(leader).collect();
            let namespaces: Vec<_> = namespaces.iter().map(|ns| ns.0).collect();
            let rest = [processes.as_slice().as_bytes(), namespaces.as_slice().as_bytes()].concat();
            out.record(&fixed, &rest);
        }
        EventKind::TreeRoot(key) => out.fixed(&TreeRootRecord { id: leader(*key), ..Default::default() }),
        EventKind::Running(Running { key, since, ignored }) => {
            let (id, since, ignored) = (leader(*key), since.0, *ignored);
            out.fixed(&RunningRecord { id, since, ignored, ..Default::default() });
        }
        EventKind::Masks(task, masks) => {
            let Masks { pending, shared_pending, blocked, caught } = masks.unwrap_or_default();
            let fixed = MasksRecord { id: id(*task), pending, shared_pending, blocked, caught, ..Default::default() };
            out.fixed(&fixed);
        }
        EventKind::OutOfMemory(key, which) => {
            let (of_group, path) = match which {
                OutOfMemory::Machine => (0, ""),
                OutOfMemory::Group(path) => (1, path.as_deref().unwrap_or_default()),
            };
            let fixed = OutOfMemoryRecord { id: leader(*key), of_group, ..Default::default() };
            out.record(&fixed, path.as_bytes());
        }
        EventKind::Contained(key, id) => {
            let fixed = ContainedRecord { id: leader(*key), ..Default::default() };
            out.record(&fixed, id.as_bytes());
        }
        EventKind::End(End { began, cpu_ns, signals, walks_cut }) => {
            let (began, cpu_ns, signals, walks_cut) = (began.0, cpu_ns.0, *signals, *walks_cut);
            let record = EndRecord { began, cpu_ns, signals, walks_cut, ..Default::default() };
            out.fixed(&record);
        }
    }
}

/// An image of the world ([`World::image`]) as records in sequence.
pub fn image(world: &World) -> Vec<u8> {
    let mut records = Vec::new();
    for event in world.image() {
        encode(&event, &mut records);
    }
    records
}

/// The target of a record, and the rest of its header besides kind and length.
struct Out<'a> {
    at: BootNs,
    cpu: u16,
    to: &'a mut Vec<u8>,
}

impl Out<'_> {
    /// Appends a record without a variable part.
    fn fixed(self, fixed: &(impl Recorded + IntoBytes + Immutable)) {
        self.record(fixed, &[]);
    }

    /// Appends a fixed part, with its header filled in, and what follows it.
    fn record<T: Recorded + IntoBytes + Immutable>(self, fixed: &T, rest: &[u8]) {
        let Self { at, cpu, to } = self;
        let len = (size_of::<T>() + rest.len()) as u32;
        let header = Header { at: at.0, kind: T::KIND as u8, reserved: 0, cpu, len };
        to.extend_from_slice(header.as_bytes());
        to.extend_from_slice(&fixed.as_bytes()[size_of::<Header>()..]);
        to.extend_from_slice(rest);
    }

    fn exec(self, exec: &Exec) {
        let Exec { task, comm, old_tid, args: Args { bytes, cut, trust }, mount_ns, ignored } = exec;
        let args = bytes.get(..ARGS_MAX).unwrap_or(bytes);
        let fixed = ExecRecord {
            id: id(*task),
            comm: comm.0,
            old_tid: *old_tid,
            args_len: args.len() as u16,
            args_cut: u16::from(*cut),
            ..Default::default()
        };
        let context = ExecContext { trust: trust.number(), mount_ns: *mount_ns, ignored: ignored.unwrap_or_default() };
        // As older versions wrote it.
        let known = if ignored.is_some() { size_of::<ExecContext>() } else { offset_of!(ExecContext, ignored) };
        self.record(&fixed, &[args, &context.as_bytes()[..known]].concat());
    }

    fn survey(self, survey: &Survey) {
        let Survey { began, found } = survey;
        let mut rows = Vec::new();
        for &Surveyed { key, tracer, subreaper } in found {
            let flags = if subreaper { flags::SUBREAPER } else { 0 };
            let row = SurveyRecord { id: leader(key), tracer: task_id(tracer), flags, ..Default::default() };
            Out { at: self.at, cpu: 0, to: &mut rows }.fixed(&row);
        }
        self.record(&SurveyedRecord { began: began.0, ..Default::default() }, &rows);
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
        idle: idle.map_or(NEVER, |idle| idle.0),
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
    let Exit {
        task,
        parent,
        tracer,
        adopter,
        status,
        live,
        leader,
        group_dead,
        group_exit,
        autoreap,
        adopter_ignores,
        oom,
        seccomp,
    } = *exit;
    let (adopter_class, to) = match adopter {
        Adopter::None => (adopter::NONE, None),
        Adopter::Thread(to) => (adopter::THREAD, Some(to)),
        Adopter::Subreaper(to) => (adopter::SUBREAPER, Some(to)),
        Adopter::NamespaceInit(to) => (adopter::NAMESPACE_INIT, Some(to)),
        Adopter::Unknown => (adopter::UNKNOWN, None),
    };
    ExitRecord {
        header: Header::default(),
        id: id(task),
        parent: task_id(parent),
        tracer: task_id(tracer),
        adopter: task_id(to),
        exit_code: status.0,
        group_code: status.0,
        live,
        exit_signal: 0,
        flags: set(&[
            (group_dead, exit_flags::GROUP_DEAD),
            (group_exit, exit_flags::GROUP_EXIT),
            (leader, exit_flags::LEADER),
            (autoreap, exit_flags::AUTOREAP),
            (adopter_ignores, exit_flags::ADOPTER_IGNORES),
            (oom, exit_flags::OOM_VICTIM),
            (seccomp, exit_flags::SECCOMP),
        ]),
        adopter_class,
    }
}

/// The bits whose conditions hold.
fn set(bits: &[(bool, u32)]) -> u32 {
    bits.iter().filter(|(holds, _)| *holds).map(|(_, bit)| bit).sum()
}

/// The number of a system call, as decoding reads it.
fn call_number(call: Option<WaitCall>) -> i32 {
    match call {
        Some(WaitCall::Wait4) => 61,
        Some(WaitCall::Waitid) => 247,
        Some(WaitCall::IoUring) => 426,
        None => NO_CALL,
    }
}

/// Likewise.
fn aim_number(aim: Aim) -> u32 {
    match aim {
        Aim::Unknown => aim::UNKNOWN,
        Aim::One => aim::ONE,
        Aim::OwnGroup => aim::OWN_GROUP,
        Aim::Group => aim::GROUP,
        Aim::All => aim::ALL,
    }
}

fn leader(ProcKey { start, tgid }: ProcKey) -> TaskId {
    TaskId { start: start.0, tgid, tid: tgid }
}

fn id(TaskRef { key: ProcKey { start, tgid }, tid }: TaskRef) -> TaskId {
    TaskId { start: start.0, tgid, tid }
}

fn task_id(task: Option<TaskRef>) -> TaskId {
    task.map(id).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*, sample::select};
    use tracer_common::RecordKind;
    use zerocopy::FromBytes;

    use super::*;
    use crate::{
        event::{ExitStatus, Held, Looked},
        host::{Container, Engine, GroupRoom, Holder, Room, Rooms, StartInfo},
        ident::{Comm, PidNs, Trust},
        signal::{Signal, Terminal},
        thresholds::Thresholds,
        time::Span,
        wire::decode::decode,
    };

    fn key() -> impl Strategy<Value = ProcKey> {
        (any::<u64>(), 1..=u32::MAX).prop_map(|(start, tgid)| ProcKey { start: BootNs(start), tgid })
    }

    fn task() -> impl Strategy<Value = TaskRef> {
        (key(), any::<u32>()).prop_map(|(key, tid)| TaskRef { key, tid })
    }

    fn comm() -> impl Strategy<Value = Comm> {
        any::<[u8; 16]>().prop_map(Comm)
    }

    fn signal() -> impl Strategy<Value = Signal> {
        (1..=64u8).prop_map(Signal)
    }

    fn place() -> impl Strategy<Value = (Aim, Place)> {
        let aim = select(vec![Aim::Unknown, Aim::One, Aim::OwnGroup, Aim::Group, Aim::All]);
        (aim, any::<[u32; 3]>()).prop_map(|(aim, [group, session, terminal])| {
            (aim, Place { group, session, terminal: (terminal != 0).then_some(Terminal(terminal)) })
        })
    }

    fn args() -> impl Strategy<Value = Args> {
        let parts = (vec(any::<u8>(), 0..=ARGS_MAX), any::<(bool, u32)>());
        parts.prop_map(|(bytes, (cut, trust))| Args { bytes: bytes.into(), cut, trust: Trust::from_number(trust) })
    }

    fn room() -> impl Strategy<Value = Room> {
        any::<(u64, u64)>().prop_map(|(used, most)| Room { used, most })
    }

    prop_compose! {
        fn info()(
            key in key(), parent in option::of(task()), comm in comm(), cgroup in any::<u64>(), ns in any::<u32>(),
            parent_ns in option::of(1..=u32::MAX), pids in any::<[u32; 5]>(), roles in any::<[bool; 5]>(),
            exit_signal in any::<i32>(), threads in any::<u32>(),
        ) -> TaskInfo {
            let [ns_level, ns_pid, mid_pids @ ..] = pids;
            let [init, subreaper, outsider, kthread, exiting] = roles;
            TaskInfo {
                key, parent, comm, cgroup, pid_ns: PidNs(ns), parent_ns: parent_ns.map(PidNs), ns_level, ns_pid,
                mid_pids, roles: Roles { init, subreaper, outsider, kthread }, exiting, exit_signal, threads,
            }
        }
    }

    prop_compose! {
        fn exec()(
            task in task(), comm in comm(), old_tid in any::<u32>(), args in args(), mount_ns in any::<u32>(),
            ignored in option::of(any::<u64>()),
        ) -> EventKind {
            EventKind::Exec(Box::new(Exec { task, comm, old_tid, args, mount_ns, ignored }))
        }
    }

    prop_compose! {
        fn exit()(
            task in task(), parent in option::of(task()), tracer in option::of(task()), class in 0..5, to in task(),
            status in any::<i32>(), live in any::<u32>(), bits in any::<[bool; 7]>(),
        ) -> EventKind {
            let adopter = match class {
                0 => Adopter::Thread(to),
                1 => Adopter::Subreaper(to),
                2 => Adopter::NamespaceInit(to),
                3 => Adopter::Unknown,
                _ => Adopter::None,
            };
            let status = ExitStatus(status);
            let [leader, group_dead, group_exit, autoreap, adopter_ignores, oom, seccomp] = bits;
            EventKind::Exit(Box::new(Exit {
                task, parent, tracer, adopter, status, live, leader, group_dead, group_exit, autoreap, adopter_ignores,
                oom, seccomp,
            }))
        }
    }

    prop_compose! {
        fn row()(
            task in info(), tracer in option::of(task()), idle in option::of(0..u64::MAX), status in any::<i32>(),
            leader_dead in any::<bool>(), live in any::<u32>(),
        ) -> EventKind {
            EventKind::Row(Box::new(Row { task, tracer, idle: idle.map(Span), status: ExitStatus(status), leader_dead, live }))
        }
    }

    prop_compose! {
        fn start()(
            text in any::<String>(), wall_offset_ns in any::<i64>(), ring_size in any::<u32>(), flag in any::<bool>(),
            after in any::<u64>(),
        ) -> EventKind {
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
                thresholds: Thresholds { unreaped_after: Span(after), ..Thresholds::default() },
            }))
        }
    }

    prop_compose! {
        fn container()(
            texts in vec(option::of("[-/a-z0-9]{0,40}"), 7), uid in option::of(any::<u32>()),
            init in option::of(any::<bool>()),
        ) -> EventKind {
            let [id, name, image, pod, pod_namespace, stop_signal, pid_mode] = texts.try_into().unwrap();
            EventKind::Container(Box::new(Container {
                id: id.unwrap_or_default(), engine: Engine::Docker, name, image, pod, pod_namespace, stop_signal,
                pid_mode, uid, init,
            }))
        }
    }

    prop_compose! {
        fn group()(
            process in key(), room in room(), failed in any::<u64>(), failed_now in option::of(any::<u64>()),
            failed_is_inferred in any::<bool>(), members in vec(key(), 0..3), id in any::<u64>(), path in ".{0,9}",
        ) -> GroupRoom {
            GroupRoom { process, room, failed, failed_now, failed_is_inferred, members, id, path }
        }
    }

    prop_compose! {
        fn rooms()(
            ptys in option::of(room()), pty_reserve in any::<u64>(),
            holders in vec((key(), any::<u64>()), 0..3), pids in option::of(room()), groups in vec(group(), 0..3),
            groups_gone in vec(any::<u64>(), 0..3), groups_left_out in option::of(any::<u64>()),
            of in option::of((key(), room())),
        ) -> EventKind {
            let pty_holders = holders.into_iter().map(|(process, held)| Holder { process, held }).collect();
            EventKind::Rooms(Box::new(Rooms {
                ptys, pty_reserve, pty_holders, pids, groups, groups_gone, groups_left_out, of,
            }))
        }
    }

    /// Events that become records of that kind.
    fn event(kind: RecordKind) -> BoxedStrategy<EventKind> {
        match kind {
            RecordKind::New => (info(), option::of(task()))
                .prop_map(|(task, creator)| EventKind::Fork(Box::new(Fork { task, creator })))
                .boxed(),
            RecordKind::Exec => exec().boxed(),
            RecordKind::Exit => exit().boxed(),
            RecordKind::Free => task().prop_map(EventKind::Free).boxed(),
            RecordKind::Signal => (task(), task(), signal(), any::<(i32, u16, u8)>(), place())
                .prop_map(|(current, target, signal, (code, flags, result), (aim, place))| {
                    EventKind::Signal(SignalSent { current, target, signal, code, flags, result, aim, place })
                })
                .boxed(),
            RecordKind::Deliver => (task(), signal(), any::<(i32, u16)>())
                .prop_map(|(target, signal, (code, flags))| {
                    EventKind::Deliver(SignalTaken { target, signal, code, flags })
                })
                .boxed(),
            RecordKind::Row => row().boxed(),
            RecordKind::Adopt => (task(), task(), task())
                .prop_map(|(child, from, to)| EventKind::Adopt(Adopt { child, from, to }))
                .boxed(),
            RecordKind::Reap => {
                let call = select(vec![None, Some(WaitCall::Wait4), Some(WaitCall::Waitid), Some(WaitCall::IoUring)]);
                let reap = (task(), task(), call);
                reap.prop_map(|(task, reaper, call)| EventKind::Reap(Reap { task, reaper, call })).boxed()
            }
            RecordKind::Notify => (task(), task(), any::<(bool, i32)>())
                .prop_map(|(task, to, (traced, signal))| EventKind::Notify(Notify { task, to, traced, signal }))
                .boxed(),
            RecordKind::Awaited => {
                let awaited = (task(), task(), any::<bool>());
                awaited.prop_map(|(task, waiter, only)| EventKind::Awaited(Awaited { task, waiter, only })).boxed()
            }
            RecordKind::Held => (key(), any::<([String; 4], bool, u32)>())
                .prop_map(|(key, ([state, wchan, file, frozen], killed, tracer))| {
                    EventKind::Held(key, Box::new(Held { state, killed, wchan, file, frozen, tracer }))
                })
                .boxed(),
            RecordKind::Pipe => (key(), key(), any::<bool>())
                .prop_map(|(reader, writer, shared)| EventKind::Pipe(Pipe { reader, writer, shared }))
                .boxed(),
            RecordKind::Rename => (key(), comm()).prop_map(|(key, comm)| EventKind::Rename(key, comm)).boxed(),
            // A record of the kind survey stands only inside of this one.
            RecordKind::Survey | RecordKind::Surveyed => {
                let row = (key(), option::of(task()), any::<bool>()).prop_map(|(key, tracer, subreaper)| Surveyed {
                    key,
                    tracer,
                    subreaper,
                });
                (any::<u64>(), vec(row, 0..4))
                    .prop_map(|(began, found)| EventKind::Survey(Box::new(Survey { began: BootNs(began), found })))
                    .boxed()
            }
            RecordKind::Start => start().boxed(),
            RecordKind::SnapshotBegin => Just(EventKind::SnapshotBegin).boxed(),
            RecordKind::SnapshotEnd => Just(EventKind::SnapshotEnd).boxed(),
            RecordKind::CommandLine => {
                (key(), args()).prop_map(|(key, args)| EventKind::CommandLine(key, args)).boxed()
            }
            RecordKind::Look => {
                let found = (1..=u8::MAX, any::<u32>(), option::of(0..u16::MAX))
                    .prop_map(|(state, ppid, pts)| Looked { state, ppid, pts });
                (key(), option::of(found)).prop_map(|(key, found)| EventKind::Look(Look { key, found })).boxed()
            }
            RecordKind::Lost => any::<([u32; RecordKind::IN_KERNEL], [u64; 3])>()
                .prop_map(|(ring, [undecodable, missed, unreadable])| {
                    EventKind::Lost(Loss { ring: ring.map(u64::from), undecodable, missed, unreadable })
                })
                .boxed(),
            RecordKind::Tick => Just(EventKind::Tick).boxed(),
            RecordKind::End => any::<[u64; 4]>()
                .prop_map(|[began, cpu_ns, signals, walks_cut]| {
                    EventKind::End(End { began: BootNs(began), cpu_ns: Span(cpu_ns), signals, walks_cut })
                })
                .boxed(),
            RecordKind::CommandStarted => (key(), vec(any::<u8>(), 0..600), any::<bool>())
                .prop_map(|(key, bytes, cut)| {
                    EventKind::CommandStarted(key, Args { bytes: bytes.into(), cut, ..Args::default() })
                })
                .boxed(),
            RecordKind::CommandEnded => {
                (key(), any::<i32>()).prop_map(|(key, status)| EventKind::CommandEnded(key, ExitStatus(status))).boxed()
            }
            RecordKind::CommandScope => (vec(key(), 0..4), vec(any::<u32>(), 0..4))
                .prop_map(|(processes, namespaces)| {
                    let namespaces = namespaces.into_iter().map(PidNs).collect();
                    EventKind::CommandScope(Box::new(CommandParts { processes, namespaces }))
                })
                .boxed(),
            RecordKind::TreeRoot => key().prop_map(EventKind::TreeRoot).boxed(),
            RecordKind::Running => (key(), any::<[u64; 2]>())
                .prop_map(|(key, [since, ignored])| EventKind::Running(Running { key, since: BootNs(since), ignored }))
                .boxed(),
            RecordKind::Thresholds => any::<u64>()
                .prop_map(|zombie_leak_at| {
                    EventKind::Thresholds(Box::new(Thresholds { zombie_leak_at, ..Thresholds::default() }))
                })
                .boxed(),
            RecordKind::Container => container().boxed(),
            RecordKind::Contained => {
                (key(), "[a-z0-9]{0,64}").prop_map(|(key, id)| EventKind::Contained(key, id)).boxed()
            }
            RecordKind::Rooms => rooms().boxed(),
            RecordKind::Masks => (task(), any::<[u64; 4]>())
                .prop_map(|(task, [pending, shared_pending, blocked, caught])| {
                    let masks = Masks { pending, shared_pending, blocked, caught };
                    EventKind::Masks(task, (masks != Masks::default()).then_some(masks))
                })
                .boxed(),
            RecordKind::OutOfMemory => {
                let group = option::of("[/a-z]{1,40}").prop_map(OutOfMemory::Group);
                (key(), prop_oneof![Just(OutOfMemory::Machine), group])
                    .prop_map(|(key, which)| EventKind::OutOfMemory(key, which))
                    .boxed()
            }
        }
    }

    #[test]
    fn records_of_every_kind_come_back_as_they_were() {
        for &kind in RecordKind::ALL {
            let number = if kind == RecordKind::Survey { RecordKind::Surveyed } else { kind } as u8;
            proptest!(|(at in any::<u64>(), cpu in any::<u16>(), kind in event(kind))| {
                let event = Event { at: BootNs(at), cpu, kind };
                let mut bytes = Vec::new();
                encode(&event, &mut bytes);
                let (header, _) = Header::read_from_prefix(&bytes).unwrap();
                prop_assert_eq!((header.kind, header.len as usize), (number, bytes.len()));
                prop_assert_eq!(decode(&bytes), Ok(event));
            });
        }
    }
}
