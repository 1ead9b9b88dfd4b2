//! A recording in the formats of other tools, one per file. `docs/export.md` is their contract.
//!
//! JSON lines are not here: they are those of [`json`](crate::sink::json).

use std::io;

use crate::{
    finding::{Facts, Role, Value},
    ident::{Comm, Identity, escape},
    time::BootNs,
    world::World,
};

pub mod csv;
pub mod parquet;
pub mod perfetto;

/// A program's name, escaped.
fn name(comm: Comm) -> String {
    comm.escaped()
}

/// The name, if known by then, and the id of the container that a process belongs to. Escaped.
fn container(world: &World, process: &Identity) -> (Option<String>, Option<String>) {
    let container = world.container_of(process);
    container.map(|container| (escape(container.label().as_bytes()), escape(container.id.as_bytes()))).unzip()
}

/// Nanoseconds as a signed number, good for 292 years after 1970 or after the boot.
fn signed(number: impl Into<u64>) -> i64 {
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
