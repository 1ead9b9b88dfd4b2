//! Records of made-up events.

use tracer::{
    event::{Event, EventKind},
    source::encode::encode,
    time::BootNs,
};

/// The record of an event at that boot time.
pub fn record(at: u64, kind: &EventKind) -> Vec<u8> {
    let mut record = Vec::new();
    encode(&Event { at: BootNs(at), cpu: 0, kind: kind.clone() }, &mut record);
    record
}
