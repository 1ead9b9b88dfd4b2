//! Where the fields of each kind of record are: the table that every trace carries inside, so that a
//! reader of another language, or of a later version, needs nothing else.
//!
//! A field that is missing here does not compile.

use std::mem::offset_of;

use serde_json::{Value, json};
use tracer_common::{
    AdoptRecord, DeliverRecord, ExecRecord, ExitRecord, FreeRecord, Header, NewRecord, NotifyRecord, ReapRecord,
    RenameRecord, RowRecord, SignalRecord, SurveyRecord, Task, TaskId, kind,
    note::{
        self, CommandEndedRecord, CommandLineRecord, CommandScopeRecord, CommandStartedRecord, ContainedRecord,
        EndRecord, LookRecord, LostRecord, MasksRecord, OutOfMemoryRecord, SurveyedRecord,
    },
    record::{ARGS_MAX, Credentials, EXEC_FIXED},
};

use crate::{ident::escape, wire::FORMAT};

/// A field of a record.
struct Field {
    name: &'static str,
    /// In bytes, from the start of the structure.
    offset: usize,
    form: Form,
    /// Unit and meaning; for a structure, what is said before each of its fields.
    about: &'static str,
}

enum Form {
    U8,
    U16,
    U32,
    U64,
    I32,
    /// So many of them.
    U32s(usize),
    /// Text that somebody else chose: any bytes, to the first zero.
    Name(usize),
    Struct(&'static [Field]),
}

/// A kind of record.
struct Record {
    kind: u8,
    name: &'static str,
    about: &'static str,
    fields: &'static [Field],
    /// Bytes of the fields. More may follow, as `rest` says.
    size: usize,
    /// What stands between the fields and the end that the header's `len` names.
    rest: &'static str,
}

macro_rules! fields {
    ($type:ident { $($field:ident: $form:expr, $about:expr;)* }) => {{
        const _: fn($type) = |$type { $($field: _),* }: $type| {};
        const { &[$(Field { name: stringify!($field), offset: offset_of!($type, $field), form: $form, about: $about }),*] }
    }};
}

const HEADER: &[Field] = fields!(Header {
    at: Form::U64, "ns of the boot-time clock; what the trace's metadata says must be added to get the time since 1970";
    kind: Form::U8, "which kind of record";
    reserved: Form::U8, "0";
    cpu: Form::U16, "processor that the probe ran on, 0 for records that user space makes";
    len: Form::U32, "bytes of the whole record; the next one begins there";
});

const TASK_ID: &[Field] = fields!(TaskId {
    start: Form::U64, "ns of the boot-time clock: start of the process (its main thread); with tgid its identity, for ever";
    tgid: Form::U32, "pid on the host; 0: nobody";
    tid: Form::U32, "thread id on the host";
});

const TASK: &[Field] = fields!(Task {
    id: Form::Struct(TASK_ID), "the process";
    parent: Form::Struct(TASK_ID), "real_parent, and the thread of it that holds the child";
    comm: Form::Name(16), "name";
    cgroup: Form::U64, "id of its cgroup in the unified hierarchy, 0: unknown";
    pid_ns: Form::U32, "inode number of its pid namespace";
    parent_ns: Form::U32, "inode number of the namespace around that, 0: none";
    ns_level: Form::U32, "depth of its pid namespace, 0: the initial one";
    ns_pid: Form::U32, "its pid in its own pid namespace";
    mid_pids: Form::U32s(3), "its pids at the levels 1, 2 and 3, 0: none";
    flags: Form::U32, "bits: 1 pid 1 of its namespace, 2 SIGNAL_UNKILLABLE, 4 subreaper, 8 kernel thread, 16 PF_EXITING, 32 came into its namespace by setns, 64 main thread dead";
    exit_signal: Form::I32, "signal that its death sends to the parent, 0: none";
    threads: Form::U32, "threads that have not been released";
});

const CREDENTIALS: &[Field] = fields!(Credentials {
    trust: Form::U32, TRUST;
    mount_ns: Form::U32, "inode number of its mount namespace, 0: unknown";
});

const SIGNAL_FLAGS: &str = "bits: 1+2 action (0 default, 1 ignore, 2 handler), 4 blocked, 8 SIGNAL_UNKILLABLE, 16 target dying, 32 stopped, 64 traced, 128 kernel thread, 256 sender is outside of the target's pid namespace, 512 sender exiting, 1024 sender is an exiting pid 1, 2048 no siginfo, 4096 sent by the kernel, 8192 for the whole process, 16384 target in do_exit()";

const HEADER_ONLY: &[Field] = &[Field { name: "header", offset: 0, form: Form::Struct(HEADER), about: "" }];

macro_rules! record {
    ($kind:expr, $name:literal, $about:literal, $type:ident { $($fields:tt)* }) => {
        record!($kind, $name, $about, $type { $($fields)* }, "")
    };
    ($kind:expr, $name:literal, $about:literal, Header {}, $rest:literal) => {
        Record { kind: $kind, name: $name, about: $about, fields: HEADER_ONLY, size: size_of::<Header>(), rest: $rest }
    };
    ($kind:expr, $name:literal, $about:literal, $type:ident { $($fields:tt)* }, $rest:literal) => {
        Record {
            kind: $kind,
            name: $name,
            about: $about,
            fields: fields!($type { header: Form::Struct(HEADER), ""; $($fields)* }),
            size: size_of::<$type>(),
            rest: $rest,
        }
    };
}

const TRUST: &str = "how far the arguments can be believed: 0 unknown, 1 not at all, else the id of the user on the host, and 2 (2 is root of the host)";

const ADOPTER_CLASS: &str =
    "0 none, 1 another thread of the process, 2 a subreaper, 3 pid 1 of the namespace, 4 unknown";

static RECORDS: &[Record] = &[
    record!(kind::NEW, "new", "a process was created (task_newtask)", NewRecord {
        task: Form::Struct(TASK), "the child";
        creator: Form::Struct(TASK_ID), "who called clone";
    }),
    Record {
        size: EXEC_FIXED,
        ..record!(kind::EXEC, "exec", "a process replaced its program (sched_process_exec)", ExecRecord {
            id: Form::Struct(TASK_ID), "the process";
            comm: Form::Name(16), "its new name";
            old_tid: Form::U32, "thread id of the caller before the exec";
            args_len: Form::U16, "bytes of the arguments";
            args_cut: Form::U16, "1: there was more";
            args: Form::Name(ARGS_MAX), "as many bytes as args_len says: the arguments, each ended by a zero byte";
            credentials: Form::U32s(2), "right behind the arguments, not here (older versions have none): trust, as of a command_line, and the inode number of its mount namespace, 0: unknown";
        }, "the bytes of args, then those of credentials")
    },
    record!(kind::EXIT, "exit", "a main thread, a last thread, or a thread with children began to exit (sched_process_exit)", ExitRecord {
        id: Form::Struct(TASK_ID), "the thread";
        parent: Form::Struct(TASK_ID), "who owes the wait";
        tracer: Form::Struct(TASK_ID), "who holds it by ptrace";
        adopter: Form::Struct(TASK_ID), "who will get its children";
        exit_code: Form::I32, "wait status of the main thread";
        group_code: Form::I32, "wait status of the process, if bit 16 of flags is set";
        live: Form::U32, "threads that have not begun to exit";
        exit_signal: Form::I32, "signal that the death sends to the parent";
        flags: Form::U32, "bits: 1 last thread, 2 main thread, 4 has children, 8 no zombie will be left, 16 the whole process is exiting, 32 the adopter ignores SIGCHLD, 64 killed for want of memory";
        adopter_class: Form::U32, ADOPTER_CLASS;
    }),
    record!(kind::FREE, "free", "a process was released; it had been reaped before (sched_process_free)", FreeRecord {
        id: Form::Struct(TASK_ID), "the process";
    }),
    record!(kind::SIGNAL, "signal", "a signal was generated, whatever became of it (signal_generate)", SignalRecord {
        sender: Form::Struct(TASK_ID), "the current task; the sender if the flags do not say the kernel";
        target: Form::Struct(TASK_ID), "the task that the signal is for";
        code: Form::I32, "si_code, 0 without a siginfo";
        flags: Form::U16, SIGNAL_FLAGS;
        signal: Form::U8, "signal number";
        result: Form::U8, "TRACE_SIGNAL_*: 0 delivered, 1 ignored, 2 already pending, 3 queue overflow, 4 siginfo lost";
    }),
    record!(kind::DELIVER, "deliver", "a signal was taken from the queue (signal_deliver)", DeliverRecord {
        target: Form::Struct(TASK_ID), "the task that takes it";
        code: Form::I32, "si_code";
        flags: Form::U16, SIGNAL_FLAGS;
        signal: Form::U8, "signal number";
        reserved: Form::U8, "0";
    }),
    record!(kind::ROW, "row", "a process as the task iterator saw it", RowRecord {
        task: Form::Struct(TASK), "the process";
        tracer: Form::Struct(TASK_ID), "who holds it by ptrace";
        idle: Form::U64, "ns since its main thread last ran; 2^64-1: unknown";
        exit_code: Form::I32, "wait status";
        live: Form::U32, "threads that have not begun to exit";
    }),
    record!(kind::ADOPT, "adopt", "an orphan has its new parent (kill_orphaned_pgrp)", AdoptRecord {
        child: Form::Struct(TASK_ID), "the child";
        from: Form::Struct(TASK_ID), "the exiting thread that it belonged to";
        to: Form::Struct(TASK_ID), "its parent now";
    }),
    record!(kind::REAP, "reap", "a process was reaped (cgroup_release or its like)", ReapRecord {
        id: Form::Struct(TASK_ID), "the process";
        reaper: Form::Struct(TASK_ID), "the thread that reaps";
        call: Form::I32, "number of the system call that it is in; -2^31: unknown";
        reserved: Form::U32, "0";
    }),
    record!(kind::NOTIFY, "notify", "a dead process was announced to whoever has to wait (do_notify_parent)", NotifyRecord {
        id: Form::Struct(TASK_ID), "the process";
        to: Form::Struct(TASK_ID), "who is told";
        signal: Form::I32, "the signal that tells, 0: none";
        traced: Form::U32, "1: whoever is told traces it";
    }),
    record!(kind::RENAME, "rename", "a process has another name (task_rename)", RenameRecord {
        id: Form::Struct(TASK_ID), "the process";
        comm: Form::Name(16), "its new name";
    }),
    record!(kind::SURVEY, "survey", "a process that is traced or a subreaper; only inside of surveyed", SurveyRecord {
        id: Form::Struct(TASK_ID), "the process";
        tracer: Form::Struct(TASK_ID), "who holds it by ptrace";
        flags: Form::U32, "4: a subreaper";
        reserved: Form::U32, "0";
    }),
    record!(note::kind::START, "start", "tracing began: the first record", Header {}, "a JSON object"),
    record!(note::kind::SNAPSHOT_BEGIN, "snapshot_begin", "the rows of a snapshot follow", Header {}),
    record!(note::kind::SNAPSHOT_END, "snapshot_end", "they are through", Header {}),
    record!(note::kind::COMMAND_LINE, "command_line", "a command line, from /proc", CommandLineRecord {
        id: Form::Struct(TASK_ID), "the process";
        cut: Form::U32, "1: there was more";
        trust: Form::U32, TRUST;
    }, "the arguments, each ended by a zero byte"),
    record!(note::kind::LOOK, "look", "a closer look at a process, from /proc", LookRecord {
        id: Form::Struct(TASK_ID), "the process";
        ppid: Form::U32, "its parent's pid on the host";
        state: Form::U8, "the letter of proc(5), 0: it is gone";
        reserved: Form::U8, "0";
        pts: Form::U16, "the number of the pseudo-terminal that controls it, and 1; 0: none";
    }),
    record!(note::kind::SURVEYED, "surveyed", "all that a survey found", SurveyedRecord {
        began: Form::U64, "ns of the boot-time clock: when the survey began";
    }, "records of the kind survey"),
    record!(note::kind::LOST, "lost", "records are missing here", LostRecord {
        undecodable: Form::U64, "records that could not be decoded";
        missed: Form::U64, "events at which a program was skipped, as it was running already";
        unreadable: Form::U64, "records of a trace that could not be read back";
    }, "for each kind from 0 on a u64: records that found no room in the ring buffer"),
    record!(note::kind::TICK, "tick", "time has passed", Header {}),
    record!(note::kind::END, "end", "tracing ended: the last record", EndRecord {
        began: Form::U64, "ns of the boot-time clock: when it began";
        cpu_ns: Form::U64, "ns of processor time that the tool used";
        signals: Form::U64, "signals that the kernel generated, those included that are not in the trace";
        walks_cut: Form::U64, "bounded loops in the kernel that ended too early";
    }),
    record!(note::kind::COMMAND_STARTED, "command_started", "the command that the recording is about was started", CommandStartedRecord {
        id: Form::Struct(TASK_ID), "the process";
        cut: Form::U32, "1: there were more arguments";
        reserved: Form::U32, "0";
    }, "its arguments, each ended by a zero byte"),
    record!(note::kind::COMMAND_ENDED, "command_ended", "it ended", CommandEndedRecord {
        id: Form::Struct(TASK_ID), "the process";
        status: Form::I32, "wait status";
        reserved: Form::U32, "0";
    }),
    record!(note::kind::COMMAND_SCOPE, "command_scope", "who belongs to it; only in an image of the world", CommandScopeRecord {
        processes: Form::U32, "how many processes";
        namespaces: Form::U32, "how many pid namespaces";
    }, "a process each, as in id; then an inode number each, a u32"),
    record!(note::kind::CONTAINER, "container", "what is known of a container", Header {}, "a JSON object"),
    record!(note::kind::ROOMS, "rooms", "how much is left of what runs out", Header {}, "a JSON object"),
    record!(note::kind::MASKS, "masks", "the signals of a thread, from /proc; all 0: it is gone", MasksRecord {
        id: Form::Struct(TASK_ID), "the thread";
        pending: Form::U64, "signals that wait for the thread, a bit each from signal 1";
        shared_pending: Form::U64, "signals that wait for the process";
        blocked: Form::U64, "signals that the thread blocks";
    }),
    record!(note::kind::OUT_OF_MEMORY, "out_of_memory", "why the out-of-memory killer chose a process", OutOfMemoryRecord {
        id: Form::Struct(TASK_ID), "the process";
        of_group: Form::U32, "1: a control group was out of memory, 0: the machine was";
        reserved: Form::U32, "0";
    }, "the path of the control group, where it is known"),
    record!(note::kind::CONTAINED, "contained", "a process belongs to a container", ContainedRecord {
        id: Form::Struct(TASK_ID), "the process; with it its descendants, and with an init whoever lives in its pid namespace";
    }, "the container's id"),
];

/// The table, as JSON.
pub fn table() -> Value {
    let mut told = Vec::new();
    let records: Vec<_> = RECORDS.iter().map(|record| record.json(&mut told)).collect();
    let byte_order = if cfg!(target_endian = "little") { "little" } else { "big" };
    json!({ "format": FORMAT, "byte_order": byte_order, "records": records })
}

impl Record {
    fn json(&self, told: &mut Vec<*const Field>) -> Value {
        let Self { kind, name, about, fields, size, rest } = self;
        let mut flat = Vec::new();
        flatten(fields, "", 0, told, &mut flat);
        json!({ "kind": kind, "name": name, "about": about, "size": size, "fields": flat, "rest": rest })
    }
}

/// Fields of structures in structures by dotted names: `task.id.start`. What a field of a structure
/// means is told once: each trace carries the table twice, once unpacked.
fn flatten(fields: &[Field], path: &str, base: usize, told: &mut Vec<*const Field>, to: &mut Vec<Value>) {
    for field @ Field { name, offset, form, about } in fields {
        let (name, offset) = (format!("{path}{name}"), base + offset);
        match form.plain() {
            Err(inner) => flatten(inner, &format!("{name}."), offset, told, to),
            Ok(form) => {
                let mut json = json!({ "name": name, "offset": offset, "type": form });
                if !told.contains(&std::ptr::from_ref(field)) {
                    told.push(field);
                    json["about"] = (*about).into();
                }
                to.push(json);
            }
        }
    }
}

impl Form {
    /// Its name, or what it is made of.
    fn plain(&self) -> Result<String, &'static [Field]> {
        Ok(match self {
            Self::U8 => "u8".to_owned(),
            Self::U16 => "u16".to_owned(),
            Self::U32 => "u32".to_owned(),
            Self::U64 => "u64".to_owned(),
            Self::I32 => "i32".to_owned(),
            Self::U32s(count) => format!("u32[{count}]"),
            Self::Name(count) => format!("char[{count}]"),
            Self::Struct(fields) => return Err(fields),
        })
    }
}

