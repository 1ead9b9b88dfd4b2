//! Moments of a recording as a person gives them: by the clock, or relative to its beginning or its end.

use std::{str::FromStr, time::Duration};

use jiff::{
    SignedDuration, Timestamp, Zoned,
    civil::{DateTime, Time},
    tz::TimeZone,
};

use crate::time::{BootNs, Span};

/// A moment as given on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// `2026-11-24T12:34:09.171Z`
    Instant(Timestamp),
    /// `2026-11-24 12:34:09.171`, in the time zone of whoever asks.
    Date(DateTime),
    /// `12:34:09.171`, on the day of the recording.
    Clock(Time),
    /// `+2m`: that long after the beginning.
    AfterBegin(Duration),
    /// `-10s`: that long before the end.
    BeforeEnd(Duration),
}

/// A recording does not reach to the moment, or nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// Relative to what is not known.
    #[error("a pipe does not say beforehand when it begins or ends; give a date and time, or save it to a file first")]
    Pipe,
}

/// The time of a recording: boot times, and the offset to wall time.
#[derive(Clone, Copy, Debug)]
pub struct Recorded {
    /// Its first and its last moment, if that is known.
    pub span: Option<(BootNs, BootNs)>,
    /// Nanoseconds to add to a boot time to get the time since 1970.
    pub wall_offset_ns: i64,
}

impl When {
    /// The boot time. A moment outside the recording is moved to its nearest end.
    ///
    /// # Errors
    /// If it is relative to something that is not known.
    pub fn resolve(self, recorded: Recorded, zone: &TimeZone) -> Result<BootNs, Unknown> {
        let Recorded { span, wall_offset_ns } = recorded;
        let span = || span.ok_or(Unknown::Pipe);
        let boot = |time: Timestamp| {
            let boot = time.as_nanosecond() - i128::from(wall_offset_ns);
            BootNs(u64::try_from(boot).unwrap_or(if boot < 0 { 0 } else { u64::MAX }))
        };
        // When the clock was set back, the first of the two times; when it was set forward, the later one.
        let local = |date: DateTime| date.to_zoned(zone.clone()).map_or(BootNs::ZERO, |zoned| boot(zoned.timestamp()));
        Ok(match self {
            Self::Instant(time) => boot(time),
            Self::Date(date) => local(date),
            Self::Clock(time) => {
                let (begin, _) = span()?;
                let begin = Timestamp::from_nanosecond(begin.since_1970(wall_offset_ns)).unwrap_or(Timestamp::MIN);
                let day = Zoned::new(begin, zone.clone());
                // A recording that began shortly before midnight continues after it.
                let day = if time < day.time() { day.date().tomorrow().unwrap_or(day.date()) } else { day.date() };
                local(day.to_datetime(time))
            }
            Self::AfterBegin(after) => span()?.0 + after.into(),
            Self::BeforeEnd(before) => span()?.1 - Span::from(before),
        })
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let duration =
            |text: &str| text.parse().ok().and_then(|signed: SignedDuration| Duration::try_from(signed).ok());
        let when = match text.split_at_checked(1) {
            Some(("+", after)) => duration(after).map(Self::AfterBegin),
            Some(("-", before)) => duration(before).map(Self::BeforeEnd),
            _ => (text.parse().map(Self::Instant).ok())
                .or_else(|| text.parse().map(Self::Date).ok())
                .or_else(|| text.parse().map(Self::Clock).ok()),
        };
        when.ok_or_else(|| {
            "give a time such as 12:34:09.5, 2026-11-24T12:34:09Z, +2m (after the beginning) or -10s (before the end)"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Booted at 23:00:00 UTC on the 24th, recorded from 23:30 to 00:30.
    fn recorded() -> Recorded {
        let boot: Timestamp = "2026-11-24T23:00:00Z".parse().unwrap();
        let at = |s| BootNs::ZERO + Span::seconds(s);
        Recorded { span: Some((at(1_800), at(5_400))), wall_offset_ns: boot.as_second() * 1_000_000_000 }
    }

    fn seconds(text: &str) -> u64 {
        (text.parse::<When>().unwrap().resolve(recorded(), &TimeZone::UTC).unwrap() - BootNs::ZERO) / Span::SECOND
    }

    #[test]
    fn moments_by_the_clock_and_from_either_end() {
        assert_eq!(seconds("2026-11-24T23:40:00Z"), 2_400);
        assert_eq!(seconds("2026-11-25T00:40:00+01:00"), 2_400);
        assert_eq!(seconds("2026-11-24 23:40:00"), 2_400);
        assert_eq!(seconds("23:40:00.5"), 2_400);
        assert_eq!(seconds("00:10:00"), 4_200);
        assert_eq!(seconds("+2m"), 1_920);
        assert_eq!(seconds("-10s"), 5_390);
        assert_eq!(seconds("2001-01-01T00:00:00Z"), 0);
    }

    #[test]
    fn what_is_no_moment_is_told_what_one_looks_like() {
        for text in ["", "+", "-", "yesterday", "+2", "10s", "25:00:00"] {
            let error = text.parse::<When>().unwrap_err();
            assert!(error.starts_with("give a time"), "{text:?}");
        }
    }

    #[test]
    fn a_pipe_has_no_known_ends() {
        let pipe = Recorded { span: None, ..recorded() };
        let resolve = |text: &str| text.parse::<When>().unwrap().resolve(pipe, &TimeZone::UTC);
        assert_eq!(resolve("-10s"), Err(Unknown::Pipe));
        assert!(resolve("2026-11-24T23:40:00Z").is_ok());
    }
}
