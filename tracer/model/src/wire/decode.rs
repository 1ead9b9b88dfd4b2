//! From the bytes of a record to an [`Event`]. Invalid bytes are an error, never a panic: the caller counts them as
//! lost.

use serde::de::DeserializeOwned;
use tracer_common::{
    AdoptRecord, AwaitedRecord, DeliverRecord, ExecRecord, ExitRecord, FreeRecord, Header, NewRecord, NotifyRecord,
    ReapRecord, RecordKind, Recorded, RenameRecord, RowRecord, SignalRecord, SurveyRecord, Task, TaskId,
    record::{
        ARGS_MAX, CommandEndedRecord, CommandLineRecord, CommandScopeRecord, CommandStartedRecord, ContainedRecord,
        ContainerRecord, EndRecord, ExecContext, HeldRecord, LookRecord, LostRecord, MASKS_WITHOUT_CAUGHT, MasksRecord,
        NEVER, OutOfMemoryRecord, PipeRecord, RoomsRecord, RunningRecord, SIGNAL_WITHOUT_AIM, StartRecord,
        SurveyedRecord, ThresholdsRecord, TreeRootRecord, adopter, aim, exit_flags,
    },
    task::flags,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    event::{
        Adopt, Adopter, Awaited, CommandParts, End, Event, EventKind, Exec, Exit, ExitStatus, Fork, Look, Looked, Loss,
        Masks, Notify, Pipe, Reap, Roles, Row, Running, SignalSent, SignalTaken, Survey, Surveyed, TaskInfo, WaitCall,
    },
    host::OutOfMemory,
    ident::{Args, Comm, PidNs, ProcKey, TaskRef, Trust},
    signal::{Aim, Place, Signal, Terminal},
    time::{BootNs, Span},
};

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer bytes than the kind has.
    #[error("a record of kind {kind} has {have} bytes where {want} are needed")]
    Short {
        /// The record's kind, 0 if not even a header is there.
        kind: u8,
        /// Bytes at hand.
        have: usize,
        /// Bytes needed.
        want: usize,
    },
    /// More bytes than any recorder writes: somebody wants to make the reader hold them.
    #[error("a record of kind {kind} has {have} bytes, and {most} are the most that are taken")]
    Long {
        /// The record's kind.
        kind: u8,
        /// Bytes at hand.
        have: usize,
        /// Bytes that are allowed.
        most: usize,
    },
    /// No such kind.
    #[error("there is no record of kind {0}")]
    UnknownKind(u8),
    /// Not a signal number.
    #[error("there is no signal {0}")]
    UnknownSignal(u8),
    /// The contents of the first record cannot be parsed.
    #[error("the start of the stream is damaged")]
    BadStart,
    /// The path of a control group is not UTF-8.
    #[error("a record about a control group is damaged")]
    BadGroup,
    /// The limits cannot be parsed.
    #[error("a record about limits is damaged")]
    BadRooms,
    /// What is said to keep a process from going on cannot be understood.
    #[error("a record about what holds up a process is damaged")]
    BadHeld,
    /// The description of a container cannot be parsed.
    #[error("a record about a container is damaged")]
    BadContainer,
    /// The thresholds cannot be parsed.
    #[error("a record about thresholds is damaged")]
    BadThresholds,
}

/// The most bytes of a container's description: its id, name, image and pod, each as long as engines allow. There can
/// be one per container.
const CONTAINER_MAX: usize = 4 << 10;
/// The longest thresholds.
const THRESHOLDS_MAX: usize = 4 << 10;
/// Of what keeps a process from going on: the name of a function, and two paths, which JSON may escape.
const HELD_MAX: usize = 32 << 10;
/// Of a container's id in a record of a member.
const CONTAINER_ID_MAX: usize = 512;
/// Of the description of the run, and of limits.
pub const JSON_MAX: usize = 1 << 20;
/// Of the path of a control group (`PATH_MAX`).
const PATH_MAX: usize = 4 << 10;

