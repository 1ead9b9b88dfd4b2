//! One pid namespace.

use crate::ident::{Identity, PidNs, ProcKey};

/// A pid namespace that has processes.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// Its inode number.
    pub id: PidNs,
    /// Its depth, 0 for the initial one.
    pub level: u32,
    /// The namespace that it is nested in; `None` for the initial one.
    pub parent: Option<PidNs>,
    /// Its pid 1, while it is in the process table.
    pub init: Option<ProcKey>,
    /// Set from the exit of its init on.
    pub ending: Option<Ending>,
}

/// A namespace whose init has exited: `zap_pid_ns_processes()` kills the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The init that exited.
    pub init: Identity,
    /// When, in nanoseconds of the boot-time clock.
    pub since: u64,
    /// Number of that event.
    pub seq: u64,
    /// Processes that the kernel has killed for it, those of nested namespaces included.
    pub killed: u64,
    /// Whose signal the init had accepted before: likely who asked for the end.
    pub asked_by: Option<ProcKey>,
    /// Of the killed, those that had not asked for it.
    pub bystanders: u64,
    /// Processes that have not died yet.
    pub left: u64,
    /// When the last of them died.
    pub last_death: u64,
    /// A namespace around this one is ending too, and this end is part of that.
    pub nested: bool,
}
