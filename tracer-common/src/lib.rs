//! What the kernel side writes and user space reads: one `repr(C)` struct per kind of record.
//!
//! [`record`] describes each record once. The structures, the kinds, the table inside each trace and in
//! `docs/trace-format.md`, and the list of what redaction removes all follow from there.
//!
//! Rules of the wire, so that a record is the same bytes for every compiler and every reader:
//! only fixed-size integers and byte arrays, no `bool`, no Rust `enum`, no implicit padding
//! (each struct's size is asserted to be the sum of its fields). Integers are native-endian.
//!
//! A record names processes by [`TaskId`], never by a bare pid. The full identity of a process ([`Task`]) travels once,
//! where it is new. Everything else carries keys, because the kernel side pays for every byte that it reserves.

#![no_std]

#[macro_use]
pub mod describe;
pub mod config;
pub mod record;
pub mod ring;
pub mod signal;
pub mod task;

pub use config::{Config, Offsets, Stats};
pub use describe::Recorded;
pub use record::{
    AdoptRecord, AwaitedRecord, DeliverRecord, ExecRecord, ExitRecord, FreeRecord, Header, NewRecord, NotifyRecord,
    ReapRecord, RecordKind, RenameRecord, RowRecord, SignalRecord, SurveyRecord,
};
pub use task::{Task, TaskId};
