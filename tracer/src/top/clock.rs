//! Boot times as times of day.

use jiff::tz::TimeZone;

use crate::{time::BootNs, zone::timestamp};

/// The time of day, to the millisecond.
pub fn precise(at: BootNs, wall_offset_ns: i64, zone: &TimeZone) -> String {
    text(at, wall_offset_ns, zone, "%H:%M:%S%.3f")
}

/// The time of day, to the second.
pub fn rough(at: BootNs, wall_offset_ns: i64, zone: &TimeZone) -> String {
    text(at, wall_offset_ns, zone, "%H:%M:%S")
}

fn text(at: BootNs, wall_offset_ns: i64, zone: &TimeZone, format: &str) -> String {
    timestamp(at, wall_offset_ns).to_zoned(zone.clone()).strftime(format).to_string()
}

/// Date and time, for the name of a file.
pub fn file_name(at: BootNs, wall_offset_ns: i64, zone: &TimeZone) -> String {
    text(at, wall_offset_ns, zone, "%Y%m%d-%H%M%S")
}
