//! Records of made-up events: those of the probes, too, which the program itself never writes.

use tracer::{
    event::{Event, EventKind, Fork, SignalSent},
    ident::TaskRef,
    source::encode::encode,
};
use tracer_common::{FreeRecord, Header, NewRecord, SignalRecord, Task, TaskId, record::kind};
use zerocopy::{FromBytes, IntoBytes};

use crate::story::row;

/// The record of an event at that boot time.
pub fn record(at: u64, kind: &EventKind) -> Vec<u8> {
    let header = |kind, len: usize| Header { at, kind, reserved: 0, cpu: 1, len: len as u32 };
    match kind {
        EventKind::Fork(fork) => {
            let Fork { task, creator } = **fork;
            // A row has the same of a process.
            let row = record(at, &row(task));
            let (task, _) = Task::read_from_prefix(&row[size_of::<Header>()..]).unwrap();
            let creator = creator.map_or_else(TaskId::default, id);
            NewRecord { header: header(kind::NEW, size_of::<NewRecord>()), task, creator }.as_bytes().to_vec()
        }
        EventKind::Free(task) => {
            FreeRecord { header: header(kind::FREE, size_of::<FreeRecord>()), id: id(*task) }.as_bytes().to_vec()
        }
        EventKind::Signal(sent) => {
            let SignalSent { current, target, signal, code, flags, result } = *sent;
            let header = header(kind::SIGNAL, size_of::<SignalRecord>());
            let (sender, target, signal) = (id(current), id(target), signal.0);
            SignalRecord { header, sender, target, code, flags, signal, result }.as_bytes().to_vec()
        }
        kind => {
            let mut record = Vec::new();
            encode(&Event { at, cpu: 0, kind: kind.clone() }, &mut record);
            assert!(!record.is_empty(), "no record of {kind:?}");
            record
        }
    }
}

fn id(task: TaskRef) -> TaskId {
    TaskId { start: task.key.start, tgid: task.key.tgid, tid: task.tid }
}
