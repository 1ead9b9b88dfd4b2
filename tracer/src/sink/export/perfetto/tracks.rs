//! The tracks of a file and what stands on them: slices that never overlap and always end, instants,
//! and arrows.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    io::{self, Write},
};

use prost::Message;
use rustc_hash::FxHashSet;

use super::proto::{
    BuiltinClock, ChildTracksOrdering, Clock, ClockSnapshot, DebugAnnotation, EventType, SEQ_INCREMENTAL_STATE_CLEARED,
    SiblingMergeBehavior, Trace, TracePacket, TrackDescriptor, TrackEvent, Value,
};
use crate::{
    ident::{PidNs, ProcKey},
    sink::export::failed,
    time::BootNs,
};

/// All packets come from one sequence, so they are in order.
const SEQUENCE: u32 = 1;

/// What a track is for; its number in the file follows from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Track {
    /// Whatever concerns no process.
    Tracer,
    /// All processes of a pid namespace. The start of its init is part of the key, because the kernel reuses the
    /// numbers of namespaces.
    Namespace(PidNs, BootNs),
    /// A process.
    Process(ProcKey),
}

impl Track {
    fn uuid(self) -> u64 {
        // A hasher without random keys, so the numbers are the same in every run.
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// Facts that stand beside a slice or an instant.
pub(super) type Facts = Vec<(&'static str, Value)>;

/// An instant, or the beginning of a slice.
pub(super) struct Mark {
    pub at: BootNs,
    pub track: Track,
    pub category: &'static str,
    pub name: String,
    pub facts: Facts,
    /// The arrow that begins here or continues.
    pub flow: Option<u64>,
    /// The arrow that ends here.
    pub last_of_flow: Option<u64>,
}

impl Mark {
    pub(super) fn new(at: BootNs, track: Track, category: &'static str, name: impl Into<String>) -> Self {
        Self { at, track, category, name: name.into(), facts: Facts::new(), flow: None, last_of_flow: None }
    }

    fn event(self, kind: EventType) -> TracePacket {
        let Self { at, track, category, name, facts, flow, last_of_flow } = self;
        let annotation =
            |(name, value): (&str, Value)| DebugAnnotation { name: Some(name.to_owned()), value: Some(value) };
        let event = TrackEvent {
            debug_annotations: facts.into_iter().map(annotation).collect(),
            r#type: Some(kind.into()),
            track_uuid: Some(track.uuid()),
            categories: vec![category.to_owned()],
            name: Some(name),
            flow_ids: flow.into_iter().collect(),
            terminating_flow_ids: last_of_flow.into_iter().collect(),
        };
        TracePacket { track_event: Some(event), ..packet(Some(at)) }
    }
}

fn packet(timestamp: Option<BootNs>) -> TracePacket {
    TracePacket {
        timestamp: timestamp.map(u64::from),
        trusted_packet_sequence_id: Some(SEQUENCE),
        ..TracePacket::default()
    }
}

/// The file.
pub(super) struct Tracks<W> {
    out: W,
    bytes: Vec<u8>,
    trace: Trace,
    /// Namespaces whose track is there.
    namespaces: FxHashSet<Track>,
}

impl<W: Write> Tracks<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, bytes: Vec::new(), trace: Trace::default(), namespaces: FxHashSet::default() }
    }

    /// The first packet: what time it was on the boot-time clock, and since 1970.
    pub(super) fn begin(&mut self, boot: BootNs, wall: u64) -> io::Result<()> {
        let clock = |id: BuiltinClock, at| Clock { clock_id: Some(id as u32), timestamp: Some(at) };
        let snapshot = ClockSnapshot {
            clocks: vec![clock(BuiltinClock::Boottime, boot.0), clock(BuiltinClock::Realtime, wall)],
            primary_trace_clock: Some(BuiltinClock::Boottime.into()),
        };
        self.write(TracePacket {
            clock_snapshot: Some(snapshot),
            sequence_flags: Some(SEQ_INCREMENTAL_STATE_CLEARED),
            ..packet(Some(boot))
        })
    }

    /// A track that stands alone.
    pub(super) fn root(&mut self, track: Track, name: &str) -> io::Result<()> {
        self.describe(TrackDescriptor {
            uuid: Some(track.uuid()),
            name: Some(name.to_owned()),
            ..TrackDescriptor::default()
        })
    }

    /// A group of tracks, once.
    pub(super) fn group(&mut self, track: Track, rank: u32, name: impl FnOnce() -> String) -> io::Result<()> {
        if !self.namespaces.insert(track) {
            return Ok(());
        }
        self.describe(TrackDescriptor {
            uuid: Some(track.uuid()),
            name: Some(name()),
            child_ordering: Some(ChildTracksOrdering::Explicit.into()),
            sibling_order_rank: Some(rank.cast_signed()),
            ..TrackDescriptor::default()
        })
    }

    /// A track in a group.
    pub(super) fn member(&mut self, track: Track, group: Track, rank: u32, name: String) -> io::Result<()> {
        self.describe(TrackDescriptor {
            uuid: Some(track.uuid()),
            name: Some(name),
            parent_uuid: Some(group.uuid()),
            sibling_order_rank: Some(rank.cast_signed()),
            // Pids are reused.
            sibling_merge_behavior: Some(SiblingMergeBehavior::None.into()),
            ..TrackDescriptor::default()
        })
    }

    pub(super) fn slice(&mut self, mark: Mark) -> io::Result<()> {
        self.write(mark.event(EventType::SliceBegin))
    }

    pub(super) fn slice_end(&mut self, at: BootNs, track: Track) -> io::Result<()> {
        let event = TrackEvent {
            r#type: Some(EventType::SliceEnd.into()),
            track_uuid: Some(track.uuid()),
            ..TrackEvent::default()
        };
        self.write(TracePacket { track_event: Some(event), ..packet(Some(at)) })
    }

    pub(super) fn instant(&mut self, mark: Mark) -> io::Result<()> {
        self.write(mark.event(EventType::Instant))
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn describe(&mut self, descriptor: TrackDescriptor) -> io::Result<()> {
        self.write(TracePacket { track_descriptor: Some(descriptor), ..packet(None) })
    }

    fn write(&mut self, packet: TracePacket) -> io::Result<()> {
        let Self { out, bytes, trace, .. } = self;
        trace.packet.clear();
        trace.packet.push(packet);
        bytes.clear();
        trace.encode(bytes).map_err(failed)?;
        out.write_all(bytes)
    }
}