/// A record, read by the table alone.
pub struct Plain {
    /// Name of its kind, or its number.
    pub name: String,
    /// The fields and their values. Text is escaped.
    pub fields: Vec<(String, Value)>,
    /// What follows the fields, escaped; of a kind that is not known, the whole record as hexadecimal
    /// digits.
    pub rest: String,
}

/// Reads a record, whatever it holds.
pub fn read(record: &[u8]) -> Plain {
    let kind = record.get(offset_of!(Header, kind)).copied().unwrap_or_default();
    let Some(known) = RECORDS.iter().find(|known| known.kind == kind && known.size <= record.len()) else {
        let digits = record.iter().map(|byte| format!("{byte:02x}")).collect();
        return Plain { name: format!("kind {kind}"), fields: Vec::new(), rest: digits };
    };
    let mut fields = Vec::new();
    values(known.fields, "", &record[..known.size], &mut fields);
    let mut rest = &record[known.size..];
    if kind == kind::EXEC {
        let length = fields.iter().find(|(name, _)| name == "args_len").and_then(|(_, value)| value.as_u64());
        let (args, credentials) = rest.split_at(rest.len().min(length.unwrap_or(0) as usize));
        values(CREDENTIALS, "", credentials, &mut fields);
        rest = args;
    }
    Plain { name: known.name.to_owned(), fields, rest: escape(rest) }
}