/// Decodes one record. Of a longer one than this version knows, the rest is ignored.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode(bytes: &[u8]) -> Result<Event, DecodeError> {
    let header = header(bytes)?;
    let unknown = DecodeError::UnknownKind(header.kind);
    let kind = match RecordKind::from_number(header.kind).ok_or(unknown)? {
        RecordKind::New => {
            let NewRecord { header: _, task, creator } = read(bytes)?;
            EventKind::Fork(Box::new(Fork { task: task_info(&task), creator: task_ref(creator) }))
        }
        RecordKind::Exec => EventKind::Exec(Box::new(exec(bytes)?)),
        RecordKind::Exit => EventKind::Exit(Box::new(exit(&read(bytes)?))),
        RecordKind::Free => {
            let FreeRecord { header: _, id } = read(bytes)?;
            EventKind::Free(known_ref(id))
        }
        RecordKind::Signal => {
            let SignalRecord { header: _, sender, target, code, flags, signal, result, aim, group, session, terminal } =
                read_grown(bytes, SIGNAL_WITHOUT_AIM)?;
            EventKind::Signal(SignalSent {
                current: known_ref(sender),
                target: known_ref(target),
                signal: known_signal(signal)?,
                code,
                flags,
                result,
                aim: known_aim(aim),
                place: Place { group, session, terminal: (terminal != 0).then_some(Terminal(terminal)) },
            })
        }
        RecordKind::Deliver => {
            let DeliverRecord { header: _, target, code, flags, signal, reserved: _ } = read(bytes)?;
            EventKind::Deliver(SignalTaken { target: known_ref(target), signal: known_signal(signal)?, code, flags })
        }
        RecordKind::Row => EventKind::Row(Box::new(row(&read(bytes)?))),
        RecordKind::Adopt => {
            let AdoptRecord { header: _, child, from, to } = read(bytes)?;
            EventKind::Adopt(Adopt { child: known_ref(child), from: known_ref(from), to: known_ref(to) })
        }
        RecordKind::Reap => {
            let ReapRecord { header: _, id, reaper, call, reserved: _ } = read(bytes)?;
            EventKind::Reap(Reap { task: known_ref(id), reaper: known_ref(reaper), call: wait_call(call) })
        }
        RecordKind::Notify => {
            let NotifyRecord { header: _, id, to, signal, traced } = read(bytes)?;
            EventKind::Notify(Notify { task: known_ref(id), to: known_ref(to), traced: traced != 0, signal })
        }
        RecordKind::Rename => {
            let RenameRecord { header: _, id, comm } = read(bytes)?;
            EventKind::Rename(known_ref(id).key, Comm(comm))
        }
        RecordKind::Awaited => {
            let AwaitedRecord { header: _, id, waiter, only, reserved: _ } = read(bytes)?;
            EventKind::Awaited(Awaited { task: known_ref(id), waiter: known_ref(waiter), only: only != 0 })
        }
        RecordKind::Start => EventKind::Start(json::<StartRecord, _>(bytes, JSON_MAX, DecodeError::BadStart)?),
        RecordKind::SnapshotBegin => EventKind::SnapshotBegin,
        RecordKind::SnapshotEnd => EventKind::SnapshotEnd,
        RecordKind::CommandLine => {
            let CommandLineRecord { header: _, id, cut, trust } = read(bytes)?;
            let args = rest::<CommandLineRecord>(bytes)?;
            let args = Args { trust: Trust::from_number(trust), ..arguments(args, cut != 0) };
            EventKind::CommandLine(known_ref(id).key, args)
        }
        RecordKind::Look => {
            let LookRecord { header: _, id, ppid, state, reserved: _, pts } = read(bytes)?;
            let pts = pts.checked_sub(1);
            EventKind::Look(Look { key: known_ref(id).key, found: (state != 0).then_some(Looked { state, ppid, pts }) })
        }
        RecordKind::Surveyed => {
            let SurveyedRecord { header: _, began } = read(bytes)?;
            let began = BootNs(began);
            let rows = rest::<SurveyedRecord>(bytes)?.chunks(size_of::<SurveyRecord>());
            let found = rows.map(decode_surveyed).collect::<Result<_, _>>()?;
            EventKind::Survey(Box::new(Survey { began, found }))
        }
        RecordKind::Lost => EventKind::Lost(loss(bytes)?),
        RecordKind::Tick => EventKind::Tick,
        RecordKind::CommandStarted => {
            let CommandStartedRecord { header: _, id, cut, reserved: _ } = read(bytes)?;
            let args = rest::<CommandStartedRecord>(bytes)?;
            let bytes = args.into();
            EventKind::CommandStarted(known_ref(id).key, Args { bytes, cut: cut != 0, ..Args::default() })
        }
        RecordKind::CommandEnded => {
            let CommandEndedRecord { header: _, id, status, reserved: _ } = read(bytes)?;
            EventKind::CommandEnded(known_ref(id).key, ExitStatus(status))
        }
        RecordKind::Thresholds => {
            EventKind::Thresholds(json::<ThresholdsRecord, _>(bytes, THRESHOLDS_MAX, DecodeError::BadThresholds)?)
        }
        RecordKind::Container => {
            EventKind::Container(json::<ContainerRecord, _>(bytes, CONTAINER_MAX, DecodeError::BadContainer)?)
        }
        RecordKind::Rooms => EventKind::Rooms(json::<RoomsRecord, _>(bytes, JSON_MAX, DecodeError::BadRooms)?),
        RecordKind::Masks => {
            let MasksRecord { header: _, id, pending, shared_pending, blocked, caught } =
                read_grown(bytes, MASKS_WITHOUT_CAUGHT)?;
            let masks = Masks { pending, shared_pending, blocked, caught };
            EventKind::Masks(known_ref(id), (masks != Masks::default()).then_some(masks))
        }
        RecordKind::Held => {
            let HeldRecord { header: _, id } = read(bytes)?;
            EventKind::Held(known_ref(id).key, json::<HeldRecord, _>(bytes, HELD_MAX, DecodeError::BadHeld)?)
        }
        RecordKind::Pipe => {
            let PipeRecord { header: _, reader, writer, shared, reserved: _ } = read(bytes)?;
            let (reader, writer) = (known_ref(reader).key, known_ref(writer).key);
            EventKind::Pipe(Pipe { reader, writer, shared: shared != 0 })
        }
        RecordKind::OutOfMemory => {
            let OutOfMemoryRecord { header: _, id, of_group, reserved: _ } = read(bytes)?;
            let path = str::from_utf8(short::<OutOfMemoryRecord>(bytes, PATH_MAX)?);
            let path = path.map_err(|_| DecodeError::BadGroup)?;
            let group = OutOfMemory::Group((!path.is_empty()).then(|| path.to_owned()));
            EventKind::OutOfMemory(known_ref(id).key, if of_group != 0 { group } else { OutOfMemory::Machine })
        }
        RecordKind::Contained => {
            let ContainedRecord { header: _, id } = read(bytes)?;
            let container = str::from_utf8(short::<ContainedRecord>(bytes, CONTAINER_ID_MAX)?);
            let container = container.map_err(|_| DecodeError::BadContainer)?;
            EventKind::Contained(known_ref(id).key, container.to_owned())
        }
        RecordKind::TreeRoot => {
            let TreeRootRecord { header: _, id } = read(bytes)?;
            EventKind::TreeRoot(known_ref(id).key)
        }
        RecordKind::Running => {
            let RunningRecord { header: _, id, since, ignored } = read(bytes)?;
            EventKind::Running(Running { key: known_ref(id).key, since: BootNs(since), ignored })
        }
        RecordKind::CommandScope => EventKind::CommandScope(Box::new(scope(bytes)?)),
        RecordKind::End => {
            let EndRecord { header: _, began, cpu_ns, signals, walks_cut } = read(bytes)?;
            EventKind::End(End { began: BootNs(began), cpu_ns: Span(cpu_ns), signals, walks_cut })
        }
        // Appears only inside another record.
        RecordKind::Survey => return Err(unknown),
    };
    Ok(Event { at: BootNs(header.at), cpu: header.cpu, kind })
}

