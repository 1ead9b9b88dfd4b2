//! The recent past in memory: records, compressed, in stretches that can be read without what came before.

use std::{collections::VecDeque, fs::File, io};

use bytes::Bytes;

use crate::{
    event::{End, EventKind},
    host::StartInfo,
    sink::trace::{View, part::Part, redact::Redactor},
    source::live,
    step::Step,
    thresholds::Thresholds,
    time::{BootNs, Span},
    trace::{CHUNK_MAX, parts},
    world::World,
};

/// How many bytes, compressed, are kept in memory: some seven million events.
pub const MEMORY: usize = 64 << 20;
/// How many bytes of records are compressed at a time.
const BLOCK: usize = 1 << 20;
/// zstd's fastest, as in the file.
const LEVEL: i32 = 1;

/// Keeps records for a while. A clone shares what is compressed.
#[derive(Clone)]
pub struct Memory {
    /// How long records are kept.
    before: Span,
    /// What is recorded, and how, with the thresholds of now.
    info: Option<StartInfo>,
    segments: VecDeque<Segment>,
    /// Bytes of all segments.
    kept: usize,
    /// Records of the last segment that are not compressed yet.
    open: Vec<u8>,
    /// Boot time of the last of them.
    open_at: BootNs,
    /// Segments that were to be kept but found no room.
    cut: u64,
}

/// A stretch of the stream that can be read without what came before.
#[derive(Clone)]
struct Segment {
    /// Boot time of its beginning.
    at: BootNs,
    /// The world at that time, compressed, in parts, because it can be large; empty for the first segment, which begins
    /// with a snapshot.
    image: Vec<Bytes>,
    /// Records, compressed in blocks, with the boot time of the last record of each.
    blocks: Vec<(BootNs, Bytes)>,
    size: usize,
    /// Signals that were generated in it.
    signals: u64,
    /// Processor time that had been used by then.
    cpu_before: Span,
    /// The thresholds by then.
    thresholds: Thresholds,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Boot time of its beginning.
    pub began: BootNs,
    /// Signals that were generated in it.
    pub signals: u64,
    /// Processor time that had been used when it began.
    pub cpu_before: Span,
}

impl Memory {
    /// Records are kept for that long, if there is room.
    pub fn new(before: Span) -> Self {
        Self { before, info: None, segments: VecDeque::new(), kept: 0, open: Vec::new(), open_at: BootNs::ZERO, cut: 0 }
    }

    /// What is recorded, and how, as it was at the beginning of what is kept; `None` before the start.
    pub fn info(&self) -> Option<StartInfo> {
        let thresholds = self.segments.front()?.thresholds;
        Some(StartInfo { thresholds, ..self.info.clone()? })
    }

    /// How many stretches found no room before their time.
    pub(super) fn cut(&self) -> u64 {
        self.cut
    }

    /// Begins with the first record of the stream.
    ///
    /// # Errors
    /// From compressing.
    pub(super) fn start(&mut self, at: BootNs, info: &StartInfo) -> io::Result<()> {
        self.info = Some(info.clone());
        self.begin_segment(at, &[])
    }

    /// Takes a record.
    ///
    /// # Errors
    /// From compressing.
    pub(super) fn record(&mut self, view: View<'_>, record: &[u8]) -> io::Result<()> {
        let now = view.now();
        self.hear(&view.event.kind);
        self.open.extend_from_slice(record);
        self.open_at = now;
        if self.open.len() >= BLOCK {
            self.pack()?;
        }
        let segment_time = self.segment_time();
        let Some(segment) = self.segments.back_mut() else { return Ok(()) };
        segment.signals += u64::from(matches!(view.event.kind, EventKind::Signal(_)));
        if view.can_cut() && (now - segment.at >= segment_time || segment.size >= MEMORY / 8) {
            self.begin_segment(now, &view.image())?;
            self.forget(now);
        }
        Ok(())
    }

    /// Remembers what an event says of the stream itself.
    pub(super) fn hear(&mut self, kind: &EventKind) {
        if let (EventKind::Thresholds(thresholds), Some(info)) = (kind, &mut self.info) {
            info.thresholds = **thresholds;
        }
    }

