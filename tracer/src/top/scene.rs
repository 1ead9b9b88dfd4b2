//! What there is to see at one moment: data, without a word about how it is drawn.

use std::sync::Arc;

use crate::{
    density::Density,
    finding::Severity,
    time::BootNs,
    top::{found::Entry, rows::Row},
    world::World,
};

/// The model at one moment.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// The moment.
    pub at: BootNs,
    /// Nanoseconds to add to a boot time to get the time since 1970.
    pub wall_offset_ns: i64,
    /// It is from a file with a name.
    pub is_saved: bool,
    /// Whether time passes, and how.
    pub flow: Flow,
    /// The tree, in reading order.
    pub rows: Vec<Row>,
    /// Findings, those first that matter most.
    pub entries: Vec<Arc<Entry>>,
    /// What happened when.
    pub line: Arc<Line>,
    /// How much there is.
    pub counts: Counts,
    /// What the reader should know about the source: damage, what is still being read, a filter that fits nothing.
    pub notes: Vec<String>,
}

/// Whether time passes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Flow {
    /// As it happens.
    #[default]
    Live,
    /// A moment of the past.
    Still {
        /// Whether there is a present to return to.
        is_live: bool,
        /// How many times as fast as it was it will be played.
        speed: f64,
    },
    /// A recording that is played.
    Playing {
        /// How many times as fast as it was.
        speed: f64,
    },
}

/// Figures of a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Processes, zombies included.
    pub processes: u64,
    /// Zombies.
    pub zombies: u64,
    /// Pid namespaces.
    pub namespaces: u64,
    /// Signals of the last second, of those in the stream.
    pub signals: u64,
    /// Records that were lost so far.
    pub lost: u64,
}

impl Counts {
    /// Counts a world.
    pub fn of(world: &World, signals: u64, lost: u64) -> Self {
        Self {
            processes: world.process_count() as u64,
            zombies: world.zombie_count() as u64,
            namespaces: world.namespace_count() as u64,
            signals,
            lost,
        }
    }
}

/// The time line.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its ends.
    pub span: (BootNs, BootNs),
    /// What happened when.
    pub density: Density,
    /// Findings on it, in the order of their times.
    pub marks: Vec<Mark>,
}

/// A finding on the time line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When it was found.
    pub at: BootNs,
    /// How urgent it is.
    pub severity: Severity,
}

impl Default for Line {
    fn default() -> Self {
        Self { span: Default::default(), density: Density::new(BUCKETS), marks: Vec::new() }
    }
}

/// As many stretches of time as any screen has columns, a few times over.
pub const BUCKETS: usize = 2048;