/// Decodes one row of the survey.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_surveyed(bytes: &[u8]) -> Result<Surveyed, DecodeError> {
    let SurveyRecord { header, id, tracer, flags: bits, reserved: _ } = read(bytes)?;
    if header.kind != RecordKind::Survey as u8 {
        return Err(DecodeError::UnknownKind(header.kind));
    }
    Ok(Surveyed { key: known_ref(id).key, tracer: task_ref(tracer), subreaper: bits & flags::SUBREAPER != 0 })
}

/// The numbers of x86-64, and those of arm64. A recording may come from another machine; no other call reaps, so
/// that a number that is another call's on one of them (getdents64(2), umask(2)) cannot be meant.
fn wait_call(number: i32) -> Option<WaitCall> {
    match number {
        61 | 260 => Some(WaitCall::Wait4),
        247 | 95 => Some(WaitCall::Waitid),
        426 => Some(WaitCall::IoUring),
        _ => None,
    }
}

fn header(bytes: &[u8]) -> Result<Header, DecodeError> {
    let short = DecodeError::Short { kind: 0, have: bytes.len(), want: size_of::<Header>() };
    Header::read_from_prefix(bytes).map(|(header, _)| header).map_err(|_| short)
}

/// The fixed part of a record.
fn read<T: Recorded + FromBytes + KnownLayout + Immutable>(bytes: &[u8]) -> Result<T, DecodeError> {
    let short = DecodeError::Short { kind: T::KIND as u8, have: bytes.len(), want: size_of::<T>() };
    T::read_from_prefix(bytes).map(|(record, _)| record).map_err(|_| short)
}

