//! Moments and spans of the boot-time clock, and the order of events.
//!
//! A trace may claim any time, so nothing here overflows: arithmetic saturates at the boot and at the end of the clock.
//!
//! All of these are aligned like the `u32` that stand beside them: a process's key takes 12 bytes and not 16, and the
//! world consists of keys.

use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Div, Mul, Sub},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// A moment, in nanoseconds of the boot-time clock (`CLOCK_BOOTTIME`): since the boot, including sleep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
#[repr(Rust, packed(4))]
pub struct BootNs(pub u64);

/// A span of time, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
#[repr(Rust, packed(4))]
pub struct Span(pub u64);

/// The number of an event in its stream, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
#[repr(Rust, packed(4))]
pub struct Seq(pub u64);

impl BootNs {
    /// The boot: before anything.
    pub const ZERO: Self = Self(0);
    /// Later than anything.
    pub const MAX: Self = Self(u64::MAX);

    /// Nanoseconds since 1970; the offset is that of the recorded machine.
    pub fn since_1970(self, wall_offset_ns: i64) -> i128 {
        i128::from(self.0) + i128::from(wall_offset_ns)
    }

    /// The moment right after it.
    #[must_use]
    pub fn next(self) -> Self {
        self + Span(1)
    }
}

impl Span {
    /// No time.
    pub const ZERO: Self = Self(0);
    /// A microsecond.
    pub const MICROSECOND: Self = Self(1_000);
    /// A millisecond.
    pub const MS: Self = Self(1_000_000);
    /// A second.
    pub const SECOND: Self = Self(1_000_000_000);

    /// So many milliseconds.
    pub const fn ms(n: u64) -> Self {
        Self(n.saturating_mul(Self::MS.0))
    }

    /// So many seconds.
    pub const fn seconds(n: u64) -> Self {
        Self(n.saturating_mul(Self::SECOND.0))
    }
}

impl Seq {
    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

macro_rules! numbers {
    ($($type:ident)*) => {
        $(impl From<$type> for u64 {
            fn from($type(number): $type) -> Self {
                number
            }
        }

        impl From<u64> for $type {
            fn from(number: u64) -> Self {
                Self(number)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                u64::from(*self).fmt(f)
            }
        })*
    };
}

numbers!(BootNs Span Seq);

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        Self::from_nanos(span.0)
    }
}

impl Sub for BootNs {
    type Output = Span;

    fn sub(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for BootNs {
    type Output = Self;

    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for BootNs {
    type Output = Self;

    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl AddAssign<Span> for BootNs {
    fn add_assign(&mut self, span: Span) {
        *self = *self + span;
    }
}

impl Add for Span {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Span {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Mul<u64> for Span {
    type Output = Self;

    fn mul(self, times: u64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl Mul<Span> for u64 {
    type Output = Span;

    fn mul(self, span: Span) -> Span {
        span * self
    }
}

impl Div<u64> for Span {
    type Output = Self;

    fn div(self, parts: u64) -> Self {
        Self(self.0 / parts)
    }
}

/// How many times the other span fits.
impl Div for Span {
    type Output = u64;

    fn div(self, other: Self) -> u64 {
        self.0 / other.0
    }
}

impl Sum for Span {
    fn sum<I: Iterator<Item = Self>>(spans: I) -> Self {
        spans.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overflows() {
        let (early, late) = (BootNs(3), BootNs(10));
        assert_eq!((late - early, early - late), (Span(7), Span::ZERO));
        assert_eq!((early - Span(5), BootNs::MAX.next()), (BootNs::ZERO, BootNs::MAX));
        assert_eq!((Span(3) - Span(5), Span::seconds(u64::MAX) * 2), (Span::ZERO, Span(u64::MAX)));
        assert_eq!(BootNs(5).since_1970(-7), -2);
    }
}
