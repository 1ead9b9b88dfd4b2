//! Times of day on the page: all with the offset from UTC that the recording began with, so that they can be subtracted.

use jiff::{
    civil::Date,
    tz::{Offset, TimeZone},
};

use crate::{time::BootNs, zone::timestamp};

/// Writes boot times as times of day.
#[derive(Clone, Debug)]
pub struct Clock {
    wall_offset_ns: i64,
    offset: Offset,
    /// When the recording began.
    day: Date,
}

impl Clock {
    /// For a recording that began then, read by somebody in that zone.
    pub fn new(zone: &TimeZone, wall_offset_ns: i64, began: BootNs) -> Self {
        let began = timestamp(began, wall_offset_ns);
        let offset = zone.to_offset(began);
        Self { wall_offset_ns, offset, day: offset.to_datetime(began).date() }
    }

    /// Seconds to add to UTC.
    pub fn offset_seconds(&self) -> i32 {
        self.offset.seconds()
    }

    /// `14:02:11.123`; with the date, if it is not that of the beginning.
    pub fn time(&self, at: BootNs) -> String {
        let at = self.offset.to_datetime(timestamp(at, self.wall_offset_ns));
        let format = if at.date() == self.day { "%H:%M:%S%.3f" } else { "%Y-%m-%d %H:%M:%S%.3f" };
        at.strftime(format).to_string()
    }

    /// `2026-11-24 14:02:11.123 +01:00`.
    pub fn date(&self, at: BootNs) -> String {
        let at = timestamp(at, self.wall_offset_ns).to_zoned(self.offset.to_time_zone());
        at.strftime("%Y-%m-%d %H:%M:%S%.3f %:z").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_times_have_the_offset_of_the_beginning() {
        // Two hours before summer time ends there.
        let began = BootNs(1_792_886_400_000_000_000);
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let clock = Clock::new(&zone, 0, began);
        assert_eq!(clock.date(began), "2026-10-25 02:00:00.000 +02:00");
        let later = began + crate::time::Span::seconds(3 * 3_600);
        assert_eq!(clock.date(later), "2026-10-25 05:00:00.000 +02:00");
        assert_eq!(clock.time(later), "05:00:00.000");
        assert!(clock.time(began - crate::time::Span::seconds(86_400)).starts_with("2026-10-24 "));
    }
}