/// The same of a record that had fewer fields in older versions, of so many bytes: those that are not there
/// are 0.
fn read_grown<T: Recorded + Default + FromBytes + IntoBytes + KnownLayout>(
    bytes: &[u8],
    once: usize,
) -> Result<T, DecodeError> {
    let have = bytes.len().min(header(bytes)?.len as usize).min(size_of::<T>());
    let mut record = T::default();
    if have < once {
        return Err(DecodeError::Short { kind: T::KIND as u8, have, want: once });
    }
    record.as_mut_bytes()[..have].copy_from_slice(&bytes[..have]);
    Ok(record)
}

/// The part of a record that has no fixed length: what its header counts beyond the fixed part.
fn rest<T: Recorded>(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let want = header(bytes)?.len as usize;
    bytes.get(size_of::<T>()..want).ok_or(DecodeError::Short { kind: T::KIND as u8, have: bytes.len(), want })
}

/// The same for kinds whose text a reader keeps.
fn short<T: Recorded>(bytes: &[u8], most: usize) -> Result<&[u8], DecodeError> {
    let rest = rest::<T>(bytes)?;
    if rest.len() <= most { Ok(rest) } else { Err(DecodeError::Long { kind: T::KIND as u8, have: rest.len(), most }) }
}

/// The same, parsed as a JSON object.
fn json<T: Recorded, J: DeserializeOwned>(bytes: &[u8], most: usize, bad: DecodeError) -> Result<J, DecodeError> {
    serde_json::from_slice(short::<T>(bytes, most)?).map_err(|_| bad)
}

/// A newer version counts more kinds; the ones unknown here count as undecodable.
fn loss(bytes: &[u8]) -> Result<Loss, DecodeError> {
    let LostRecord { header: _, undecodable, missed, unreadable } = read(bytes)?;
    let mut loss = Loss { undecodable, missed, unreadable, ..Loss::default() };
    let (counts, _) = rest::<LostRecord>(bytes)?.as_chunks();
    for (i, count) in counts.iter().map(|bytes| u64::from_ne_bytes(*bytes)).enumerate() {
        match loss.ring.get_mut(i) {
            Some(place) => *place = count,
            None => loss.undecodable = loss.undecodable.saturating_add(count),
        }
    }
    Ok(loss)
}

fn scope(bytes: &[u8]) -> Result<CommandParts, DecodeError> {
    let CommandScopeRecord { header: Header { kind, .. }, processes, namespaces } = read(bytes)?;
    let mut rest = rest::<CommandScopeRecord>(bytes)?;
    // Allocates only what the bytes at hand justify, whatever the record claims.
    let want = (processes as usize).saturating_mul(size_of::<TaskId>()).saturating_add(4 * namespaces as usize);
    let short = DecodeError::Short { kind, have: rest.len(), want };
    let mut scope = CommandParts::default();
    for _ in 0..processes {
        let (id, after) = TaskId::read_from_prefix(rest).map_err(|_| short)?;
        scope.processes.push(known_ref(id).key);
        rest = after;
    }
    for _ in 0..namespaces {
        let (ns, after) = u32::read_from_prefix(rest).map_err(|_| short)?;
        scope.namespaces.push(PidNs(ns));
        rest = after;
    }
    Ok(scope)
}

fn known_signal(number: u8) -> Result<Signal, DecodeError> {
    match number {
        1..=64 => Ok(Signal(number)),
        _ => Err(DecodeError::UnknownSignal(number)),
    }
}

