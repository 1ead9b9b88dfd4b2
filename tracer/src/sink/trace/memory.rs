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
    /// How many bytes, compressed, are kept.
    most: usize,
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
        Self {
            before,
            most: MEMORY,
            info: None,
            segments: VecDeque::new(),
            kept: 0,
            open: Vec::new(),
            open_at: BootNs::ZERO,
            cut: 0,
        }
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
        let is_due = now - segment.at >= segment_time || segment.size >= self.most / 8;
        if is_due && view.can_cut(segment.size >= self.most / 4) {
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
        let image = parts(image, BLOCK).map(packed).collect::<io::Result<Vec<_>>>()?;
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
        let block = packed(&self.open)?;
        segment.size += block.len();
        self.kept += block.len();
        segment.blocks.push((self.open_at, block));
        self.open.clear();
        Ok(())
    }

    /// Drops what is too old, or too much.
    fn forget(&mut self, now: BootNs) {
        while let [_, next, ..] = &*self.segments.make_contiguous() {
            let is_old = next.at + self.before <= now;
            if !is_old && self.kept + self.open.len() <= self.most {
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

/// Compressed, with no more room than that takes: what zstd returns has room for what cannot be compressed.
fn packed(records: &[u8]) -> io::Result<Bytes> {
    Ok(Bytes::copy_from_slice(&zstd::bulk::compress(records, LEVEL)?))
}

fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
    zstd::bulk::decompress(packed, CHUNK_MAX)
}

#[cfg(test)]
mod tests {
    use std::{io::Seek as _, ops::ControlFlow};

    use super::*;
    use crate::{
        detector::Detector,
        event::{Event, Exec, Loss},
        ident::{Args, Comm},
        source::{encode::encode, trace::Trace},
        story::{after_boot, born, running, start, task},
        trace::file,
    };

    #[test]
    fn what_is_packed_takes_no_more_room_than_its_length() {
        let packed = Vec::from(packed(&[0; BLOCK]).unwrap());
        assert!(packed.len() < 1000 && packed.capacity() < 2 * packed.len(), "{}", packed.capacity());
    }

    /// Whoever causes losses without end, as an ordinary user can with a storm of signals, must not make it grow.
    #[test]
    fn a_world_that_is_never_whole_again_does_not_make_memory_grow() {
        const MOST: usize = 4 << 20;
        let mut detector = Detector::new(&Thresholds::default());
        let mut memory = Memory { most: MOST, ..Memory::new(Span::seconds(60)) };
        let mut random = fastrand::Rng::with_seed(7);
        let list = [EventKind::SnapshotBegin, EventKind::Row(Box::new(running(born(1, 0)))), EventKind::SnapshotEnd];
        let mut kinds: Vec<_> = [start(&Thresholds::default())].into_iter().chain(list).collect();
        kinds.extend((0..40_000).map(|n| match n % 100 {
            0 => EventKind::Lost(Loss { undecodable: 1, ..Loss::default() }),
            _ => {
                let bytes: Vec<_> = (0..400).map(|_| random.u8(1..)).collect();
                let args = Args { bytes: bytes.into(), ..Args::default() };
                let exec = Exec { task: task(1), comm: Comm::cut(b"x"), old_tid: 1, args, mount_ns: 0, ignored: None };
                EventKind::Exec(Box::new(exec))
            }
        }));
        for (n, kind) in (0..).zip(kinds) {
            let event = Event { at: after_boot(1_000 + n), cpu: 0, kind };
            let mut record = Vec::new();
            encode(&event, &mut record);
            let (step, world) = detector.step(&event, &record);
            memory.step(world, &step).unwrap();
            let kept = memory.kept + memory.open.len();
            assert!(kept <= MOST + MOST / 4 + 2 * BLOCK, "{kept} after {n} records");
        }
        assert!(!detector.world().is_whole() && memory.cut() > 0);

        // What is left can be read, and does not claim to be whole.
        let mut saved = file::in_memory().unwrap();
        memory.save(saved.try_clone().unwrap(), after_boot(50_000)).unwrap();
        saved.rewind().unwrap();
        let mut trace = Trace::of(saved).unwrap();
        let mut read = Detector::new(&Thresholds::default());
        let mut lost = 0;
        let play = trace.play(|event, record| {
            if let EventKind::Lost(loss) = &event.kind {
                lost += loss.undecodable;
            }
            read.step(event, record);
            Ok(ControlFlow::Continue(()))
        });
        play.unwrap();
        assert_eq!((read.world().process_count(), read.world().is_whole(), lost), (1, false, 400));
    }
}
