//! From the bytes of a record to an [`Event`]. Bytes that make no sense are an error, never a
//! panic: the caller counts them as lost.

use bytes::Bytes;
use tracer_common::{
    AdoptRecord, DeliverRecord, ExitRecord, FreeRecord, Header, NewRecord, NotifyRecord, ReapRecord, RenameRecord,
    RowRecord, SignalRecord, SurveyRecord, Task, TaskId, kind,
    note::{
        self, CommandEndedRecord, CommandLineRecord, CommandScopeRecord, CommandStartedRecord, ContainedRecord,
        EndRecord, LookRecord, LostRecord, MasksRecord, OutOfMemoryRecord, SurveyedRecord,
    },
    record::{ARGS_MAX, Credentials, EXEC_FIXED, NEVER, adopter, exit_flags},
    task::flags,
};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::{
    event::{
        Adopt, Adopter, End, Event, EventKind, Exec, Exit, ExitStatus, Fork, Look, Looked, Loss, Masks, Notify, Reap,
        Roles, Row, Scope, SignalSent, SignalTaken, Survey, Surveyed, TaskInfo, WaitCall,
    },
    host::OutOfMemory,
    ident::{Args, Comm, PidNs, ProcKey, TaskRef, Trust},
    signal::Signal,
};

/// Why bytes are no record.
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
    /// More bytes than any recorder writes: somebody wants them to be held.
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
    /// The signal's number is none.
    #[error("there is no signal {0}")]
    UnknownSignal(u8),
    /// The start of a stream says nothing that can be understood.
    #[error("the start of the stream is damaged")]
    BadStart,
    /// The path of a control group is no text.
    #[error("a record about a control group is damaged")]
    BadGroup,
    /// What is said of limits cannot be understood.
    #[error("a record about limits is damaged")]
    BadRooms,
    /// What is said of a container cannot be understood.
    #[error("a record about a container is damaged")]
    BadContainer,
}

/// The most bytes of what is said of a container: its id, name, image and pod, each as long as engines
/// allow. There can be as many as there are containers.
const CONTAINER_MAX: usize = 4 << 10;
/// Of a container's id where a process is said to belong to it.
const CONTAINER_ID_MAX: usize = 512;
/// Of what is said of the run, and of limits.
pub const JSON_MAX: usize = 1 << 20;
/// Of the path of a control group (`PATH_MAX`).
const PATH_MAX: usize = 4 << 10;

