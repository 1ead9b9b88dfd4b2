//! What the kernel side writes and user space reads: one `repr(C)` struct per kind of record.
//!
//! Rules of the wire, so that a record is the same bytes for every compiler and every reader:
//! only fixed-size integers and byte arrays, no `bool`, no Rust `enum`, no implicit padding
//! (each struct's size is asserted to be the sum of its fields). Integers are native-endian.
//!
//! A record names processes by [`TaskId`], never by a bare pid. The full identity of a process
//! ([`Task`]) travels once, where it is new; everything else carries keys, because the kernel
//! side pays for each byte that it reserves.

#![no_std]

pub mod config;
#[cfg(feature = "user")]
pub mod note;
pub mod record;
pub mod task;

pub use config::{Config, Offsets, Stats};
pub use record::{
    AdoptRecord, DeliverRecord, ExecRecord, ExitRecord, FreeRecord, Header, NewRecord, NotifyRecord, ReapRecord,
    RenameRecord, RowRecord, SignalRecord, SurveyRecord, kind,
};
pub use task::{Task, TaskId};