/// The value of each field that lies within the bytes.
fn values(fields: &[Field], path: &str, bytes: &[u8], to: &mut Vec<(String, Value)>) {
    for Field { name, offset, form, about: _ } in fields {
        let Some(bytes) = bytes.get(*offset..) else { continue };
        let name = format!("{path}{name}");
        let value = match form {
            Form::Struct(inner) => {
                values(inner, &format!("{name}."), bytes, to);
                continue;
            }
            Form::U8 => bytes.first().map(|&byte| Value::from(byte)),
            Form::U16 => bytes.first_chunk().map(|&bytes| Value::from(u16::from_ne_bytes(bytes))),
            Form::U32 => bytes.first_chunk().map(|&bytes| Value::from(u32::from_ne_bytes(bytes))),
            Form::U64 => bytes.first_chunk().map(|&bytes| Value::from(u64::from_ne_bytes(bytes))),
            Form::I32 => bytes.first_chunk().map(|&bytes| Value::from(i32::from_ne_bytes(bytes))),
            Form::U32s(count) => bytes.get(..4 * count).map(|bytes| {
                let (numbers, _) = bytes.as_chunks();
                numbers.iter().map(|&number| u32::from_ne_bytes(number)).collect()
            }),
            Form::Name(count) => bytes.get(..*count).map(|name| {
                let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
                Value::from(escape(&name[..end]))
            }),
        };
        to.extend(value.map(|value| (name, value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a field, by the name of its form.
    fn size(form: &str) -> usize {
        let (unit, count) = form.split_once('[').unwrap_or((form, "1]"));
        let unit = match unit {
            "u8" | "char" => 1,
            "u16" => 2,
            "u32" | "i32" => 4,
            "u64" => 8,
            other => panic!("{other}"),
        };
        unit * count.trim_end_matches(']').parse::<usize>().unwrap()
    }

    #[test]
    fn the_fields_of_each_record_fill_it_without_a_gap() {
        let table = table();
        for record in table["records"].as_array().unwrap() {
            let mut end = 0;
            for field in record["fields"].as_array().unwrap() {
                assert_eq!(field["offset"], end, "{record}");
                end += size(field["type"].as_str().unwrap());
            }
            // What varies in an exec is counted with its fields, as the most that there can be.
            let most = if record["name"] == "exec" { size_of::<ExecRecord>() } else { end };
            assert_eq!(end, most, "{record}");
            assert!(record["size"].as_u64().unwrap() as usize <= end, "{record}");
        }
    }

    #[test]
    fn every_kind_has_a_record_and_no_two_have_the_same() {
        let mut kinds: Vec<_> = RECORDS.iter().map(|record| record.kind).collect();
        let expected: Vec<_> = (1..kind::COUNT as u8).chain(note::kind::START..=note::kind::OUT_OF_MEMORY).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, expected);
    }
}
