//! Thresholds: from when on something is worth a finding. One declaration gives each its option with help, default and
//! range, its field in a recording, and its field in the line `start`.

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

use crate::time::Span;

/// What a threshold is, for the command line and for outputs.
#[derive(Debug)]
pub struct ThresholdDef {
    /// Its field in a recording; with hyphens, its option.
    pub name: &'static str,
    /// What is reported from then on: the help of the option.
    pub help: &'static str,
    /// What it is counted in.
    pub unit: Unit,
    /// Reads it.
    pub get: fn(&Thresholds) -> u64,
    /// Sets it.
    pub set: fn(&mut Thresholds, u64),
}

/// What a threshold is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds; a person gives a time span.
    Time,
    /// A number from 1.
    Count,
    /// Of a hundred, from 1.
    Percent,
    /// Whether or not: 1 or 0.
    Flag,
}

/// The type of a threshold as a number.
trait Number {
    fn number(self) -> u64;
    fn of(number: u64) -> Self;
}

impl Number for u64 {
    fn number(self) -> u64 {
        self
    }

    fn of(number: u64) -> Self {
        number
    }
}

impl Number for Span {
    fn number(self) -> u64 {
        self.0
    }

    fn of(number: u64) -> Self {
        Self(number)
    }
}

impl Number for bool {
    fn number(self) -> u64 {
        self.into()
    }

    fn of(number: u64) -> Self {
        number != 0
    }
}

macro_rules! number {
    (Time) => {
        Span
    };
    (Flag) => {
        bool
    };
    ($other:ident) => {
        u64
    };
}

macro_rules! thresholds {
    ($($(#[doc = $help:literal])+ $name:ident: $unit:ident = $default:expr;)*) => {
        /// From when on something is worth a finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Thresholds {
            $($(#[doc = $help])+ pub $name: number!($unit),)*
        }

        impl Default for Thresholds {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        /// All thresholds. A new one is a line here, and whoever uses it.
        pub static THRESHOLDS: &[ThresholdDef] = &[$(
            ThresholdDef {
                name: stringify!($name),
                help: concat!($($help),+),
                unit: Unit::$unit,
                get: |thresholds| thresholds.$name.number(),
                set: |thresholds, number| thresholds.$name = Number::of(number),
            },
        )*];
    };
}

thresholds! {
    /// Report a zombie that nobody has reaped for this long
    unreaped_after: Time = Span::seconds(2);
    /// Report a process whose main thread has been dead for this long
    zombie_leader_after: Time = Span::seconds(2);
    /// Report a namespace whose end takes longer than this
    namespace_stuck_after: Time = Span::seconds(5);
    /// Report a stop signal that a SIGKILL followed this long after it
    slow_stop_after: Time = Span::seconds(1);
    /// Report a parent that has so many zombies as a leak, in place of each of them
    zombie_leak_at: Count = 10;
    /// Report a signal that has waited for this long while the process blocks it
    stuck_blocked_after: Time = Span::seconds(10);
    /// Report a process that has been stopped for this long, and was not meant to be by whoever works at its terminal
    stopped_after: Time = Span::seconds(5);
    /// Report a process that is still there this long after it was killed
    cannot_die_after: Time = Span::seconds(5);
    /// Report an init that took a stop signal and has passed nothing on for this long
    not_forwarded_after: Time = Span::seconds(2);
    /// Report what an exec brought into a container and has been without its client for this long
    exec_leftover_after: Time = Span::seconds(5);
    /// Report pids or pseudo-terminals of which so much is in use, of a hundred
    pressure_at: Percent = 80;
    /// Report children that another thread of the same process adopts, too: programs in Go have many
    thread_adoptions: Flag = false;
}

impl ThresholdDef {
    /// Its option, without the hyphens before it.
    pub fn option(&self) -> String {
        self.name.replace('_', "-")
    }

    /// Its field in the line `start`.
    pub fn field(&self) -> String {
        let unit = match self.unit {
            Unit::Time => "_ns",
            Unit::Percent => "_percent",
            Unit::Count | Unit::Flag => "",
        };
        format!("{}{unit}", self.name)
    }
}

/// Thresholds as the line `start` has them.
#[derive(Debug)]
pub struct Fields<'a>(pub &'a Thresholds);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(THRESHOLDS.len()))?;
        for def in THRESHOLDS {
            let number = (def.get)(self.0);
            match def.unit {
                Unit::Flag => map.serialize_entry(&def.field(), &(number != 0))?,
                Unit::Time | Unit::Count | Unit::Percent => map.serialize_entry(&def.field(), &number)?,
            }
        }
        map.end()
    }
}