    /// Begins a stretch with an image of the world.
    ///
    /// # Errors
    /// From compressing.
    pub(super) fn begin_segment(&mut self, at: BootNs, image: &[u8]) -> io::Result<()> {
        self.pack()?;
        let packed = parts(image, BLOCK).map(|part| zstd::bulk::compress(part, LEVEL).map(Bytes::from));
        let image = packed.collect::<io::Result<Vec<_>>>()?;
        let size = image.iter().map(Bytes::len).sum();
        self.kept += size;
        let cpu_before = live::cpu_time();
        let thresholds = self.info.as_ref().map_or_else(Thresholds::default, |info| info.thresholds);
        self.segments.push_back(Segment { at, image, blocks: Vec::new(), size, signals: 0, cpu_before, thresholds });
        Ok(())
    }

    /// Compresses what has come since.
    fn pack(&mut self) -> io::Result<()> {
        let Some(segment) = self.segments.back_mut().filter(|_| !self.open.is_empty()) else { return Ok(()) };
        let block = zstd::bulk::compress(&self.open, LEVEL)?;
        segment.size += block.len();
        self.kept += block.len();
        segment.blocks.push((self.open_at, block.into()));
        self.open.clear();
        Ok(())
    }

    /// Drops what is too old, or too much.
    fn forget(&mut self, now: BootNs) {
        while let [_, next, ..] = &*self.segments.make_contiguous() {
            let is_old = next.at + self.before <= now;
            if !is_old && self.kept + self.open.len() <= MEMORY {
                break;
            }
            if let Some(oldest) = self.segments.pop_front() {
                self.kept -= oldest.size;
                self.cut += u64::from(!is_old);
            }
        }
    }

    /// How long a segment lasts: long enough that the images of the world cost little.
    fn segment_time(&self) -> Span {
        (self.before / 8).clamp(Span::ms(500), Span::seconds(10))
    }

    /// How much is kept; `None` if nothing is.
    pub(super) fn extent(&self) -> Option<Extent> {
        let first = self.segments.front()?;
        let signals = self.segments.iter().map(|segment| segment.signals).sum();
        Some(Extent { began: first.at, signals, cpu_before: first.cpu_before })
    }

    /// Writes what is kept.
    ///
    /// # Errors
    /// From writing.
    pub(super) fn write(&mut self, part: &mut Part) -> io::Result<()> {
        self.pack()?;
        for (i, segment) in self.segments.iter().enumerate() {
            let image = segment.image.iter().map(|part| unpack(part)).collect::<io::Result<Vec<_>>>()?.concat();
            if i == 0 {
                part.records(segment.at, &image)?;
            } else {
                part.keyframe(segment.at, &image)?;
            }
            for (at, block) in &segment.blocks {
                part.records(*at, &unpack(block)?)?;
            }
        }
        Ok(())
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.segments.clear();
        self.open.clear();
        self.kept = 0;
    }

    /// Takes a step of a stream of which everything is kept as it is.
    ///
    /// # Errors
    /// From compressing.
    pub fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        let redactor = Redactor::default();
        let view = View { world, redactor: &redactor, event: step.event };
        match &step.event.kind {
            EventKind::Start(info) => self.start(step.event.at, info),
            EventKind::End(_) => Ok(()),
            _ => self.record(view, step.record),
        }
    }

    /// Writes what is kept as a whole trace, which ends at that boot time; nothing if nothing is kept.
    ///
    /// # Errors
    /// From writing.
    pub fn save(&mut self, file: File, now: BootNs) -> io::Result<()> {
        let (Some(info), Some(Extent { began, signals, cpu_before })) = (self.info(), self.extent()) else {
            return Ok(());
        };
        let mut part = Part::create(file, began, &info)?;
        self.write(&mut part)?;
        part.end(now, End { began, cpu_ns: live::cpu_time() - cpu_before, signals, walks_cut: 0 })
    }
}

fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
    zstd::bulk::decompress(packed, CHUNK_MAX)
}