/// Decodes one record. Longer ones than this version knows are taken, the rest is ignored.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode(bytes: &[u8]) -> Result<Event, DecodeError> {
    let header: Header = read(bytes, 0)?;
    let kind = match header.kind {
        kind::NEW => {
            let NewRecord { header: _, task, creator } = read(bytes, header.kind)?;
            EventKind::Fork(Box::new(Fork { task: task_info(&task), creator: task_ref(creator) }))
        }
        kind::EXEC => EventKind::Exec(Box::new(exec(bytes)?)),
        kind::EXIT => EventKind::Exit(Box::new(exit(&read(bytes, header.kind)?))),
        kind::FREE => {
            let FreeRecord { header: _, id } = read(bytes, header.kind)?;
            EventKind::Free(known_ref(id))
        }
        kind::SIGNAL => {
            let SignalRecord { header: _, sender, target, code, flags, signal, result } = read(bytes, header.kind)?;
            EventKind::Signal(SignalSent {
                current: known_ref(sender),
                target: known_ref(target),
                signal: known_signal(signal)?,
                code,
                flags,
                result,
            })
        }
        kind::DELIVER => {
            let DeliverRecord { header: _, target, code, flags, signal, reserved: _ } = read(bytes, header.kind)?;
            EventKind::Deliver(SignalTaken { target: known_ref(target), signal: known_signal(signal)?, code, flags })
        }
        kind::ROW => EventKind::Row(Box::new(row(&read(bytes, header.kind)?))),
        kind::ADOPT => {
            let AdoptRecord { header: _, child, from, to } = read(bytes, header.kind)?;
            EventKind::Adopt(Adopt { child: known_ref(child), from: known_ref(from), to: known_ref(to) })
        }
        kind::REAP => {
            let ReapRecord { header: _, id, reaper, call, reserved: _ } = read(bytes, header.kind)?;
            EventKind::Reap(Reap { task: known_ref(id), reaper: known_ref(reaper), call: wait_call(call) })
        }
        kind::NOTIFY => {
            let NotifyRecord { header: _, id, to, signal, traced } = read(bytes, header.kind)?;
            EventKind::Notify(Notify { task: known_ref(id), to: known_ref(to), traced: traced != 0, signal })
        }
        kind::RENAME => {
            let RenameRecord { header: _, id, comm } = read(bytes, header.kind)?;
            EventKind::Rename(known_ref(id).key, Comm(comm))
        }
        note::kind::START => {
            let info = serde_json::from_slice(short(bytes, size_of::<Header>(), JSON_MAX)?);
            EventKind::Start(info.map_err(|_| DecodeError::BadStart)?)
        }
        note::kind::SNAPSHOT_BEGIN => EventKind::SnapshotBegin,
        note::kind::SNAPSHOT_END => EventKind::SnapshotEnd,
        note::kind::COMMAND_LINE => {
            let CommandLineRecord { header: _, id, cut, trust } = read(bytes, header.kind)?;
            let args = rest(bytes, size_of::<CommandLineRecord>())?;
            let args = Args { trust: Trust::from_number(trust), ..arguments(args, cut != 0) };
            EventKind::CommandLine(known_ref(id).key, args)
        }
        note::kind::LOOK => {
            let LookRecord { header: _, id, ppid, state, reserved: _, pts } = read(bytes, header.kind)?;
            let pts = pts.checked_sub(1);
            EventKind::Look(Look { key: known_ref(id).key, found: (state != 0).then_some(Looked { state, ppid, pts }) })
        }
        note::kind::SURVEYED => {
            let SurveyedRecord { header: _, began } = read(bytes, header.kind)?;
            let rows = rest(bytes, size_of::<SurveyedRecord>())?.chunks(size_of::<SurveyRecord>());
            let found = rows.map(decode_surveyed).collect::<Result<_, _>>()?;
            EventKind::Survey(Box::new(Survey { began, found }))
        }
        note::kind::LOST => EventKind::Lost(loss(bytes)?),
        note::kind::TICK => EventKind::Tick,
        note::kind::COMMAND_STARTED => {
            let CommandStartedRecord { header: _, id, cut, reserved: _ } = read(bytes, header.kind)?;
            let args = rest(bytes, size_of::<CommandStartedRecord>())?;
            let bytes = Bytes::copy_from_slice(args);
            EventKind::CommandStarted(known_ref(id).key, Args { bytes, cut: cut != 0, ..Args::default() })
        }
        note::kind::COMMAND_ENDED => {
            let CommandEndedRecord { header: _, id, status, reserved: _ } = read(bytes, header.kind)?;
            EventKind::CommandEnded(known_ref(id).key, ExitStatus(status))
        }
        note::kind::CONTAINER => {
            let container = serde_json::from_slice(short(bytes, size_of::<Header>(), CONTAINER_MAX)?);
            EventKind::Container(container.map_err(|_| DecodeError::BadContainer)?)
        }
        note::kind::ROOMS => {
            let rooms = serde_json::from_slice(short(bytes, size_of::<Header>(), JSON_MAX)?);
            EventKind::Rooms(rooms.map_err(|_| DecodeError::BadRooms)?)
        }
        note::kind::MASKS => {
            let MasksRecord { header: _, id, pending, shared_pending, blocked } = read(bytes, header.kind)?;
            let masks = Masks { pending, shared_pending, blocked };
            EventKind::Masks(known_ref(id), (masks != Masks::default()).then_some(masks))
        }
        note::kind::OUT_OF_MEMORY => {
            let OutOfMemoryRecord { header: _, id, of_group, reserved: _ } = read(bytes, header.kind)?;
            let path = str::from_utf8(short(bytes, size_of::<OutOfMemoryRecord>(), PATH_MAX)?);
            let path = path.map_err(|_| DecodeError::BadGroup)?;
            let group = OutOfMemory::Group((!path.is_empty()).then(|| path.to_owned()));
            EventKind::OutOfMemory(known_ref(id).key, if of_group != 0 { group } else { OutOfMemory::Machine })
        }
        note::kind::CONTAINED => {
            let ContainedRecord { header: _, id } = read(bytes, header.kind)?;
            let container = str::from_utf8(short(bytes, size_of::<ContainedRecord>(), CONTAINER_ID_MAX)?);
            let container = container.map_err(|_| DecodeError::BadContainer)?;
            EventKind::Contained(known_ref(id).key, container.to_owned())
        }
        note::kind::COMMAND_SCOPE => EventKind::CommandScope(Box::new(scope(bytes)?)),
        note::kind::END => {
            let EndRecord { header: _, began, cpu_ns, signals, walks_cut } = read(bytes, header.kind)?;
            EventKind::End(End { began, cpu_ns, signals, walks_cut })
        }
        other => return Err(DecodeError::UnknownKind(other)),
    };
    Ok(Event { at: header.at, cpu: header.cpu, kind })
}