/// One that a later version knows is unknown here.
fn known_aim(number: u32) -> Aim {
    match number {
        aim::ONE => Aim::One,
        aim::OWN_GROUP => Aim::OwnGroup,
        aim::GROUP => Aim::Group,
        aim::ALL => Aim::All,
        _ => Aim::Unknown,
    }
}

fn known_ref(id: TaskId) -> TaskRef {
    let TaskId { start, tgid, tid } = id;
    TaskRef { key: ProcKey { start: BootNs(start), tgid }, tid }
}

/// Pid 0 is the idle task: no process.
fn task_ref(id: TaskId) -> Option<TaskRef> {
    (id.tgid != 0).then(|| known_ref(id))
}

fn task_info(task: &Task) -> TaskInfo {
    let Task {
        id,
        parent,
        comm,
        cgroup,
        pid_ns,
        parent_ns,
        ns_level,
        ns_pid,
        mid_pids,
        flags: bits,
        exit_signal,
        threads,
    } = *task;
    TaskInfo {
        key: known_ref(id).key,
        parent: task_ref(parent),
        comm: Comm(comm),
        cgroup,
        pid_ns: PidNs(pid_ns),
        parent_ns: (parent_ns != 0).then_some(PidNs(parent_ns)),
        ns_level,
        ns_pid,
        mid_pids,
        roles: Roles {
            init: bits & flags::INIT != 0,
            subreaper: bits & flags::SUBREAPER != 0,
            outsider: bits & flags::OUTSIDER != 0,
            kthread: bits & flags::KTHREAD != 0,
        },
        exiting: bits & flags::EXITING != 0,
        exit_signal,
        threads,
    }
}

fn exec(bytes: &[u8]) -> Result<Exec, DecodeError> {
    let record: ExecRecord = read(bytes)?;
    let rest = &bytes[size_of::<ExecRecord>()..];
    let length = usize::from(record.args_len);
    let want = size_of::<ExecRecord>() + length;
    let short = DecodeError::Short { kind: record.header.kind, have: bytes.len(), want };
    let (args, rest) = rest.split_at_checked(length).ok_or(short)?;
    // Older versions have less of it, or nothing.
    let mut context = ExecContext::default();
    let known = rest.len().min(size_of::<ExecContext>());
    context.as_mut_bytes()[..known].copy_from_slice(&rest[..known]);
    let ExecContext { trust, mount_ns, ignored } = context;
    Ok(Exec {
        task: known_ref(record.id),
        comm: Comm(record.comm),
        old_tid: record.old_tid,
        args: Args { trust: Trust::from_number(trust), ..arguments(args, record.args_cut != 0) },
        mount_ns,
        ignored: (known == size_of::<ExecContext>()).then_some(ignored),
    })
}

/// At most as many as any source keeps: every process has some.
fn arguments(bytes: &[u8], is_cut: bool) -> Args {
    let kept = bytes.get(..ARGS_MAX).unwrap_or(bytes);
    Args { bytes: kept.into(), cut: is_cut || kept.len() < bytes.len(), trust: Trust::Unknown }
}

fn exit(record: &ExitRecord) -> Exit {
    let ExitRecord {
        header: _,
        id,
        parent,
        tracer,
        adopter: to,
        exit_code,
        group_code,
        live,
        exit_signal: _,
        flags,
        adopter_class,
    } = *record;
    let to = known_ref(to);
    let has = |bit: u32| flags & bit != 0;
    Exit {
        task: known_ref(id),
        parent: task_ref(parent),
        tracer: task_ref(tracer),
        adopter: match adopter_class {
            adopter::THREAD => Adopter::Thread(to),
            adopter::SUBREAPER => Adopter::Subreaper(to),
            adopter::NAMESPACE_INIT => Adopter::NamespaceInit(to),
            adopter::UNKNOWN => Adopter::Unknown,
            _ => Adopter::None,
        },
        // wait(2) reports the group's code once the process is exiting as a whole.
        status: ExitStatus(if has(exit_flags::GROUP_EXIT) { group_code } else { exit_code }),
        live,
        leader: has(exit_flags::LEADER),
        group_dead: has(exit_flags::GROUP_DEAD),
        group_exit: has(exit_flags::GROUP_EXIT),
        autoreap: has(exit_flags::AUTOREAP),
        adopter_ignores: has(exit_flags::ADOPTER_IGNORES),
        oom: has(exit_flags::OOM_VICTIM),
        seccomp: has(exit_flags::SECCOMP),
    }
}

