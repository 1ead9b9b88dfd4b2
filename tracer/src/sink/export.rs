//! A recording in the formats of other tools, one file a format. `docs/export.md` is their contract.
//!
//! JSON lines need none: they are those of [`json`](crate::sink::json).

use std::io;

use crate::{
    ident::{Comm, Identity},
    world::World,
};

pub mod csv;
pub mod parquet;
pub mod perfetto;

/// A program's name as JSON has it: bytes that are not UTF-8 become U+FFFD.
fn name(comm: Comm) -> String {
    String::from_utf8_lossy(comm.bytes()).into_owned()
}

/// The name, as far as it is known by then, and the id of the container that a process belongs to.
fn container(world: &World, process: &Identity) -> (Option<String>, Option<String>) {
    world.container_of(process).map(|container| (container.label().into_owned(), container.id.clone())).unzip()
}

/// Nanoseconds as a signed number: 292 years after 1970, or after the machine was started, are enough.
fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

/// Nanoseconds since 1970 of a boot time.
fn since_1970(world: &World, at: u64) -> i64 {
    signed(at).saturating_add(world.wall_offset_ns())
}

/// What a library for a format says when it cannot write; an error of the file system is kept, so that
/// a closed pipe is known as one.
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
