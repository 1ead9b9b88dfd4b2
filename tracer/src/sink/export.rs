//! A recording in the formats of other tools, one per file. `docs/export.md` is their contract. A lake, to which agents
//! write as well, is [elsewhere](crate::lake).
//!
//! JSON lines are not here: they are those of [`json`](crate::sink::json).

use std::io;

use crate::{
    event::ExitStatus,
    finding::{Facts, Role, Value},
    ident::{Comm, Identity, escape},
    time::BootNs,
    world::World,
};

pub mod csv;
pub mod parquet;
pub mod perfetto;
pub(crate) mod table;

/// A program's name, escaped.
pub(crate) fn name(comm: Comm) -> String {
    comm.escaped()
}

/// The name, if known by then, and the id of the container that a process belongs to. Escaped.
fn container(world: &World, process: &Identity) -> (Option<String>, Option<String>) {
    let container = world.container_of(process);
    container.map(|container| (escape(container.label().as_bytes()), escape(container.id.as_bytes()))).unzip()
}

/// Nanoseconds as a signed number, good for 292 years after 1970 or after the boot.
pub(crate) fn signed(number: impl Into<u64>) -> i64 {
    i64::try_from(number.into()).unwrap_or(i64::MAX)
}

/// Nanoseconds since 1970 of a boot time.
fn since_1970(world: &World, at: BootNs) -> i64 {
    signed(at).saturating_add(world.wall_offset_ns())
}

/// The error of a format's library. An I/O error is kept as such, so that a closed pipe is recognized.
fn failed(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(it) = cause {
        if let Some(io) = it.downcast_ref::<io::Error>() {
            return io.raw_os_error().map_or_else(|| io.kind().into(), io::Error::from_raw_os_error);
        }
        cause = it.source();
    }
    io::Error::other(error)
}

/// The other party of a finding, and its role: the sender of a signal; else the process that owes the wait, adopted the
/// process, or asked for it.
fn others(facts: &Facts) -> Option<(&'static str, &Value)> {
    let roles =
        [(Role::Sender, "sender"), (Role::Debtor, "owed_by"), (Role::Adopter, "adopter"), (Role::Client, "client")];
    roles.into_iter().find_map(|(role, name)| Some((name, facts.first(role)?)))
}

/// A code, or the name of a signal.
pub(crate) fn status(status: ExitStatus) -> (Option<i32>, Option<String>) {
    match status.signal() {
        Some(signal) => (None, Some(signal.to_string())),
        None => (Some(status.code()), None),
    }
}

/// What the facts of a finding say, in the words of tables.
pub(crate) struct Said<'a> {
    pub(crate) other: Option<(&'static str, &'a Identity)>,
    pub(crate) signal: Option<String>,
    pub(crate) reason: Option<&'static str>,
    pub(crate) duration_ns: Option<i64>,
    pub(crate) killed: Option<i64>,
    pub(crate) status_code: Option<i32>,
    pub(crate) status_signal: Option<String>,
}

impl<'a> Said<'a> {
    pub(crate) fn of(facts: &'a Facts) -> Self {
        let count = |role| if let Some(Value::Count(count)) = facts.first(role) { Some(signed(*count)) } else { None };
        let (status_code, status_signal) = match facts.first(Role::Status) {
            Some(Value::Status(how)) => status(*how),
            _ => (None, None),
        };
        let signal = match facts.first(Role::Signal).or_else(|| facts.first(Role::FatalSignal)) {
            Some(Value::Signal(signal)) => Some(signal.to_string()),
            _ => None,
        };
        let reason = if let Some(Value::Word(word)) = facts.first(Role::Reason) { Some(*word) } else { None };
        Self {
            other: others(facts).and_then(|(role, value)| Some((role, value.processes().first()?))),
            signal,
            reason,
            duration_ns: count(Role::Cost),
            killed: count(Role::Killed),
            status_code,
            status_signal,
        }
    }
}