/// Decodes one row of the survey.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_surveyed(bytes: &[u8]) -> Result<Surveyed, DecodeError> {
    let SurveyRecord { header, id, tracer, flags: bits, reserved: _ } = read(bytes, kind::SURVEY)?;
    match header.kind {
        kind::SURVEY => {
            Ok(Surveyed { key: known_ref(id).key, tracer: task_ref(tracer), subreaper: bits & flags::SUBREAPER != 0 })
        }
        other => Err(DecodeError::UnknownKind(other)),
    }
}

/// The numbers of x86-64; `pt_regs.orig_ax` exists only there.
fn wait_call(number: i32) -> Option<WaitCall> {
    match number {
        61 => Some(WaitCall::Wait4),
        247 => Some(WaitCall::Waitid),
        426 => Some(WaitCall::IoUring),
        _ => None,
    }
}

fn read<T: FromBytes + KnownLayout + Immutable>(bytes: &[u8], kind: u8) -> Result<T, DecodeError> {
    match T::read_from_prefix(bytes) {
        Ok((record, _)) => Ok(record),
        Err(_) => Err(DecodeError::Short { kind, have: bytes.len(), want: size_of::<T>() }),
    }
}

/// The part of a record that has no fixed length: what its header counts beyond the fixed part.
fn rest(bytes: &[u8], fixed: usize) -> Result<&[u8], DecodeError> {
    let header: Header = read(bytes, 0)?;
    let want = header.len as usize;
    bytes.get(fixed..want).ok_or(DecodeError::Short { kind: header.kind, have: bytes.len(), want })
}

/// The same of a kind of which a reader keeps what it says.
fn short(bytes: &[u8], fixed: usize, most: usize) -> Result<&[u8], DecodeError> {
    let rest = rest(bytes, fixed)?;
    let kind = bytes.get(8).copied().unwrap_or_default();
    if rest.len() <= most { Ok(rest) } else { Err(DecodeError::Long { kind, have: rest.len(), most }) }
}

/// A stream of a version with more kinds counts more; what this one cannot name is undecodable here.
fn loss(bytes: &[u8]) -> Result<Loss, DecodeError> {
    let LostRecord { header: _, undecodable, missed, unreadable } = read(bytes, note::kind::LOST)?;
    let mut loss = Loss { undecodable, missed, unreadable, ..Loss::default() };
    let (counts, _) = rest(bytes, size_of::<LostRecord>())?.as_chunks();
    for (i, count) in counts.iter().map(|bytes| u64::from_ne_bytes(*bytes)).enumerate() {
        match loss.ring.get_mut(i) {
            Some(place) => *place = count,
            None => loss.undecodable = loss.undecodable.saturating_add(count),
        }
    }
    Ok(loss)
}