fn row(record: &RowRecord) -> Row {
    let RowRecord { header: _, task, tracer, idle, exit_code, live } = *record;
    Row {
        task: task_info(&task),
        tracer: task_ref(tracer),
        idle: (idle != NEVER).then_some(Span(idle)),
        status: ExitStatus(exit_code),
        leader_dead: task.flags & flags::LEADER_DEAD != 0,
        live,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    fn head(kind: RecordKind, len: usize) -> Header {
        Header { at: 7, kind: kind as u8, reserved: 0, cpu: 1, len: len as u32 }
    }

    /// `__NR_wait4` and `__NR_waitid` of x86-64 (`syscall_64.tbl`) and of arm64 (`asm-generic/unistd.h`).
    #[test]
    fn a_wait_of_either_architecture_is_one() {
        for (number, call) in
            [(61, WaitCall::Wait4), (260, WaitCall::Wait4), (247, WaitCall::Waitid), (95, WaitCall::Waitid)]
        {
            assert_eq!(wait_call(number), Some(call));
        }
        assert_eq!(wait_call(62), None, "kill(2) on x86-64");
    }

    #[test]
    fn a_signal_comes_back_as_it_was_sent() {
        let sender = TaskId { start: 1, tgid: 2, tid: 3 };
        let target = TaskId { start: 4, tgid: 5, tid: 6 };
        let record = SignalRecord {
            header: head(RecordKind::Signal, size_of::<SignalRecord>()),
            sender,
            target,
            code: -6,
            flags: 5,
            signal: 15,
            result: 1,
            aim: aim::GROUP,
            group: 8,
            session: 9,
            terminal: 136 << 20 | 3,
        };
        let event = decode(record.as_bytes()).unwrap();
        assert_eq!(event.at, BootNs(7));
        assert_eq!(event.cpu, 1);
        let want = SignalSent {
            current: known_ref(sender),
            target: known_ref(target),
            signal: Signal::TERM,
            code: -6,
            flags: 5,
            result: 1,
            aim: Aim::Group,
            place: Place { group: 8, session: 9, terminal: Some(Terminal(136 << 20 | 3)) },
        };
        assert_eq!(event.kind, EventKind::Signal(want));
        // Of a version that did not write all of this.
        let older = SignalRecord { header: head(RecordKind::Signal, SIGNAL_WITHOUT_AIM), ..record };
        let event = decode(&older.as_bytes()[..SIGNAL_WITHOUT_AIM]).unwrap();
        assert_eq!(event.kind, EventKind::Signal(SignalSent { aim: Aim::Unknown, place: Place::default(), ..want }));
        assert!(decode(&older.as_bytes()[..SIGNAL_WITHOUT_AIM - 1]).is_err());
    }

    #[test]
    fn an_exec_carries_as_many_arguments_as_it_says() {
        let want = size_of::<ExecRecord>() + 6;
        let record = ExecRecord { header: head(RecordKind::Exec, want), args_len: 6, ..Default::default() };
        let bytes = [record.as_bytes(), b"ls\0-l\0"].concat();
        let EventKind::Exec(exec) = decode(&bytes).unwrap().kind else { panic!("not an exec") };
        assert_eq!(exec.args.to_string(), "ls -l");
        let kind = RecordKind::Exec as u8;
        assert_eq!(decode(&bytes[..want - 1]), Err(DecodeError::Short { kind, have: want - 1, want }));
    }

    #[test]
    fn a_kind_or_a_signal_that_does_not_exist_is_said() {
        let unknown = Header { kind: 99, ..head(RecordKind::Tick, 16) };
        assert_eq!(decode(unknown.as_bytes()), Err(DecodeError::UnknownKind(99)));
        assert_eq!(decode(&[]), Err(DecodeError::Short { kind: 0, have: 0, want: 16 }));
        let record = SignalRecord { header: head(RecordKind::Signal, 72), signal: 65, ..Default::default() };
        assert_eq!(decode(record.as_bytes()), Err(DecodeError::UnknownSignal(65)));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(mut bytes in vec(any::<u8>(), 0..700), kind in select(RecordKind::ALL)) {
            if let Some(place) = bytes.get_mut(8) {
                *place = kind as u8;
            }
            let _ = decode(&bytes);
        }
    }
}