fn scope(bytes: &[u8]) -> Result<Scope, DecodeError> {
    let CommandScopeRecord { header: Header { kind, .. }, processes, namespaces } = read(bytes, 0)?;
    let mut rest = rest(bytes, size_of::<CommandScopeRecord>())?;
    // What a record claims takes room only as far as its bytes go.
    let want = (processes as usize).saturating_mul(size_of::<TaskId>()).saturating_add(4 * namespaces as usize);
    let short = DecodeError::Short { kind, have: rest.len(), want };
    let mut scope = Scope::default();
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

fn known_ref(id: TaskId) -> TaskRef {
    let TaskId { start, tgid, tid } = id;
    TaskRef { key: ProcKey { start, tgid }, tid }
}

/// Pid 0 is the idle task: nobody.
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

/// Only as many bytes of arguments were sent as there are.
fn exec(bytes: &[u8]) -> Result<Exec, DecodeError> {
    let short = |want| DecodeError::Short { kind: kind::EXEC, have: bytes.len(), want };
    let (fixed, rest) = bytes.split_at_checked(EXEC_FIXED).ok_or_else(|| short(EXEC_FIXED))?;
    let mut whole = [0; size_of::<tracer_common::ExecRecord>()];
    whole[..EXEC_FIXED].copy_from_slice(fixed);
    let record: tracer_common::ExecRecord = read(&whole, kind::EXEC)?;
    let length = usize::from(record.args_len);
    let (args, rest) = rest.split_at_checked(length).ok_or_else(|| short(EXEC_FIXED + length))?;
    // Older versions have none.
    let Credentials { trust, mount_ns } =
        Credentials::read_from_prefix(rest).map_or_else(|_| Credentials::default(), |(credentials, _)| credentials);
    Ok(Exec {
        task: known_ref(record.id),
        comm: Comm(record.comm),
        old_tid: record.old_tid,
        args: Args { trust: Trust::from_number(trust), ..arguments(args, record.args_cut != 0) },
        mount_ns,
    })
}

/// No more than any source keeps, as each process has some.
fn arguments(bytes: &[u8], is_cut: bool) -> Args {
    let kept = bytes.get(..ARGS_MAX).unwrap_or(bytes);
    Args { bytes: Bytes::copy_from_slice(kept), cut: is_cut || kept.len() < bytes.len(), trust: Trust::Unknown }
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
        // wait(2) reports the code of the group once it is exiting as one.
        status: ExitStatus(if has(exit_flags::GROUP_EXIT) { group_code } else { exit_code }),
        live,
        leader: has(exit_flags::LEADER),
        group_dead: has(exit_flags::GROUP_DEAD),
        autoreap: has(exit_flags::AUTOREAP),
        adopter_ignores: has(exit_flags::ADOPTER_IGNORES),
        oom: has(exit_flags::OOM_VICTIM),
    }
}

fn row(record: &RowRecord) -> Row {
    let RowRecord { header: _, task, tracer, idle, exit_code, live } = *record;
    Row {
        task: task_info(&task),
        tracer: task_ref(tracer),
        idle: (idle != NEVER).then_some(idle),
        status: ExitStatus(exit_code),
        leader_dead: task.flags & flags::LEADER_DEAD != 0,
        live,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::{FromZeros, IntoBytes};

    use super::*;

    fn header(kind: u8, len: usize) -> Header {
        Header { at: 7, kind, reserved: 0, cpu: 1, len: len as u32 }
    }

    #[test]
    fn a_signal_comes_back_as_it_was_sent() {
        let sender = TaskId { start: 1, tgid: 2, tid: 3 };
        let target = TaskId { start: 4, tgid: 5, tid: 6 };
        let record = SignalRecord {
            header: header(kind::SIGNAL, size_of::<SignalRecord>()),
            sender,
            target,
            code: -6,
            flags: 5,
            signal: 15,
            result: 1,
        };
        let event = decode(record.as_bytes()).unwrap();
        assert_eq!(event.at, 7);
        assert_eq!(event.cpu, 1);
        let want = SignalSent {
            current: known_ref(sender),
            target: known_ref(target),
            signal: Signal::TERM,
            code: -6,
            flags: 5,
            result: 1,
        };
        assert_eq!(event.kind, EventKind::Signal(want));
    }

    #[test]
    fn an_exec_carries_as_many_arguments_as_it_says() {
        let mut record = tracer_common::ExecRecord::new_zeroed();
        record.header = header(kind::EXEC, EXEC_FIXED + 6);
        record.args_len = 6;
        record.args[..6].copy_from_slice(b"ls\0-l\0");
        let bytes = &record.as_bytes()[..EXEC_FIXED + 6];
        let EventKind::Exec(exec) = decode(bytes).unwrap().kind else { panic!("not an exec") };
        assert_eq!(exec.args.to_string(), "ls -l");
        let want = EXEC_FIXED + 6;
        assert_eq!(decode(&bytes[..want - 1]), Err(DecodeError::Short { kind: kind::EXEC, have: want - 1, want }));
    }

    #[test]
    fn a_kind_or_a_signal_that_does_not_exist_is_said() {
        assert_eq!(decode(header(99, 16).as_bytes()), Err(DecodeError::UnknownKind(99)));
        assert_eq!(decode(&[]), Err(DecodeError::Short { kind: 0, have: 0, want: 16 }));
        let record = SignalRecord { header: header(kind::SIGNAL, 56), signal: 65, ..Default::default() };
        assert_eq!(decode(record.as_bytes()), Err(DecodeError::UnknownSignal(65)));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..700), kind in prop_oneof![0u8..14, 64u8..74]) {
            if let Some(place) = bytes.get_mut(8) {
                *place = kind;
            }
            let _ = decode(&bytes);
        }
    }
}
